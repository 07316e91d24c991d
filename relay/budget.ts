/**
 * How many paths a node takes part in, and for whom. Kernel buffers cannot be bounded from here (up to 14 MiB per stalled
 * path), the number of paths can: by initiator, by the neighbour who asks, and in total.
 *
 * BG1. An admission is counted until its `release`, which is idempotent; pending until `established` or `release`.
 * BG2. One initiator at its bound never takes room from another.
 */

import type { Clock } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";
import { TokenBuckets } from "../lib/rate.ts";

export type BudgetRefusal =
  | "PATHS_MAX"
  | "INITIATOR_RATE"
  | "CALLER_RATE"
  | "INITIATOR_PENDING"
  | "CALLER_PENDING"
  | "INITIATOR_PATHS";

export interface Admission {
  /** The path carries bytes now: it no longer counts as pending. */
  established(): void;
  release(): void;
}

export interface BudgetLimits {
  readonly pathsMaxCount: number;
  readonly pendingPerInitiatorMaxCount: number;
  readonly pendingPerCallerMaxCount: number;
  readonly livePerInitiatorMaxCount: number;
  readonly offersPerInitiatorPerSecond: number;
  readonly offersPerCallerPerSecond: number;
  readonly offerBurstCount: number;
}

export const budgetLimits: BudgetLimits = {
  pathsMaxCount: limits.pathsMaxCount,
  pendingPerInitiatorMaxCount: limits.pendingPathsPerInitiatorMaxCount,
  pendingPerCallerMaxCount: limits.pendingPathsPerCallerMaxCount,
  livePerInitiatorMaxCount: limits.livePathsPerInitiatorMaxCount,
  offersPerInitiatorPerSecond: limits.offersPerInitiatorPerSecond,
  offersPerCallerPerSecond: limits.offersPerCallerPerSecond,
  offerBurstCount: limits.offerBurstCount,
};

export class PathBudget {
  readonly #limits: BudgetLimits;
  readonly #pendingByInitiator = new Tally();
  readonly #pendingByCaller = new Tally();
  readonly #byInitiator = new Tally();
  readonly #initiatorRate: TokenBuckets;
  readonly #callerRate: TokenBuckets;
  #count = 0;

  constructor(clock: Clock, bounds: BudgetLimits = budgetLimits) {
    this.#limits = bounds;
    const keysMaxCount = bounds.pathsMaxCount;
    const burstCount = bounds.offerBurstCount;
    this.#initiatorRate = new TokenBuckets(clock, {
      perSecond: bounds.offersPerInitiatorPerSecond,
      burstCount,
      keysMaxCount,
    });
    this.#callerRate = new TokenBuckets(clock, {
      perSecond: bounds.offersPerCallerPerSecond,
      burstCount: Math.max(burstCount, bounds.offersPerCallerPerSecond),
      keysMaxCount,
    });
  }

  /** Paths admitted and not released. */
  get count(): number {
    return this.#count;
  }

  /** Share of the path table in use, 0..1. */
  get load(): number {
    return this.#count / this.#limits.pathsMaxCount;
  }

  /** Takes one path into account for the initiator and the asking neighbour, or says which bound it would pass. */
  admit(who: { readonly initiator: string; readonly caller: string }): Admission | BudgetRefusal {
    const { initiator, caller } = who;
    if (!this.#callerRate.take(caller)) return "CALLER_RATE";
    if (!this.#initiatorRate.take(initiator)) return "INITIATOR_RATE";
    if (this.#count >= this.#limits.pathsMaxCount) return "PATHS_MAX";
    if (this.#byInitiator.of(initiator) >= this.#limits.livePerInitiatorMaxCount) return "INITIATOR_PATHS";
    if (this.#pendingByInitiator.of(initiator) >= this.#limits.pendingPerInitiatorMaxCount) return "INITIATOR_PENDING";
    if (this.#pendingByCaller.of(caller) >= this.#limits.pendingPerCallerMaxCount) return "CALLER_PENDING";
    return this.#taken(initiator, caller);
  }

  #taken(initiator: string, caller: string): Admission {
    this.#count += 1;
    this.#byInitiator.add(initiator, 1);
    this.#pendingByInitiator.add(initiator, 1);
    this.#pendingByCaller.add(caller, 1);
    let at: "pending" | "live" | "released" = "pending";
    const settle = (): void => {
      this.#pendingByInitiator.add(initiator, -1);
      this.#pendingByCaller.add(caller, -1);
    };
    return {
      established: () => {
        if (at !== "pending") return;
        at = "live";
        settle();
      },
      release: () => {
        if (at === "released") return;
        if (at === "pending") settle();
        at = "released";
        this.#count -= 1;
        this.#byInitiator.add(initiator, -1);
      },
    };
  }
}

class Tally {
  readonly #counts = new Map<string, number>();

  of(key: string): number {
    return this.#counts.get(key) ?? 0;
  }

  add(key: string, delta: number): void {
    const count = this.of(key) + delta;
    if (count > 0) this.#counts.set(key, count);
    else this.#counts.delete(key);
  }
}
