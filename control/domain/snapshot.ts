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

import { toBinary } from "@bufbuild/protobuf";
import { scopeSnapshot } from "../../fabric/snapshot/scope.ts";
import { signSnapshotPayload } from "../../fabric/snapshot/sign.ts";
import type { SnapshotEnvelope } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { SnapshotSchema } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { StoreContext } from "../store/context.ts";
import {
  comparePositions,
  keepPayload,
  keptPayload,
  type SnapshotPosition,
  snapshotPosition,
} from "../store/snapshots.ts";
import type { Authority } from "./authority.ts";
import { type DatedView, loadClusterView } from "./cluster-view.ts";

export interface SnapshotDeps extends Pick<StoreContext, "sql" | "seal"> {
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
}

/** One source per process: it keeps the newest view of each cluster, so that a change is read once and not per node. */
export function snapshotSource(deps: SnapshotDeps): SnapshotSource {
  const views = new Map<string, DatedView>();
  const loading = new Map<string, Promise<DatedView>>();

  async function position(clusterId: string): Promise<SnapshotPosition> {
    const found = await snapshotPosition(deps.sql, clusterId);
    if (found === undefined) throw clusterNotFound();
    return found;
  }

  async function view(clusterId: string): Promise<DatedView> {
    const at = await position(clusterId);
    const kept = views.get(clusterId);
    if (kept !== undefined && reaches(kept, at)) return kept;
    const joined = await loading.get(clusterId);
    // What another caller was loading already may have begun before the change this one was told of.
    return joined !== undefined && reaches(joined, at) ? joined : await load(clusterId);
  }

  function load(clusterId: string): Promise<DatedView> {
    const running = loadClusterView(deps, clusterId).then((loaded) => {
      if (loaded === undefined) throw clusterNotFound();
      const newest = views.get(clusterId);
      if (newest === undefined || !reaches(newest, positionOf(loaded))) views.set(clusterId, loaded);
      return loaded;
    });
    const settled = running.finally(() => {
      if (loading.get(clusterId) === settled) loading.delete(clusterId);
    });
    loading.set(clusterId, settled);
    return settled;
  }

  return {
    position,
    view,
    async build(clusterId, nodeId) {
      const dated = await view(clusterId);
      const at = positionOf(dated);
      const key = { clusterId, nodeId, ...at };
      const payload =
        (await keptPayload(deps.sql, deps.seal, key)) ??
        (await keepPayload(deps.sql, deps.seal, key, encodeSnapshot(dated, nodeId)));
      const { keyId, privateKey, signed } = await deps.authority.signingKey(clusterId, "snapshot");
      const signer = { keyId, privateKey, statement: signed };
      return { ...at, envelope: signSnapshotPayload(signer, { clusterId, nodeId }, payload) };
    },
  };
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
function encodeSnapshot({ view, changedAtMs }: DatedView, nodeId: string): Uint8Array {
  const dates = { issuedAtMs: changedAtMs, notAfterMs: changedAtMs + limits.snapshotLifeMs };
  const payload = toBinary(SnapshotSchema, scopeSnapshot(view, nodeId, dates));
  if (payload.length > limits.snapshotMaxBytes) {
    throw new WeftError("resource_exhausted", "the snapshot is too large", { detail: "SNAPSHOT_SIZE", retry: "never" });
  }
  return payload;
}
