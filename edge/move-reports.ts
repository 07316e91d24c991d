/**
 * Tells of moves at a bounded rate. What is in the middle, or a far edge, can make a trunk flap as often as it likes: what
 * there is no room for is added up, per trunk and lane, and told in one report a little later. No move is left uncounted.
 */

import type { Clock, Timer } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";
import { TokenBuckets } from "../lib/rate.ts";
import type { TrunkMoved } from "./trunk-runner.ts";

/** One move, or several of a lane added up: from where the first began to where the last went. */
export interface MoveReport extends TrunkMoved {
  /** How many moves this stands for. */
  readonly moves: number;
}

interface Waiting<T> {
  readonly trunk: T;
  readonly report: MoveReport;
}

/** Two moves of a lane as one: the longer gap, and everything that was sent again. */
function joined(first: MoveReport, last: TrunkMoved): MoveReport {
  return {
    ...last,
    from: first.from,
    gapMs: Math.max(first.gapMs, last.gapMs),
    replayedBytes: first.replayedBytes + last.replayedBytes,
    moves: first.moves + 1,
  };
}

export class MoveReports<T extends { readonly trunkIdHex: string }> {
  readonly #clock: Clock;
  readonly #report: (report: MoveReport, trunk: T) => void;
  readonly #ofTrunk: TokenBuckets;
  readonly #ofAll: TokenBuckets;
  /** By trunk and lane. */
  readonly #waiting = new Map<string, Waiting<T>>();
  #timer: Timer | undefined;

  constructor(clock: Clock, report: (report: MoveReport, trunk: T) => void) {
    this.#clock = clock;
    this.#report = report;
    this.#ofTrunk = new TokenBuckets(clock, {
      perSecond: limits.moveReportsPerSecond,
      burstCount: limits.moveReportsBurstCount,
      keysMaxCount: limits.acceptedTrunksMaxCount,
    });
    this.#ofAll = new TokenBuckets(clock, {
      perSecond: limits.moveReportsInAllPerSecond,
      burstCount: limits.moveReportsInAllBurstCount,
      keysMaxCount: 1,
    });
  }

  /** A lane of this trunk moved. */
  moved(move: TrunkMoved, trunk: T): void {
    const key = `${trunk.trunkIdHex} ${move.lane}`;
    const before = this.#waiting.get(key);
    const report = before === undefined ? { ...move, moves: 1 } : joined(before.report, move);
    if (this.#mayTell(trunk)) {
      this.#waiting.delete(key);
      this.#report(report, trunk);
      return;
    }
    this.#waiting.set(key, { trunk, report });
    this.#timer ??= this.#clock.after(limits.moveReportsLookMs, this.#look);
  }

  /** This trunk is over: what is waiting of it is told now. */
  ended(trunk: T): void {
    for (const lane of ["interactive", "bulk"]) {
      const key = `${trunk.trunkIdHex} ${lane}`;
      const waiting = this.#waiting.get(key);
      if (waiting === undefined) continue;
      this.#waiting.delete(key);
      this.#report(waiting.report, trunk);
    }
    if (this.#waiting.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #mayTell(trunk: T): boolean {
    return this.#ofTrunk.take(trunk.trunkIdHex) && this.#ofAll.take("");
  }

  readonly #look = (): void => {
    this.#timer = undefined;
    for (const [key, { trunk, report }] of [...this.#waiting]) {
      if (!this.#mayTell(trunk)) continue;
      this.#waiting.delete(key);
      this.#report(report, trunk);
    }
    if (this.#waiting.size > 0) this.#timer = this.#clock.after(limits.moveReportsLookMs, this.#look);
  };
}
