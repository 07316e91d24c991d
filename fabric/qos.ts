/**
 * Which QoS policy counts, and what it means for paths, lanes and channels. Pure; nodes use it to enforce, control to explain.
 *
 * QO1. The most specific policy of a class counts, whole: the resource's, else its organization's, else the cluster's, else
 *      the default (what is felt goes first, nothing is capped).
 * QO2. A path and a lane carry several resources, and relays know none: they are bound by the policy of the organization (or
 *      cluster). A resource's policy bounds that resource's channels within the lane.
 * QO3. Edges stay a little below what relays allow, in rate and in burst, so that relays have nothing to hold back: what
 *      waits, waits in its own lane at the edge and delays nobody (LAW-T4).
 */

import { ChannelClass } from "../gen/weft/fabric/v1/role_pb.ts";
import type { QosPolicy, Snapshot } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import { limits } from "../lib/limits.ts";
import type { RateShape } from "../lib/rate-bucket.ts";

/** The parts of a snapshot that policies are in. */
export type QosSource = Pick<Snapshot, "qos" | "resourceQos">;

/** The fields of a policy that these rules read; messages and plain records both fit. */
export type QosFields = Pick<
  QosPolicy,
  "class" | "priority" | "rateBytesPerSecond" | "burstBytes" | "organizationId" | "resourceId"
>;

export type QosScope = "resource" | "organization" | "cluster" | "default";

/** What applies to some traffic, and whose word it is. */
export interface AppliedPolicy {
  readonly scope: QosScope;
  readonly class: ChannelClass;
  readonly priority: number;
  /** Undefined: unlimited. The burst is never 0. */
  readonly rate: RateShape | undefined;
}

export interface QosQuestion {
  readonly class: ChannelClass;
  readonly organizationId: string;
  /** Empty or absent: what no resource's policy decides, such as a path. */
  readonly resourceId?: string;
}

/** The priority of a class nobody set a policy for; also what weights are relative to. */
export function defaultPriority(channelClass: ChannelClass): number {
  switch (channelClass) {
    case ChannelClass.INTERACTIVE:
      return 8;
    case ChannelClass.DROPPABLE:
      return 4;
    default:
      return 1;
  }
}

/** The policy that counts (QO1). */
export function appliedPolicy(
  source: { readonly qos: readonly QosFields[]; readonly resourceQos: readonly QosFields[] } | undefined,
  question: QosQuestion,
): AppliedPolicy {
  const { class: channelClass, organizationId, resourceId = "" } = question;
  const find = (rows: readonly QosFields[], organization: string, resource: string): QosFields | undefined =>
    rows.find(
      (row) => row.class === channelClass && row.organizationId === organization && row.resourceId === resource,
    );
  const own = resourceId === "" ? undefined : find(source?.resourceQos ?? [], organizationId, resourceId);
  if (own !== undefined) return applied("resource", own);
  const organization = organizationId === "" ? undefined : find(source?.qos ?? [], organizationId, "");
  if (organization !== undefined) return applied("organization", organization);
  const cluster = find(source?.qos ?? [], "", "");
  if (cluster !== undefined) return applied("cluster", cluster);
  return { scope: "default", class: channelClass, priority: defaultPriority(channelClass), rate: undefined };
}

function applied(scope: QosScope, row: QosFields): AppliedPolicy {
  const priority = row.priority === 0 ? defaultPriority(row.class) : row.priority;
  return { scope, class: row.class, priority, rate: rateShape(row.rateBytesPerSecond, row.burstBytes) };
}

/** A rate and burst as wire fields say it: a rate of 0 is unlimited, a burst of 0 the default for the rate. */
export function rateShape(rateBytesPerSecond: bigint, burstBytes: bigint): RateShape | undefined {
  if (rateBytesPerSecond <= 0n) return undefined;
  const rate = Number(rateBytesPerSecond);
  const byRate = (rate * limits.spliceRateBurstMs) / 1_000;
  const burst = burstBytes > 0n ? Number(burstBytes) : Math.max(limits.qosBurstDefaultMinBytes, Math.floor(byRate));
  return { rateBytesPerSecond: rate, burstBytes: Math.max(burst, limits.qosBurstMinBytes) };
}

/** The lower rate and the lower burst of two; undefined is unlimited. */
export function strictest(a: RateShape | undefined, b: RateShape | undefined): RateShape | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return {
    rateBytesPerSecond: Math.min(a.rateBytesPerSecond, b.rateBytesPerSecond),
    burstBytes: Math.min(a.burstBytes, b.burstBytes),
  };
}

/** What an edge lets into a lane of which relays police the path at `rate` (QO3). */
export function laneShape(rate: RateShape | undefined): RateShape | undefined {
  if (rate === undefined) return undefined;
  return {
    rateBytesPerSecond: rate.rateBytesPerSecond * limits.qosLaneShare,
    burstBytes: Math.floor(rate.burstBytes / 2),
  };
}

/** A channel's share among those that wait in its lane: 1 is what its lane's own class has by default. */
export function channelWeight(channelClass: ChannelClass, priority: number): number {
  const bulk = channelClass === ChannelClass.BULK || channelClass === ChannelClass.UNSPECIFIED;
  return priority / defaultPriority(bulk ? ChannelClass.BULK : ChannelClass.INTERACTIVE);
}
