/**
 * The egress's own decision about one channel, from its own snapshot: who asks, for what, in which class, under which
 * contract. An entry is believed only about the listeners and organizations it holds, never about anything else; a contract
 * is believed for its signature.
 */

import type { EdgeChannel } from "../../edge/channel.ts";
import { type ContractExpectation, type ContractQuestion, contractNeeds, judgeCarried } from "../../fabric/contract.ts";
import { hasClient, hasRole, memberById } from "../../fabric/members.ts";
import type { ChannelOpen } from "../../fabric/trunk/messages.ts";
import { ChannelEnd } from "../../gen/weft/channel/v1/channel_pb.ts";
import type { LeaseContract } from "../../gen/weft/fabric/v1/contract_pb.ts";
import { ChannelClass, NodeRole, OriginAssurance, ResourceKind } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { ResourceTarget, Snapshot } from "../../gen/weft/fabric/v1/snapshot_pb.ts";

/** Who is at the other edge of the trunk, as TLS proved it. */
export type FarPeer =
  | { readonly kind: "entry"; readonly nodeId: string }
  | { readonly kind: "client"; readonly clientId: string };

export interface ChannelQuestion {
  readonly open: ChannelOpen;
  readonly snapshot: Snapshot;
  readonly selfNodeId: string;
  readonly peer: FarPeer;
  /** The trunk's organization. */
  readonly organizationId: string;
  readonly draining: boolean;
  /** What the offline policy of a resource says about new channels to it. */
  readonly mayOpen: (resourceId: string) => boolean;
  /** The entry the channel came by: the peer itself, or the one that opened the client's paths. Empty: several did. */
  readonly entryNodeId: string;
  /** What contracts are verified against. */
  readonly trust: () => ContractExpectation;
}

export type ChannelDecision =
  | {
      readonly ok: true;
      readonly target: ResourceTarget;
      readonly class: ChannelClass;
      /** Verified and judged; its fence is the fence judge's affair. */
      readonly contract?: LeaseContract;
    }
  | { readonly ok: false; readonly end: ChannelEnd; readonly why: string };

function refuse(end: ChannelEnd, why: string): ChannelDecision {
  return { ok: false, end, why };
}

/** Whether the origin a channel claims is one its peer may claim. Returns why not, or undefined. */
function originFault({ open, snapshot, peer, organizationId }: ChannelQuestion): string | undefined {
  const origin = open.origin;
  if (origin === undefined) return "no origin";
  if (origin.organizationId !== organizationId) return "origin of another organization";
  if (peer.kind === "client") {
    if (!hasClient(snapshot, peer.clientId, organizationId)) return "client not known";
    return origin.assurance === OriginAssurance.PROVED && origin.clientId === peer.clientId
      ? undefined
      : "a client speaks for itself only";
  }
  const member = memberById(snapshot, peer.nodeId);
  if (member === undefined || !hasRole(member.roles, NodeRole.ENTRY, organizationId))
    return "not an entry of this organization";
  if (origin.entryNodeId !== peer.nodeId) return "an entry speaks for itself only";
  switch (origin.assurance) {
    case OriginAssurance.ANONYMOUS: {
      const granted = snapshot.listenerGrants.some(
        (grant) =>
          grant.listenerId === origin.listenerId &&
          grant.entryNodeId === peer.nodeId &&
          grant.organizationId === organizationId &&
          grant.resourceName === open.resource,
      );
      return granted ? undefined : "listener not granted";
    }
    case OriginAssurance.ENTRY_ASSERTED:
      return hasClient(snapshot, origin.clientId, organizationId) ? undefined : "asserted client not known";
    default:
      return "an entry cannot prove a client";
  }
}

/** The class a channel runs in: the one asked for when the resource allows it, else its default. */
function classFor(target: ResourceTarget, wanted: ChannelClass): ChannelClass | undefined {
  // Dropping parts out of a byte stream would corrupt it, whatever the snapshot says.
  if (wanted === ChannelClass.DROPPABLE && target.kind !== ResourceKind.MESSAGE) return undefined;
  if (wanted === ChannelClass.UNSPECIFIED || wanted === target.defaultClass) return target.defaultClass;
  return target.allowedClasses.includes(wanted) ? wanted : undefined;
}

/**
 * Says whether the fence of an exclusive contract still counts, and until when: a higher one than any seen for the resource is
 * made durable, and older channels are cut, before the answer (LAW-F3). Undefined and rejecting refuse the channel; otherwise
 * the answer is to be asked for every piece that is to pass, and ends the channel when none may any more.
 */
export type FenceJudge = (contract: LeaseContract, channel: EdgeChannel) => Promise<MayPass | undefined>;

export type MayPass = () => boolean;

/** What a contract is held against at the egress: its own snapshot's row, who the origin is, how the channel came. */
export function contractQuestion(
  { open, snapshot, organizationId, entryNodeId }: Omit<ChannelQuestion, "draining" | "mayOpen" | "trust">,
  target: ResourceTarget,
  channelClass: ChannelClass,
): ContractQuestion {
  return {
    needs: contractNeeds(target),
    resourceId: target.resourceId,
    organizationId,
    poolId: target.poolId,
    serviceClass: target.serviceClass,
    channelClass,
    clientId: open.origin?.clientId ?? "",
    entryNodeId,
    flowIsolationId: open.flowIsolationId ?? "",
    endedLeaseIds: snapshot.endedLeaseIds,
  };
}

/** Decides one channel. Pure: the same question has the same answer. */
export function admitChannel(question: ChannelQuestion): ChannelDecision {
  const { open, snapshot, selfNodeId, organizationId } = question;
  if (question.draining) return refuse(ChannelEnd.DRAINING, "draining");
  const roles = snapshot.self?.roles ?? [];
  if (!hasRole(roles, NodeRole.EGRESS, organizationId))
    return refuse(ChannelEnd.NOT_ALLOWED, "no egress role for this organization");
  const target = snapshot.resourceTargets.find(
    (candidate) => candidate.name === open.resource && candidate.organizationId === organizationId,
  );
  if (target === undefined) return refuse(ChannelEnd.UNKNOWN_RESOURCE, "unknown resource");
  const pool = snapshot.pools.find((candidate) => candidate.poolId === target.poolId);
  if (pool === undefined || !pool.egressNodeIds.includes(selfNodeId))
    return refuse(ChannelEnd.UNKNOWN_RESOURCE, "not in the resource's pool");
  const fault = originFault(question);
  if (fault !== undefined) return refuse(ChannelEnd.NOT_ALLOWED, fault);
  if ((open.origin?.assurance ?? OriginAssurance.UNSPECIFIED) < target.minimumAssurance) {
    return refuse(ChannelEnd.NOT_ALLOWED, "the resource demands a surer origin");
  }
  // Last of what is not about time: whoever may not know the resource does not learn its policy.
  if (!question.mayOpen(target.resourceId)) return refuse(ChannelEnd.OFFLINE, "offline policy stops new channels");
  const channelClass = classFor(target, open.class);
  if (channelClass === undefined) return refuse(ChannelEnd.NOT_ALLOWED, "class not allowed");
  const verdict = judgeCarried(open.contract, contractQuestion(question, target, channelClass), question.trust);
  if (verdict === undefined) return { ok: true, target, class: channelClass };
  if (!verdict.ok) return refuse(ChannelEnd.NOT_ALLOWED, verdict.refusal);
  return { ok: true, target, class: channelClass, contract: verdict.contract };
}
