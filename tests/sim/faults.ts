/**
 * What goes wrong in a world, as a script: made from a seed, printed when a check fails, and played again from the same seed.
 */

import type { Attachment } from "../../fabric/trunk/attachments.ts";
import { wantPath } from "../../fabric/trunk/calls.ts";
import type { LaneName } from "../../fabric/trunk/lane-name.ts";
import type { Trunk } from "../../fabric/trunk/trunk.ts";
import { type Random, randomInt } from "../../lib/random.ts";
import type { World } from "./world.ts";

export interface Fault {
  readonly atMs: number;
  readonly forMs: number;
  readonly kind: /** Relays. */
    | "freeze"
    | "kill"
    | "slow"
    | "drain"
    | "revoke"
    /** Links: both directions, or one. */
    | "cut"
    | "oneway"
    /** All links of an edge. */
    | "partition"
    /** A process at an end does nothing for a while. */
    | "stall"
    /** Something in the middle resets a connection; its ends learn it at different times. */
    | "reset"
    /** An edge moves to some ready attachment without being asked by anything. */
    | "move"
    /** The path in use is reset while a second spare is being attached: each edge moves to another one, both at once. */
    | "tie";
  /** A node id, `from>to`, or a number to pick with. */
  readonly target: string;
}

/** Faults that keep bytes from passing: what an accusation needs. */
export const isHard = ({ kind }: Fault): boolean => !["slow", "stall", "move", "drain"].includes(kind);

const pick = <T>(random: Random, items: readonly T[]): T => items[randomInt(random, items.length)] as T;

const stormKinds = [
  "freeze",
  "freeze",
  "kill",
  "kill",
  "slow",
  "drain",
  "revoke",
  "cut",
  "cut",
  "oneway",
  "oneway",
  "partition",
  "stall",
  "reset",
  "reset",
  "move",
  "move",
] as const satisfies readonly Fault["kind"][];

/** A target for a fault of this kind. */
export function targetOf(world: World, random: Random, kind: Fault["kind"]): string {
  if (kind === "cut" || kind === "oneway") return pick(random, [...world.net.links.keys()]);
  if (kind === "partition" || kind === "stall") return random.float() < 0.5 ? "e" : "x";
  if (kind === "reset" || kind === "move") return String(randomInt(random, 1_000));
  return pick(random, world.relays);
}

/** Several faults at once or one after the other. */
export function storm(world: World, random: Random, count: number, spanMs: number): Fault[] {
  const faults: Fault[] = [];
  for (let n = 0; n < count; n += 1) {
    const kind = pick(random, stormKinds);
    const atMs = 1 + random.float() * spanMs;
    const forMs = random.float() < 0.3 ? random.float() * 400 : random.float() * 2_000;
    faults.push({ atMs, forMs, kind, target: targetOf(world, random, kind) });
    // Flapping: the same again a little later.
    if (random.float() < 0.15) faults.push({ ...(faults.at(-1) as Fault), atMs: atMs + forMs + random.float() * 300 });
  }
  return faults.sort((a, b) => a.atMs - b.atMs);
}

/** Nothing that would justify an accusation: hops that stall for up to 250 ms, slow ones, edges that do nothing for seconds. */
export function calm(world: World, random: Random, count: number, spanMs: number): Fault[] {
  const faults: Fault[] = [];
  // A stall and a round trip together stay below what counts as dead.
  const stallMaxMs = 250 - 4 * world.shape.linkDelayMs;
  let atMs = 200;
  for (let n = 0; n < count; n += 1) {
    const what = random.float();
    atMs += 600 + random.float() * spanMs;
    if (what < 0.4) {
      faults.push({ atMs, forMs: random.float() * stallMaxMs, kind: "freeze", target: pick(random, world.relays) });
    } else if (what < 0.6) {
      faults.push({ atMs, forMs: random.float() * 2_000, kind: "slow", target: pick(random, world.relays) });
    } else {
      const forMs = random.float() * 1_500;
      faults.push({ atMs, forMs, kind: "stall", target: random.float() < 0.5 ? "e" : "x" });
      atMs += forMs;
    }
  }
  return faults;
}

function edgeLinks(world: World, edge: string): string[] {
  return [...world.net.links.keys()].filter((key) => key.split(">").includes(edge));
}

