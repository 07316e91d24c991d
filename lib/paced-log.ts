/**
 * Log lines that somebody outside can cause as often as they like: each message goes through at a bounded rate, and what
 * was left out is counted in the next line of that message that goes through (`count`).
 */

import type { Clock } from "./clock.ts";
import { limits } from "./limits.ts";
import type { Log, LogFields } from "./log.ts";
import { TokenBuckets } from "./rate.ts";

/** Messages are constants of the source: more of them than this in one process would be a mistake. */
const messagesMaxCount = 64;

export class PacedLog {
  readonly #log: Log;
  readonly #buckets: TokenBuckets;
  readonly #leftOut = new Map<string, number>();

  constructor(clock: Clock, log: Log) {
    this.#log = log;
    this.#buckets = new TokenBuckets(clock, {
      perSecond: limits.pacedLinesPerSecond,
      burstCount: limits.pacedLinesBurstCount,
      keysMaxCount: messagesMaxCount,
    });
  }

  /** Writes `message`, a constant, or counts it. */
  info(message: string, fields: LogFields): void {
    const leftOut = this.#leftOut.get(message) ?? 0;
    if (!this.#buckets.take(message)) {
      this.#leftOut.set(message, leftOut + 1);
      return;
    }
    this.#leftOut.delete(message);
    this.#log.info(message, leftOut === 0 ? fields : { ...fields, count: leftOut });
  }
}
