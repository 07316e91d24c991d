/** weft.heartbeat.v1.HeartbeatService: nodes tell how they are. */

import type { ServiceImpl } from "@connectrpc/connect";
import type { BeatRequest, HeartbeatService } from "../../gen/weft/heartbeat/v1/heartbeat_pb.ts";
import { Batch } from "../../lib/batch.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { nodeOf } from "../../rpc/caller.ts";
import type { BundleAcks } from "../domain/bundle-acks.ts";
import type { FeedReceiptBook } from "../domain/feed-receipts.ts";
import { halfTripMs, healthOf } from "../domain/health.ts";
import type { RestoreHold } from "../domain/restore-hold.ts";
import { refreshMeasurements } from "../domain/upkeep.ts";
import { type BeatAnswer, type BeatReport, recordBeats } from "../store/beats.ts";
import type { StoreContext } from "../store/context.ts";
import { macFields as membershipMacFields, requireActiveMember } from "../store/memberships.ts";
import { snapshotPosition } from "../store/snapshots.ts";
import { requireAuthentic } from "../store/trust.ts";
import { capabilities, healths } from "../store/vocabulary.ts";
import { atMost, counter, ownId, shortText, within } from "./reports.ts";
import { callerOf, invalid } from "./service-context.ts";

const HASH_BYTES = 32;

export function heartbeatService(
  deps: StoreContext & {
    readonly hold: Pick<RestoreHold, "awaits">;
    readonly feedReceipts: Pick<FeedReceiptBook, "take">;
    readonly bundleAcks: Pick<BundleAcks, "take" | "versionOf">;
  },
): ServiceImpl<typeof HeartbeatService> {
  const beats = new Batch<BeatReport, BeatAnswer | undefined>({
    run: (reports) => recordAll(deps, reports),
    maxCount: limits.beatsPerStatementMaxCount,
    queueMaxCount: limits.beatQueueMaxCount,
  });
  return {
    async beat(request, context) {
      const { nodeId, clusterId } = nodeOf(callerOf(context));
      const said = beatFromWire(request);
      const health = healthOf({ beatAgeMs: 0, draining: said.draining });
      const kept = await beats.ask({ ...said, nodeId, clusterId });
      // Whoever is no active member is told so, in the words everybody else gets.
      if (kept === undefined) throw await refusalOf(deps, clusterId, nodeId);
      const fields = membershipMacFields({ clusterId, nodeId, status: "active" });
      requireAuthentic(deps.seal, "membership", fields, kept.membershipMac);
      if (request.feedReceipt !== undefined) await deps.feedReceipts.take(clusterId, nodeId, request.feedReceipt);
      const acknowledged =
        request.bundleAck === undefined
          ? deps.bundleAcks.versionOf(nodeId)
          : await deps.bundleAcks.take(clusterId, nodeId, request.bundleAck);
      // A node that drains, or is back, is worth a snapshot before the next regular look. One that changes its mind with
      // every beat is not: a version reaches every node.
      const settled = (kept.publishedForMs ?? Number.POSITIVE_INFINITY) >= limits.graphRefreshMs;
      const published =
        kept.publishedHealth !== health &&
        settled &&
        (await refreshMeasurements(deps, clusterId, limits.healthRefreshMs));
      const { epoch, version } = (published ? await snapshotPosition(deps.sql, clusterId) : undefined) ?? kept;
      return {
        nextBeatMs: BigInt(limits.beatEveryMs),
        receivedAtMs: BigInt(kept.receivedAtMs),
        snapshotEpoch: BigInt(epoch),
        snapshotVersion: BigInt(version),
        health: healths.value(health),
        skewMs: kept.skewMs,
        returnFeeds: await deps.hold.awaits(clusterId, nodeId),
        acknowledgedBundleVersion: BigInt(acknowledged),
      };
    },
  };
}

/**
 * Records beats in statements of one beat a node. Of several of one boot the newest says it all: a node that has fallen
 * behind and sends many at once costs one, and all of them get its answer. Two boots at once are two hosts (or one that was
 * started again), and recorded both.
 */
async function recordAll(deps: StoreContext, reports: readonly BeatReport[]): Promise<(BeatAnswer | undefined)[]> {
  const answers = new Map<BeatReport, BeatAnswer>();
  const newest = newestOfBoots(reports);
  let left = [...new Set(newest.values())];
  while (left.length > 0) {
    const now = new Map<string, BeatReport>();
    const later: BeatReport[] = [];
    for (const report of left) {
      if (now.has(report.nodeId)) later.push(report);
      else now.set(report.nodeId, report);
    }
    for (const row of await recordBeats(deps.sql, [...now.values()])) {
      const report = now.get(row.nodeId);
      if (report !== undefined) answers.set(report, row);
    }
    left = later;
  }
  return reports.map((report) => answers.get(newest.get(bootOf(report)) ?? report));
}

function bootOf({ clusterId, nodeId, bootId }: BeatReport): string {
  return `${clusterId} ${nodeId} ${bootId}`;
}

function newestOfBoots(reports: readonly BeatReport[]): ReadonlyMap<string, BeatReport> {
  const newest = new Map<string, BeatReport>();
  for (const report of reports) {
    const boot = bootOf(report);
    if (report.seq >= (newest.get(boot)?.seq ?? 0)) newest.set(boot, report);
  }
  return newest;
}

async function refusalOf(deps: StoreContext, clusterId: string, nodeId: string): Promise<WeftError> {
  await requireActiveMember(deps.sql, deps.seal, clusterId, nodeId);
  return new WeftError("aborted", "the membership changed meanwhile", { detail: "MEMBERSHIP_CHANGED", retry: "now" });
}

type Said = Omit<BeatReport, "nodeId" | "clusterId">;

function beatFromWire(request: BeatRequest): Said {
  const head = request.auditHead;
  if (head !== undefined && head.hash.length !== 0 && head.hash.length !== HASH_BYTES) {
    throw invalid("audit_head", "a hash has 32 bytes");
  }
  return {
    bootId: ownId("boot_id", request.bootId, limits.bootIdMaxBytes),
    seq: counter("seq", request.seq),
    sentAtMs: counter("sent_at_ms", request.sentAtMs),
    halfTripMs: halfTripMs(request.lastRoundTripMs),
    driftPpm: request.clockDriftPpm === undefined ? null : within("clock_drift_ppm", request.clockDriftPpm, -1e6, 1e6),
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
