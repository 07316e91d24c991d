/**
 * Contenders for leases on a real store, and what they did as a history: they claim, renew late and early, release, are
 * paused between looking at their clock and acting, have their wall clocks stepped and their database sessions killed, and
 * stop on their own monotonic clocks. Everything random comes from one seed; what the machine does besides does not.
 */

import { setTimeout as pause } from "node:timers/promises";
import { acquireLease, type LeaseRow, releaseLease, renewLease } from "../../control/store/leases.ts";
import type { Queryable, Sql } from "../../control/store/sql.ts";
import { holderStopMonoMs, judgeFence } from "../../fabric/lease.ts";
import { type Random, randomInt, seededRandom } from "../../lib/random.ts";
import type { LeaseCall, LeaseHistory, LeaseOutcome, Look, Taken } from "./lease-history.ts";

export interface ContentionPlan {
  readonly seed: number;
  readonly clusterId: string;
  /** Of the leases' names: fresh ones, so that histories begin with the first fence. */
  readonly prefix: string;
  readonly leases: number;
  readonly contenders: number;
  readonly forMs: number;
  readonly ttlMs: number;
  readonly marginMs: number;
  /** Connections of several replicas; a contender takes any of them for each call. */
  readonly stores: readonly Queryable[];
  /** Kills a database session; absent where there is only one. */
  readonly kill?: (random: Random) => Promise<void>;
  /** False: an enforcing point that compares nothing (a planted fault). */
  readonly enforces?: boolean;
  /** True: holders that stop by their wall clock (a planted fault). */
  readonly byWallClock?: boolean;
}

interface Recorded {
  readonly calls: LeaseCall[];
  readonly looks: Look[];
  readonly taken: Taken[];
  highest: { readonly counter: number; readonly contender: string } | undefined;
}

/** The host's wall clock with fractions: what the store's clock reads too. */
const wallMs = (): number => performance.timeOrigin + performance.now();

class Contender {
  readonly #plan: ContentionPlan;
  readonly #random: Random;
  readonly #name: string;
  readonly #recorded: readonly Recorded[];
  #boot = 1;
  /** How far this contender's own wall clock is off. Nothing it does may depend on it. */
  #stepMs = 0;

  constructor(plan: ContentionPlan, index: number, recorded: readonly Recorded[]) {
    this.#plan = plan;
    this.#random = seededRandom(plan.seed * 10_007 + index);
    this.#name = `nd-${index}`;
    this.#recorded = recorded;
  }

