/** weft.heartbeat.v1.HeartbeatService: nodes tell how they are. */

import type { ServiceImpl } from "@connectrpc/connect";
import type { BeatRequest, HeartbeatService } from "../../gen/weft/heartbeat/v1/heartbeat_pb.ts";
import { limits } from "../../lib/limits.ts";
import { nodeOf } from "../../rpc/caller.ts";
import { healthOf, skewOf } from "../domain/health.ts";
import type { RestoreHold } from "../domain/restore-hold.ts";
import { refreshMeasurements } from "../domain/upkeep.ts";
import { type BeatReport, recordBeat, storeNowMs } from "../store/beats.ts";
import type { StoreContext } from "../store/context.ts";
import { requireActiveMember } from "../store/memberships.ts";
import { snapshotPosition } from "../store/snapshots.ts";
import { capabilities, healths } from "../store/vocabulary.ts";
import { atMost, counter, ownId, shortText, within } from "./reports.ts";
import { callerOf, invalid } from "./service-context.ts";

const HASH_BYTES = 32;

export function heartbeatService(
  deps: StoreContext & { readonly hold: Pick<RestoreHold, "awaits"> },
): ServiceImpl<typeof HeartbeatService> {
  return {
    async beat(request, context) {
      const { nodeId, clusterId } = nodeOf(callerOf(context));
      const said = beatFromWire(request);
      await requireActiveMember(deps.sql, deps.seal, clusterId, nodeId);
      const receivedAtMs = await storeNowMs(deps.sql);
      const roundTripMs = request.lastRoundTripMs;
      const skewMs = skewOf({ sentAtMs: said.sentAtMs, receivedAtMs, roundTripMs });
      const health = healthOf({ beatAgeMs: 0, draining: said.draining });
      const position = await recordBeat(deps.sql, { ...said, nodeId, clusterId, receivedAtMs, skewMs });
      // A node that drains, or is back, is worth a snapshot before the next regular look.
      const published =
        position.publishedHealth !== health && (await refreshMeasurements(deps, clusterId, limits.healthRefreshMs));
      const { epoch, version } = (published ? await snapshotPosition(deps.sql, clusterId) : undefined) ?? position;
      return {
        nextBeatMs: BigInt(limits.beatEveryMs),
        receivedAtMs: BigInt(receivedAtMs),
        snapshotEpoch: BigInt(epoch),
        snapshotVersion: BigInt(version),
        health: healths.value(health),
        skewMs,
        returnFeeds: await deps.hold.awaits(clusterId, nodeId),
      };
    },
  };
}

type Said = Omit<BeatReport, "nodeId" | "clusterId" | "receivedAtMs" | "skewMs">;

function beatFromWire(request: BeatRequest): Said {
  const head = request.auditHead;
  if (head !== undefined && head.hash.length !== 0 && head.hash.length !== HASH_BYTES) {
    throw invalid("audit_head", "a hash has 32 bytes");
  }
  return {
    bootId: ownId("boot_id", request.bootId, limits.bootIdMaxBytes),
    seq: counter("seq", request.seq),
    sentAtMs: counter("sent_at_ms", request.sentAtMs),
    load: within("load", request.load, 0, 1),
    draining: request.draining,
    snapshotEpoch: counter("snapshot_epoch", request.snapshotEpoch),
    snapshotVersion: counter("snapshot_version", request.snapshotVersion),
    feedEpoch: counter("feed_epoch", request.feedEpoch),
    feedSeq: counter("feed_seq", request.feedSeq),
    // Capabilities this version has no name for cannot be asked for by any role.
    capabilities: [...new Set(request.capabilities.flatMap((each) => capabilities.text(each) ?? []))].sort(),
    version: shortText("version", request.version),
    operatorAddress: shortText("operator_address", request.operatorAddress),
    auditSeq: counter("audit_head", head?.seq ?? 0n),
    auditHash: head === undefined || head.hash.length === 0 ? null : head.hash,
    listeners: atMost("listeners", request.listeners, limits.reportedListenersMaxCount).map((report) => ({
      listenerId: shortText("listener_id", report.listenerId),
      boundAddress: shortText("bound_address", report.boundAddress),
      error: shortText("error", report.error),
    })),
  };
}
