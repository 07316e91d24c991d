/**
 * A rate of bytes with a burst, as arithmetic: time comes as an argument, nothing waits here.
 *
 * RB1. Over any time t, what was taken is at most `rateBytesPerSecond` x t + `burstBytes`, as long as takers ask `roomBytes`
 *      first and take no more. Who takes more goes into debt, which is paid back before there is room again.
 */

export interface RateShape {
  readonly rateBytesPerSecond: number;
  readonly burstBytes: number;
}

/** What sums of fractions may be off by: a wait shorter than a clock can tell would never end. */
const ROUNDING_BYTES = 1e-3;

export class RateBucket {
  #shape: RateShape;
  #tokens: number;
  #atMs: number;

  /** Starts full. */
  constructor(shape: RateShape, nowMs: number) {
    this.#shape = shape;
    this.#tokens = shape.burstBytes;
    this.#atMs = nowMs;
  }

  get shape(): RateShape {
    return this.#shape;
  }

  /** Another rate or burst from now on. What was taken stays taken: a change gives no new burst. */
  reshape(shape: RateShape, nowMs: number): void {
    this.#refill(nowMs);
    const used = this.#shape.burstBytes - this.#tokens;
    this.#shape = shape;
    this.#tokens = Math.min(shape.burstBytes, Math.max(shape.burstBytes - used, -shape.burstBytes));
  }

  /** Whole bytes that may go now; 0 in debt. */
  roomBytes(nowMs: number): number {
    this.#refill(nowMs);
    return Math.max(0, Math.floor(this.#tokens));
  }

  /** Counts bytes that went. */
  take(bytes: number, nowMs: number): void {
    this.#refill(nowMs);
    this.#tokens -= bytes;
  }

  /** How long until `bytes` (or the burst, when that is less) may go, milliseconds; 0: now. */
  waitMs(bytes: number, nowMs: number): number {
    this.#refill(nowMs);
    const missing = Math.min(bytes, this.#shape.burstBytes) - this.#tokens;
    return missing <= ROUNDING_BYTES ? 0 : (missing * 1_000) / this.#shape.rateBytesPerSecond;
  }

  #refill(nowMs: number): void {
    const { rateBytesPerSecond, burstBytes } = this.#shape;
    const elapsedMs = Math.max(0, nowMs - this.#atMs);
    this.#tokens = Math.min(burstBytes, this.#tokens + (elapsedMs * rateBytesPerSecond) / 1_000);
    this.#atMs = Math.max(this.#atMs, nowMs);
  }
}
