/**
 * The wish for another leaf before the one held is due: its issuer is tainted, an operator asks. It stays until a renewal
 * that began after it has brought one; failures are retried as any renewal's (node/renewal.ts).
 */

import type { Clock } from "../lib/clock.ts";
import type { Random } from "../lib/random.ts";

/** Why a leaf is to be replaced before it is due. */
export type RenewReason = "tainted" | "asked";

/** What other parts of a node see of its renewal. */
export interface RenewalPort {
  /**
   * Renews once, at a random time within `withinMs` from now (default: at once). Another wish brings the time forward, never
   * back. Never throws.
   */
  renewNow(reason: RenewReason, withinMs?: number): void;
}

export interface Wish {
  readonly reason: RenewReason;
  /** Of the monotonic clock. */
  readonly dueMonoMs: number;
}

export class RenewalTrigger implements RenewalPort {
  readonly #clock: Clock;
  readonly #random: Random;
  #wish: Wish | undefined;
  #changed = Promise.withResolvers<void>();

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  renewNow(reason: RenewReason, withinMs = 0): void {
    const dueMonoMs = this.#clock.monoMs() + this.#random.float() * withinMs;
    if (this.#wish !== undefined && this.#wish.dueMonoMs <= dueMonoMs) return;
    this.#wish = { reason, dueMonoMs };
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }

  wish(): Wish | undefined {
    return this.#wish;
  }

  /** Milliseconds until the wish is due; 0 when it is, infinite when there is none. */
  dueInMs(): number {
    return this.#wish === undefined
      ? Number.POSITIVE_INFINITY
      : Math.max(0, this.#wish.dueMonoMs - this.#clock.monoMs());
  }

  /** A renewal that began when `wish` stood has brought a leaf. A wish made since stays. */
  fulfilled(wish: Wish | undefined): void {
    if (this.#wish === wish) this.#wish = undefined;
  }

  /** Resolves at the next wish. */
  changed(): Promise<void> {
    return this.#changed.promise;
  }
}
