/**
 * Contracts at this node: what they are verified with, who is told of refusals, and how long channels live under them.
 *
 * CD1. A channel lives under a service-channel lease for as long as its newest contract known here holds, no longer. A newer
 *      contract of the same lease, in all but its dates, prolongs every channel under it: shown by another channel, or
 *      fetched from control shortly before the old one runs out. Control being away prolongs nothing and ends nothing early.
 * CD2. What the snapshot takes away (the lease, its client, its resource) ends channels now.
 * CD3. Refusals and endings are told to operators by their reason, to callers by one class.
 * CD4. Exclusive leases are not kept here: their channels live under the highest fence, not under a date.
 */

import { toBinary } from "@bufbuild/protobuf";
import { retiredSigningKeys } from "../../certs/bundle.ts";
import type { EdgeChannel } from "../../edge/channel.ts";
import {
  type ContractExpectation,
  type ContractQuestion,
  type ContractRefusal,
  type ContractVerdict,
  judgeCarried,
  verifyContract,
} from "../../fabric/contract.ts";
import { ChannelEnd, type ChannelStage } from "../../gen/weft/channel/v1/channel_pb.ts";
import { type LeaseContract, LeaseContractSchema, LeaseKind } from "../../gen/weft/fabric/v1/contract_pb.ts";
import type { Timer } from "../../lib/clock.ts";
import { messageOf } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { PacedLog } from "../../lib/paced-log.ts";
import { TokenBuckets } from "../../lib/rate.ts";
import type { DataPlanePorts } from "../plane-ports.ts";
import type { Unsubscribe } from "../ports.ts";

/** What control says of a lease: its newest contract, encoded, and whether it may be used. */
export interface LeaseNews {
  readonly active: boolean;
  readonly contract: Uint8Array;
}

/** How long an answer is waited for. */
export interface AskOptions {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
}

export interface ContractDeskDeps {
  readonly ports: DataPlanePorts;
  /** The pinned installation key, SPKI DER. */
  readonly installationSpki: Uint8Array;
  /** Asks control about a lease. Absent: contracts are prolonged only by being shown. */
  readonly ask?: (leaseId: string, options: AskOptions) => Promise<LeaseNews>;
}

/** A channel under a contract. */
export interface Leased {
  readonly channel: EdgeChannel;
  readonly stage: ChannelStage;
  /** For logs and events. */
  readonly resource: string;
  /** Judges the contract against the channel as it is now; called whenever something changed. */
  readonly covered: (contract: LeaseContract) => ContractRefusal | undefined;
}

export interface RefusalFacts {
  readonly stage: "entry" | "path" | "egress";
  readonly resource: string;
  readonly reason: string;
  readonly requestId: string;
}

interface Lease {
  contract: LeaseContract;
  notAfterMs: number;
  readonly channels: Set<Leased>;
  askedMonoMs: number;
  asking: boolean;
}

/** How many refusals of one reason are told as events; logs are paced by themselves. */
const eventReasonsMaxCount = 64;

/** Everything of a contract but its dates: what a newer one has to repeat. */
function termsOf(contract: LeaseContract): string {
  const undated = { ...contract, issuedAtMs: 0n, notAfterMs: 0n };
  return Buffer.from(toBinary(LeaseContractSchema, undated)).toString("base64");
}

export class ContractDesk {
  readonly #deps: ContractDeskDeps;
  readonly #paced: PacedLog;
  readonly #told: TokenBuckets;
  readonly #leases = new Map<string, Lease>();
  readonly #closing = new AbortController();
  readonly #unsubscribe: Unsubscribe;
  #looking: Timer | undefined;

