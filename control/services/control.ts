/**
 * weft.control.v1.ControlService: configuration on its way to nodes, and what they say of their workloads.
 *
 * W1. Subscribe, then read, then wait: a change between two reads rings, and a lost hint costs `limits.watchPollMs`.
 * W2. A slow reader gets the newest snapshot behind the one it is still reading, never the ones between.
 * W3. The feed goes first, on every change and every `limits.feedEveryMs`: what may no longer act is known before what may.
 * W4. A disabled member is sent the snapshot that grants nothing, once, and the stream ends saying so.
 * W5. A node that takes deltas is sent what has changed since the snapshot before it in its stream, whenever that is less
 *     than the whole. A stream begins with a whole snapshot: what a node holds from before is not this process's to know.
 */

import { create } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { type EncodedPayload, partsOf } from "../../fabric/snapshot/delta.ts";
import type {
  ControlService,
  ReportWorkloadsRequest,
  WatchSnapshotRequest,
} from "../../gen/weft/control/v1/control_pb.ts";
import type { SignedFeed } from "../../gen/weft/fabric/v1/feed_pb.ts";
import {
  type SnapshotDelta,
  SnapshotDeltaSchema,
  type SnapshotEnvelope,
} from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { Batch } from "../../lib/batch.ts";
import { limits } from "../../lib/limits.ts";
import { nodeOf } from "../../rpc/caller.ts";
import type { Authority } from "../domain/authority.ts";
import type { FeedSource, IssuedFeed } from "../domain/feed.ts";
import type { RestoreHold } from "../domain/restore-hold.ts";
import { learnFrom } from "../domain/restore-learn.ts";
import type { BuiltSnapshot, SnapshotSource } from "../domain/snapshot.ts";
import { judgeHeld, takeFork } from "../domain/snapshot-evidence.ts";
import { Wake } from "../domain/wake.ts";
import { alertWorkloads } from "../domain/workload-alerts.ts";
import { kindText } from "../domain/workload-spec.ts";
import type { StoreContext } from "../store/context.ts";
import {
  getMemberships,
  type MembershipRow,
  membershipDisabled,
  requireActiveMember,
  requireUnrevoked,
} from "../store/memberships.ts";
import { feedTopic } from "../store/revocations.ts";
import { comparePositions, type SnapshotPosition, snapshotTopic } from "../store/snapshots.ts";
import { roles, workloadStates } from "../store/vocabulary.ts";
import { replaceWorkloads, type WorkloadStateName } from "../store/workloads.ts";
import { atMost, counter, ownId, shortText } from "./reports.ts";
import { callerOf, invalid } from "./service-context.ts";

export interface ControlServiceDeps extends StoreContext {
  readonly snapshots: SnapshotSource;
  readonly feeds: FeedSource;
  readonly authority: Pick<Authority, "installation">;
  readonly hold: RestoreHold;
}

export function controlService(deps: ControlServiceDeps): ServiceImpl<typeof ControlService> {
  // One change wakes every watcher at once: what each of them reads is read together.
  const members: Members = new Batch({
    run: (keys) => getMemberships(deps.sql, deps.seal, keys),
    maxCount: limits.watchersPerStatementMaxCount,
    queueMaxCount: limits.publicSocketsMaxCount,
  });
  return {
    watchSnapshot: (request, context) => watchSnapshot(deps, members, request, context),
    async reportWorkloads(request, context) {
      const { nodeId, clusterId } = nodeOf(callerOf(context));
      const workloads = workloadsFromWire(request);
      await requireActiveMember(deps.sql, deps.seal, clusterId, nodeId);
      await deps.sql.tx(async (tx) => {
        await replaceWorkloads(tx, clusterId, nodeId, workloads);
        await alertWorkloads(tx, deps.seal, { clusterId, nodeId }, workloads);
      });
      return {};
    },
    async returnFeeds(request, context) {
      const { nodeId, clusterId } = nodeOf(callerOf(context));
      const head = request.auditHead;
      const learned = await learnFrom(deps, {
        clusterId,
        nodeId,
        feeds: atMost("feeds", request.feeds, limits.keptFeedsMaxCount),
        auditSeq: counter("audit_head", head?.seq ?? 0n),
        auditHash: head === undefined || head.hash.length !== 32 ? null : head.hash,
        snapshotEpoch: counter("snapshot_epoch", request.snapshotEpoch),
        snapshotVersion: counter("snapshot_version", request.snapshotVersion),
      });
      return { learned };
    },
    async reportSnapshotFork({ refused, heldPayloadHash }, context) {
      const { nodeId, clusterId } = nodeOf(callerOf(context));
      if (refused === undefined) throw invalid("refused", "the refused snapshot is missing");
      await takeFork(deps, { clusterId, nodeId, refused, heldPayloadHash });
      return {};
    },
  };
}

