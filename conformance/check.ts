/**
 * A check: one promise, tried on the real thing. It passes with a figure, or fails saying what it saw. What cannot be tried
 * here, for the lack of an outside program, says so and is skipped; nothing is ever passed for want of trying.
 */

import { messageOf } from "../lib/errors.ts";

export type Result = "pass" | "fail" | "skip";

/** What is tried, against a world `W` that stands. */
export interface Check<W> {
  /** Stable, for comparing reports: `F1.contenders.postgres-18`. */
  readonly id: string;
  /** The law, row or threat it is about: `LAW-F1`, `M-W2`, `THR-E1`. */
  readonly law: string;
  /** One line for people. */
  readonly title: string;
  /** Returns what was measured; throws when the promise does not hold. */
  readonly run: (world: W) => Promise<string> | string;
  /** Longest it may take; `checkMaxMs` when absent. */
  readonly withinMs?: number;
}

export interface Outcome {
  readonly id: string;
  readonly law: string;
  readonly title: string;
  readonly result: Result;
  /** What was measured, or why it failed or was skipped. */
  readonly figure: string;
}

/** A check that takes longer than this has failed. */
export const checkMaxMs = 45_000;
const figureMaxChars = 300;

/** Thrown by a check that cannot be tried here. */
export class Skipped extends Error {}

/** Throws, with what was seen, when a promise does not hold. */
export function holds(promise: boolean, seen: string): asserts promise {
  if (!promise) throw new Error(seen);
}

/** That `work` is refused; returns with what. Throws when it is not, or with something else than `refusal` matches. */
export async function refused(work: Promise<unknown>, refusal: RegExp): Promise<string> {
  const answer = await work.then(
    () => undefined,
    (thrown: unknown) => describe(thrown),
  );
  holds(answer !== undefined, "it was not refused");
  holds(refusal.test(answer), `refused otherwise: ${answer}`);
  return answer;
}

function describe(thrown: unknown): string {
  const { reason, detail, code } = thrown as { reason?: unknown; detail?: unknown; code?: unknown };
  return [reason, detail, code, messageOf(thrown)].filter((word) => word !== undefined).join(" ");
}

/** Runs one check against its deadline. Never throws. */
export async function runCheck<W>(check: Check<W>, world: W, signal: AbortSignal): Promise<Outcome> {
  const { id, law, title, withinMs = checkMaxMs } = check;
  const outcome = (result: Result, figure: string): Outcome => {
    const line = figure.replace(/\s+/g, " ").trim();
    return { id, law, title, result, figure: line.slice(0, figureMaxChars) };
  };
  let timer: NodeJS.Timeout | undefined;
  let onAbort: (() => void) | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${withinMs / 1000} s`)), withinMs);
    onAbort = () => reject(new Error("the run was ended before this was done"));
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
  try {
    return outcome("pass", await Promise.race([Promise.resolve().then(() => check.run(world)), late]));
  } catch (thrown) {
    if (thrown instanceof Skipped) return outcome("skip", thrown.message);
    return outcome("fail", messageOf(thrown));
  } finally {
    clearTimeout(timer);
    if (onAbort !== undefined) signal.removeEventListener("abort", onAbort);
  }
}