function begin(world: World, { kind, target, forMs }: Fault): () => void {
  const { net, opener } = world;
  const [from = "", to = ""] = target.split(">");
  const cutAll = (keys: readonly string[]): (() => void) => {
    const pairs = keys.map((key) => key.split(">") as [string, string]);
    for (const [a, b] of pairs) net.cut(a, b);
    return () => {
      for (const [a, b] of pairs) net.heal(a, b);
    };
  };
  switch (kind) {
    case "freeze":
      net.freeze(target);
      return () => net.thaw(target);
    case "kill":
      net.kill(target);
      return () => net.restart(target);
    case "slow":
      net.node(target).slowMs = 5 + (forMs % 40);
      return () => {
        net.node(target).slowMs = 0;
      };
    case "drain":
      net.node(target).draining = true;
      opener.tell(target, "draining");
      return () => {
        net.node(target).draining = false;
      };
    case "revoke":
      net.node(target).revoked = true;
      opener.tell(target, "revoked");
      return () => {
        // Its neighbours cut what is left; it stays out for good unless nothing else would be left.
        net.kill(target);
        net.restart(target);
        net.node(target).revoked = false;
      };
    case "cut":
      return cutAll([target, `${to}>${from}`]);
    case "oneway":
      return cutAll([target]);
    case "partition":
      return cutAll(edgeLinks(world, target));
    case "stall":
      (target === "e" ? world.near : world.far).stall(forMs);
      return () => {};
    case "reset":
      return reset(world, Number(target), forMs);
    case "move":
      move(world, Number(target));
      return () => {};
    case "tie":
      tie(world, world.loop.nowMs + forMs);
      return () => {};
  }
}

function reset(world: World, choice: number, laterMs: number): () => void {
  const live = world.opener.connections.filter(({ near, far }) => !near.gone && !far.gone);
  const connection = live[choice % Math.max(1, live.length)];
  if (connection === undefined) return () => {};
  const ends = choice % 2 === 0 ? [connection.near, connection.far] : [connection.far, connection.near];
  const chunk = { kind: "reset", sizeBytes: 0, streamId: 0 } as const;
  ends[0]?.arrived(chunk);
  world.loop.at(world.loop.nowMs + (laterMs % 300), () => ends[1]?.arrived(chunk));
  return () => {};
}

function move(world: World, choice: number): void {
  for (const trunk of [world.trunks.near, world.trunks.far]) {
    if (trunk === undefined || (choice % 3 === 0 && trunk === world.trunks.near)) continue;
    const ready = [...trunk.attachments()].filter(({ phase }) => phase === "ready");
    const attachment = ready[choice % Math.max(1, ready.length)];
    if (attachment !== undefined) trunk.move(attachment.id, world.loop.nowMs);
  }
}

/**
 * The far edge has two to choose from for about a round trip longer than the initiator: it asks for another path, and the one
 * in use is reset as soon as it has two. Until `untilMs`; a world of one relay has no second spare.
 */
function tie(world: World, untilMs: number): void {
  const { near, far } = world.trunks;
  if (near === undefined || far === undefined || far.end !== undefined) return;
  if (near.lanes.bulk.active !== undefined || near.lanes.interactive.active !== undefined) wantPath(far);
  const look = (): void => {
    if (!tied(world, near, far) && world.loop.nowMs < untilMs)
      world.loop.at(world.loop.nowMs + world.shape.linkDelayMs, look);
  };
  look();
}

function tied(world: World, near: Trunk, far: Trunk): boolean {
  for (const name of ["interactive", "bulk"] as const) {
    const readyOf = (trunk: Trunk): number =>
      [...trunk.attachments()].filter((one) => isSpare(trunk, one, name)).length;
    if (readyOf(far) < 2 || readyOf(near) !== 1) continue;
    const { active } = far.lanes[name];
    const inUse = world.opener.connections.find((one) => one.far.id === active?.connectionId);
    if (inUse === undefined || near.lanes[name].active?.connectionId !== inUse.near.id) continue;
    const chunk = { kind: "reset", sizeBytes: 0, streamId: 0 } as const;
    inUse.near.arrived(chunk);
    inUse.far.arrived(chunk);
    return true;
  }
  return false;
}

function isSpare(trunk: Trunk, { lane, phase, connectionId }: Attachment, name: LaneName): boolean {
  return lane === name && phase === "ready" && connectionId !== trunk.lanes[name].active?.connectionId;
}

/** Puts a script on the world's calendar, `fromMs` from its start. Returns when the last fault is over. */
export function play(world: World, faults: readonly Fault[], fromMs: number): number {
  let overMs = fromMs;
  for (const fault of faults) {
    const atMs = fromMs + fault.atMs;
    overMs = Math.max(overMs, atMs + fault.forMs);
    world.loop.at(atMs, () => {
      const undo = begin(world, fault);
      world.loop.at(world.loop.nowMs + fault.forMs, undo);
    });
  }
  return overMs;
}
