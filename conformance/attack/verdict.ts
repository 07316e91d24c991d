/**
 * Whether a target withstood a class of attacks. Pure: what was measured in, a verdict with its reasons out.
 *
 * VD1. Times are judged by windows: the figure of an attack is the median over its windows of the window's p99, and so are
 *      those it is compared with: the quiet times between attacks, and an echo of this process while the attack goes on. One
 *      stall of a busy machine says nothing, and what slows the echo as much is the machine's.
 * VD2. What could not be known is null and decides nothing.
 * VD3. A target that had to wait for a processor is slow for the machine's sake: then times, answers that are late and moves of
 *      trunks, which are judgements of time too, are told and decide nothing.
 */

import { MiB } from "../../lib/limits.ts";
import type { AttackClass } from "./attack-class.ts";
import { lateAnswer, type Phase, type Sample } from "./healthy.ts";
import type { ProcessView } from "./process-view.ts";
import type { Tally } from "./range.ts";

export interface Tolerances {
  readonly rssGrowthMaxBytes: number;
  /** Of a healthy client's p99: at most so many times what it is in quiet. */
  readonly slowdownMax: number;
  /** Times below this are good enough whatever they are in quiet. */
  readonly floorMs: number;
  readonly loopDelayMaxMs: number;
  readonly newcomersMinShare: number;
  /** Of its time a target may wait for a processor before times decide nothing (VD3). */
  readonly starvedMaxShare: number;
}

export const tolerances: Tolerances = {
  rssGrowthMaxBytes: 64 * MiB,
  slowdownMax: 2,
  floorMs: 20,
  loopDelayMaxMs: 100,
  newcomersMinShare: 0.9,
  starvedMaxShare: 0.1,
};

export interface ClassVerdict {
  readonly class: string;
  readonly target: string;
  /** Who attacked: stranger, operator, client, node. */
  readonly as: string;
  readonly result: "pass" | "fail";
  /** Why it failed. */
  readonly reasons: readonly string[];
  readonly seconds: number;
  readonly alive: boolean;
  readonly rssGrowthBytes: number | null;
  /** Of its time, what the target waited for a processor. */
  readonly starvedShare: number | null;
  /** p99 of a healthy client's HTTP/2 pings, which bound how long the target's event loop stood still. */
  readonly loopDelayMs: number | null;
  /** As judged (VD1), and over all. */
  readonly p99Ms: number | null;
  readonly p99AllMs: number | null;
  readonly quietP99Ms: number | null;
  /** Of an echo in the attacker's own process, meanwhile. */
  readonly referenceP99Ms: number | null;
  readonly asked: number;
  /** Of those: refused, broken off, answered wrongly. */
  readonly failed: number;
  /** Not answered within five seconds. */
  readonly late: number;
  readonly failures: readonly string[];
  readonly newcomers: { readonly tried: number; readonly served: number };
  readonly falseFailovers: number | null;
  readonly tally: Tally;
}

export interface Measured {
  readonly class: AttackClass;
  readonly target: string;
  readonly as: string;
  readonly seconds: number;
  readonly tally: Tally;
  readonly quiet: readonly Phase[];
  readonly attack: Phase;
  readonly before: ProcessView | "gone" | undefined;
  readonly after: ProcessView | "gone" | undefined;
  /** From `before` to `after`. */
  readonly watchedMs: number;
  readonly falseFailovers: number | null;
}

export const windowMs = 500;
/** Ways of failing that are told apart. */
const failuresMaxCount = 4;

/** The p-quantile of `values`, the larger of two neighbours; undefined of none. */
export function quantile(values: readonly number[], share: number): number | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

type Kind = Sample["kind"];

function tookOf(phase: Phase, kinds: readonly Kind[]): { readonly atMs: number; readonly tookMs: number }[] {
  return phase.samples.flatMap(({ kind, atMs, tookMs }) =>
    kinds.includes(kind) && tookMs !== undefined ? [{ atMs, tookMs }] : [],
  );
}

/** The p99 of every window of a phase that has samples. */
function windowsOf(phase: Phase, kinds: readonly Kind[]): number[] {
  const windows = new Map<number, number[]>();
  for (const { atMs, tookMs } of tookOf(phase, kinds)) {
    const at = Math.floor((atMs - phase.fromMs) / windowMs);
    windows.set(at, [...(windows.get(at) ?? []), tookMs]);
  }
  return [...windows.values()].flatMap((window) => quantile(window, 0.99) ?? []);
}

/** VD1. Undefined without samples. */
export function judgedP99Ms(phases: readonly Phase[], kinds: readonly Kind[]): number | undefined {
  return quantile(
    phases.flatMap((phase) => windowsOf(phase, kinds)),
    0.5,
  );
}

function waitedMsOf(before: Measured["before"], after: Measured["after"]): number | null {
  if (typeof before !== "object" || typeof after !== "object") return null;
  return before.waitedMs === null || after.waitedMs === null ? null : after.waitedMs - before.waitedMs;
}

