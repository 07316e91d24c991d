/**
 * How many bytes a lane may have sent and not yet seen acknowledged: the one control loop of a trunk. It works in rounds (the
 * time until everything sent at the round's start is acknowledged) and spans of rounds that last long enough to tell a rate
 * from noise. While the lane is held back by its window it tries twice the size and keeps it if throughput rose by a tenth;
 * when even the least ack delay of a round is 25 ms above the least ever seen, bytes only queue somewhere, and it shrinks by
 * a quarter. (Same idea as TCP Vegas, LEDBAT RFC 6817.)
 */

import { limits } from "../../lib/limits.ts";

const RISE_SHARE = 1.1;
const SHRINK_SHARE = 0.75;
/** After a try that brought nothing. */
const RETRY_AFTER_MS = 2_000;
/** A rate is measured over at least this many rounds and this long: shorter ones are noise on a busy machine. */
const SPAN_ROUNDS = 2;
const SPAN_MIN_MS = 60;
/** The least delay is measured anew after this long: the route below may have changed. */
const LEAST_DELAY_LIFE_MS = 10_000;

export class SendWindow {
  readonly #startBytes: number;
  readonly #maxBytes: number;
  sizeBytes: number;

  #leastDelayMs = Number.POSITIVE_INFINITY;
  #leastDelayAtMs = 0;
  #roundEndSeq = 0;
  #spanStartMs = 0;
  #spanBytes = 0;
  #spanRounds = 0;
  #roundLeastMs = Number.POSITIVE_INFINITY;
  #limited = false;
  /** Set while a doubled window is on trial. */
  #trial: { readonly fromBytes: number; readonly rateBefore: number } | undefined;
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
    this.#beginSpan(nowMs);
    this.#beginRound(nextSeq);
  }

  /**
   * An ack took `ackedBytes` out of the replay; `delayMs` is how long the newest of those batches was under way (undefined
   * when it had been sent twice), `ackedSeq` its number, `nextSeq` the number the next new batch will get.
   */
  acked(nowMs: number, ackedBytes: number, delayMs: number | undefined, ackedSeq: number, nextSeq: number): void {
    this.#spanBytes += ackedBytes;
    if (delayMs !== undefined) this.#roundLeastMs = Math.min(this.#roundLeastMs, delayMs);
    if (ackedSeq < this.#roundEndSeq) return;
    if (this.#roundEndSeq > 0) this.#endRound(nowMs);
    this.#beginRound(nextSeq);
  }

  #beginRound(nextSeq: number): void {
    this.#roundEndSeq = nextSeq;
    this.#roundLeastMs = Number.POSITIVE_INFINITY;
  }

  #beginSpan(nowMs: number): void {
    this.#spanStartMs = nowMs;
    this.#spanBytes = 0;
    this.#spanRounds = 0;
    this.#limited = false;
  }

  #endRound(nowMs: number): void {
    if (this.#queues(nowMs)) {
      this.sizeBytes = Math.max(this.#startBytes, Math.floor(this.sizeBytes * SHRINK_SHARE));
      this.#trial = undefined;
      this.#nextTryMs = nowMs + RETRY_AFTER_MS;
      this.#beginSpan(nowMs);
      return;
    }
    this.#spanRounds += 1;
    // The first round after a change is a mixture and starts the measurement.
    if (this.#spanRounds === 1) {
      this.#spanStartMs = nowMs;
      this.#spanBytes = 0;
    } else if (this.#spanRounds > SPAN_ROUNDS && nowMs - this.#spanStartMs >= SPAN_MIN_MS) {
      this.#endSpan(nowMs, this.#spanBytes / (nowMs - this.#spanStartMs));
    }
  }

  /** Learns the least delay; true when this round's was that much above it that bytes only wait somewhere. */
  #queues(nowMs: number): boolean {
    const leastMs = this.#roundLeastMs;
    if (!Number.isFinite(leastMs)) return false;
    if (leastMs < this.#leastDelayMs || nowMs - this.#leastDelayAtMs > LEAST_DELAY_LIFE_MS) {
      this.#leastDelayMs = leastMs;
      this.#leastDelayAtMs = nowMs;
      return false;
    }
    return leastMs > this.#leastDelayMs + limits.windowDelaySlackMs;
  }

  #endSpan(nowMs: number, rate: number): void {
    const trial = this.#trial;
    this.#trial = undefined;
    if (trial !== undefined && rate < trial.rateBefore * RISE_SHARE) {
      this.sizeBytes = trial.fromBytes;
      this.#nextTryMs = nowMs + RETRY_AFTER_MS;
    } else if (this.#limited && nowMs >= this.#nextTryMs && this.sizeBytes < this.#maxBytes) {
      this.#trial = { fromBytes: this.sizeBytes, rateBefore: rate };
      this.sizeBytes = Math.min(this.#maxBytes, this.sizeBytes * 2);
    }
    this.#beginSpan(nowMs);
  }
}