  constructor(deps: ContractDeskDeps) {
    this.#deps = deps;
    const { clock, log, snapshot } = deps.ports;
    this.#paced = new PacedLog(clock, log);
    this.#told = new TokenBuckets(clock, {
      perSecond: limits.pacedLinesPerSecond,
      burstCount: limits.pacedLinesBurstCount,
      keysMaxCount: eventReasonsMaxCount,
    });
    this.#unsubscribe = snapshot.onChange(() => this.rejudge());
  }

  /** What contracts are verified against now. */
  trust(): ContractExpectation {
    const { clock, snapshot, identity } = this.#deps.ports;
    return {
      installationSpki: this.#deps.installationSpki,
      clusterId: identity.current().clusterId,
      nowMs: Math.max(clock.nowMs(), snapshot.newestSignedMs()),
      retired: retiredSigningKeys(identity.current().bundle),
    };
  }

  /** Judges what a channel or path carries, and tells of a refusal; undefined: nothing is carried, nothing is needed. */
  judge(
    carried: Uint8Array | undefined,
    question: ContractQuestion,
    facts: Omit<RefusalFacts, "reason">,
  ): ContractVerdict | undefined {
    const verdict = judgeCarried(carried, question, () => this.trust());
    if (verdict?.ok === false) this.refused({ ...facts, reason: verdict.refusal });
    return verdict;
  }

  /** Tells operators of a refusal. */
  refused({ stage, resource, reason, requestId }: RefusalFacts): void {
    this.#paced.info("contract refused", { sub: stage, resource, reason, requestId });
    if (this.#told.take(reason)) this.#deps.ports.events.emit("contract_refused", { stage, resource, reason });
  }

  /** Keeps a channel under its contract from now on, until it closes (CD1). */
  hold(contract: LeaseContract, leased: Leased): void {
    if (contract.kind !== LeaseKind.SERVICE_CHANNEL || leased.channel.destroyed) return;
    const key = termsOf(contract);
    const lease = this.#leases.get(key) ?? {
      contract,
      notAfterMs: Number(contract.notAfterMs),
      channels: new Set<Leased>(),
      askedMonoMs: Number.NEGATIVE_INFINITY,
      asking: false,
    };
    this.#leases.set(key, lease);
    this.#prolong(lease, contract);
    lease.channels.add(leased);
    leased.channel.once("close", () => {
      lease.channels.delete(leased);
      if (lease.channels.size === 0) this.#leases.delete(key);
      if (this.#leases.size === 0) this.#stopLooking();
    });
    this.#looking ??= this.#deps.ports.clock.every(limits.contractLookMs, () => this.#look());
    // The snapshot may have changed while the channel was on its way here.
    const refusal = leased.covered(lease.contract);
    if (refusal !== undefined) this.#end(lease, leased, refusal);
  }

  /** Judges every channel under a contract again (CD2). */
  rejudge(): void {
    for (const lease of [...this.#leases.values()]) {
      for (const leased of [...lease.channels]) {
        const refusal = leased.covered(lease.contract);
        if (refusal !== undefined) this.#end(lease, leased, refusal);
      }
    }
  }

  close(): void {
    this.#closing.abort();
    this.#stopLooking();
    this.#unsubscribe();
  }

  #stopLooking(): void {
    this.#looking?.cancel();
    this.#looking = undefined;
  }

  #prolong(lease: Lease, contract: LeaseContract): void {
    const notAfterMs = Number(contract.notAfterMs);
    if (notAfterMs <= lease.notAfterMs) return;
    lease.contract = contract;
    lease.notAfterMs = notAfterMs;
  }

  #look(): void {
    const { nowMs } = this.trust();
    for (const lease of [...this.#leases.values()]) {
      if (lease.notAfterMs <= nowMs) this.#endAll(lease, "CONTRACT_EXPIRED");
      else if (this.#isAskDue(lease, nowMs)) void this.#askFor(lease);
    }
  }

  #isAskDue(lease: Lease, nowMs: number): boolean {
    if (this.#deps.ask === undefined || lease.asking) return false;
    const lifeMs = lease.notAfterMs - Number(lease.contract.issuedAtMs);
    if (lease.notAfterMs - nowMs > Math.min(limits.contractAskAheadMs, lifeMs / 3)) return false;
    return this.#deps.ports.clock.monoMs() - lease.askedMonoMs >= Math.min(limits.contractAskEveryMs, lifeMs / 10);
  }

  async #askFor(lease: Lease): Promise<void> {
    const { ports, ask } = this.#deps;
    lease.asking = true;
    lease.askedMonoMs = ports.clock.monoMs();
    try {
      // A question that hangs is not to use up the time in which another one could still be answered.
      const options = { signal: this.#closing.signal, timeoutMs: limits.leaseCallMaxMs };
      const news = await ask?.(lease.contract.leaseId, options);
      if (news === undefined || this.#closing.signal.aborted) return;
      if (!news.active) {
        this.#endAll(lease, "CONTRACT_ENDED");
        return;
      }
      const verdict = verifyContract(news.contract, this.trust());
      if (verdict.ok && termsOf(verdict.contract) === termsOf(lease.contract)) this.#prolong(lease, verdict.contract);
    } catch (thrown) {
      if (!this.#closing.signal.aborted) this.#paced.info("lease not asked about", { error: messageOf(thrown) });
    } finally {
      lease.asking = false;
    }
  }

  #endAll(lease: Lease, reason: ContractRefusal): void {
    for (const leased of [...lease.channels]) this.#end(lease, leased, reason);
  }

  #end(lease: Lease, { channel, stage, resource }: Leased, reason: ContractRefusal): void {
    const facts = { resource, reason, lease: lease.contract.leaseId };
    this.#paced.info("contract ended", { ...facts, requestId: channel.correlationId });
    if (this.#told.take(`ended ${reason}`)) this.#deps.ports.events.emit("contract_ended", facts);
    channel.abort(ChannelEnd.REVOKED, stage);
  }
}