function aliveOf({ before, after, attack }: Measured): boolean {
  if (before === undefined || after === undefined)
    return attack.samples.some(({ kind, tookMs }) => kind !== "reference" && tookMs !== undefined);
  return before !== "gone" && after !== "gone" && before.startedAt === after.startedAt;
}

const ms = (value: number): string => `${value.toFixed(1)} ms`;

type Facts = Omit<ClassVerdict, "result" | "reasons">;

/** What says that somebody would have noticed by the clock (VD1). */
function timeReasons(facts: Facts, allowed: Tolerances): string[] {
  const { p99Ms, quietP99Ms, referenceP99Ms, loopDelayMs, falseFailovers } = facts;
  const reasons: string[] = [];
  const maxMs = Math.max(allowed.floorMs, Math.max(quietP99Ms ?? 0, referenceP99Ms ?? 0) * allowed.slowdownMax);
  if (p99Ms !== null && p99Ms > maxMs)
    reasons.push(`a healthy client waited ${ms(p99Ms)}, in quiet ${ms(quietP99Ms ?? 0)}`);
  if (loopDelayMs !== null && loopDelayMs > Math.max(allowed.loopDelayMaxMs, maxMs))
    reasons.push(`the event loop stood still for ${ms(loopDelayMs)}`);
  if (falseFailovers !== null && falseFailovers > 0) reasons.push(`${falseFailovers} trunks moved`);
  if (facts.late > 0) reasons.push(`${facts.late} of ${facts.asked} healthy calls were not answered in time`);
  const { tried, served } = facts.newcomers;
  if (served < tried * allowed.newcomersMinShare) reasons.push(`${tried - served} of ${tried} newcomers got no answer`);
  return reasons;
}

/** Every reason to say no. */
function reasonsOf(facts: Facts, allowed: Tolerances): string[] {
  const { tally, rssGrowthBytes, starvedShare } = facts;
  const reasons = [...tally.violations];
  if (!facts.alive) reasons.push("the process ended");
  if (rssGrowthBytes !== null && rssGrowthBytes >= allowed.rssGrowthMaxBytes)
    reasons.push(`memory grew by ${(rssGrowthBytes / MiB).toFixed(0)} MiB`);
  if (starvedShare === null || starvedShare <= allowed.starvedMaxShare) reasons.push(...timeReasons(facts, allowed));
  if (facts.failed > 0)
    reasons.push(`${facts.failed} of ${facts.asked} healthy calls failed: ${facts.failures.join(", ")}`);
  if (tally.standing > 0) reasons.push(`${tally.standing} attackers stood`);
  if (tally.connections + tally.refused === 0) reasons.push("nothing was sent");
  return reasons;
}

/** The verdict on one attack. */
export function judge(measured: Measured, allowed: Tolerances = tolerances): ClassVerdict {
  const { attack, quiet, before, after, tally } = measured;
  // A ping that is not sent because others wait is no call that failed: how long they wait is judged.
  const calls = attack.samples.filter(({ kind }) => kind === "call");
  const failed = calls.filter(({ tookMs, why }) => tookMs === undefined && why !== lateAnswer);
  const newcomers = attack.samples.filter(({ kind }) => kind === "newcomer");
  const grown = typeof before === "object" && typeof after === "object" ? after.rssBytes - before.rssBytes : null;
  const waitedMs = waitedMsOf(before, after);
  const all = tookOf(attack, ["call"]).map(({ tookMs }) => tookMs);
  const facts = {
    class: measured.class.id,
    target: measured.target,
    as: measured.as,
    seconds: measured.seconds,
    alive: aliveOf(measured),
    rssGrowthBytes: grown,
    starvedShare: waitedMs === null ? null : waitedMs / Math.max(1, measured.watchedMs),
    loopDelayMs: judgedP99Ms([attack], ["ping"]) ?? null,
    p99Ms: judgedP99Ms([attack], ["call"]) ?? null,
    p99AllMs: quantile(all, 0.99) ?? null,
    quietP99Ms: judgedP99Ms(quiet, ["call"]) ?? null,
    referenceP99Ms: judgedP99Ms([attack], ["reference"]) ?? null,
    asked: calls.length,
    failed: failed.length,
    late: calls.filter(({ why }) => why === lateAnswer).length,
    failures: [...new Set(failed.flatMap(({ why }) => (why === undefined ? [] : [why])))].slice(0, failuresMaxCount),
    newcomers: { tried: newcomers.length, served: newcomers.filter(({ tookMs }) => tookMs !== undefined).length },
    falseFailovers: measured.falseFailovers,
    tally,
  };
  const reasons = reasonsOf(facts, allowed);
  return { ...facts, result: reasons.length === 0 ? "pass" : "fail", reasons };
}
