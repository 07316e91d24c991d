/**
 * What nodes show control about snapshots that should not be (THR-S1): two of one place with different content, and a node
 * that holds an older one than it said before.
 *
 * SE1. A contradiction is believed for its signature, not for who reports it: a node can at most show what some holder of the
 *      key signed for that very node. It is an alert about the key, which stays open until the key no longer signs.
 * SE2. A node keeps a snapshot on disk before it says that it holds it. One that comes with less than it has said runs on a
 *      disk that was put back, or on a copy of one: nothing on that disk can know, so control does. The alert stays for a
 *      day: what it tells of is over when it is told.
 * SE3. Each is one audit record when its alert opens.
 */

import { createHash } from "node:crypto";
import { sameBytes } from "../../certs/keys.ts";
import { verifySnapshot } from "../../fabric/snapshot/verify.ts";
import type { SnapshotEnvelope } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { openAlert } from "../store/alerts.ts";
import { appendAudit } from "../store/audit.ts";
import type { StoreContext } from "../store/context.ts";
import { closeOldRollbacks, closeSettledForks, highestHeld, keptPayloadHash } from "../store/snapshot-evidence.ts";
import { comparePositions, type SnapshotPosition } from "../store/snapshots.ts";
import type { Sql } from "../store/sql.ts";
import type { Authority } from "./authority.ts";

interface Whose {
  readonly clusterId: string;
  readonly nodeId: string;
}

type EvidenceDeps = StoreContext & { readonly authority: Pick<Authority, "installation"> };

export interface ForkReport extends Whose {
  readonly refused: SnapshotEnvelope;
  readonly heldPayloadHash: Uint8Array;
}

/** Takes a contradiction in (SE1). Throws what `verifySnapshot` throws, and `invalid_argument` when it is none. */
export async function takeFork(deps: EvidenceDeps, report: ForkReport): Promise<void> {
  const { clusterId, nodeId, refused, heldPayloadHash } = report;
  const { publicKeySpki: installationSpki } = await deps.authority.installation(deps.sql);
  const snapshot = verifySnapshot(refused, { installationSpki, clusterId, nodeId, nowMs: deps.clock.nowMs() });
  const refusedHash = createHash("sha256").update(refused.payload).digest();
  if (heldPayloadHash.length !== refusedHash.length || sameBytes(heldPayloadHash, refusedHash)) {
    throw new WeftError("invalid_argument", "the two do not contradict each other", { detail: "NO_FORK" });
  }
  const place = { epoch: Number(snapshot.epoch), version: Number(snapshot.version) };
  const own = await keptPayloadHash(deps.sql, { clusterId, nodeId, ...place });
  const whose = ownership(own, refusedHash, heldPayloadHash);
  const object = `signing-key/${refused.keyId}`;
  const at = `${place.epoch}.${place.version}`;
  const detail = `node ${nodeId} was shown two contents of snapshot ${at}, both rightly signed; ${whose}; the key has signed for somebody else, or control lost what it signed: rotate it`;
  await deps.sql.tx(async (tx) => {
    if (!(await openAlert(tx, { clusterId, kind: "snapshot-forked", object, detail }))) return;
    const after = { nodeId, ...place, refused: refusedHash, held: heldPayloadHash, whose };
    await appendAudit(tx, { actor: "system", action: "snapshot.forked", object, clusterId, after });
  });
}

function ownership(own: Uint8Array | undefined, refused: Uint8Array, held: Uint8Array): string {
  if (own === undefined) return "this control no longer knows which one it made";
  if (sameBytes(own, held)) return "the one it keeps is this control's";
  return sameBytes(own, refused) ? "the one it refused is this control's" : "neither is this control's";
}

/** Holds what a node says that it holds against what it said before (SE2). */
export async function judgeHeld(
  deps: Pick<StoreContext, "sql">,
  { clusterId, nodeId }: Whose,
  held: SnapshotPosition,
): Promise<void> {
  // Nothing held is no way back: the node's own mark still refuses what is older (node/high-water.ts).
  if (held.epoch === 0 && held.version === 0) return;
  const highest = await highestHeld(deps.sql, nodeId);
  if (highest === undefined || comparePositions(held, highest) >= 0) return;
  const object = `node/${nodeId}`;
  const detail = `it holds snapshot ${held.epoch}.${held.version} and has held ${highest.epoch}.${highest.version}: its disk was put back, or this is a copy of it; if nobody restored it, revoke it`;
  await deps.sql.tx(async (tx) => {
    if (!(await openAlert(tx, { clusterId, kind: "node-rolled-back", object, detail }))) return;
    const after = { held: `${held.epoch}.${held.version}`, before: `${highest.epoch}.${highest.version}` };
    await appendAudit(tx, { actor: "system", action: "node.rolled-back", object, clusterId, after });
  });
}

/** Ends what is over: keys that no longer sign, and what has been told for a day. */
export async function sweepSnapshotEvidence(sql: Sql): Promise<void> {
  await closeSettledForks(sql);
  await closeOldRollbacks(sql, limits.rolledBackAlertMs);
}
