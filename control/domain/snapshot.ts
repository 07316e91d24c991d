/**
 * Signed snapshots, built from rows.
 *
 * D1. One (node, epoch, version) has one payload, whichever replica builds it. A view is read at one position, the issue
 *     time is the time that position was reached, and measurements change only together with a position; what still differs
 *     between two readers (the audit head) is settled by keeping the first payload (`snapshot_payload`).
 * D2. A snapshot grants what the rows granted when its version was reached, never more: a reader that is late builds for
 *     the position it read, not for the newest.
 * D3. Nothing is signed from an unauthentic row (control/store/trust.ts).
 */

import { joinSections } from "../../fabric/snapshot/encode.ts";
import { encodeSnapshot } from "../../fabric/snapshot/scope.ts";
import { signSnapshotPayload } from "../../fabric/snapshot/sign.ts";
import type { SnapshotEnvelope } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { Batch, sharedRead } from "../../lib/batch.ts";
import { sleep } from "../../lib/clock.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { StoreContext } from "../store/context.ts";
import { comparePositions, keepPayloads, type SnapshotPosition, snapshotPosition } from "../store/snapshots.ts";
import type { Authority } from "./authority.ts";
import { type DatedView, ViewReader } from "./cluster-view.ts";

export interface SnapshotDeps extends Pick<StoreContext, "sql" | "seal" | "clock"> {
  readonly authority: Pick<Authority, "bundle" | "signingKey">;
}

/** An envelope and the position it is for. */
export interface BuiltSnapshot extends SnapshotPosition {
  readonly envelope: SnapshotEnvelope;
}

export interface SnapshotSource {
  /** The newest snapshot of a node. NOT_FOUND for a node that is revoked or not in this cluster. */
  build(clusterId: string, nodeId: string): Promise<BuiltSnapshot>;
  /** The cluster's view at its newest position: what routes are explained over. */
  view(clusterId: string): Promise<DatedView>;
  position(clusterId: string): Promise<SnapshotPosition>;
  /** When it is time for the next version after the one sent last (D4); undefined: now. */
  rest(clusterId: string): Promise<void> | undefined;
}

/**
 * One source per process: it keeps the newest view of each cluster, so that a change is read once and not per node.
 *
 * D4. Changes that come faster than snapshots can be made are taken together: after a view has cost so much time, the next
 *     one waits (`rest`) until a multiple of that has gone by, `limits.snapshotRestMaxMs` at most. The first change is not
 *     kept waiting.
 */
export function snapshotSource(deps: SnapshotDeps): SnapshotSource {
  const reader = new ViewReader(deps);
  const views = new Map<string, KeptView>();
  const resting = new Map<string, Promise<void>>();
  // In runs of so many, so that a thousand watchers do not keep everything else of this process waiting.
  const payloads = new Batch<Wanted, Uint8Array>({
    async run(wanted) {
      const startedMs = deps.clock.monoMs();
      const built = wanted.map(({ view, clusterId, nodeId }) => ({
        key: { clusterId, nodeId, ...positionOf(view.dated) },
        payload: payloadOf(view.dated, nodeId),
      }));
      const kept = await keepPayloads(deps.sql, deps.seal, built);
      const newest = wanted.at(-1);
      if (newest !== undefined) newest.view.costMs += deps.clock.monoMs() - startedMs;
      return kept;
    },
    maxCount: limits.payloadsPerStatementMaxCount,
    queueMaxCount: limits.publicSocketsMaxCount,
  });
  const position = sharedRead(async (clusterId) => {
    const found = await snapshotPosition(deps.sql, clusterId);
    if (found === undefined) throw clusterNotFound();
    return found;
  });
  const signingKey = sharedRead((clusterId) => deps.authority.signingKey(clusterId, "snapshot"));
  const load = sharedRead(async (clusterId) => {
    const startedMs = deps.clock.monoMs();
    const dated = await reader.read(clusterId);
    if (dated === undefined) throw clusterNotFound();
    const newest = views.get(clusterId);
    const loaded: KeptView = { dated, startedMs, costMs: deps.clock.monoMs() - startedMs };
    if (newest !== undefined && reaches(newest.dated, positionOf(dated))) return newest;
    views.set(clusterId, loaded);
    return loaded;
  });

  async function kept(clusterId: string): Promise<KeptView> {
    const at = await position(clusterId);
    const newest = views.get(clusterId);
    return newest !== undefined && reaches(newest.dated, at) ? newest : await load(clusterId);
  }

  /** Everybody who waits for the next view of a cluster waits for the same moment (D4). */
  function rest(clusterId: string): Promise<void> | undefined {
    const newest = views.get(clusterId);
    if (newest === undefined) return undefined;
    const { startedMs, costMs } = newest;
    const restMs = Math.min(limits.snapshotRestMaxMs, costMs * limits.snapshotRestShare);
    const leftMs = startedMs + costMs + restMs - deps.clock.monoMs();
    if (leftMs <= 0) return undefined;
    const running = resting.get(clusterId) ?? sleep(deps.clock, leftMs).finally(() => resting.delete(clusterId));
    resting.set(clusterId, running);
    return running;
  }

  return {
    position,
    rest,
    view: async (clusterId) => (await kept(clusterId)).dated,
    async build(clusterId, nodeId) {
      const view = await kept(clusterId);
      const at = positionOf(view.dated);
      const payload = await payloads.ask({ view, clusterId, nodeId });
      const { keyId, privateKey, signed } = await signingKey(clusterId);
      const signer = { keyId, privateKey, statement: signed };
      return { ...at, envelope: signSnapshotPayload(signer, { clusterId, nodeId }, payload) };
    },
  };
}

interface Wanted {
  readonly view: KeptView;
  readonly clusterId: string;
  readonly nodeId: string;
}

/** A view, since when this process has been at it, and how long so far. */
interface KeptView {
  readonly dated: DatedView;
  readonly startedMs: number;
  costMs: number;
}

function positionOf({ view }: DatedView): SnapshotPosition {
  return { epoch: Number(view.epoch), version: Number(view.version) };
}

function reaches(dated: DatedView, at: SnapshotPosition): boolean {
  return comparePositions(positionOf(dated), at) >= 0;
}

function clusterNotFound(): WeftError {
  return new WeftError("not_found", "no such cluster", { detail: "CLUSTER_NOT_FOUND" });
}

/** The payload of a node's snapshot of a view. Throws `resource_exhausted` (SNAPSHOT_SIZE). */
function payloadOf({ view, changedAtMs }: DatedView, nodeId: string): Uint8Array {
  const dates = { issuedAtMs: changedAtMs, notAfterMs: changedAtMs + limits.snapshotLifeMs };
  const payload = joinSections(encodeSnapshot(view, nodeId, dates));
  if (payload.length > limits.snapshotMaxBytes) {
    throw new WeftError("resource_exhausted", "the snapshot is too large", { detail: "SNAPSHOT_SIZE", retry: "never" });
  }
  return payload;
}
