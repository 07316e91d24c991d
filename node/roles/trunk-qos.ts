/**
 * What a node's snapshot means for the trunks that begin or end here: lanes by the policy of the organization or cluster,
 * channels by their resource's. Every change of the snapshot reaches live trunks.
 */

import type { TrunkRunner } from "../../edge/trunk-runner.ts";
import { appliedPolicy, channelWeight, laneShape } from "../../fabric/qos.ts";
import type { ChannelShape, TrunkQos } from "../../fabric/trunk/shaper.ts";
import { ChannelClass } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { Snapshot } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import type { SnapshotHolder, Unsubscribe } from "../ports.ts";

type PolicySnapshot = Pick<Snapshot, "qos" | "resourceQos" | "resourceRoutes" | "resourceTargets">;

/** The policy of one organization's trunks under a snapshot. */
export function trunkQos(snapshot: PolicySnapshot, organizationId: string): TrunkQos {
  return {
    lane: (name) => {
      const laneClass = name === "bulk" ? ChannelClass.BULK : ChannelClass.INTERACTIVE;
      return laneShape(appliedPolicy(snapshot, { class: laneClass, organizationId }).rate);
    },
    channel: ({ resource, class: channelClass }) =>
      channelShape(snapshot, organizationId, channelClass, resourceIdOf(snapshot, organizationId, resource)),
  };
}

function channelShape(
  snapshot: PolicySnapshot,
  organizationId: string,
  channelClass: ChannelClass,
  resourceId: string,
): ChannelShape {
  const policy = appliedPolicy(snapshot, { class: channelClass, organizationId, resourceId });
  const weight = channelWeight(channelClass, policy.priority);
  // The lane has the rate of its own class already; droppable channels share theirs within the interactive lane.
  const ownRate = policy.scope === "resource" || channelClass === ChannelClass.DROPPABLE;
  const key = policy.scope === "resource" ? `${channelClass}/${resourceId}` : `${channelClass}`;
  return { weight, key, rate: ownRate ? laneShape(policy.rate) : undefined };
}

function resourceIdOf(snapshot: PolicySnapshot, organizationId: string, name: string): string {
  const known = [...snapshot.resourceRoutes, ...snapshot.resourceTargets];
  return known.find((each) => each.name === name && each.organizationId === organizationId)?.resourceId ?? "";
}

/** Gives a trunk its policy now. */
export function applyTrunkQos(snapshot: Snapshot | undefined, trunk: TrunkRunner): void {
  if (snapshot !== undefined) trunk.setQos(trunkQos(snapshot, trunk.organizationId));
}

/** Keeps live trunks at the policy of the newest snapshot. */
export function followQos(holder: SnapshotHolder, trunks: () => readonly TrunkRunner[]): Unsubscribe {
  return holder.onChange((snapshot) => {
    for (const trunk of trunks()) applyTrunkQos(snapshot, trunk);
  });
}
