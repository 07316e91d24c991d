/**
 * How often a cluster's snapshots are made anew, so that a process has time for everything else while somebody changes things
 * again and again.
 *
 * SP1. Work on snapshots is a debt that time pays off at 1 : `limits.snapshotRestShare`. As long as it is within
 *      `limits.snapshotDebtMaxMs`, a change is not kept waiting: neither the first one, nor one that follows a costly one.
 *      Beyond, the next view waits until enough is paid, `limits.snapshotRestMaxMs` at most.
 * SP2. Everybody who waits for the next view of a cluster waits for the same moment.
 */

import { type Clock, sleep } from "../../lib/clock.ts";
import { limits } from "../../lib/limits.ts";

export class SnapshotPace {
  readonly #clock: Clock;
  #debtMs = 0;
  #settledMs: number;
  #resting: Promise<void> | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#settledMs = clock.monoMs();
  }

  /** So much time of this process has gone into snapshots. */
  spent(ms: number): void {
    this.#settle();
    this.#debtMs += ms;
  }

  /** Runs what only this process works on, and counts it. */
  timed<T>(work: () => T): T {
    const startedMs = this.#clock.monoMs();
    try {
      return work();
    } finally {
      this.spent(this.#clock.monoMs() - startedMs);
    }
  }

  /** When it is time for the next view; undefined: now. */
  rest(): Promise<void> | undefined {
    this.#settle();
    const leftMs = Math.min(
      limits.snapshotRestMaxMs,
      (this.#debtMs - limits.snapshotDebtMaxMs) * limits.snapshotRestShare,
    );
    if (leftMs <= 0) return undefined;
    this.#resting ??= sleep(this.#clock, leftMs).finally(() => {
      this.#resting = undefined;
    });
    return this.#resting;
  }

  #settle(): void {
    const nowMs = this.#clock.monoMs();
    this.#debtMs = Math.max(0, this.#debtMs - (nowMs - this.#settledMs) / limits.snapshotRestShare);
    this.#settledMs = nowMs;
  }
}
