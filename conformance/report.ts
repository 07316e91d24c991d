/** What a run found, as text, as one JSON object, or as Markdown to keep. */

import type { Outcome } from "./check.ts";

/** Versions of the stores that were tried; an empty text or list is one that is not there. */
export interface StoreVersions {
  readonly pglite: string;
  readonly postgres: readonly string[];
  readonly redis: string;
}

export interface Report {
  readonly ok: boolean;
  readonly stores: StoreVersions;
  readonly checks: readonly Outcome[];
  readonly passed: number;
  readonly failed: number;
}

export const formats = ["text", "json", "markdown"] as const;
export type Format = (typeof formats)[number];

/** A run with a failure, or in which nothing passed, is not ok. */
export function reportOf(stores: StoreVersions, checks: readonly Outcome[]): Report {
  const count = (result: Outcome["result"]): number => checks.filter((check) => check.result === result).length;
  const [passed, failed] = [count("pass"), count("fail")];
  return { ok: failed === 0 && passed > 0, stores, checks, passed, failed };
}

function storesText({ pglite, postgres, redis }: StoreVersions): string {
  const named = [
    ["PGlite", pglite],
    ["PostgreSQL", postgres.join(" and ")],
    ["Redis", redis],
  ] as const;
  return named.map(([name, version]) => `${name} ${version === "" ? "absent" : version}`).join(", ");
}

function summary({ ok, passed, failed, checks }: Report): string {
  const skipped = checks.length - passed - failed;
  const verdict = ok ? "conforms" : "does NOT conform";
  return `${verdict}: ${passed} passed, ${failed} failed, ${skipped} skipped`;
}

function textOf(report: Report): string {
  const width = (of: (check: Outcome) => string): number => Math.max(0, ...report.checks.map((c) => of(c).length));
  const [ids, laws] = [width(({ id }) => id), width(({ law }) => law)];
  const rows = report.checks.map(
    ({ id, law, result, figure }) => `${result}  ${law.padEnd(laws)}  ${id.padEnd(ids)}  ${figure}`,
  );
  return [`stores: ${storesText(report.stores)}`, ...rows, summary(report)].join("\n");
}

function markdownOf(report: Report): string {
  const cell = (text: string): string => text.replaceAll("|", "\\|");
  const rows = report.checks.map(
    ({ id, law, title, result, figure }) => `| ${law} | \`${id}\` | ${cell(title)} | ${result} | ${cell(figure)} |`,
  );
  return [
    "# Conformance",
    "",
    `Stores: ${storesText(report.stores)}. It ${summary(report)}.`,
    "",
    "| law | check | what was tried | result | figure |",
    "|---|---|---|---|---|",
    ...rows,
  ].join("\n");
}

function jsonOf({ ok, stores, checks, passed, failed }: Report): string {
  const lines = checks.map(({ id, law, result, figure }) => ({ id, law, result, figure }));
  return JSON.stringify({ ok, stores, checks: lines, passed, failed });
}

/** The report in one of the formats; JSON is one line. */
export function render(report: Report, format: Format): string {
  if (format === "json") return jsonOf(report);
  return format === "markdown" ? markdownOf(report) : textOf(report);
}
