/**
 * Waiting in tests: on a level, never on a guess of how long something takes.
 */

import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";

export interface EventuallyOptions {
  /** How long the condition may take, in milliseconds. Generous on purpose: it costs nothing when the test passes. */
  readonly withinMs?: number;
  readonly everyMs?: number;
  /** What is waited for, for the message of a failure. */
  readonly what?: string;
}

/**
 * Calls `probe` until it returns something other than `false`, `null` or `undefined`, and returns that.
 * A throwing probe counts as "not yet"; what it threw last becomes the cause of the failure.
 */
export async function eventually<T>(
  probe: () => T | Promise<T>,
  options: EventuallyOptions = {},
): Promise<Exclude<T, false | null | undefined>> {
  const { withinMs = 10_000, everyMs = 10, what = "the condition" } = options;
  const startedMs = performance.now();
  let last: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value !== false && value !== null && value !== undefined) {
        return value as Exclude<T, false | null | undefined>;
      }
      last = value;
    } catch (error) {
      last = error;
    }
    if (performance.now() - startedMs >= withinMs) {
      throw new Error(`${what} did not come true within ${withinMs} ms; last seen: ${String(last)}`, { cause: last });
    }
    await pause(everyMs);
  }
}

/** Calls `check` again and again for `forMs` milliseconds; the first time it throws or returns `false`, so does this. */
export async function throughout(forMs: number, check: () => unknown, what = "the condition"): Promise<void> {
  const untilMs = performance.now() + forMs;
  while (performance.now() < untilMs) {
    if ((await check()) === false) throw new Error(`${what} stopped being true`);
    await pause(10);
  }
}
