/**
 * Lets a bounded number through at a time, in order of arrival; a bounded number waits. A place is lent for a stated time
 * only: work that hangs (a frozen node in the middle) costs no CPU and must not keep others from going round it.
 */

import type { Clock } from "../lib/clock.ts";
import { WeftError } from "../lib/errors.ts";

export interface TurnstileLimits {
  readonly insideMaxCount: number;
  readonly waitingMaxCount: number;
  /** After this long a place is given on, whether its work has ended or not. */
  readonly lendMs: number;
}

export class Turnstile {
  readonly #clock: Clock;
  readonly #limits: TurnstileLimits;
  readonly #waiting = new Set<() => void>();
  #inside = 0;

  constructor(clock: Clock, limits: TurnstileLimits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  /** Runs `work` when its turn comes. Rejects `resource_exhausted` (PATH_BUDGET) when too many wait, `canceled` on abort. */
  async pass<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    await this.#enter(signal);
    let inside = true;
    const leave = (): void => {
      if (inside) this.#leave();
      inside = false;
    };
    const lent = this.#clock.after(this.#limits.lendMs, leave);
    try {
      return await work();
    } finally {
      lent.cancel();
      leave();
    }
  }

  #enter(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(canceled());
    if (this.#inside < this.#limits.insideMaxCount) {
      this.#inside += 1;
      return Promise.resolve();
    }
    if (this.#waiting.size >= this.#limits.waitingMaxCount) {
      return Promise.reject(
        new WeftError("resource_exhausted", "too many paths are being set up", { detail: "PATH_BUDGET" }),
      );
    }
    return new Promise((resolve, reject) => {
      const start = (): void => {
        signal.removeEventListener("abort", onAbort);
        this.#inside += 1;
        resolve();
      };
      const onAbort = (): void => {
        this.#waiting.delete(start);
        reject(canceled());
      };
      this.#waiting.add(start);
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }

  #leave(): void {
    this.#inside -= 1;
    const [next] = this.#waiting;
    if (next === undefined) return;
    this.#waiting.delete(next);
    next();
  }
}

function canceled(): WeftError {
  return new WeftError("canceled", "canceled", { detail: "PATH_CANCELED" });
}
