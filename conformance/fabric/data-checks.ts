/** Bytes on live connections: kept through the death of anything in the middle, unreadable on the wire, bounded when stalled. */

import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { echoOnce } from "../../cli/up/fabric.ts";
import { askFabricNode } from "../../cli/up/failovers.ts";
import { echoTransfer } from "../../cli/up/smoke.ts";
import { VerifiedStream } from "../../cli/up/stream.ts";
import { MiB } from "../../lib/limits.ts";
import { type Check, holds } from "../check.ts";
import { until } from "../until.ts";
import type { FabricWorld } from "./world.ts";

const entry = "entry-1";
const bytesPerSecond = 4_000_000;
const finishWithinMs = 15_000;

const echoPort = ({ fabric }: FabricWorld): number => fabric.listenerPort(`echo-${entry}`);

function signalTo({ fabric }: FabricWorld, name: string, signal: NodeJS.Signals): void {
  process.kill(fabric.process(name).pid, signal);
}

const lookMs = 150;

/** The relay that carries what runs now, as the wires to relays say: an entry may have trunks to several egresses. */
async function relayInUse({ taps }: FabricWorld): Promise<string> {
  const before = new Map([...taps].map(([name, tap]) => [name, tap.seenBytes()]));
  await delay(lookMs);
  const grown = [...taps].map(([name, tap]) => ({ name, bytes: tap.seenBytes() - (before.get(name) ?? 0) }));
  const busiest = grown.toSorted((a, b) => b.bytes - a.bytes)[0];
  holds(busiest !== undefined && busiest.bytes > 0, "no relay carries anything");
  return busiest.name;
}

/** Runs a verified transfer, does something in the middle of it, and requires every byte. */
async function through(world: FabricWorld, hurt: () => Promise<void>): Promise<string> {
  const before = world.moves.length;
  const stream = new VerifiedStream(echoPort(world), bytesPerSecond);
  try {
    await until(() => stream.counts().verifiedBytes > 2 * MiB, "the transfer runs");
    await hurt();
    const from = stream.counts().verifiedBytes;
    await until(() => stream.counts().verifiedBytes > from + 2 * MiB, "bytes come back after it");
  } finally {
    const { equal } = await stream.finish(finishWithinMs);
    const { fault, verifiedBytes } = stream.counts();
    holds(equal, fault ?? `only ${verifiedBytes} bytes came back`);
  }
  const moved = await until(() => world.moves.slice(before).at(-1) ?? false, "the edges tell of a move");
  const mb = (stream.counts().verifiedBytes / 1e6).toFixed(1);
  return `${mb} MB equal by hash, gap ${moved.gapMs.toFixed(0)} ms, ${moved.replayedBytes} bytes sent again`;
}

/** Ready attachments of the entry's trunks that carry nothing. */
async function spares({ fabric }: FabricWorld): Promise<number> {
  const { trunks } = await fabric.withSession((session) =>
    askFabricNode(fabric, session, entry, (client) => client.listTrunks({})),
  );
  return trunks.flatMap(({ attachments }) => attachments).filter(({ active }) => !active).length;
}

/** A trunk with a spare, so that what follows is a failover and no first opening. */
async function settled(world: FabricWorld): Promise<void> {
  await echoOnce(echoPort(world), 5_000);
  await until(async () => (await spares(world)) > 0, "the trunk has a spare path");
}

/** Kills the relay in use under a transfer, and brings it back. */
async function killed(world: FabricWorld): Promise<string> {
  let relay: string | undefined;
  try {
    return await through(world, async () => {
      relay = await relayInUse(world);
      signalTo(world, relay, "SIGKILL");
      await world.fabric.process(relay).exited;
    });
  } finally {
    if (relay !== undefined) await world.fabric.restart(relay);
  }
}

async function relayKilled(world: FabricWorld): Promise<string> {
  await settled(world);
  return await killed(world);
}

async function relayFrozen(world: FabricWorld): Promise<string> {
  await settled(world);
  let relay: string | undefined;
  try {
    return await through(world, async () => {
      relay = await relayInUse(world);
      signalTo(world, relay, "SIGSTOP");
    });
  } finally {
    if (relay !== undefined) signalTo(world, relay, "SIGCONT");
  }
}

const replicas = ({ fabric }: FabricWorld): readonly string[] =>
  fabric.processes.filter(({ role }) => role === "control").map(({ name }) => name);

