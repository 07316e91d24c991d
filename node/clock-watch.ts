/**
 * This node's clock against control's store, as beats show it: how far off it is, and how fast it goes.
 *
 * CW1. Speed is measured by the monotonic clock, which nobody sets: a wall clock that is stepped changes the offset and not
 *      the speed.
 * CW2. Answers that took long say little about either: they are left out (Cristian's algorithm, 1989: the error of a reading is
 *      at most half its round trip).
 * CW3. Further off than `limits.clockSkewAlertMs` is said once, by an event and in the log, and once when it is over, at half of
 *      that.
 */

import { limits } from "../lib/limits.ts";
import type { Log } from "../lib/log.ts";
import type { NodeEvents } from "./ports.ts";

/** One beat that was answered. */
export interface ClockReading {
  readonly sentWallMs: number;
  readonly sentMonoMs: number;
  readonly answeredMonoMs: number;
  /** The store's time when the beat arrived there. */
  readonly controlMs: number;
}

interface Sample {
  readonly monoMs: number;
  readonly controlMs: number;
  readonly tripMs: number;
}

export class ClockWatch {
  readonly #log: Log;
  readonly #events: Pick<NodeEvents, "emit">;
  #samples: Sample[] = [];
  #offsetMs: number | undefined;
  #isOff = false;

  constructor({ log, events }: { readonly log: Log; readonly events: Pick<NodeEvents, "emit"> }) {
    this.#log = log;
    this.#events = events;
  }

  /** Takes a reading. */
  read(reading: ClockReading): void {
    const { sentWallMs, sentMonoMs, answeredMonoMs, controlMs } = reading;
    const tripMs = answeredMonoMs - sentMonoMs;
    if (!(tripMs >= 0) || controlMs <= 0) return;
    const sample = { monoMs: sentMonoMs + tripMs / 2, controlMs, tripMs };
    // The store's clock was set, or another store answers: what was measured against the one before says nothing.
    const last = this.#samples.at(-1);
    if (last !== undefined && isStep(last, sample)) this.#samples = [];
    this.#samples.push(sample);
    if (this.#samples.length > limits.clockSamplesMaxCount) this.#samples.shift();
    const best = Math.min(...this.#samples.map((each) => each.tripMs));
    if (tripMs > worthMs(best)) return;
    this.#offsetMs = controlMs - (sentWallMs + tripMs / 2);
    this.#tell(this.#offsetMs);
  }

  /** Control's clock minus this node's, ms; undefined before a first answer. */
  offsetMs(): number | undefined {
    return this.#offsetMs;
  }

  /** How much faster this node's clock goes than control's, parts per million; undefined until enough was measured. */
  driftPpm(): number | undefined {
    const best = Math.min(...this.#samples.map(({ tripMs }) => tripMs));
    const good = this.#samples.filter(({ tripMs }) => tripMs <= worthMs(best));
    const [first, last] = [good[0], good.at(-1)];
    if (first === undefined || last === undefined || good.length < limits.clockSamplesMinCount) return undefined;
    if (last.monoMs - first.monoMs < limits.clockDriftSpanMinMs) return undefined;
    return (1 - slopeOf(good)) * 1e6;
  }

  #tell(offsetMs: number): void {
    const isOff = Math.abs(offsetMs) > limits.clockSkewAlertMs * (this.#isOff ? 0.5 : 1);
    if (isOff === this.#isOff) return;
    this.#isOff = isOff;
    const facts = { offset_ms: offsetMs.toFixed(0), drift_ppm: this.driftPpm()?.toFixed(0) ?? "" };
    this.#events.emit("clock_skew", { ...facts, state: isOff ? "off" : "over" });
    const detail = isOff ? "CLOCK_SKEW" : "CLOCK_FINE";
    const message = isOff ? "the clock of this host is far from control's" : "the clock of this host agrees again";
    this.#log.warn(message, { detail, error: `control's clock minus this one: ${offsetMs.toFixed(0)} ms` });
  }
}

/** How long an answer may have taken to be worth reading, beside the fastest of late. */
function worthMs(bestMs: number): number {
  return bestMs * 2 + 5;
}

/** Whether control's time went by otherwise than this host's between two answers, beyond what their trips explain. */
function isStep(before: Sample, after: Sample): boolean {
  const ownMs = after.monoMs - before.monoMs;
  const theirsMs = after.controlMs - before.controlMs;
  // A tenth is more than any clock is off by that still is one.
  return Math.abs(theirsMs - ownMs) > 0.1 * ownMs + (before.tripMs + after.tripMs) / 2 + 100;
}

/** Least squares: store's milliseconds per millisecond of this host's monotonic clock. */
function slopeOf(samples: readonly Sample[]): number {
  const mean = (pick: (sample: Sample) => number): number =>
    samples.reduce((sum, sample) => sum + pick(sample), 0) / samples.length;
  const [x0, y0] = [mean(({ monoMs }) => monoMs), mean(({ controlMs }) => controlMs)];
  let [xy, xx] = [0, 0];
  for (const { monoMs, controlMs } of samples) {
    xy += (monoMs - x0) * (controlMs - y0);
    xx += (monoMs - x0) ** 2;
  }
  return xy / xx;
}
