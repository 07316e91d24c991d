/**
 * What the probes of one link say, pure: round trip, jitter, loss, and how much of the time the link was up. A value not
 * measured yet is absent, never 0.
 *
 * LM1. A lost probe counts as loss; it leaves round trip and jitter alone.
 * LM2. Loss and reliability are shares of the last `probeWindowCount` periods.
 */

import { limits } from "../lib/limits.ts";

export interface LinkMeasurement {
  readonly rttMs?: number;
  readonly jitterMs?: number;
  readonly lossShare?: number;
  readonly reliabilityShare?: number;
  /** Recent failures, each halving in weight every minute. */
  readonly recentFailures?: number;
}

/** Weight of a new sample, as in RFC 6298 (round trip 1/8, deviation 1/4). */
const RTT_GAIN = 1 / 8;
const JITTER_GAIN = 1 / 4;
const FAILURE_HALF_LIFE_MS = 60_000;

type Period = "answered" | "lost" | "down";

export class LinkMeter {
  readonly #periods: Period[] = [];
  #rttMs: number | undefined;
  #jitterMs: number | undefined;
  #failures = 0;
  #failuresAtMs = 0;

  /** A probe came back after `rttMs`. */
  answered(rttMs: number): void {
    const before = this.#rttMs;
    if (before !== undefined) {
      const deviation = Math.abs(rttMs - before);
      this.#jitterMs =
        this.#jitterMs === undefined ? deviation : this.#jitterMs + JITTER_GAIN * (deviation - this.#jitterMs);
    }
    this.#rttMs = before === undefined ? rttMs : before + RTT_GAIN * (rttMs - before);
    this.#note("answered");
  }

  /** A probe did not come back in time. */
  lost(nowMs: number): void {
    this.#note("lost");
    this.#fail(nowMs);
  }

  /** The link was down for a whole period. */
  down(): void {
    this.#note("down");
  }

  /** The link went down. */
  broke(nowMs: number): void {
    this.#fail(nowMs);
  }

  measurement(nowMs: number): LinkMeasurement {
    const up = this.#periods.filter((period) => period !== "down");
    const lost = up.filter((period) => period === "lost").length;
    const failures = this.#failuresAt(nowMs);
    return {
      ...(this.#rttMs === undefined ? {} : { rttMs: this.#rttMs }),
      ...(this.#jitterMs === undefined ? {} : { jitterMs: this.#jitterMs }),
      ...(up.length === 0 ? {} : { lossShare: lost / up.length }),
      ...(this.#periods.length === 0 ? {} : { reliabilityShare: up.length / this.#periods.length }),
      ...(this.#periods.length === 0 && failures === 0 ? {} : { recentFailures: failures }),
    };
  }

  #note(period: Period): void {
    this.#periods.push(period);
    if (this.#periods.length > limits.probeWindowCount) this.#periods.shift();
  }

  #fail(nowMs: number): void {
    this.#failures = this.#failuresAt(nowMs) + 1;
    this.#failuresAtMs = nowMs;
  }

  #failuresAt(nowMs: number): number {
    const halvings = (nowMs - this.#failuresAtMs) / FAILURE_HALF_LIFE_MS;
    const left = this.#failures * 0.5 ** halvings;
    return left < 0.01 ? 0 : left;
  }
}
