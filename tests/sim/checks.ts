/** What must hold in a world: after every turn, at every move, and when everything has come to rest. */

import { sharedRelays } from "../../fabric/routing/paths.ts";
import { Lane } from "../../fabric/trunk/lane.ts";
import type { Trunk } from "../../fabric/trunk/trunk.ts";
import { limits } from "../../lib/limits.ts";
import type { SimConnection } from "./connection.ts";
import type { World } from "./world.ts";

export class LawBroken extends Error {}

const laneNames = ["interactive", "bulk"] as const;

/** How long after a fault its effects may still be seen: a retransmission, and a judgement of what was silent then. */
const AFTERMATH_MS = 1_500;

/** LAW-T3: every bound, at any moment. */
export function checkBounds(trunk: Trunk): void {
  for (const name of laneNames) {
    const lane = trunk.lanes[name];
    if (lane.replay.costBytes > Lane.replayMaxBytes(name)) throw new LawBroken(`LAW-T3 replay of ${name}`);
    for (const channel of lane.channels.values()) {
      const unread = channel.credit.receivedBytes - channel.credit.consumedBytes;
      if (unread > channel.credit.windowBytes) throw new LawBroken("LAW-T3 unread bytes above the window");
      if (channel.queue.bytes > limits.channelSendQueueBytes) throw new LawBroken("LAW-T3 send queue");
    }
  }
  if (trunk.pool.usedBytes > limits.trunkReceivePoolBytes) throw new LawBroken("LAW-T3 trunk pool");
  let count = 0;
  for (const attachment of trunk.attachments()) {
    count += 1;
    if (attachment.batchesInFlight > limits.batchesInFlightMaxCount) throw new LawBroken("LAW-T3 batches in flight");
  }
  const most = limits.attachmentsPerTrunkMaxCount;
  // The acceptor is the one that has to bound what it is offered.
  if (count > (trunk.side === "acceptor" ? most : 2 * most))
    throw new LawBroken(`LAW-T3 ${count} attachments (${trunk.side})`);
}

/** Watches a world as it goes. */
export class Checks {
  readonly #world: World;
  /** Whether a trunk may end: only when the script keeps everything apart for longer than it is held. */
  readonly #mayEnd: boolean;
  #turns = 0;
  #moves = 0;
  #accusations = 0;

  constructor(world: World, mayEnd: boolean) {
    this.#world = world;
    this.#mayEnd = mayEnd;
  }

