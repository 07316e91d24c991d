/** What `weft check loop` says to people: a line per tick, one per failover as it happens, and what it came to. Pure. */

import { safeText } from "../output.ts";
import type { Failover, LoopReport, LoopTick } from "./loop.ts";

/** The last column takes what it needs. */
const widths = [6, 14, 6, 10, 5, 14] as const;

function line(cells: readonly string[]): string {
  const padded = cells.map((cell, at) => safeText(cell).padEnd(widths[at] ?? 0));
  return padded.join("").trimEnd();
}

/** Time of day, UTC as everywhere. */
function timeText(atMs: number): string {
  return new Date(atMs).toISOString().slice(11, 23);
}

/** The path as far as a client knows it. */
function pathText(path: readonly string[]): string {
  return path.length === 0 ? "none" : path.join(" > ");
}

export function loopHead(): string {
  return line(["TICK", "TIME (UTC)", "SENT", "RECEIVED", "UP", "RESULT", "PATH"]);
}

export function tickText({ tick, atMs, sent, received, up, result, rttMs, problem, path }: LoopTick): string {
  const told = {
    ok: `ok${rttMs === undefined ? "" : ` ${rttMs.toFixed(1)} ms`}`,
    waiting: `waiting: ${sent - received}`,
    lost: "LOST",
    down: "not sent",
  }[result];
  const row = [String(tick), timeText(atMs), String(sent), String(received), up ? "yes" : "no", told, pathText(path)];
  return problem === undefined ? line(row) : `${line(row)}; ${safeText(problem)}`;
}

export function failoverText({ atMs, cause, gapMs, moves, fromName, toName, fromPath, toPath }: Failover): string {
  const over = toName === "" || fromName === toName ? "another path" : toName;
  const more = moves === 1 ? "" : `, ${moves} moves`;
  const text = `FAILOVER from ${fromName || "no entry"} to ${over} (${cause}${more}), gap ${gapMs.toFixed(1)} ms: ${pathText(fromPath)} => ${pathText(toPath)}`;
  return line(["", timeText(atMs), text]);
}

export function loopSummary(report: LoopReport): string {
  const { failovers, sent, received, bytesLost, slowestRttMs } = report;
  const longestMs = Math.max(...failovers.map(({ gapMs }) => gapMs));
  const head =
    failovers.length === 0
      ? "NO FAILOVER OBSERVED"
      : `FAILOVER OBSERVED: ${failovers.length}, the longest gap ${longestMs.toFixed(1)} ms`;
  const slowest = slowestRttMs === undefined ? "" : `, the slowest back after ${slowestRttMs.toFixed(1)} ms`;
  return `${head}; ${sent} sent, ${received} received${slowest}, bytes lost: ${bytesLost}`;
}
