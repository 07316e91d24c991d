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
    const tokens = this.left(key);
    const allowed = tokens >= count;
    this.#hold(key, allowed ? tokens - count : tokens);
    return allowed;
  }

  /** Takes them whether or not they are there; the bucket of `key` owes what was missing, `debtMaxCount` at most. */
  spend(key: string, count: number, debtMaxCount = Number.POSITIVE_INFINITY): void {
    this.#hold(key, Math.max(this.left(key) - count, -debtMaxCount));
  }

  /** Tokens of `key` now, below zero where it owes. Looking is no use of the bucket. */
  left(key: string): number {
    const { perSecond, burstCount } = this.#shape;
    const known = this.#buckets.get(key);
    if (known === undefined) return burstCount;
    return Math.min(burstCount, known.tokens + ((this.#clock.monoMs() - known.atMs) / 1_000) * perSecond);
  }

  #hold(key: string, tokens: number): void {
    this.#buckets.delete(key);
    this.#buckets.set(key, { tokens, atMs: this.#clock.monoMs() });
    if (this.#buckets.size <= this.#shape.keysMaxCount) return;
    const [oldest] = this.#buckets.keys();
    if (oldest !== undefined) this.#buckets.delete(oldest);
  }

  /** Keys held, for tests and status. */
  keyCount(): number {
    return this.#buckets.size;
  }
}