  /** After every turn. */
  readonly turn = (): void => {
    const { trunks, applications } = this.#world;
    this.#turns += 1;
    this.#newMoves();
    this.#newAccusations();
    const [given] = this.#world.givenUp;
    if (given !== undefined) throw new LawBroken(`KP1 ${given} was given up while a lane was sent on it`);
    if (this.#turns % 8 !== 0) return;
    for (const trunk of [trunks.near, trunks.far]) if (trunk !== undefined) checkBounds(trunk);
    for (const { wrong, error } of applications) {
      if (wrong !== "") throw new LawBroken(`LAW-T1 ${wrong}`);
      if (error !== undefined && !this.#mayEnd) throw new LawBroken(`LAW-T1 a channel failed: ${error.message}`);
    }
    const [end] = this.#world.ends;
    if (end !== undefined && !this.#mayEnd) {
      throw new LawBroken(
        `LAW-T1 the trunk ended (${end.initiator ? "near" : "far"}): ${end.end.cause}, ${end.end.detail}`,
      );
    }
  };

  #newMoves(): void {
    const { moves } = this.#world;
    for (; this.#moves < moves.length; this.#moves += 1) {
      const move = moves[this.#moves];
      if (move === undefined || move.cause !== "peer") continue;
      const { initiator, lane, generation } = move;
      if (initiator && generation <= move.generationBefore) throw new LawBroken("a tie of moves went to the acceptor");
      const announced = moves.some(
        (other) => other.initiator !== initiator && other.lane === lane && other.generation === generation,
      );
      if (!announced) throw new LawBroken(`generation ${generation} of ${lane} was nobody's move`);
    }
  }

  /** DT2: no accusation without a fault on that path. */
  #newAccusations(): void {
    const { accusations, net } = this.#world;
    for (; this.#accusations < accusations.length; this.#accusations += 1) {
      const accusation = accusations[this.#accusations];
      if (accusation === undefined) continue;
      const hops = accusation.pathKey.split(" ");
      if (!net.faultySince(hops, accusation.silentSinceMs - AFTERMATH_MS)) {
        throw new LawBroken(`DT2 ${accusation.pathKey} was accused without a fault`);
      }
    }
  }
}

const openAt = (connections: readonly SimConnection[], side: "near" | "far"): SimConnection[] =>
  connections.filter((connection) => !connection[side].gone);

/** All ways from entry to egress of a world's mesh. */
function ways(world: World): string[][] {
  const { links } = world.net;
  const relays = world.relays;
  const direct = relays.filter((id) => links.has(`e>${id}`) && links.has(`${id}>x`)).map((id) => ["e", id, "x"]);
  const twice = relays.flatMap((a) =>
    relays
      .filter((b) => links.has(`e>${a}`) && links.has(`${a}>${b}`) && links.has(`${b}>x`))
      .map((b) => ["e", a, b, "x"]),
  );
  return [...direct, ...twice];
}

/** Why a world has not come to rest; empty when it has. */
export function unrest(world: World): string[] {
  const { near, far } = world.trunks;
  const { connections } = world.opener;
  if (near === undefined || far === undefined) return ["there is no trunk"];
  const why: string[] = [];
  const inUse = new Set<SimConnection>();
  for (const name of laneNames) {
    const active = near.lanes[name].active;
    const there = far.lanes[name].active;
    if (near.lanes[name].movedAtMs === Number.NEGATIVE_INFINITY) continue;
    const here = connections.find((one) => one.near.id === active?.connectionId);
    if (here === undefined) why.push(`${name} has no path`);
    else if (here.far.id !== there?.connectionId) why.push(`the edges disagree on the path of ${name}`);
    else inUse.add(here);
    for (const trunk of [near, far]) if (trunk.lanes[name].replay.count > 0) why.push(`${name} is not acknowledged`);
  }
  const spares = openAt(connections, "near").filter((one) => !inUse.has(one));
  if (spares.length !== 1) why.push(`${spares.length} spares`);
  const [spare] = spares;
  if (spare !== undefined) why.push(...spareFaults(world, spare, [...inUse]));
  const here = openAt(connections, "near").length;
  const there = openAt(connections, "far").length;
  if (here !== there) why.push(`${here} connections open at the entry, ${there} at the egress`);
  return [...why, ...undelivered(world)];
}

function spareFaults(world: World, spare: SimConnection, inUse: readonly SimConnection[]): string[] {
  const { near } = world.trunks;
  const why: string[] = [];
  for (const name of laneNames) {
    if (near?.lanes[name].active === undefined) continue;
    const ready = [...near.attachments()].some(
      ({ connectionId, lane, phase }) => connectionId === spare.near.id && lane === name && phase === "ready",
    );
    if (!ready) why.push(`the spare is not ready for ${name}`);
  }
  const shares = (hops: readonly string[]): boolean => inUse.some((one) => sharedRelays(hops, one.hops).length > 0);
  const best = ways(world).filter((hops) => !shares(hops));
  if (shares(spare.hops) && best.length > 0) {
    const paths = inUse.map(({ hops }) => hops.join("-")).join(", ");
    why.push(`the spare ${spare.hops.join("-")} shares a relay with ${paths}; ${best[0]?.join("-")} would not`);
  }
  return why;
}

/** LAW-T1 at rest: everything that was written has arrived. */
export function undelivered(world: World): string[] {
  const why: string[] = [];
  const far = new Map(
    world.applications.filter(({ initiator }) => !initiator).map((one) => [one.stream.channelId, one]),
  );
  for (const one of world.applications) {
    if (!one.initiator) continue;
    const other = far.get(one.stream.channelId);
    if (other === undefined) why.push(`channel ${one.stream.channelId} never arrived`);
    else if (other.arrivedBytes !== one.writtenBytes || one.arrivedBytes !== other.writtenBytes) {
      why.push(
        `channel ${one.stream.channelId}: ${other.arrivedBytes} of ${one.writtenBytes} there, ${one.arrivedBytes} of ${other.writtenBytes} back`,
      );
    }
  }
  return why;
}

/** When every channel was closed by both ends: nothing of them is left. */
export function leftovers(world: World): string[] {
  const why: string[] = [];
  for (const { closed, ended, initiator, stream } of world.applications) {
    if (!closed || !ended) why.push(`channel ${stream.channelId} is not closed (${initiator ? "near" : "far"})`);
  }
  for (const trunk of [world.trunks.near, world.trunks.far]) {
    if (trunk === undefined) continue;
    const { interactive, bulk } = trunk.lanes;
    if (interactive.channels.size + bulk.channels.size > 0) why.push("channels are left in a trunk");
    if (interactive.replay.count + bulk.replay.count > 0) why.push("batches are left in a replay");
    if (trunk.pool.usedBytes > 0) why.push("credit is left lent");
  }
  return why;
}
