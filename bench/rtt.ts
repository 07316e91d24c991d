/**
 * `npm run bench -- rtt`: one bulk channel, and echoes beside it, through a fabric whose egress is far away: a user-space shim
 * in front of it delays every byte by half the round trip each way and lets a rate pass. The rate that plain TCP reaches
 * through the same shim is the measure.
 */

import { setTimeout as delay } from "node:timers/promises";
import { messageOf } from "../lib/errors.ts";
import { eventually } from "../tests/harness/eventually.ts";
import type { Bulk } from "./load/bulk.ts";
import { watchCpu } from "./load/cpu.ts";
import { EdgeWatch, movesOf } from "./load/edge-watch.ts";
import { benchOptions, numberOption, readCommandLine } from "./load/options.ts";
import { say } from "./load/progress.ts";
import type { Shim } from "./load/shim.ts";
import { exitOnSignals } from "./load/signals.ts";
import { egressName, Standing } from "./load/standing.ts";
import { quantileOfSorted, round } from "./load/statistics.ts";
import { Worker } from "./load/worker.ts";

const usage = `usage: npm run bench -- rtt [--ms 50] [--mbytes 100] [--json]
  --ms      added round trip in milliseconds, half each way (default 50)
  --mbytes  what the shim lets pass each way, in 10^6 bytes per second (default 100)
One JSON object goes to standard output, everything else to standard error.`;

/** How long the transfer takes at the shim's rate; at least 200 MB are moved. */
const transferSeconds = 8;
const bytesMin = 200e6;
const pingEveryMs = 10;

interface Options {
  readonly ms: number;
  readonly mbytes: number;
}

function optionsOf(args: readonly string[]): Options | undefined {
  const values = benchOptions(args, { ms: "50", mbytes: "100" });
  if (values === undefined) return undefined;
  return {
    ms: numberOption("--ms", values.ms, { min: 0 }),
    mbytes: numberOption("--mbytes", values.mbytes, { min: 1 }),
  };
}

interface Ends {
  readonly shim: Worker<Shim>;
  readonly near: Worker<Bulk>;
  readonly far: Worker<Bulk>;
  readonly sinkPort: number;
  readonly echoPort: number;
}

async function startEnds(): Promise<Ends> {
  const [shim, near, far] = await Promise.all([
    Worker.start<Shim>("./shim.ts"),
    Worker.start<Bulk>("./bulk.ts"),
    Worker.start<Bulk>("./bulk.ts"),
  ]);
  return { shim, near, far, sinkPort: await far.ask("sink"), echoPort: await far.ask("echo") };
}

/** MB/s from the first to the last byte at the far end. */
async function pour({ near, far }: Ends, port: number, bytes: number): Promise<{ bytes: number; mbPerS: number }> {
  const sent = await near.ask("pour", { port, bytes });
  const got = await far.ask("swallowed");
  if (got.bytes !== sent.bytes || got.crc32 !== sent.crc32) {
    throw new Error(
      `sent ${sent.bytes} bytes, ${got.bytes} arrived; the checksums ${got.crc32 === sent.crc32 ? "agree" : "differ"}`,
    );
  }
  return { bytes: got.bytes, mbPerS: got.bytes / 1e3 / (got.lastMs - got.firstMs) };
}

async function measure(options: Options, ends: Ends, standing: Standing): Promise<object> {
  const { shim, near, sinkPort, echoPort } = ends;
  const wire = { delayMs: options.ms / 2, bytesPerSecond: options.mbytes * 1e6 };
  const bytes = Math.max(bytesMin, transferSeconds * wire.bytesPerSecond);
  const rawPort = await shim.ask("lay", { ...wire, targetPort: sinkPort });
  const raw = await pour(ends, rawPort, Math.max(50e6, 4 * wire.bytesPerSecond));
  say(`plain TCP through the shim: ${raw.mbPerS.toFixed(1)} MB/s`);
  const watch = new EdgeWatch(standing.nodes);
  const bulkPort = await standing.addResource({ name: "bulk", targetPort: sinkPort });
  const pingPort = await standing.addResource({ name: "ping", targetPort: echoPort, service: "ssh" });
  await near.ask("ping", { port: pingPort, everyMs: pingEveryMs });
  await delay(2_000);
  const idle = Float64Array.from(await near.ask("pings")).sort();
  say(
    `echo without load: p50 ${quantileOfSorted(idle, 0.5).toFixed(1)} ms, p99 ${quantileOfSorted(idle, 0.99).toFixed(1)} ms`,
  );
  const firstEvent = watch.events.length;
  await near.ask("clearPings");
  const cpu = watchCpu({
    shim: shim.pid,
    near: near.pid,
    far: ends.far.pid,
    ...Object.fromEntries(standing.nodes.map(({ name, child }) => [name, child.pid])),
  });
  const moved = await pour(ends, bulkPort, bytes);
  say(`CPU seconds while it ran: ${JSON.stringify(cpu())}`);
  const pings = Float64Array.from(await near.ask("stopPinging")).sort();
  const moves = movesOf(watch.events.slice(firstEvent));
  watch.stop();
  say(`through the fabric: ${moved.mbPerS.toFixed(1)} MB/s; ${pings.length} echoes`);
  return {
    ms: options.ms,
    shim_mb_per_s: round(raw.mbPerS),
    bytes: moved.bytes,
    mb_per_s: round(moved.mbPerS),
    share: round(moved.mbPerS / raw.mbPerS, 3),
    interactive_p99_ms: round(quantileOfSorted(pings, 0.99)),
    uninjected_moves: moves.length,
  };
}

/** A fabric whose egress others are told to dial at the shim. */
async function startFarAway(options: Options, shim: Worker<Shim>): Promise<Standing> {
  const standing = await Standing.start({
    onProgress: say,
    placeOf: async ({ name, publicPort }) => {
      if (name !== egressName || publicPort === undefined) return {};
      const wire = { delayMs: options.ms / 2, bytesPerSecond: options.mbytes * 1e6, targetPort: publicPort };
      return { advertised: { host: "127.0.0.1", port: await shim.ask("lay", wire) } };
    },
  });
  await eventually(
    async () => {
      const { links } = await standing.node(egressName).client.getStatus({});
      return links.filter(({ state }) => state === "up").length >= 3;
    },
    { withinMs: 20_000, everyMs: 100, what: "links to the far egress" },
  );
  return standing;
}

const options = readCommandLine(usage, optionsOf);
if (options !== undefined) {
  exitOnSignals();
  const ends = await startEnds();
  let standing: Standing | undefined;
  try {
    standing = await startFarAway(options, ends.shim);
    const result = await measure(options, ends, standing);
    process.stdout.write(`${JSON.stringify(result)}\n`);
  } catch (thrown) {
    say(messageOf(thrown));
    process.exitCode = 1;
  } finally {
    await Promise.all([ends.shim, ends.near, ends.far].map((worker) => worker.stop()));
    await standing?.stop();
  }
}
