/** Trunks and channels as NodeService shows them. */

import { create } from "@bufbuild/protobuf";
import type { TrunkRunner } from "../../edge/trunk-runner.ts";
import {
  type ExplainChannelRequest,
  type ExplainChannelResponse,
  ExplainChannelResponseSchema,
  type TrunkStatus,
  TrunkStatusSchema,
} from "../../gen/weft/node/v1/node_pb.ts";

function statusOf(trunk: TrunkRunner, initiator: boolean): TrunkStatus {
  const stats = trunk.stats();
  return create(TrunkStatusSchema, {
    trunkId: trunk.trunkIdHex,
    organizationId: trunk.organizationId,
    farNodeId: trunk.farEdge,
    initiator,
    attachments: stats.attachments.map(({ lane, active, ready, hops }) => ({ lane, active, ready, hops: [...hops] })),
    channels: stats.channelCount,
    bytesSent: BigInt(stats.bytesSent),
    bytesReceived: BigInt(stats.bytesReceived),
    replayBytes: BigInt(stats.replayBytes),
    ...(stats.rttMs === undefined ? {} : { rttMs: stats.rttMs }),
    moves: BigInt(stats.moves),
  });
}

/** Every trunk of this node, those it started first. */
export function trunkStatus(started: readonly TrunkRunner[], accepted: readonly TrunkRunner[]): TrunkStatus[] {
  return [...started.map((trunk) => statusOf(trunk, true)), ...accepted.map((trunk) => statusOf(trunk, false))];
}

/** A channel by trunk and number or by correlation id; undefined when it is not here. */
export function explainChannel(
  trunks: readonly TrunkRunner[],
  { trunkId, channelId, correlationId }: Pick<ExplainChannelRequest, "trunkId" | "channelId" | "correlationId">,
): ExplainChannelResponse | undefined {
  const wanted = correlationId === "" ? channelId : correlationId;
  const trunk = trunks.find(
    (one) => (trunkId === "" ? correlationId !== "" : one.trunkIdHex === trunkId) && one.channel(wanted) !== undefined,
  );
  const channel = trunk?.channel(wanted);
  if (trunk === undefined || channel === undefined) return undefined;
  const stats = channel.stats();
  const attachment = trunk.stats().attachments.find(({ lane, active }) => lane === channel.lane && active);
  return create(ExplainChannelResponseSchema, {
    resource: channel.request.resource,
    correlationId: channel.correlationId,
    hops: [...(attachment?.hops ?? [])],
    bytesSent: BigInt(stats.bytesSent),
    bytesReceived: BigInt(stats.bytesReceived),
    sendLimitBytes: BigInt(stats.sendLimitBytes),
    writtenToTarget: BigInt(stats.writtenToTarget),
    state: stats.state,
    trunkId: trunk.trunkIdHex,
    channelId: channel.channelId,
    lane: channel.lane,
    organizationId: trunk.organizationId,
    farNodeId: trunk.farEdge,
  });
}