  async run(untilMs: number): Promise<void> {
    await pause(this.#random.float() * this.#plan.ttlMs);
    while (wallMs() < untilMs) {
      const lease = randomInt(this.#random, this.#plan.leases);
      await this.#contend(lease, untilMs);
      // A new process of the same node: nothing of the old one's may carry over.
      if (this.#random.float() < 0.1) this.#boot += 1;
      await pause(this.#random.float() * this.#plan.ttlMs * 2);
    }
  }

  /** The clock a holder counts by: its monotonic one, which no step moves. */
  #clockMs(): number {
    return this.#plan.byWallClock === true ? wallMs() + this.#stepMs : performance.now();
  }

  #step(): void {
    this.#stepMs = (this.#random.float() - 0.5) * 7_200_000;
  }

  get #who(): string {
    return `${this.#name}/${this.#boot}`;
  }

  async #contend(lease: number, untilMs: number): Promise<void> {
    const { ttlMs, marginMs, clusterId, prefix } = this.#plan;
    const claim = { clusterId, name: `${prefix}-${lease}`, nodeId: this.#name, bootId: String(this.#boot) };
    let sentMs = this.#clockMs();
    let row = await this.#call(lease, "acquire", 0, (q) => acquireLease(q, claim, ttlMs));
    while (row !== undefined) {
      const { counter, epoch } = row;
      const stopMs = holderStopMonoMs(sentMs, ttlMs, marginMs);
      await this.#act(lease, counter, stopMs);
      if (wallMs() >= untilMs) return;
      const hold = { ...claim, epoch, counter };
      const chance = this.#random.float();
      if (chance < 0.15) return;
      if (chance < 0.3) return void (await this.#release(lease, counter, hold));
      // In time, or too late.
      await pause(this.#random.float() < 0.7 ? ttlMs / 3 : ttlMs * (0.8 + this.#random.float()));
      sentMs = this.#clockMs();
      row = await this.#call(lease, "renew", counter, (q) => renewLease(q, hold, ttlMs));
    }
  }

  /** Acts while it takes itself for the holder; sometimes stopped between looking at its clock and acting. */
  async #act(lease: number, counter: number, stopMs: number): Promise<void> {
    const recorded = this.#recorded[lease];
    if (this.#random.float() < 0.5) this.#step();
    if (this.#random.float() < 0.4) await pause(this.#random.float() * this.#plan.ttlMs * 2);
    if (recorded === undefined || this.#clockMs() >= stopMs) return;
    recorded.looks.push({ contender: this.#who, counter, atMs: wallMs() });
    if (this.#random.float() < 0.3) await pause(this.#random.float() * this.#plan.ttlMs * 3);
    const { highest } = recorded;
    const seen = highest === undefined ? undefined : { epoch: 1n, counter: BigInt(highest.counter) };
    const verdict = judgeFence(seen, { epoch: 1n, counter: BigInt(counter) });
    const allowed = verdict === "raise" || (verdict === "accept" && highest?.contender === this.#who);
    if (!allowed && this.#plan.enforces !== false) return;
    recorded.taken.push({ contender: this.#who, counter });
    if (verdict === "raise") recorded.highest = { counter, contender: this.#who };
  }

  async #release(lease: number, counter: number, hold: Parameters<typeof releaseLease>[1]): Promise<void> {
    await this.#record(lease, "release", counter, async (q) => {
      if (!(await releaseLease(q, hold))) return { kind: "refused" };
      const rows = await q.query<{ at: number }>(
        `select ended_at_ms as at from lease_tenure where cluster_id = $1 and name = $2 and fence_counter = $3`,
        [hold.clusterId, hold.name, counter],
      );
      return { kind: "released", counter, atMs: rows[0]?.at ?? Number.NaN };
    });
  }

  async #call(
    lease: number,
    call: "acquire" | "renew",
    counter: number,
    fn: (q: Queryable) => Promise<LeaseRow | undefined>,
  ): Promise<LeaseRow | undefined> {
    let row: LeaseRow | undefined;
    await this.#record(lease, call, counter, async (q) => {
      row = await fn(q);
      if (row === undefined) return { kind: "refused" };
      const { expiresAtMs, leftMs } = row;
      return { kind: "held", counter: row.counter, expiresAtMs, atMs: expiresAtMs - leftMs };
    });
    return row;
  }

  async #record(
    lease: number,
    call: LeaseCall["call"],
    counter: number,
    fn: (q: Queryable) => Promise<LeaseOutcome>,
  ): Promise<void> {
    const { stores } = this.#plan;
    const store = stores[randomInt(this.#random, stores.length)];
    if (store === undefined) throw new Error("no store");
    const contender = this.#who;
    const invokedMs = wallMs();
    const outcome = await fn(store).catch((): LeaseOutcome => ({ kind: "unknown" }));
    this.#recorded[lease]?.calls.push({ contender, call, counter, invokedMs, returnedMs: wallMs(), outcome });
  }
}

/** Lets contenders loose and returns what happened to each lease. */
export async function contend(plan: ContentionPlan): Promise<LeaseHistory[]> {
  const recorded = Array.from(
    { length: plan.leases },
    (): Recorded => ({ calls: [], looks: [], taken: [], highest: undefined }),
  );
  const untilMs = wallMs() + plan.forMs;
  const contenders = Array.from({ length: plan.contenders }, (_, index) => new Contender(plan, index, recorded));
  const random = seededRandom(plan.seed);
  const killing = async (): Promise<void> => {
    while (plan.kill !== undefined && wallMs() < untilMs) {
      await pause(plan.ttlMs * random.float() * 2);
      await plan.kill(random);
    }
  };
  await Promise.all([killing(), ...contenders.map((each) => each.run(untilMs))]);
  return recorded.map(({ calls, looks, taken }) => ({ ttlMs: plan.ttlMs, calls, looks, taken }));
}

/** A store whose statements are changed on their way: how a fault is planted in the product's own statements. */
export function mutated(inner: Sql, change: (text: string) => string, beforeMs = 0): Queryable {
  return {
    async query(text, params) {
      const changed = change(text);
      if (beforeMs === 0) return await inner.query(changed, params);
      return await inner.tx(async (tx) => {
        await tx.query("select pg_sleep($1)", [beforeMs / 1_000]);
        return await tx.query(changed, params);
      });
    },
  };
}
