/** Exponential backoff with jitter, as a pure sequence. */

import type { Random } from "./random.ts";

export interface BackoffShape {
  readonly firstMs: number;
  readonly maxMs: number;
  readonly factor: number;
  /** Share of the delay that is random, 0..1: a delay d becomes uniform in [d * (1 - jitter), d * (1 + jitter)]. */
  readonly jitter: number;
  /** The sequence starts over only after something stayed up this long, so accept-then-drop peers are not hammered. */
  readonly resetAfterUpMs: number;
}

export const linkBackoff: BackoffShape = {
  firstMs: 100,
  maxMs: 5_000,
  factor: 1.6,
  jitter: 0.2,
  resetAfterUpMs: 10_000,
};

export class Backoff {
  #attempt = 0;
  readonly #shape: BackoffShape;
  readonly #random: Random;

  constructor(shape: BackoffShape, random: Random) {
    this.#shape = shape;
    this.#random = random;
  }

  /** The delay before the next attempt, milliseconds. */
  nextMs(): number {
    const { firstMs, maxMs, factor, jitter } = this.#shape;
    const base = Math.min(maxMs, firstMs * factor ** this.#attempt);
    this.#attempt += 1;
    return base * (1 - jitter + 2 * jitter * this.#random.float());
  }

  /** Tells how long the last attempt stayed up; resets the sequence when that was long enough. */
  wasUpForMs(upMs: number): void {
    if (upMs >= this.#shape.resetAfterUpMs) this.#attempt = 0;
  }
}
