/** What the kernel says about a process of this machine. Where it says nothing, nothing is made up. */

import { readFileSync } from "node:fs";

export interface ProcessView {
  /** Tells a process from a later one of the same number. */
  readonly startedAt: string;
  readonly rssBytes: number;
  /** How long its main thread has waited for a processor so far; null where the kernel does not count that. */
  readonly waitedMs: number | null;
}

const pageBytes = 4_096;

/** The process, "gone", or undefined where it cannot be seen (another machine, no /proc, no pid). */
export function viewOf(pid: number | undefined): ProcessView | "gone" | undefined {
  if (pid === undefined || process.platform !== "linux") return undefined;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name in parentheses may hold anything; what follows it is numbers.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (fields[0] === "Z" || fields[0] === "X") return "gone";
    return {
      startedAt: fields[19] ?? "",
      rssBytes: Number(fields[21] ?? 0) * pageBytes,
      waitedMs: waitedMsOf(pid),
    };
  } catch {
    return "gone";
  }
}

function waitedMsOf(pid: number): number | null {
  try {
    const waitedNs = readFileSync(`/proc/${pid}/task/${pid}/schedstat`, "utf8").split(" ")[1];
    return waitedNs === undefined ? null : Number(waitedNs) / 1e6;
  } catch {
    return null;
  }
}