async function withoutControl(world: FabricWorld): Promise<string> {
  await settled(world);
  let relay: string | undefined;
  for (const name of replicas(world)) signalTo(world, name, "SIGSTOP");
  try {
    const said = await through(world, async () => {
      relay = await relayInUse(world);
      signalTo(world, relay, "SIGKILL");
      await world.fabric.process(relay).exited;
    });
    const ms = await echoOnce(world.fabric.listenerPort("echo-entry-2"), 10_000);
    return `${said}; a new channel ${ms.toFixed(0)} ms`;
  } finally {
    for (const name of replicas(world)) signalTo(world, name, "SIGCONT");
    if (relay !== undefined) await world.fabric.restart(relay);
  }
}

async function noControlCalls(world: FabricWorld): Promise<string> {
  const callsOf = async (): Promise<number> => {
    const { counters } = await world.status(entry);
    const calls = Object.entries(counters?.controlCalls ?? {});
    // What a node does by itself all the time has nothing to do with paths.
    const idle = /Heartbeat|WatchSnapshot|ReportLinks|ReportWorkloads|Renew$/;
    return calls.reduce((sum, [name, count]) => sum + (idle.test(name) ? 0 : Number(count)), 0);
  };
  await settled(world);
  const before = await callsOf();
  await killed(world);
  const calls = (await callsOf()) - before;
  holds(calls === 0, `${calls} calls to control`);
  return "0 calls to control to move and to open";
}

/** A client that asks for everything and reads nothing. */
async function stalledClient(port: number): Promise<{ readonly socket: Socket; readonly acceptedBytes: () => number }> {
  const socket = connect({ host: "127.0.0.1", port, noDelay: true });
  await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  socket.pause();
  const chunk = Buffer.alloc(64 * 1_024, 7);
  const more = (): void => {
    while (!socket.destroyed && socket.write(chunk));
  };
  socket.on("drain", more).on("error", () => {});
  more();
  return { socket, acceptedBytes: () => socket.bytesWritten - socket.writableLength };
}

/** On a busy machine a producer may wait for its turn for a while. */
const stillMs = 1_000;

/** A producer that is not let go on: resolves with the bytes that were taken from it until then. */
async function untilBlocked(acceptedBytes: () => number): Promise<number> {
  let last = -1;
  const isStill = async (): Promise<boolean> => {
    const now = acceptedBytes();
    const still = now === last && now > 0;
    last = now;
    await delay(stillMs);
    return still;
  };
  await until(isStill, "the producer is blocked", { everyMs: 1 });
  return last;
}

/** What the nodes may take more of memory while somebody stands still: buffers of one channel, and noise of a collector. */
const stalledGrowthMaxMb = 160;

/** Resident memory of every node, in MB. */
function residentMb({ fabric }: FabricWorld): number {
  const nodes = fabric.processes.filter(({ role }) => role === "entry" || role === "relay" || role === "egress");
  const pages = nodes.map(({ pid }) => Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]));
  return pages.reduce((sum, count) => sum + (count * 4_096) / 1e6, 0);
}

