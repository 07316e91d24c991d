/**
 * What a trunk does over the relays of a real fabric: small messages, opening and closing, a round trip with and without
 * relays, what an idle channel keeps, what one reader that stopped costs the others, and how even the shares are.
 *
 *   npm run bench -- trunk --json
 *
 * Both edges are processes of the bench in the places of an entry and an egress; everything is counted at the far edge.
 * TCP to TCP is opened through a listener of a shipped entry to the echo target behind a shipped egress.
 */

import { connect, createServer, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { KiB } from "../lib/limits.ts";
import { eventually } from "../tests/harness/eventually.ts";
import { benchOptions, readCommandLine } from "./load/options.ts";
import { quantile, round } from "./load/statistics.ts";
import { cpuSeconds, residentBytes } from "./peers/child.ts";
import type { Memory } from "./peers/memory.ts";
import type { Route } from "./peers/route.ts";
import { type Stage, setStage } from "./peers/stage.ts";

const warmMs = 1_000;
const measureMs = 3_000;
const echoRounds = 6;
const echoesPerRound = 500;
const idleMessageChannels = 5_000;
const idleTcpChannels = 2_500;
const stallRounds = 3;

interface Swallowed {
  readonly atMs: number;
  readonly bytes: readonly number[];
  readonly messages: number;
}

const say = (line: string): void => void process.stderr.write(`trunk: ${line}\n`);
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

const swallowed = (stage: Stage): Promise<Swallowed> => stage.far.call<Swallowed>("swallowed");

/** Bytes each channel delivered in `forMs`, and the seconds that took by the far edge's clock. */
async function delivered(stage: Stage, forMs: number): Promise<{ bytes: number[]; messages: number; seconds: number }> {
  const before = await swallowed(stage);
  await pause(forMs);
  const after = await swallowed(stage);
  return {
    bytes: after.bytes.map((bytes, at) => bytes - (before.bytes[at] ?? 0)),
    messages: after.messages - before.messages,
    seconds: (after.atMs - before.atMs) / 1e3,
  };
}

async function smallMessages(stage: Stage, route: Route): Promise<number> {
  await stage.far.call("forget");
  await stage.near.call("sendMessages", { route, channels: 16, bytes: 64 });
  await pause(warmMs);
  const rates: number[] = [];
  for (let turn = 0; turn < 3; turn += 1) {
    const { messages, seconds } = await delivered(stage, measureMs / 2);
    rates.push(messages / seconds);
  }
  await stage.near.call("stopPouring");
  return quantile(rates, 0.5);
}

async function fairness(stage: Stage, route: Route): Promise<number> {
  await stage.far.call("forget");
  await stage.near.call("pour", { route, channels: 16, bytes: 16 * KiB });
  await pause(warmMs);
  const { bytes, seconds } = await delivered(stage, measureMs);
  await stage.near.call("stopPouring");
  say(
    `16 channels, ${Math.round(sum(bytes) / 1e6 / seconds)} MB/s, ${Math.min(...bytes)} to ${Math.max(...bytes)} bytes each`,
  );
  return sum(bytes) ** 2 / (bytes.length * sum(bytes.map((value) => value ** 2)));
}

interface Stalled {
  readonly others_ratio: number;
  readonly relay_rss_growth_mb: number;
}

/** 100 channels pour; the first is read and not read in turns. */
async function stalledReader(stage: Stage, route: Route, relayPid: number): Promise<Stalled> {
  await stage.far.call("forget");
  await stage.near.call("pour", { route, channels: 100, bytes: 16 * KiB });
  await pause(warmMs);
  const others = async (): Promise<number> => {
    const { bytes, seconds } = await delivered(stage, measureMs / 2);
    return sum(bytes.slice(1)) / seconds;
  };
  const read = [await others()];
  const stalled: number[] = [];
  let grownBytes = 0;
  for (let turn = 0; turn < stallRounds; turn += 1) {
    const residentBefore = residentBytes(relayPid);
    await stage.far.call("stall", { stalled: true });
    stalled.push(await others());
    grownBytes = Math.max(grownBytes, residentBytes(relayPid) - residentBefore);
    await stage.far.call("stall", { stalled: false });
    read.push(await others());
  }
  await stage.near.call("stopPouring");
  const all = [read, stalled].map((rates) => rates.map((rate) => Math.round(rate / 1e6)).join(" "));
  say(`99 others, MB/s: ${all[0]} while the first is read, ${all[1]} in between, while it is not`);
  // Each turn against those before and after it: what else the machine does drifts.
  const ratios = stalled.map((rate, turn) => (2 * rate) / ((read[turn] ?? 0) + (read[turn + 1] ?? 0)));
  return {
    others_ratio: round(quantile(ratios, 0.5), 3),
    relay_rss_growth_mb: round(grownBytes / 1e6, 1),
  };
}

interface Times {
  readonly p50: number;
  readonly p99: number;
}

/** 1 KiB there and back on an idle trunk, routes in turns. */
async function echoes(stage: Stage, routes: Readonly<Record<string, Route>>): Promise<Record<string, Times>> {
  const timesMs: Record<string, number[]> = {};
  for (let turn = 0; turn <= echoRounds; turn += 1) {
    for (const [name, route] of Object.entries(routes)) {
      const some = await stage.near.call<number[]>("pingPong", { route, bytes: KiB, count: echoesPerRound });
      // The first turn warms up.
      if (turn > 0) timesMs[name] = [...(timesMs[name] ?? []), ...some];
    }
  }
  const us = (values: readonly number[], share: number): number => Math.round(quantile(values, share) * 1e3);
  return Object.fromEntries(
    Object.entries(timesMs).map(([name, values]) => [name, { p50: us(values, 0.5), p99: us(values, 0.99) }]),
  );
}

interface Standing {
  readonly near: Memory;
  readonly far: Memory;
  readonly relayBytes: number;
}

async function standing(stage: Stage, relayPid: number): Promise<Standing> {
  // What garbage and buffers leave behind settles first.
  await pause(500);
  const near = await stage.near.call<Memory>("memory");
  const far = await stage.far.call<Memory>("memory");
  return { near, far, relayBytes: residentBytes(relayPid) };
}

/** What one of `count` channels keeps at the edge that keeps more of it, and at the relay. */
function perChannel(before: Standing, after: Standing, count: number): { edge: number; relay: number } {
  const grown = (side: "near" | "far"): number => {
    const held = after[side].heldBytes - before[side].heldBytes;
    return Math.max(held, after[side].residentBytes - before[side].residentBytes);
  };
  const edge = Math.max(grown("near"), grown("far")) / count;
  const side = (name: "near" | "far"): string => {
    const held = Math.round((after[name].heldBytes - before[name].heldBytes) / count);
    const resident = Math.round((after[name].residentBytes - before[name].residentBytes) / count);
    return `${name} edge ${held} held, ${resident} resident`;
  };
  say(`bytes per idle channel of ${count}: ${side("near")}; ${side("far")}`);
  return { edge: Math.round(edge), relay: Math.round(Math.max(0, after.relayBytes - before.relayBytes) / count) };
}

async function idleMessages(stage: Stage, route: Route, relayPid: number): Promise<{ edge: number; relay: number }> {
  const hold = async (count: number): Promise<void> => {
    const heldBefore = await stage.far.call<number>("held");
    await stage.near.call("hold", { route, count });
    const arrived = async (): Promise<boolean> => (await stage.far.call<number>("held")) === heldBefore + count;
    await eventually(arrived, { withinMs: 30_000, what: "one message over every channel" });
  };
  // Once before: what code, tables and buffers need the first time is not the channels'.
  await hold(idleMessageChannels);
  await stage.near.call("release");
  const before = await standing(stage, relayPid);
  await hold(idleMessageChannels);
  const after = await standing(stage, relayPid);
  await stage.near.call("release");
  return perChannel(before, after, idleMessageChannels);
}

/** Connections of this process to a port, each of which had one echo. */
async function dialled(port: number, count: number): Promise<Socket[]> {
  const one = (): Promise<Socket> =>
    new Promise((resolve, reject) => {
      const socket = connect({ host: "127.0.0.1", port, noDelay: true }, () => socket.write("?"));
      socket.once("data", () => resolve(socket));
      socket.once("error", reject);
    });
  const sockets: Socket[] = [];
  while (sockets.length < count) sockets.push(...(await Promise.all(Array.from({ length: 50 }, one))));
  for (const socket of sockets) socket.on("error", () => {});
  return sockets;
}

async function idleTcp(stage: Stage, route: Route, relayPid: number): Promise<{ edge: number; relay: number }> {
  const port = await stage.near.call<number>("listenTcp", { route });
  for (const socket of await dialled(port, 500)) socket.destroy();
  const before = await standing(stage, relayPid);
  const sockets = await dialled(port, idleTcpChannels);
  const after = await standing(stage, relayPid);
  for (const socket of sockets) socket.destroy();
  return perChannel(before, after, idleTcpChannels);
}

/** Runs `work` and says how much CPU one of what it counts per second has cost, and where. */
async function costed(stage: Stage, what: string, forMs: number, work: () => Promise<number>): Promise<number> {
  const processes = [...stage.fabric.processes.filter(({ name }) => !replaced.includes(name)), stage.near, stage.far];
  const name = (at: number): string => stageNames(stage)[at] ?? "";
  const before = processes.map(({ pid }) => cpuSeconds(pid));
  const rate = await work();
  // The warm-up before the measured time is a quarter of it.
  const count = (rate * forMs * 1.25) / 1e3;
  const costs = processes.map(({ pid }, at) => ((cpuSeconds(pid) - (before[at] ?? 0)) / count) * 1e6);
  const shown = costs.flatMap((cost, at) => (cost >= 1 ? [`${name(at)} ${Math.round(cost)}`] : []));
  say(`${what}: ${Math.round(rate)} a second; CPU microseconds each: ${Math.round(sum(costs))} (${shown.join(", ")})`);
  return Math.round(rate);
}

const replaced = ["entry-1", "egress-1"];
const stageNames = ({ fabric }: Stage): string[] => [
  ...fabric.processes.flatMap(({ name }) => (replaced.includes(name) ? [] : [name])),
  "near edge",
  "far edge",
];

async function opens(stage: Stage, route: Route): Promise<{ message: number; tcp: number }> {
  const port = stage.fabric.listenerPort("echo-entry-2");
  const forMs = measureMs;
  const message = await costed(stage, "open, echo, close of message channels", forMs, () =>
    stage.near.call("opens", { route, parallel: 256, forMs }),
  );
  const tcp = await costed(stage, "open, echo, close of TCP connections", forMs, () =>
    stage.near.call("tcpOpens", { port, parallel: 64, forMs }),
  );
  return { message, tcp };
}

async function measureAll(stage: Stage): Promise<object> {
  const route = stage.path("relay-1");
  const relayPid = stage.fabric.process("relay-1").pid;
  const routes = { direct: stage.direct, relay1: route, relay2: stage.path("relay-1", "relay-2") };
  const messages = Math.round(await smallMessages(stage, route));
  say(`64-byte messages: ${messages} a second`);
  const stalled = await stalledReader(stage, route, relayPid);
  const jain = round(await fairness(stage, route), 4);
  const echo = await echoes(stage, routes);
  say(`1 KiB echo, microseconds: ${JSON.stringify(echo)}`);
  const opened = await opens(stage, route);
  const message = await idleMessages(stage, route, relayPid);
  const tcp = await idleTcp(stage, route, relayPid);
  return {
    relays: 1,
    messages_per_s_64b: messages,
    opens_per_s: opened,
    echo_us: echo,
    idle_bytes_per_channel: { edge_message: message.edge, edge_tcp: tcp.edge, relay: message.relay },
    stalled_reader: stalled,
    fairness_jain_16: jain,
  };
}

// It takes no options, and measures for minutes: a mistaken one is said before.
readCommandLine("usage: npm run bench -- trunk [--json]", (args) => benchOptions(args, {})) ?? process.exit();

const target = createServer({ noDelay: true }, (socket) => {
  socket.on("error", () => {});
  socket.pipe(socket);
});
await new Promise<void>((resolve) => target.listen({ port: 0, host: "127.0.0.1", backlog: 4_096 }, resolve));
const address = target.address();
let stage: Stage | undefined;
try {
  stage = await setStage(say, { targetPort: typeof address === "object" && address !== null ? address.port : 0 });
  process.stdout.write(`${JSON.stringify(await measureAll(stage))}\n`);
} finally {
  await stage?.stop();
}
process.exit(0);
