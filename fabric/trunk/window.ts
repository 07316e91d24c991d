/**
 * How many bytes a lane may have sent and not yet seen acknowledged: the one control loop of a trunk. It works in rounds (the
 * time until everything sent at the round's start is acknowledged): while the lane is held back by its window it tries
 * twice the size and keeps it if throughput rose by a tenth; when even the least ack delay of a round is 25 ms above the
 * least ever seen, bytes only queue somewhere, and it shrinks by a quarter. (Same idea as TCP Vegas, LEDBAT RFC 6817.)
 */

import { limits } from "../../lib/limits.ts";

const RISE_SHARE = 1.1;
const SHRINK_SHARE = 0.75;
/** After a try that brought nothing. */
const RETRY_AFTER_MS = 2_000;
/** The least delay is measured anew after this long: the route below may have changed. */
const LEAST_DELAY_LIFE_MS = 10_000;

export class SendWindow {
  readonly #startBytes: number;
  readonly #maxBytes: number;
  sizeBytes: number;

  #leastDelayMs = Number.POSITIVE_INFINITY;
  #leastDelayAtMs = 0;
  #roundEndSeq = 0;
  #roundStartMs = 0;
  #roundBytes = 0;
  #roundLeastMs = Number.POSITIVE_INFINITY;
  #limited = false;
  /** Set while a doubled window is on trial. */
  #trial: { fromBytes: number; rateBefore: number; roundsLeft: number } | undefined;
  #nextTryMs = 0;

  constructor(startBytes: number, maxBytes: number) {
    this.#startBytes = startBytes;
    this.#maxBytes = maxBytes;
    this.sizeBytes = startBytes;
  }

  /** There was something to send and the window did not let it go. */
  heldBack(): void {
    this.#limited = true;
  }

  /** The lane moved to another path: delays measured so far mean nothing there. */
  moved(nowMs: number, nextSeq: number): void {
    this.#leastDelayMs = Number.POSITIVE_INFINITY;
    this.#trial = undefined;
    this.#beginRound(nowMs, nextSeq);
  }

  /**
   * An ack took `ackedBytes` out of the replay; `delayMs` is how long the newest of those batches was under way (undefined
   * when it had been sent twice), `ackedSeq` its number, `nextSeq` the number the next new batch will get.
   */
  acked(nowMs: number, ackedBytes: number, delayMs: number | undefined, ackedSeq: number, nextSeq: number): void {
    this.#roundBytes += ackedBytes;
    if (delayMs !== undefined) this.#roundLeastMs = Math.min(this.#roundLeastMs, delayMs);
    if (ackedSeq < this.#roundEndSeq) return;
    const spanMs = nowMs - this.#roundStartMs;
    if (this.#roundEndSeq > 0 && spanMs > 0) this.#endRound(nowMs, this.#roundBytes / spanMs);
    this.#beginRound(nowMs, nextSeq);
  }

  #beginRound(nowMs: number, nextSeq: number): void {
    this.#roundEndSeq = nextSeq;
    this.#roundStartMs = nowMs;
    this.#roundBytes = 0;
    this.#roundLeastMs = Number.POSITIVE_INFINITY;
    this.#limited = false;
  }

  #endRound(nowMs: number, rate: number): void {
    const leastMs = this.#roundLeastMs;
    if (leastMs < this.#leastDelayMs || nowMs - this.#leastDelayAtMs > LEAST_DELAY_LIFE_MS) {
      if (Number.isFinite(leastMs)) {
        this.#leastDelayMs = leastMs;
        this.#leastDelayAtMs = nowMs;
      }
    } else if (Number.isFinite(leastMs) && leastMs > this.#leastDelayMs + limits.windowDelaySlackMs) {
      this.sizeBytes = Math.max(this.#startBytes, Math.floor(this.sizeBytes * SHRINK_SHARE));
      this.#trial = undefined;
      this.#nextTryMs = nowMs + RETRY_AFTER_MS;
      return;
    }
    if (this.#trial !== undefined) this.#judgeTrial(nowMs, rate, this.#trial);
    if (this.#limited && this.#trial === undefined && nowMs >= this.#nextTryMs && this.sizeBytes < this.#maxBytes) {
      this.#trial = { fromBytes: this.sizeBytes, rateBefore: rate, roundsLeft: 2 };
      this.sizeBytes = Math.min(this.#maxBytes, this.sizeBytes * 2);
    }
  }

  /** The first round after a change is a mixture; the second one counts. */
  #judgeTrial(nowMs: number, rate: number, trial: { fromBytes: number; rateBefore: number; roundsLeft: number }): void {
    trial.roundsLeft -= 1;
    if (trial.roundsLeft > 0) return;
    this.#trial = undefined;
    if (rate >= trial.rateBefore * RISE_SHARE) return;
    this.sizeBytes = trial.fromBytes;
    this.#nextTryMs = nowMs + RETRY_AFTER_MS;
  }
}
