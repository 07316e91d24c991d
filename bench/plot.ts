/**
 * `npm run bench -- plot RESULTS [FOLDER]`: draws the plots of docs/benchmarks.md as SVG from a file that holds what other
 * benches printed, one JSON object a line. Lines of other benches are left alone.
 */

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { type Bar, barPlot, type GapRow, gapPlot } from "./load/svg.ts";

const failover = z.object({
  fault: z.string(),
  runs_valid: z.number(),
  channels: z.number(),
  gap_ms: z.object({ p50: z.number(), p95: z.number(), max: z.number() }),
  baseline_ms: z.number(),
});

const cost = z.object({ cpu_s_per_gb: z.number() });
const relay = z.object({ weft: cost, haproxy: cost, haproxy_passthrough: cost, grpc_js: cost });

/** What the gap of a fault must stay within, milliseconds. Drain: above the baseline. */
const bounds: Readonly<Record<string, number>> = {
  kill: 300,
  freeze: 700,
  blackhole: 700,
  oneway: 700,
  drain: 20,
  revoke: 300,
  entry: 300,
  "entry-freeze": 800,
};

function gapRow(result: z.output<typeof failover>): GapRow {
  const bound = bounds[result.fault];
  return {
    label: `${result.fault}, ${result.channels} channels, ${result.runs_valid} runs`,
    ...result.gap_ms,
    baseline: result.baseline_ms,
    ...(bound === undefined ? {} : { bound: result.fault === "drain" ? result.baseline_ms + bound : bound }),
  };
}

function relayBars(result: z.output<typeof relay>): Bar[] {
  return [
    { label: "Weft", value: result.weft.cpu_s_per_gb, own: true },
    { label: "HAProxy, SNI passthrough", value: result.haproxy_passthrough.cpu_s_per_gb },
    { label: "HAProxy, mTLS on both sides", value: result.haproxy.cpu_s_per_gb },
    { label: "@grpc/grpc-js relay", value: result.grpc_js.cpu_s_per_gb },
  ];
}

/** Every line that is one JSON object. */
function linesOf(file: string): unknown[] {
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line): unknown => JSON.parse(line));
}

function draw(file: string, folder: string): string[] {
  const results = linesOf(file);
  const gaps = results.flatMap((result) => failover.safeParse(result).data ?? []).map(gapRow);
  const costs = results.flatMap((result) => relay.safeParse(result).data ?? []).at(-1);
  mkdirSync(folder, { recursive: true });
  const written: string[] = [];
  const write = (name: string, svg: string): void => {
    writeFileSync(join(folder, name), svg);
    written.push(join(folder, name));
  };
  if (gaps.length > 0) write("gaps.svg", gapPlot("What a connection notices of a fault, milliseconds", gaps));
  if (costs !== undefined) write("relay-cost.svg", barPlot("CPU of a relay, seconds per GB", relayBars(costs)));
  return written;
}

const [file, folder = "docs/plots"] = process.argv.slice(2).filter((word) => word !== "--json");
if (file === undefined || file.startsWith("-")) {
  process.stderr.write("usage: npm run bench -- plot RESULTS [FOLDER=docs/plots]\n");
  process.exitCode = 2;
} else {
  process.stdout.write(`${JSON.stringify({ files: draw(file, folder) })}\n`);
}
