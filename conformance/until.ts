/** Waiting for a condition of real processes, never for time alone. */

import { setTimeout as delay } from "node:timers/promises";

/** Asks until `condition` is truthy and returns that; throws with `what` when it is not in time. */
export async function until<T>(
  condition: () => T | Promise<T>,
  what: string,
  { withinMs = 15_000, everyMs = 25 }: { readonly withinMs?: number; readonly everyMs?: number } = {},
): Promise<Exclude<T, false | undefined | null | 0 | "">> {
  const deadlineMs = performance.now() + withinMs;
  for (;;) {
    const value = await condition();
    if (value) return value as Exclude<T, false | undefined | null | 0 | "">;
    if (performance.now() > deadlineMs) throw new Error(`not in ${withinMs / 1000} s: ${what}`);
    await delay(everyMs);
  }
}
