/**
 * The payloads of snapshots, and how replicas come to the same ones (D1 of control/domain/snapshot.ts): what each builds is
 * held against the hash of whoever was first.
 */

import { type AuditHead, sameHash } from "../../fabric/audit/chain.ts";
import { type EncodedPayload, payloadHashOf } from "../../fabric/snapshot/delta.ts";
import { joinSections } from "../../fabric/snapshot/encode.ts";
import { encodeSnapshot } from "../../fabric/snapshot/scope.ts";
import { Batch } from "../../lib/batch.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { StoreContext } from "../store/context.ts";
import {
  bumpSnapshot,
  comparePositions,
  type KeptPayload,
  keepPayloads,
  type SnapshotPosition,
  snapshotPosition,
} from "../store/snapshots.ts";
import type { DatedView } from "./cluster-view.ts";
import type { SnapshotPace } from "./snapshot-pace.ts";

/** Whose payload is wanted of which view. */
export interface WantedPayload {
  readonly dated: DatedView;
  readonly clusterId: string;
  readonly nodeId: string;
}

/** A payload as it is sent. */
export interface Payload extends EncodedPayload {
  readonly bytes: Uint8Array;
}

/**
 * Builds payloads in runs of so many, so that a thousand watchers do not keep everything else of this process waiting.
 * Answers undefined where another replica made something else of the position.
 */
export function payloadBatch(
  deps: Pick<StoreContext, "sql" | "seal">,
  paceOf: (clusterId: string) => SnapshotPace,
): Batch<WantedPayload, Payload | undefined> {
  return new Batch({
    async run(wanted) {
      const built = wanted.map(({ dated, clusterId, nodeId }) => {
        const payload = paceOf(clusterId).timed(() => encode(dated, nodeId));
        const key = { clusterId, nodeId, ...positionOf(dated) };
        return { dated, payload, key, payloadHash: payload.payloadHash, auditHead: headOf(dated) };
      });
      const kept = await keepPayloads(deps.sql, deps.seal, built);
      return built.map(({ dated, payload, key }, at) => agree(dated, key.nodeId, payload, kept[at]));
    },
    maxCount: limits.payloadsPerStatementMaxCount,
    queueMaxCount: limits.publicSocketsMaxCount,
  });
}

/** What becomes of positions that another replica made something else of. */
export class Disagreements {
  readonly #deps: Pick<StoreContext, "sql" | "hints" | "clock">;
  readonly #leftMs = new Map<string, number>();

  constructor(deps: Pick<StoreContext, "sql" | "hints" | "clock">) {
    this.#deps = deps;
  }

  /** Makes a new position of a cluster, unless somebody did: not more often than `limits.snapshotLeaveEveryMs`. */
  async leave(clusterId: string, at: SnapshotPosition): Promise<void> {
    const { sql, hints, clock } = this.#deps;
    const nowMs = clock.monoMs();
    if (nowMs - (this.#leftMs.get(clusterId) ?? Number.NEGATIVE_INFINITY) < limits.snapshotLeaveEveryMs) return;
    this.#leftMs.set(clusterId, nowMs);
    await sql.tx(async (tx) => {
      const now = await snapshotPosition(tx, clusterId);
      if (now !== undefined && comparePositions(now, at) <= 0) await bumpSnapshot(tx, hints, clusterId);
    });
  }
}

/** The position a view is of. */
export function positionOf({ view }: DatedView): SnapshotPosition {
  return { epoch: Number(view.epoch), version: Number(view.version) };
}

function headOf({ view }: DatedView): AuditHead {
  return { seq: Number(view.auditHead.seq), hash: view.auditHead.hash };
}

/** The payload of a node's snapshot of a view. Throws `resource_exhausted` (SNAPSHOT_SIZE). */
function encode({ view, changedAtMs }: DatedView, nodeId: string): Payload {
  const dates = { issuedAtMs: changedAtMs, notAfterMs: changedAtMs + limits.snapshotLifeMs };
  const sections = encodeSnapshot(view, nodeId, dates);
  const bytes = joinSections(sections);
  if (bytes.length > limits.snapshotMaxBytes) {
    throw new WeftError("resource_exhausted", "the snapshot is too large", { detail: "SNAPSHOT_SIZE", retry: "never" });
  }
  return { sections, bytes, payloadHash: payloadHashOf(bytes) };
}

/** The payload that counts, under whoever's audit head it was built first; undefined when that cannot be made from this view. */
function agree(dated: DatedView, nodeId: string, built: Payload, kept: KeptPayload | undefined): Payload | undefined {
  if (kept === undefined) return undefined;
  if (sameHash(built.payloadHash, kept.payloadHash)) return built;
  const { seq, hash } = kept.auditHead;
  const again = encode({ ...dated, view: { ...dated.view, auditHead: { seq: BigInt(seq), hash } } }, nodeId);
  return sameHash(again.payloadHash, kept.payloadHash) ? again : undefined;
}
