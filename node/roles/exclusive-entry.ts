/**
 * Exclusive resources at an entry: one lease holder per resource, acquired for the first channel, and the channels that run
 * under it.
 *
 * XN1. Whoever loses the lease loses its channels at once, with a typed reason.
 * XN2. A lease is given back only when every channel under it ended in order: of one that was torn down, bytes may still be
 *      on their way to an egress that does not know it yet. Such a lease is left to expire.
 */

import { toBinary } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import type { EdgeChannel } from "../../edge/channel.ts";
import { exclusiveLeaseName, type FenceValue } from "../../fabric/lease.ts";
import { ChannelEnd, ChannelStage } from "../../gen/weft/channel/v1/channel_pb.ts";
import { type SignedContract, SignedContractSchema } from "../../gen/weft/fabric/v1/contract_pb.ts";
import type { Lease, LeaseService } from "../../gen/weft/lease/v1/lease_pb.ts";
import type { Clock } from "../../lib/clock.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { Log } from "../../lib/log.ts";
import { type Hold, type LeaseAnswer, type LeaseCalls, LeaseHolder } from "../lease-holder.ts";

export interface ExclusiveEntryDeps {
  readonly leases: () => Client<typeof LeaseService>;
  readonly bootId: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** What an entry needs of an exclusive resource's lease. */
export interface ExclusiveHolds {
  /**
   * The contract to open a channel with. It is not given back before `settle`.
   * @throws WeftError as control says, see `holdFailure`.
   */
  hold(resource: ExclusiveResource): Promise<Hold>;
  /** Every hold that was given is settled, once the channel was tied to it or could not be opened. */
  settle(resource: ExclusiveResource): void;
  /** Ties a channel that was opened under `hold` to it: it ends with FENCED when the hold does. */
  tie(resource: ExclusiveResource, hold: Hold, channel: EdgeChannel): void;
}

export interface ExclusiveResource {
  readonly resourceId: string;
  readonly exclusiveLeaseMs: bigint;
}

interface Kept {
  readonly holder: LeaseHolder;
  readonly channels: Set<EdgeChannel>;
  /** Channels that are being opened. */
  opening: number;
  /** The fence under which a channel was torn down (XN2); empty: none was. */
  torn: string;
}

const isUsed = ({ channels, opening }: Kept): boolean => channels.size > 0 || opening > 0;
const nothingHeld: FenceValue = { epoch: 0n, counter: 0n };
const fenceText = ({ epoch, counter }: FenceValue): string => `${epoch}.${counter}`;

/** Why a channel to an exclusive resource cannot be opened, as its opener may know it. */
export function holdFailure(thrown: unknown): ChannelEnd {
  if (!(thrown instanceof WeftError)) return ChannelEnd.INTERNAL;
  if (thrown.detail === "LEASE_HELD") return ChannelEnd.LEASE_HELD;
  const isLater = thrown.reason === "unavailable" || thrown.reason === "deadline_exceeded";
  return isLater || thrown.retry !== "never" ? ChannelEnd.LEASE_UNKNOWN : ChannelEnd.NOT_ALLOWED;
}

export class ExclusiveEntry implements ExclusiveHolds {
  readonly #deps: ExclusiveEntryDeps;
  readonly #kept = new Map<string, Kept>();

  constructor(deps: ExclusiveEntryDeps) {
    this.#deps = deps;
  }

  async hold(resource: ExclusiveResource): Promise<Hold> {
    const kept = this.#keptOf(resource);
    kept.opening += 1;
    try {
      return await kept.holder.hold();
    } catch (thrown) {
      kept.opening -= 1;
      throw thrown;
    }
  }

  settle(resource: ExclusiveResource): void {
    this.#keptOf(resource).opening -= 1;
  }

  tie(resource: ExclusiveResource, hold: Hold, channel: EdgeChannel): void {
    const kept = this.#keptOf(resource);
    const now = kept.holder.current();
    // Lost while the channel was being opened: nobody would end it any more.
    if (now === undefined || now.epoch !== hold.epoch || now.counter !== hold.counter) {
      kept.torn = fenceText(hold);
      channel.abort(ChannelEnd.FENCED, ChannelStage.ENTRY);
      return;
    }
    kept.channels.add(channel);
    channel.once("close", () => {
      kept.channels.delete(channel);
      const inOrder = channel.errored === null && channel.readableEnded && channel.writableFinished;
      if (!inOrder) kept.torn = fenceText(hold);
    });
  }

  /** Until when each lease that is held lasts, ms of this process's clock, by name. */
  held(): ReadonlyMap<string, number> {
    const held = new Map<string, number>();
    for (const [resourceId, { holder }] of this.#kept) {
      const hold = holder.current();
      if (hold !== undefined) held.set(exclusiveLeaseName(resourceId), hold.stopMonoMs);
    }
    return held;
  }

  /** Gives every lease back; the node is closing, and its channels have ended or end now. */
  async close(): Promise<void> {
    await Promise.all([...this.#kept.values()].map(({ holder }) => holder.close()));
  }

  /** Gives back what nothing runs under: at the end of a drain. */
  async releaseIdle(): Promise<void> {
    const idle = [...this.#kept.values()].filter((kept) => !isUsed(kept));
    await Promise.all(idle.map(({ holder }) => holder.release()));
  }

  #keptOf(resource: ExclusiveResource): Kept {
    const known = this.#kept.get(resource.resourceId);
    if (known !== undefined) return known;
    const { clock, log } = this.#deps;
    const channels = new Set<EdgeChannel>();
    const holder = new LeaseHolder({
      name: exclusiveLeaseName(resource.resourceId),
      calls: leaseCalls(this.#deps, resource),
      clock,
      log,
      inUse: () => isUsed(kept),
      mayRelease: () => !isUsed(kept) && kept.torn !== fenceText(holder.current() ?? nothingHeld),
      onLost: () => {
        for (const channel of [...channels]) channel.abort(ChannelEnd.FENCED, ChannelStage.ENTRY);
      },
    });
    const kept: Kept = { holder, channels, opening: 0, torn: "" };
    this.#kept.set(resource.resourceId, kept);
    return kept;
  }
}

function leaseCalls({ leases, bootId }: ExclusiveEntryDeps, resource: ExclusiveResource): LeaseCalls {
  const named = { name: exclusiveLeaseName(resource.resourceId), bootId };
  const term = { ...named, ttlMs: resource.exclusiveLeaseMs };
  const options = () => ({ timeoutMs: Math.min(limits.leaseCallMaxMs, Number(resource.exclusiveLeaseMs) / 3) });
  return {
    acquire: async () => answerOf(await leases().acquire(term, options())),
    renew: async ({ epoch, counter }) =>
      answerOf(await leases().renew({ ...term, fence: { epoch, counter } }, options())),
    release: async ({ epoch, counter }) =>
      void (await leases().release({ ...named, fence: { epoch, counter } }, options())),
  };
}

interface Answered {
  readonly lease?: Lease | undefined;
  readonly contract?: SignedContract | undefined;
}

function answerOf(answer: Answered): LeaseAnswer {
  const { lease, contract } = answer;
  if (lease === undefined || contract === undefined) {
    throw new WeftError("internal", "control gave a lease without its contract", { detail: "LEASE_CONTRACT" });
  }
  return { lease, contract: toBinary(SignedContractSchema, contract) };
}
