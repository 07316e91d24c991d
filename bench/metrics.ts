/**
 * What metrics cost a relay: the same trunk through two relays of one fabric in turn, one that shows metrics and is scraped
 * once a second while it carries, one that shows none. Half way they are started again with their parts exchanged, so that
 * what tells two processes apart counts for neither. Pairs of runs are compared, medians of pairs count.
 *
 *   npm run bench -- metrics [PAIRS=12] --json
 *
 * Relay and edges share one core: what a relay spends on metrics is missing from what is carried. CPU is what /proc says.
 */

import { setTimeout as pause } from "node:timers/promises";
import { KiB } from "../lib/limits.ts";
import { eventually } from "../tests/harness/eventually.ts";
import { placedNumbers, readCommandLine } from "./load/options.ts";
import { quantile, round } from "./load/statistics.ts";
import { cpuSeconds, pin } from "./peers/child.ts";
import { type Stage, setStage } from "./peers/stage.ts";

const [pairs] =
  readCommandLine("usage: npm run bench -- metrics [PAIRS=12] [--json]", (args) => {
    if (args.includes("--help")) return undefined;
    return placedNumbers(args, [{ name: "PAIRS", start: 12, min: 2 }]) as readonly [number];
  }) ?? process.exit();
const warmMs = 500;
const measureMs = 4_000;
const scrapeEveryMs = 1_000;
const channels = 4;
const core = 0;
const relays = ["relay-1", "relay-2"] as const;

interface Run {
  readonly mbPerS: number;
  readonly cpuSPerGb: number;
  readonly scrapes: number;
}

interface Pair {
  readonly on: Run;
  readonly off: Run;
}

const say = (line: string): void => void process.stderr.write(`metrics: ${line}\n`);

/** Scrapes an address until stopped; then says how often it did. */
function scraping(address: string): () => Promise<number> {
  let count = 0;
  let last = Promise.resolve();
  const scrape = async (): Promise<void> => {
    const page = await (await fetch(`http://${address}/metrics`)).text();
    if (!page.includes("weft_spliced_bytes_total")) throw new Error("a scrape without the relay's bytes");
    count += 1;
  };
  const timer = setInterval(() => {
    last = last.then(scrape);
  }, scrapeEveryMs);
  return async () => {
    clearInterval(timer);
    await last;
    return count;
  };
}

async function carried(stage: Stage, relayPid: number): Promise<{ atMs: number; bytes: number; cpuS: number }> {
  const { atMs, bytes } = await stage.far.call<{ atMs: number; bytes: number[] }>("swallowed");
  return { atMs, bytes: bytes.reduce((sum, each) => sum + each, 0), cpuS: cpuSeconds(relayPid) };
}

async function measure(stage: Stage, relay: string): Promise<Run> {
  const { pid, facts } = stage.fabric.process(relay);
  await stage.far.call("forget");
  await stage.near.call("pour", { route: stage.path(relay), channels, bytes: 64 * KiB });
  const stop = facts["metrics"] === undefined ? async () => 0 : scraping(String(facts["metrics"]));
  await pause(warmMs);
  const before = await carried(stage, pid);
  await pause(measureMs);
  const after = await carried(stage, pid);
  const scrapes = await stop();
  await stage.near.call("stopPouring");
  const bytes = after.bytes - before.bytes;
  return {
    mbPerS: bytes / 1e3 / (after.atMs - before.atMs),
    cpuSPerGb: (after.cpuS - before.cpuS) / (bytes / 1e9),
    scrapes,
  };
}

/** Begins both relays anew; what each carries is ready by then. */
async function startRelays(stage: Stage): Promise<void> {
  for (const name of relays) {
    const { pid, exited } = stage.fabric.process(name);
    process.kill(pid, "SIGKILL");
    await exited;
    pin((await stage.fabric.restart(name)).pid, core);
  }
  for (const name of relays) {
    const carries = (): Promise<unknown> =>
      stage.near.call("pingPong", { route: stage.path(name), bytes: 64, count: 10 });
    await eventually(carries, { withinMs: 30_000, everyMs: 200, what: `bytes over ${name}` });
    // Compiled by then, as a relay is that has run for a while.
    await measure(stage, name);
  }
}

async function compare(stage: Stage, show: (relay: string) => void): Promise<Pair[]> {
  const done: Pair[] = [];
  for (const { pid } of [stage.near, stage.far]) pin(pid, core);
  for (const [shown, other] of [relays, relays.toReversed()]) {
    if (shown === undefined || other === undefined) continue;
    show(shown);
    await startRelays(stage);
    for (let turn = 0; turn < pairs / 2; turn += 1) {
      const isFirst = turn % 2 === 0;
      const first = await measure(stage, isFirst ? shown : other);
      const second = await measure(stage, isFirst ? other : shown);
      const pair = isFirst ? { on: first, off: second } : { on: second, off: first };
      done.push(pair);
      const told = (["on", "off"] as const).map((way) => `${way} ${pair[way].mbPerS.toFixed(0)} MB/s`);
      say(`pair ${done.length} (${shown} shows): ${told.join(", ")}, ${pair.on.scrapes} scrapes`);
    }
  }
  return done;
}

function report(done: readonly Pair[]): void {
  const median = (figure: (pair: Pair) => number, digits: number): number =>
    round(quantile(done.map(figure), 0.5), digits);
  const of = (way: keyof Pair): object => ({
    mb_per_s: median((pair) => pair[way].mbPerS, 1),
    relay_cpu_s_per_gb: median((pair) => pair[way].cpuSPerGb, 3),
  });
  const result = {
    pairs: done.length,
    scrapes: done.reduce((sum, { on }) => sum + on.scrapes, 0),
    off: of("off"),
    on: of("on"),
    throughput_cost_percent: median(({ on, off }) => 100 * (1 - on.mbPerS / off.mbPerS), 2),
    relay_cpu_cost_percent: median(({ on, off }) => 100 * (on.cpuSPerGb / off.cpuSPerGb - 1), 2),
  };
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

let shown = "";
let stage: Stage | undefined;
try {
  stage = await setStage(say, { placeOf: async ({ name }) => ({ metrics: name === shown }) });
  report(
    await compare(stage, (relay) => {
      shown = relay;
    }),
  );
} finally {
  await stage?.stop();
}
process.exit(0);
