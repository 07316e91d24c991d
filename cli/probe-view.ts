/** What echoes over a route come to: round trips, jitter, loss. Pure. */

import { table } from "./output.ts";

export const probedRoutes = ["direct", "single-relay", "forced-fallback"] as const;
export type ProbedRouteName = (typeof probedRoutes)[number];

export interface Statistics {
  readonly sent: number;
  readonly received: number;
  /** 0 to 1. */
  readonly loss_share: number;
  /** Absent: nothing came back. */
  readonly rtt_ms?: { readonly min: number; readonly median: number; readonly p99: number; readonly max: number };
  /** Between the round trips of two echoes that were sent one after the other. */
  readonly jitter_ms?: { readonly mean: number; readonly histogram: readonly Bucket[] };
}

export interface Bucket {
  /** Not included; absent: no end. */
  readonly below_ms?: number;
  readonly count: number;
}

/** Upper bounds of the buckets of the jitter histogram. */
const bucketsMs = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100] as const;

export interface Sample {
  readonly seq: number;
  /** Absent: lost. */
  readonly rttMs?: number | undefined;
}

function digits(value: number): number {
  return Number(value.toFixed(3));
}

/** The value that `share` of the sorted ones do not exceed (nearest rank). */
function quantile(sorted: readonly number[], share: number): number {
  return digits(sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0);
}

/** Of two echoes sent in a row, both of which came back: how much their round trips differ. */
function jitters(samples: readonly Sample[]): number[] {
  const bySeq = new Map(samples.map(({ seq, rttMs }) => [seq, rttMs]));
  return samples.flatMap(({ seq, rttMs }) => {
    const next = bySeq.get(seq + 1);
    return rttMs === undefined || next === undefined ? [] : [Math.abs(next - rttMs)];
  });
}

export function histogramOf(values: readonly number[]): Bucket[] {
  const bounds = [...bucketsMs, Number.POSITIVE_INFINITY];
  return bounds.map((bound, at) => {
    const from = bounds[at - 1] ?? 0;
    const count = values.filter((value) => value >= from && value < bound).length;
    return Number.isFinite(bound) ? { below_ms: bound, count } : { count };
  });
}

export function statisticsOf(sent: number, samples: readonly Sample[]): Statistics {
  const back = samples.flatMap(({ rttMs }) => (rttMs === undefined ? [] : [rttMs])).sort((a, b) => a - b);
  const counts = { sent, received: back.length, loss_share: sent === 0 ? 0 : digits(1 - back.length / sent) };
  if (back.length === 0) return counts;
  const rtt_ms = {
    ...{ min: quantile(back, 0), median: quantile(back, 0.5), p99: quantile(back, 0.99) },
    max: digits(back.at(-1) ?? 0),
  };
  const differences = jitters(samples);
  if (differences.length === 0) return { ...counts, rtt_ms };
  const mean = digits(differences.reduce((sum, each) => sum + each, 0) / differences.length);
  return { ...counts, rtt_ms, jitter_ms: { mean, histogram: histogramOf(differences) } };
}

/** What kind of path hops are. */
export function pathClassOf(hops: readonly string[]): "direct" | "single-relay" | "multi-relay" {
  return hops.length === 2 ? "direct" : hops.length === 3 ? "single-relay" : "multi-relay";
}

/** One route as it was probed. */
export type ProbedRouteView = { readonly route: ProbedRouteName } & (
  | ({
      readonly state: "probed";
      readonly path_class: ReturnType<typeof pathClassOf>;
      /** Names, entry first. */
      readonly path: readonly string[];
      /** Names of the relays it stays away from. */
      readonly avoided: readonly string[];
      readonly open_ms: number;
    } & Statistics)
  /** There is no such route, or it could not be opened. */
  | { readonly state: "absent" | "failed"; readonly detail: string; readonly reason: string }
);

function barOf(count: number, most: number): string {
  const width = 30;
  return count === 0 ? "" : "#".repeat(Math.max(1, Math.round((count / most) * width)));
}

function histogramText(route: string, histogram: readonly Bucket[]): string {
  const last = histogram.findLastIndex(({ count }) => count > 0);
  const most = Math.max(...histogram.map(({ count }) => count));
  const lines = histogram.slice(0, last + 1).map(({ below_ms, count }) => {
    const label = below_ms === undefined ? `>= ${bucketsMs.at(-1)} ms` : `< ${below_ms} ms`;
    return `  ${label.padStart(9)}  ${String(count).padStart(4)}  ${barOf(count, most)}`.trimEnd();
  });
  return [`jitter, ${route}:`, ...lines].join("\n");
}

const ms = (value: number): string => `${value.toFixed(3)} ms`;

export function probeText(from: string, to: string, routes: readonly ProbedRouteView[]): string {
  const rows = routes.map((view) => {
    if (view.state !== "probed") return [view.route, view.state, "-", "-", "-", "-", "-", "-"];
    const { rtt_ms: rtt, jitter_ms: jitter } = view;
    return [
      ...[view.route, view.path_class, view.path.join(" -> "), ms(view.open_ms)],
      ...(rtt === undefined ? ["-", "-"] : [ms(rtt.median), ms(rtt.p99)]),
      ...[jitter === undefined ? "-" : ms(jitter.mean), `${view.sent - view.received}/${view.sent}`],
    ];
  });
  const columns = ["ROUTE", "PATH CLASS", "PATH", "OPENED IN", "RTT MEDIAN", "RTT P99", "JITTER", "LOST"];
  return [
    `echo from ${from} to ${to}`,
    table(columns, rows),
    ...routes.flatMap((view) => (view.state === "probed" ? [] : [`${view.route}: ${view.reason}`])),
    ...routes.flatMap((view) =>
      view.state === "probed" && view.jitter_ms !== undefined
        ? [histogramText(view.route, view.jitter_ms.histogram)]
        : [],
    ),
  ].join("\n");
}
