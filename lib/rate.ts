/**
 * Token buckets by key: how often somebody may do something. Memory is bounded: at most `keysMaxCount` keys are held, and
 * when one more arrives the key that was used longest ago is forgotten, which can only ever be generous to a stranger
 * who already costs others nothing.
 */

import type { Clock } from "./clock.ts";

export interface RateShape {
  /** Tokens that come back per second. */
  readonly perSecond: number;
  /** Tokens a bucket holds at most, and starts with. */
  readonly burstCount: number;
  readonly keysMaxCount: number;
}

export class TokenBuckets {
  readonly #clock: Clock;
  readonly #shape: RateShape;
  /** In order of last use: a Map keeps insertion order, and every use inserts again. */
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>();

  constructor(clock: Clock, shape: RateShape) {
    this.#clock = clock;
    this.#shape = shape;
  }

  /** Takes `count` tokens from the bucket of `key`; false, and nothing taken, when there are not enough. */
  take(key: string, count = 1): boolean {
    const { perSecond, burstCount, keysMaxCount } = this.#shape;
    const nowMs = this.#clock.monoMs();
    const known = this.#buckets.get(key);
    const tokens =
      known === undefined
        ? burstCount
        : Math.min(burstCount, known.tokens + ((nowMs - known.atMs) / 1_000) * perSecond);
    const allowed = tokens >= count;
    this.#buckets.delete(key);
    this.#buckets.set(key, { tokens: allowed ? tokens - count : tokens, atMs: nowMs });
    if (this.#buckets.size > keysMaxCount) {
      const [oldest] = this.#buckets.keys();
      if (oldest !== undefined) this.#buckets.delete(oldest);
    }
    return allowed;
  }

  /** Keys held, for tests and status. */
  keyCount(): number {
    return this.#buckets.size;
  }
}
