/** Verdicts as one object for programs, and as a table for people. */

import { table } from "../../cli/output.ts";
import { MiB } from "../../lib/limits.ts";
import type { ClassVerdict } from "./verdict.ts";

export interface AttackReport {
  readonly ok: boolean;
  readonly passed: number;
  readonly failed: number;
  /** Whether it ended before everything was tried. */
  readonly interrupted: boolean;
  readonly classes: readonly ClassVerdict[];
}

/** Nothing tried is nothing withstood. */
export function attackReport(classes: readonly ClassVerdict[], interrupted = false): AttackReport {
  const failed = classes.filter(({ result }) => result === "fail").length;
  return { ok: failed === 0 && classes.length > 0, passed: classes.length - failed, failed, interrupted, classes };
}

const unknown = "?";
const fixed = (value: number | null, digits = 1): string => (value === null ? unknown : value.toFixed(digits));

function row(verdict: ClassVerdict): string[] {
  const { tally, newcomers } = verdict;
  return [
    verdict.target,
    verdict.as,
    verdict.class,
    verdict.result,
    fixed(verdict.seconds, 0),
    String(tally.connections),
    String(tally.units),
    String(tally.cut),
    fixed(verdict.rssGrowthBytes === null ? null : verdict.rssGrowthBytes / MiB),
    `${fixed(verdict.p99Ms)} (${fixed(verdict.quietP99Ms)})`,
    fixed(verdict.loopDelayMs),
    fixed(verdict.starvedShare === null ? null : verdict.starvedShare * 100, 0),
    `${newcomers.served}/${newcomers.tried}`,
    verdict.falseFailovers === null ? unknown : String(verdict.falseFailovers),
    verdict.reasons.join("; "),
  ];
}

const heads = [
  "TARGET",
  "AS",
  "CLASS",
  "RESULT",
  "S",
  "CONNS",
  "UNITS",
  "CUT",
  "MIB",
  "P99 MS (QUIET)",
  "LOOP MS",
  "WAIT %",
  "NEW",
  "MOVES",
  "WHY",
];

export function attackTable({ classes, passed, failed, interrupted }: AttackReport): string {
  const sum = `${passed} withstood, ${failed} not${interrupted ? "; interrupted before the rest" : ""}`;
  return `${table(heads, classes.map(row))}\n\n${sum}`;
}

/** One line as it happens. */
export function verdictLine(verdict: ClassVerdict): string {
  const { target, as, reasons, result } = verdict;
  return `${result === "pass" ? "ok  " : "FAIL"} ${verdict.class}: ${target} as ${as}${reasons.length === 0 ? "" : `: ${reasons.join("; ")}`}`;
}