async function blockedProducer(world: FabricWorld): Promise<string> {
  const before = residentMb(world);
  const { socket, acceptedBytes } = await stalledClient(echoPort(world));
  try {
    const taken = await untilBlocked(acceptedBytes);
    const grown = residentMb(world) - before;
    holds(grown < stalledGrowthMaxMb, `the nodes grew by ${grown.toFixed(0)} MB beside a reader that stands still`);
    return `blocked after ${Math.round(taken / 1024)} KiB, kernels' buffers included; the nodes grew by ${grown.toFixed(0)} MB`;
  } finally {
    socket.destroy();
  }
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

async function stalledBeside(world: FabricWorld): Promise<string> {
  const rate = async (): Promise<number> => {
    const { wallMs, equal } = await echoTransfer(echoPort(world), 8 * MiB);
    holds(equal, "other bytes came back");
    return (16 * MiB) / wallMs;
  };
  const [alone, beside]: [number[], number[]] = [[], []];
  for (let round = 0; round < 5; round += 1) {
    alone.push(await rate());
    const stalled = await Promise.all([1, 2, 3].map(() => stalledClient(echoPort(world))));
    await Promise.all(stalled.map(({ acceptedBytes }) => untilBlocked(acceptedBytes)));
    beside.push(await rate());
    for (const { socket } of stalled) socket.destroy();
  }
  const share = median(beside) / median(alone);
  holds(share > 0.5, `only ${(share * 100).toFixed(0)} % of its rate beside 3 stalled ones`);
  return `${(share * 100).toFixed(0)} % of its rate beside 3 stalled channels`;
}

async function unread(world: FabricWorld): Promise<string> {
  const text = `marker-${world.fabric.plan.control.publicPort}-${"planted".repeat(8)}`;
  for (const tap of world.taps.values()) tap.searchFor(text);
  const seen = (): number => [...world.taps.values()].reduce((sum, tap) => sum + tap.seenBytes(), 0);
  const before = seen();
  const socket = connect({ host: "127.0.0.1", port: echoPort(world), noDelay: true });
  let back = "";
  socket.on("data", (chunk: Buffer) => (back += chunk.toString("latin1")));
  socket.on("error", () => {});
  for (let at = 0; at < 200; at += 1) socket.write(text);
  await until(() => back.length >= 200 * text.length, "the marker comes back");
  socket.destroy();
  const found = [...world.taps.values()].reduce((sum, tap) => sum + tap.found(), 0);
  holds(back.includes(text) && seen() > before, "nothing passed the taps");
  holds(found === 0, `it passed a relay in clear ${found} times`);
  return `${seen() - before} bytes on the relays' wires, the planted text in none`;
}

async function alteredOnTheWire(world: FabricWorld): Promise<string> {
  const taps = [...world.taps.values()];
  const altered = (): number => taps.reduce((sum, tap) => sum + tap.altered(), 0);
  const [before, alteredBefore] = [world.moves.length, altered()];
  const said = await through(world, async () => {
    // What is busiest may be the end of something else: then the next look finds this one.
    const left = async (): Promise<boolean> => {
      world.taps.get(await relayInUse(world))?.alter();
      await delay(lookMs * 4);
      return world.moves.length > before;
    };
    await until(left, "a path whose bytes were altered is left", { withinMs: 25_000 });
  });
  const count = altered() - alteredBefore;
  holds(count > 0, "no byte was altered: nothing was tried");
  return `${count} bytes altered on the wire, none delivered: ${said}`;
}

async function channelsAtRelays(world: FabricWorld): Promise<string> {
  await settled(world);
  const pathsOf = async (): Promise<number> => {
    const states = await Promise.all([...world.taps.keys()].map((relay) => world.status(relay)));
    return states.reduce((sum, { counters }) => sum + Number(counters?.pathsLive ?? 0n), 0);
  };
  const before = await pathsOf();
  const channels = 200;
  const sockets = await Promise.all(
    Array.from({ length: channels }, async () => {
      const socket = connect({ host: "127.0.0.1", port: echoPort(world), noDelay: true });
      socket.on("error", () => {});
      socket.write("?");
      await new Promise<void>((resolve, reject) => {
        socket.once("data", () => resolve());
        socket.once("close", () => reject(new Error("a channel closed")));
      });
      return socket;
    }),
  );
  const after = await pathsOf();
  for (const socket of sockets) socket.destroy();
  holds(after - before < channels / 10, `${channels} channels made ${after - before} paths more at all relays`);
  return `${channels} channels more, ${after - before} paths more at all relays`;
}

export const dataChecks: readonly Check<FabricWorld>[] = [
  { id: "T1.relay-killed", law: "LAW-T1", title: "the relay in use is killed under a transfer", run: relayKilled },
  { id: "T1.relay-frozen", law: "LAW-T1", title: "the relay in use is frozen under a transfer", run: relayFrozen },
  { id: "T2.no-control-calls", law: "LAW-T2", title: "a failover calls no control", run: noControlCalls },
  {
    id: "T2.without-control",
    law: "LAW-T2",
    title: "all of control stands still while a relay dies and channels open",
    run: withoutControl,
  },
  { id: "T3.blocked-producer", law: "LAW-T3", title: "a producer whose reader stands still", run: blockedProducer },
  { id: "T4.stalled-beside", law: "LAW-T4", title: "a transfer beside stalled channels", run: stalledBeside },
  { id: "T5.unread", law: "LAW-T5", title: "a text planted in a channel, searched on relays' wires", run: unread },
  { id: "T5.altered", law: "LAW-T5", title: "a byte altered on the wire under a transfer", run: alteredOnTheWire },
  { id: "R2.channels", law: "LAW-R2", title: "channels are nothing a relay keeps", run: channelsAtRelays },
];
