/**
 * Signed snapshots, built from rows.
 *
 * D1. One (node, epoch, version) has one payload, whichever replica builds it. A view is read at one position, the issue
 *     time is the time that position was reached, and measurements change only together with a position; what still differs
 *     between two readers (the audit head) is settled by keeping the head of the first one, with the hash of what it built
 *     (`snapshot_payload`). Whoever does not come to that hash (another release, or somebody edited rows that no position
 *     covers) sends nothing for the position and makes a new one.
 * D2. A snapshot grants what the rows granted when its version was reached, never more: a reader that is late builds for
 *     the position it read, not for the newest.
 * D3. Nothing is signed from an unauthentic row (control/store/trust.ts).
 */

import type { EncodedPayload } from "../../fabric/snapshot/delta.ts";
import { signSnapshotPayload } from "../../fabric/snapshot/sign.ts";
import type { SnapshotEnvelope } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { sharedRead } from "../../lib/batch.ts";
import { WeftError } from "../../lib/errors.ts";
import type { StoreContext } from "../store/context.ts";
import { comparePositions, type SnapshotPosition, snapshotPosition } from "../store/snapshots.ts";
import type { Authority } from "./authority.ts";
import { type DatedView, ViewReader } from "./cluster-view.ts";
import { SnapshotPace } from "./snapshot-pace.ts";
import { Disagreements, payloadBatch, positionOf } from "./snapshot-payloads.ts";

export interface SnapshotDeps extends Pick<StoreContext, "sql" | "seal" | "clock" | "hints"> {
  readonly authority: Pick<Authority, "bundle" | "signingKey">;
}

/** An envelope, the position it is for, and what its payload is made of. */
export interface BuiltSnapshot extends SnapshotPosition, EncodedPayload {
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
 * D4. Changes that come faster than snapshots can be made are taken together (control/domain/snapshot-pace.ts).
 */
export function snapshotSource(deps: SnapshotDeps): SnapshotSource {
  const reader = new ViewReader(deps);
  const views = new Map<string, DatedView>();
  const paces = new Map<string, SnapshotPace>();
  const disagreements = new Disagreements(deps);
  const payloads = payloadBatch(deps, paceOf);
  const position = sharedRead(async (clusterId) => {
    const found = await snapshotPosition(deps.sql, clusterId);
    if (found === undefined) throw clusterNotFound();
    return found;
  });
  const signingKey = sharedRead((clusterId) => deps.authority.signingKey(clusterId, "snapshot"));
  const loading = new Map<string, Promise<DatedView | undefined>>();
  const load = sharedRead(async (clusterId) => {
    const startedMs = deps.clock.monoMs();
    const reading = reader.read(clusterId);
    loading.set(clusterId, reading);
    const dated = await reading;
    if (dated === undefined) throw clusterNotFound();
    paceOf(clusterId).spent(deps.clock.monoMs() - startedMs);
    const newest = views.get(clusterId);
    if (newest !== undefined && reaches(newest, positionOf(dated))) return newest;
    views.set(clusterId, dated);
    return dated;
  });

  async function view(clusterId: string): Promise<DatedView> {
    const at = await position(clusterId);
    const found = reaching(clusterId, at);
    if (found !== undefined) return found;
    // A reading under way may be of this position already: half of a thousand watchers ask while it runs.
    await loading.get(clusterId)?.catch(() => {});
    return reaching(clusterId, at) ?? (await load(clusterId));
  }

  function reaching(clusterId: string, at: SnapshotPosition): DatedView | undefined {
    const newest = views.get(clusterId);
    return newest !== undefined && reaches(newest, at) ? newest : undefined;
  }

  function paceOf(clusterId: string): SnapshotPace {
    const pace = paces.get(clusterId) ?? new SnapshotPace(deps.clock);
    paces.set(clusterId, pace);
    return pace;
  }

  return {
    position,
    rest: (clusterId) => paceOf(clusterId).rest(),
    view,
    async build(clusterId, nodeId) {
      const dated = await view(clusterId);
      const at = positionOf(dated);
      const payload = await payloads.ask({ dated, clusterId, nodeId });
      if (payload === undefined) {
        await disagreements.leave(clusterId, at);
        const options = { detail: "SNAPSHOT_DISAGREED", retry: "now" } as const;
        throw new WeftError("unavailable", "another replica made something else of this version", options);
      }
      const { sections, payloadHash, bytes } = payload;
      const { keyId, privateKey, signed } = await signingKey(clusterId);
      const signer = { keyId, privateKey, statement: signed };
      const envelope = paceOf(clusterId).timed(() => signSnapshotPayload(signer, { clusterId, nodeId }, bytes));
      return { ...at, sections, payloadHash, envelope };
    },
  };
}

function reaches(dated: DatedView, at: SnapshotPosition): boolean {
  return comparePositions(positionOf(dated), at) >= 0;
}

function clusterNotFound(): WeftError {
  return new WeftError("not_found", "no such cluster", { detail: "CLUSTER_NOT_FOUND" });
}
