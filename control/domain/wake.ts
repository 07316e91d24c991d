/**
 * Waiting for a hint, a time limit or an end, whichever is first. Hints that arrive while nobody waits are kept as one: a
 * slow reader finds the newest state behind it, never a queue of old ones.
 */

import type { Clock } from "../../lib/clock.ts";

export class Wake {
  #rung = false;
  #resolve: (() => void) | undefined;

  /** Ends the current or the next wait. */
  readonly ring = (): void => {
    this.#rung = true;
    this.#resolve?.();
  };

  /** Resolves when rung, after `forMs`, or when `signal` aborts; never rejects. One waiter at a time. */
  async wait(clock: Clock, forMs: number, signal: AbortSignal): Promise<void> {
    if (!this.#rung && !signal.aborted) {
      signal.addEventListener("abort", this.ring, { once: true });
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#resolve = resolve;
      const timer = clock.after(Math.max(0, forMs), resolve);
      await promise;
      timer.cancel();
      this.#resolve = undefined;
      signal.removeEventListener("abort", this.ring);
    }
    this.#rung = false;
  }
}
