/**
 * `npm run bench -- steady`: bulk transfers beside interactive messages for minutes, while other processes take all the CPU
 * they get. Nothing is done to the fabric, so nothing may move: a detector that cries wolf shows here.
 */

import { setTimeout as delay } from "node:timers/promises";
import { messageOf } from "../lib/errors.ts";
import { EdgeWatch, movesOf } from "./load/edge-watch.ts";
import { Hogs } from "./load/hogs.ts";
import { Load } from "./load/load.ts";
import { benchOptions, numberOption, readCommandLine } from "./load/options.ts";
import { say } from "./load/progress.ts";
import type { Stream } from "./load/sender.ts";
import { exitOnSignals } from "./load/signals.ts";
import { Standing } from "./load/standing.ts";
import { round } from "./load/statistics.ts";

const usage = `usage: npm run bench -- steady [--minutes 10] [--hogs 8] [--json]
  --minutes  how long bytes flow (default 10)
  --hogs     processes that take all the CPU they get (default 8)
Bulk at 25 MB/s over 8 channels beside 1 000 interactive messages of 256 bytes a second over 10. One JSON object goes to
standard output, everything else to standard error.`;

const bulkBytesPerSecond = 25e6;
const bulk = { channels: 8, messageBytes: 16_384 };
const interactive = { channels: 10, messageBytes: 256, messagesPerSecond: 1_000 };
const bulkWindow = 10;
const interactiveWindow = 11;

interface Options {
  readonly minutes: number;
  readonly hogs: number;
}

function optionsOf(args: readonly string[]): Options | undefined {
  const values = benchOptions(args, { minutes: "10", hogs: "8" });
  if (values === undefined) return undefined;
  return {
    minutes: numberOption("--minutes", values.minutes, { min: 0.1 }),
    hogs: numberOption("--hogs", values.hogs, { min: 0, whole: true }),
  };
}

async function streamsOf(standing: Standing, targetPort: number): Promise<Stream[]> {
  const bulkPort = await standing.addResource({ name: "bulk", targetPort });
  const interactivePort = await standing.addResource({ name: "interactive", targetPort, service: "ssh" });
  return [
    { ...bulk, port: bulkPort, messagesPerSecond: bulkBytesPerSecond / bulk.messageBytes },
    { ...interactive, port: interactivePort, windowOffset: 1 },
  ];
}

async function measure(options: Options, standing: Standing, load: Load): Promise<object> {
  const watch = new EdgeWatch(standing.nodes);
  await load.open(await streamsOf(standing, load.targetPort));
  const hogs = new Hogs(options.hogs);
  watch.onEvent = ({ node, kind, facts }) => {
    if (kind.startsWith("trunk_")) say(`${node}: ${kind} ${JSON.stringify(facts)}`);
  };
  const firstEvent = watch.events.length;
  const startMs = performance.now();
  const endMs = startMs + options.minutes * 60_000;
  await load.sendInto(bulkWindow);
  while (performance.now() < endMs) {
    await delay(Math.min(15_000, endMs - performance.now()));
    const { windows } = await load.receiver.ask("report", [bulkWindow, interactiveWindow]);
    const [b, i] = windows;
    const parts = [b, i].map((part) => `${part?.p50Ms.toFixed(1)}/${part?.p99Ms.toFixed(1)}/${part?.maxMs.toFixed(0)}`);
    say(
      `${((performance.now() - startMs) / 1_000).toFixed(0)} s: delay p50/p99/max ms bulk ${parts[0]}, interactive ${parts[1]}`,
    );
  }
  const [bulkMessages, interactiveMessages] = await Promise.all([
    load.receiver.ask("messages", bulkWindow),
    load.receiver.ask("messages", interactiveWindow),
  ]);
  // Asking took its time beside the hogs: what arrived meanwhile is counted, so the time is too.
  const seconds = (performance.now() - startMs) / 1_000;
  await load.stop();
  await hogs.stop();
  const verdict = await load.verify();
  for (const line of verdict.failures.first) say(line);
  const moves = movesOf(watch.events.slice(firstEvent));
  watch.stop();
  return {
    minutes: options.minutes,
    hogs: options.hogs,
    mb_per_s: round((bulkMessages * bulk.messageBytes) / 1e6 / seconds),
    messages_per_s: round(interactiveMessages / seconds),
    uninjected_moves: moves.length,
    bytes_lost: verdict.bytesLost + verdict.bytesDuplicated,
  };
}

const options = readCommandLine(usage, optionsOf);
if (options !== undefined) {
  exitOnSignals();
  const standing = await Standing.start({ onProgress: say });
  const load = await Load.start();
  try {
    const result = await measure(options, standing, load);
    process.stdout.write(`${JSON.stringify(result)}\n`);
  } catch (thrown) {
    say(messageOf(thrown));
    process.exitCode = 1;
  } finally {
    await load.close();
    await standing.stop();
  }
}
