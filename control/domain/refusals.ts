/**
 * Refusals in the audit log, bounded: everybody who is refused is written down, nobody can fill the log by being refused.
 *
 * R1. Of one caller (a source prefix when it is nobody) at most `limits.refusalsRecordedPerSecond` a second are recorded; of
 *     all strangers together `limits.refusalsOfStrangersPerSecond`, of all known callers `limits.refusalsOfKnownPerSecond`,
 *     after a burst each. Strangers cannot use up what known callers have.
 * R2. What is not recorded is counted, and the count is a record of its own, at most one a minute. So a replica adds at most
 *     `refusalsOfStrangersPerSecond + refusalsOfKnownPerSecond + 1/60` records a second for refusals, however long it is
 *     flooded, and holds at most two numbers and `limits.rpcRateKeysMaxCount` buckets for it.
 * R3. One refusal is one record, whoever notices it first.
 */

import type { Clock } from "../../lib/clock.ts";
import { messageOf, type WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { Log } from "../../lib/log.ts";
import { TokenBuckets } from "../../lib/rate.ts";
import { sourcePrefix } from "../../lib/source-prefix.ts";
import type { Caller } from "../../rpc/caller.ts";
import { type AuditEntry, appendAudit, auditRefusal } from "../store/audit.ts";
import type { Sql } from "../store/sql.ts";

export type Refusal = AuditEntry & { readonly result: `refused:${string}` };

interface LedgerDeps {
  readonly sql: Sql;
  readonly clock: Clock;
  readonly log: Log;
}

/** Whose bucket a refusal is counted in. */
export interface RefusedCaller {
  readonly key: string;
  /** A proven identity, and not just an address. */
  readonly known: boolean;
}

export function callerKey(caller: Caller): RefusedCaller {
  const known = caller.kind !== "anonymous";
  return { known, key: known ? caller.spiffe : sourcePrefix(caller.sourceAddress) };
}

const oneKey = "all";

export class RefusalLedger {
  readonly #deps: LedgerDeps;
  readonly #callers: TokenBuckets;
  readonly #strangers: TokenBuckets;
  readonly #known: TokenBuckets;
  /** Errors that are recorded already, or counted (R3). */
  readonly #done = new WeakSet<WeftError>();
  #uncounted = { strangers: 0, known: 0 };

  constructor(deps: LedgerDeps) {
    this.#deps = deps;
    const { clock } = deps;
    this.#callers = new TokenBuckets(clock, {
      perSecond: limits.refusalsRecordedPerSecond,
      burstCount: limits.refusalsRecordedBurstCount,
      keysMaxCount: limits.rpcRateKeysMaxCount,
    });
    this.#strangers = new TokenBuckets(clock, {
      perSecond: limits.refusalsOfStrangersPerSecond,
      burstCount: limits.refusalsOfStrangersBurstCount,
      keysMaxCount: 1,
    });
    this.#known = new TokenBuckets(clock, {
      perSecond: limits.refusalsOfKnownPerSecond,
      burstCount: limits.refusalsOfKnownBurstCount,
      keysMaxCount: 1,
    });
  }

  /**
   * Records a refusal of `caller` (whose bucket it is), or counts it. `error` is what the caller is told, when there is one.
   * Throws what writing a record throws.
   */
  async record(refusal: Refusal, caller: RefusedCaller, error?: WeftError): Promise<void> {
    if (error !== undefined) {
      if (this.#done.has(error)) return;
      this.#done.add(error);
    }
    const all = caller.known ? this.#known : this.#strangers;
    if (this.#callers.take(caller.key) && all.take(oneKey)) await auditRefusal(this.#deps.sql, refusal);
    else this.#uncounted[caller.known ? "known" : "strangers"] += 1;
  }

  /** Writes down how many were not (R2). For a timer; what cannot be written is counted on. */
  async count(): Promise<void> {
    const { strangers, known } = this.#uncounted;
    if (strangers + known === 0) return;
    this.#uncounted = { strangers: 0, known: 0 };
    try {
      const after = { strangers, known };
      await this.#deps.sql.tx(async (tx) => {
        await appendAudit(tx, { actor: "system", action: "refusals.counted", object: "rpc", after });
      });
    } catch (thrown) {
      this.#uncounted = { strangers: this.#uncounted.strangers + strangers, known: this.#uncounted.known + known };
      this.#deps.log.warn("refusals could not be counted in the audit log", { error: messageOf(thrown) });
    }
  }
}

/** One ledger for a store in a process, whoever asks for it. */
const ledgers = new WeakMap<Sql, RefusalLedger>();

export function refusalLedger(deps: LedgerDeps): RefusalLedger {
  const known = ledgers.get(deps.sql);
  if (known !== undefined) return known;
  const made = new RefusalLedger(deps);
  ledgers.set(deps.sql, made);
  return made;
}
