/**
 * LAW-T1 on real processes at random phases: relays are killed, frozen, stuttering, flapping, and cut off by dropped packets,
 * both ways and one way. One connection lives through all of it, checked byte for byte.
 */

import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Failover, watchFailovers } from "../../cli/up/failovers.ts";
import { VerifiedStream } from "../../cli/up/stream.ts";
import { randomInt, seededRandom } from "../../lib/random.ts";
import { runs } from "../harness/counts.ts";
import { eventually } from "../harness/eventually.ts";
import { fabricWithinMs, startTestFabric, type TestFabric } from "../harness/fabric.ts";
import { Gate } from "../harness/gate.ts";
import { type CutDirection, Namespaces, namespacesUnavailable } from "../harness/namespaces.ts";
import { activeRelay, movesOf, standbyReady } from "../harness/trunks.ts";

const seed = Number(process.env["WEFT_SEED"] ?? 20_261_122);
const entry = "entry-1";
const bytesPerSecond = 4_000_000;

/** Drops what goes to and from one relay. */
interface Cutter {
  cut(relay: string, direction: CutDirection): void;
  heal(relay: string): void;
}

let world: TestFabric;
let namespaces: Namespaces | undefined;
let cutter: Cutter;
const gates = new Map<string, Gate>();
let controlGate: Promise<Gate> | undefined;
const moves: Failover[] = [];
const watching = new AbortController();

/** Control listens on loopback, which a namespace cannot reach: something forwards to it. */
async function controlFrom(host: string, controlPort: number): Promise<string> {
  controlGate ??= Gate.listen(host, controlPort);
  const gate = await controlGate;
  gates.set("control", gate);
  return `${host}:${gate.port}`;
}

beforeAll(async () => {
  const why = namespacesUnavailable();
  console.info(
    why === undefined ? "packets are dropped by nftables" : `a cutting proxy stands in for nftables: ${why}`,
  );
  namespaces = why === undefined ? new Namespaces() : undefined;
  const dropping = namespaces;
  cutter = dropping ?? {
    cut: (relay, direction) => gates.get(relay)?.close(direction),
    heal: (relay) => gates.get(relay)?.open(),
  };
  world = await startTestFabric({
    placeOf: async (node, plan) => {
      if (node.role !== "relay") return {};
      if (dropping !== undefined) {
        const { address, through } = dropping.add(node.name);
        return { host: address, through, control: await controlFrom(dropping.hostAddress, plan.control.publicPort) };
      }
      // Asked again for a relay that is started again: others know its address.
      const gate = gates.get(node.name) ?? (await Gate.listen("127.0.0.1", node.publicPort ?? 0));
      gates.set(node.name, gate);
      return { advertised: { host: gate.host, port: gate.port } };
    },
  });
  void watchFailovers(world.fabric, (failover) => moves.push(failover), watching.signal);
}, fabricWithinMs);

afterAll(async () => {
  watching.abort();
  await world?.stop();
  await namespaces?.remove();
  for (const gate of gates.values()) gate.stop();
}, fabricWithinMs);

type Undo = () => void | Promise<void>;
const signal = (relay: string, name: NodeJS.Signals): boolean => process.kill(world.fabric.process(relay).pid, name);

function cutOff(direction: CutDirection): (relay: string) => Undo {
  return (relay) => {
    cutter.cut(relay, direction);
    return () => cutter.heal(relay);
  };
}

/** Frozen and thawed again and again: `frozenMs` and `awakeMs` decide whether that is a fault. */
async function stops(relay: string, times: number, frozenMs: number, awakeMs: number): Promise<void> {
  for (let i = 0; i < times; i += 1) {
    signal(relay, "SIGSTOP");
    await delay(frozenMs);
    signal(relay, "SIGCONT");
    await delay(awakeMs);
  }
}

interface Fault {
  readonly name: string;
  /** Whether the connection must leave the relay. */
  readonly moves: boolean;
  readonly strike: (relay: string) => Promise<Undo> | Undo;
}

const nothing: Undo = () => {};
const faults: readonly Fault[] = [
  {
    name: "killed",
    moves: true,
    strike: (relay) => {
      signal(relay, "SIGKILL");
      return async () => void (await world.fabric.restart(relay));
    },
  },
  {
    name: "frozen",
    moves: true,
    strike: (relay) => {
      signal(relay, "SIGSTOP");
      return () => void signal(relay, "SIGCONT");
    },
  },
  { name: "cut off both ways", moves: true, strike: cutOff("both") },
  { name: "unheard", moves: true, strike: cutOff("out") },
  { name: "deaf", moves: true, strike: cutOff("in") },
  {
    name: "flapping",
    moves: true,
    strike: async (relay) => {
      await stops(relay, 3, 600, 300);
      return nothing;
    },
  },
  {
    // Added delay, and nothing that anybody could be accused of.
    name: "stuttering",
    moves: false,
    strike: async (relay) => {
      await stops(relay, 12, 60, 60);
      return nothing;
    },
  },
];

async function round(stream: VerifiedStream, fault: Fault, phaseMs: number): Promise<void> {
  await standbyReady(world, entry);
  await delay(phaseMs);
  const relay = await activeRelay(world, entry);
  const before = stream.counts();
  const first = moves.length;
  const movesBefore = await movesOf(world, entry);
  stream.mark();
  const undo = await fault.strike(relay);
  const left = async (): Promise<boolean> => (await activeRelay(world, entry)) !== relay;
  if (fault.moves) await eventually(left, { what: `a move off ${relay} (${fault.name})`, withinMs: 10_000 });
  const verified = (): boolean => stream.counts().verifiedBytes - before.verifiedBytes > bytesPerSecond / 2;
  await eventually(() => verified() || stream.counts().fault !== undefined, { what: "bytes to come back" });
  await undo();
  const { stallMs, fault: broken } = stream.counts();
  const seen = moves.slice(first).map(({ cause, gapMs }) => `${cause} ${gapMs.toFixed(0)} ms`);
  console.info(`${relay} ${fault.name}: stall ${stallMs.toFixed(0)} ms, moves [${seen.join(", ")}]`);
  expect(broken, `${fault.name}, seed ${seed}`).toBeUndefined();
  if (!fault.moves) expect(await movesOf(world, entry), `${fault.name}, seed ${seed}`).toBe(movesBefore);
}

describe("one connection through everything", () => {
  it("LAW-T1 loses no byte and never ends", async () => {
    const random = seededRandom(seed);
    const rounds = runs(faults.length, 20 * faults.length);
    const stream = new VerifiedStream(world.fabric.listenerPort(`echo-${entry}`), bytesPerSecond);
    await eventually(() => stream.counts().verifiedBytes > 0, { what: "the first bytes" });
    for (let i = 0; i < rounds; i += 1) {
      const fault = faults[i % faults.length] as Fault;
      await round(stream, fault, randomInt(random, 300));
    }
    expect(await stream.finish(10_000)).toMatchObject({ equal: true });
    expect(stream.counts().fault).toBeUndefined();
  }, 900_000);
});