type Sent =
  | { readonly message: { readonly case: "snapshot"; readonly value: SnapshotEnvelope } }
  | { readonly message: { readonly case: "delta"; readonly value: SnapshotDelta } }
  | { readonly message: { readonly case: "feed"; readonly value: SignedFeed } };

type Members = Batch<{ readonly clusterId: string; readonly nodeId: string }, MembershipRow | undefined>;

async function* watchSnapshot(
  deps: ControlServiceDeps,
  members: Members,
  request: WatchSnapshotRequest,
  context: HandlerContext,
): AsyncGenerator<Sent> {
  const { nodeId, clusterId } = nodeOf(callerOf(context));
  const wake = new Wake();
  // W1: subscribed before the first read.
  const undo = [snapshotTopic, feedTopic].map((topic) => deps.hints.subscribe(topic(clusterId), wake.ring));
  try {
    let held: SnapshotPosition = {
      epoch: counter("epoch", request.epoch),
      version: counter("version", request.version),
    };
    await judgeHeld(deps, { clusterId, nodeId }, held);
    let told: IssuedFeed | undefined;
    let sent: EncodedPayload | undefined;
    while (!context.signal.aborted) {
      const { status } = requireUnrevoked(await members.ask({ clusterId, nodeId }));
      const feed = await deps.feeds.current(clusterId);
      if (isNews(told, feed)) {
        yield { message: { case: "feed", value: feed.feed } };
        told = feed;
      }
      // Nothing is granted anew before it is known what a restore has forgotten.
      const grants = !(await deps.hold.holds());
      const isBehind = grants && comparePositions(await deps.snapshots.position(clusterId), held) > 0;
      const rest = isBehind ? deps.snapshots.rest(clusterId) : undefined;
      if (rest !== undefined) {
        // Waited for here and not in a build: a revocation goes out meanwhile (W3).
        void rest.then(wake.ring);
        await wake.wait(deps.clock, limits.watchPollMs, context.signal);
        continue;
      }
      if (isBehind) {
        const built = await deps.snapshots.build(clusterId, nodeId);
        yield messageOf(request.takesDeltas ? sent : undefined, built);
        sent = { sections: built.sections, payloadHash: built.payloadHash };
        held = { epoch: built.epoch, version: built.version };
      }
      if (status !== "active") throw membershipDisabled();
      await wake.wait(deps.clock, limits.watchPollMs, context.signal);
    }
  } finally {
    for (const unsubscribe of undo) unsubscribe();
  }
}

/** A snapshot as a delta to the one sent before (W5), or as a whole. */
function messageOf(before: EncodedPayload | undefined, { envelope, sections, payloadHash }: BuiltSnapshot): Sent {
  const parts = before === undefined ? undefined : partsOf(before.sections, sections);
  if (before === undefined || parts === undefined) return { message: { case: "snapshot", value: envelope } };
  const { keyId, signature, signingKey } = envelope;
  const fields = { baseHash: before.payloadHash, payloadHash, parts, keyId, signature };
  const value = create(SnapshotDeltaSchema, signingKey === undefined ? fields : { ...fields, signingKey });
  return { message: { case: "delta", value } };
}

/** Whether a feed says something new, or says it again after a feed period (W3). */
function isNews(told: IssuedFeed | undefined, feed: IssuedFeed): boolean {
  if (told === undefined || told.feedEpoch !== feed.feedEpoch || told.feedSeq !== feed.feedSeq) return true;
  return feed.issuedAtMs - told.issuedAtMs >= limits.feedEveryMs - limits.watchPollMs;
}

function workloadsFromWire(request: ReportWorkloadsRequest) {
  const reports = atMost("workloads", request.workloads, limits.reportedWorkloadsMaxCount).map((report) => {
    const state = workloadStates.text(report.state) as WorkloadStateName | undefined;
    if (state === undefined) throw invalid("state", "no such state of a workload");
    return {
      name: ownId("name", report.name, limits.reportedTextMaxBytes),
      role: roles.text(report.role) ?? "",
      state,
      reason: shortText("reason", report.reason),
      version: shortText("version", report.version),
      // A node that says no kind is one that knows its roles only.
      kind: kindText(report.kind) ?? "builtin",
      restarts: counter("restarts", report.restarts),
      fingerprint: shortText("fingerprint", report.fingerprint),
    };
  });
  if (new Set(reports.map(({ name }) => name)).size !== reports.length)
    throw invalid("name", "a workload is named twice");
  return reports;
}
