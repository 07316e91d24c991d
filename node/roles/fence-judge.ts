/** The fence gate of an egress, put together: control asked through this node's session, channels ended by their reason. */

import type { Client } from "@connectrpc/connect";
import type { EdgeChannel } from "../../edge/channel.ts";
import { exclusiveLeaseName, type FenceMark } from "../../fabric/lease.ts";
import { ChannelEnd, ChannelStage } from "../../gen/weft/channel/v1/channel_pb.ts";
import type { LeaseContract } from "../../gen/weft/fabric/v1/contract_pb.ts";
import type { Snapshot } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import type { LeaseService } from "../../gen/weft/lease/v1/lease_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { PacedLog } from "../../lib/paced-log.ts";
import { openFenceStore } from "../fence-store.ts";
import type { DataPlanePorts } from "../plane-ports.ts";
import type { FenceJudge, MayPass } from "./admit-channel.ts";
import { FenceGate, type FenceRefusal, type LeaseWord } from "./exclusive-egress.ts";

export interface FenceJudgeDeps {
  readonly ports: DataPlanePorts;
  readonly stateDir: string;
  readonly leases: () => Client<typeof LeaseService>;
}

export interface OwnFenceJudge {
  readonly judge: FenceJudge;
  close(): void;
}

const ends: Readonly<Record<FenceRefusal, ChannelEnd>> = {
  fenced: ChannelEnd.FENCED,
  unknown: ChannelEnd.LEASE_UNKNOWN,
};

/** A holder is a node and one start of its process. */
const holderOf = (nodeId: string, bootId: string): string => (nodeId === "" ? "" : `${nodeId}/${bootId}`);

function asking({ leases }: FenceJudgeDeps): (resourceId: string) => Promise<LeaseWord | undefined> {
  return async (resourceId) => {
    try {
      const name = exclusiveLeaseName(resourceId);
      const { lease } = await leases().get({ name }, { timeoutMs: limits.leaseCallMaxMs });
      if (lease?.fence === undefined) return undefined;
      const { epoch, counter } = lease.fence;
      const holder = holderOf(lease.holderNodeId, lease.bootId);
      return { mark: { epoch, counter, holder }, leftMs: lease.expired ? 0 : Number(lease.ttlMs) };
    } catch (thrown) {
      if (thrown instanceof WeftError && thrown.detail === "LEASE_NOT_FOUND") return undefined;
      throw thrown;
    }
  };
}

function markOf({ fence, holderNodeId, holderBootId }: LeaseContract): FenceMark {
  return { epoch: fence?.epoch ?? 0n, counter: fence?.counter ?? 0n, holder: holderOf(holderNodeId, holderBootId) };
}

/** Judges the fences of this egress, and follows those that snapshots bring. */
export function openFenceJudge(deps: FenceJudgeDeps): OwnFenceJudge {
  const { clock, log, snapshot } = deps.ports;
  const paced = new PacedLog(clock, log);
  const fences = openFenceStore({ stateDir: deps.stateDir, log });
  const gate = new FenceGate({ fences, clock, log, ask: asking(deps) });
  const follow = (current: Snapshot | undefined): void => {
    for (const { resourceId, leastFence } of current?.resourceTargets ?? []) {
      if (leastFence !== undefined) gate.learn(resourceId, leastFence);
    }
  };
  follow(snapshot.current());
  const stop = snapshot.onChange(follow);

  async function judge(contract: LeaseContract, channel: EdgeChannel): Promise<MayPass | undefined> {
    const { resourceId } = contract;
    const end = (why: FenceRefusal): void => {
      paced.info("channel fenced", { resource: resourceId, reason: why, requestId: channel.correlationId });
      channel.abort(ends[why], ChannelStage.EGRESS);
    };
    const fenced = { resourceId, mark: markOf(contract), end };
    const refusal = await gate.admit(fenced);
    if (refusal !== undefined) {
      end(refusal);
      return undefined;
    }
    if (channel.destroyed) {
      gate.leave(fenced);
      return undefined;
    }
    channel.once("close", () => gate.leave(fenced));
    return () => gate.holds(fenced);
  }
  return {
    judge,
    close() {
      stop();
      gate.close();
    },
  };
}
