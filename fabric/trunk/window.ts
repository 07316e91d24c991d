/**
 * How many bytes a lane may have sent and not yet seen acknowledged: the one control loop of a trunk. The window is what the
 * path holds, measured: the best rate seen lately times the least delay, a quarter more for the next thing to try, and a few
 * milliseconds for the noise of hosts. What is beyond that would only queue somewhere and delay everybody (LAW-T4).
 *
 * At first it doubles as long as that brings throughput. Later it follows the measurement. The least delay is looked for again
 * every ten seconds, with half the window for a moment, because the route below may have changed. (The idea is that of BBR,
 * Cardwell et al., "BBR: Congestion-Based Congestion Control", ACM Queue 14(5), 2016.)
 */

/** What a larger window must bring for the doubling to go on. */
const RISE_SHARE = 1.25;
/** Spans without such a rise that end the doubling: one may be noise. */
const FLAT_SPANS_COUNT = 3;
/** A quarter above what the path holds: that is how a rise of its rate is found. */
const TRY_SHARE = 1.25;
/** Noise of hosts, and acks that wait for company, in milliseconds of the path's rate. */
const NOISE_MS = 5;
/** A rate is measured over at least this long: less is noise on a busy machine. */
const SPAN_MIN_MS = 20;
/** How many spans the best rate is taken from: a host that stalls for a few must not shrink the window. */
const SPANS_KEPT_COUNT = 16;
const PROBE_EVERY_MS = 10_000;
const PROBE_ROUNDS_COUNT = 2;

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
  #limited = false;
  /** The last rates, bytes per millisecond. */
  #rates: number[] = [];
  #doubling = true;
  #flatSpans = 0;
  /** The window to return to after looking for the least delay, and for how many rounds more. */
  #probe: { readonly backToBytes: number; roundsLeft: number } | undefined;

  constructor(startBytes: number, maxBytes: number) {
    this.#startBytes = startBytes;
    this.#maxBytes = maxBytes;
    this.sizeBytes = startBytes;
  }

  /** There was something to send and the window did not let it go. */
  heldBack(): void {
    this.#limited = true;
  }

  /** The lane moved to another path: what was measured means nothing there. */
  moved(nowMs: number, nextSeq: number): void {
    if (this.#probe !== undefined) this.sizeBytes = this.#probe.backToBytes;
    this.#probe = undefined;
    this.#leastDelayMs = Number.POSITIVE_INFINITY;
    this.#rates = [];
    this.#doubling = true;
    this.#flatSpans = 0;
    this.#beginSpan(nowMs);
    this.#roundEndSeq = nextSeq;
  }

  /**
   * An ack took `ackedBytes` out of the replay; `delayMs` is how long the newest of those batches was under way (undefined
   * when it had been sent twice), `ackedSeq` its number, `nextSeq` the number the next new batch will get.
   */
  acked(nowMs: number, ackedBytes: number, delayMs: number | undefined, ackedSeq: number, nextSeq: number): void {
    this.#spanBytes += ackedBytes;
    if (delayMs !== undefined && delayMs <= this.#leastDelayMs) {
      this.#leastDelayMs = delayMs;
      this.#leastDelayAtMs = nowMs;
    }
    if (ackedSeq < this.#roundEndSeq) return;
    if (this.#roundEndSeq > 0) this.#endRound(nowMs);
    this.#roundEndSeq = nextSeq;
  }

  #beginSpan(nowMs: number): void {
    this.#spanStartMs = nowMs;
    this.#spanBytes = 0;
    this.#spanRounds = 0;
    this.#limited = false;
  }

  #endRound(nowMs: number): void {
    if (this.#probe !== undefined) {
      this.#endProbeRound(nowMs, this.#probe);
      return;
    }
    this.#spanRounds += 1;
    // The first round after a change is a mixture and starts the measurement.
    if (this.#spanRounds === 1) {
      this.#spanStartMs = nowMs;
      this.#spanBytes = 0;
    } else if (nowMs - this.#spanStartMs >= SPAN_MIN_MS) {
      this.#endSpan(nowMs, this.#spanBytes / (nowMs - this.#spanStartMs));
    }
  }

  #endSpan(nowMs: number, rate: number): void {
    const limited = this.#limited;
    this.#beginSpan(nowMs);
    // The next span starts where this one ended.
    this.#spanRounds = 1;
    const best = Math.max(0, ...this.#rates);
    // A rate that the window did not limit says what was asked for, not what the path holds.
    if (!limited && rate <= best) return;
    this.#rates.push(rate);
    if (this.#rates.length > SPANS_KEPT_COUNT) this.#rates.shift();
    if (!limited) return;
    if (this.#doubling) this.#double(rate, best);
    else this.#follow();
    if (nowMs - this.#leastDelayAtMs > PROBE_EVERY_MS) this.#beginProbe();
  }

  #double(rate: number, best: number): void {
    this.#flatSpans = rate >= best * RISE_SHARE ? 0 : this.#flatSpans + 1;
    if (this.#flatSpans >= FLAT_SPANS_COUNT) {
      this.#doubling = false;
      this.#follow();
      return;
    }
    if (this.#flatSpans > 0) return;
    this.#spanRounds = 0;
    this.sizeBytes = Math.min(this.#maxBytes, this.sizeBytes * 2);
  }

  #follow(): void {
    const holds = Math.max(...this.#rates) * (this.#leastDelayMs * TRY_SHARE + NOISE_MS);
    if (!Number.isFinite(holds)) return;
    this.sizeBytes = Math.min(this.#maxBytes, Math.max(this.#startBytes, Math.ceil(holds)));
  }

  #beginProbe(): void {
    this.#probe = { backToBytes: this.sizeBytes, roundsLeft: PROBE_ROUNDS_COUNT };
    this.sizeBytes = Math.max(this.#startBytes, this.sizeBytes / 2);
    this.#leastDelayMs = Number.POSITIVE_INFINITY;
  }

  #endProbeRound(nowMs: number, probe: { readonly backToBytes: number; roundsLeft: number }): void {
    probe.roundsLeft -= 1;
    if (probe.roundsLeft > 0) return;
    this.#probe = undefined;
    this.#leastDelayAtMs = nowMs;
    this.sizeBytes = probe.backToBytes;
    this.#beginSpan(nowMs);
  }
}
