/**
 * When the next beat goes out: at the regular time, or sooner because there is something control waits for. Soon, not at
 * once: what changed at this node changed at all of them at the same moment.
 *
 * BP1. A nudge brings the beat forward to `receiptDelayMs` from then plus a part of `receiptSpreadMs` drawn by chance, and
 *      never closer to the one before than `receiptEveryMs`. It never puts a beat off.
 */

import { type Clock, sleep } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";
import type { Random } from "../lib/random.ts";

export class BeatPace {
  readonly #clock: Clock;
  readonly #random: Random;
  #dueMs: number | undefined;
  #wake: () => void = () => {};

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  /** There is something to say. */
  nudge(): void {
    this.#dueMs ??= this.#clock.monoMs() + limits.receiptDelayMs + this.#random.float() * limits.receiptSpreadMs;
    this.#wake();
  }

  /** Waits after a beat: `waitMs`, or less when nudged meanwhile or while the beat was on its way. */
  async rest(waitMs: number, signal: AbortSignal): Promise<void> {
    const startedMs = this.#clock.monoMs();
    while (!signal.aborted) {
      const dueMs = Math.max(this.#dueMs ?? Number.POSITIVE_INFINITY, startedMs + limits.receiptEveryMs);
      const leftMs = Math.min(startedMs + waitMs, dueMs) - this.#clock.monoMs();
      if (leftMs < 1) break;
      await this.#sleep(leftMs, signal);
    }
    this.#dueMs = undefined;
  }

  async #sleep(leftMs: number, signal: AbortSignal): Promise<void> {
    const woken = new AbortController();
    const wake = (): void => woken.abort();
    this.#wake = wake;
    signal.addEventListener("abort", wake, { once: true });
    await sleep(this.#clock, leftMs, woken.signal);
    signal.removeEventListener("abort", wake);
    this.#wake = () => {};
  }
}
