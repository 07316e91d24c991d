/**
 * The floor under this node's wall clock: the newest date of any verified statement, so that a clock set back revives
 * nothing that has ended.
 *
 * TF1. The floor never goes back: not while running, and not across restarts (its owner persists it).
 * TF2. A date further ahead of the node's own time than `limits.signedSkewMaxMs` does not raise it: whoever holds a signing
 *      key, or sets control's clock wrong, cannot end every certificate of the fabric by one far date.
 * TF3. Own time is the wall clock, or what it was at start (or the persisted floor, if later) plus the monotonic time
 *      since: a clock set back while running does not stop the floor, and dates never move own time, so many small steps
 *      lead no further than one.
 *
 * A statement with such a date is not refused: the revocations in it are as true as before (LAW-I4), and a node whose own
 * clock is late must still hear them. Only its date counts for nothing.
 */

import type { Clock } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";

export class TimeFloor {
  readonly #clock: Clock;
  readonly #startMs: number;
  readonly #startMonoMs: number;
  #floorMs: number;

  /** `persistedMs`: the floor an earlier run left, or 0. */
  constructor(clock: Clock, persistedMs: number) {
    this.#clock = clock;
    this.#floorMs = persistedMs;
    this.#startMs = Math.max(clock.nowMs(), persistedMs);
    this.#startMonoMs = clock.monoMs();
  }

  /** Newest date that counted, in ms; 0 before the first. */
  newestMs(): number {
    return this.#floorMs;
  }

  /** What dates of certificates and statements are judged by: max(wall clock, floor). */
  judgedMs(): number {
    return Math.max(this.#clock.nowMs(), this.#floorMs);
  }

  /** How far `ms` is ahead of own time, in ms; negative when it is behind. */
  aheadMs(ms: number): number {
    return ms - Math.max(this.#clock.nowMs(), this.#startMs + this.#clock.monoMs() - this.#startMonoMs);
  }

  /** Raises the floor to `ms`, unless that is too far ahead (TF2). Returns whether the date counts. */
  raise(ms: number): boolean {
    if (this.aheadMs(ms) > limits.signedSkewMaxMs) return false;
    this.#floorMs = Math.max(this.#floorMs, ms);
    return true;
  }
}
