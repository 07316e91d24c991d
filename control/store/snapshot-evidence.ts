/** What the store knows for judging what nodes show of snapshots (control/domain/snapshot-evidence.ts). */

import type { PayloadKey, SnapshotPosition } from "./snapshots.ts";
import { one, type Queryable } from "./sql.ts";

/** SHA-256 of the payload this installation keeps for a place, while it keeps one. */
export async function keptPayloadHash(q: Queryable, key: PayloadKey): Promise<Uint8Array | undefined> {
  const rows = await q.query<{ hash: Uint8Array }>(
    `select payload_hash as hash from snapshot_payload
     where cluster_id = $1 and node_id = $2 and epoch = $3 and version = $4`,
    [key.clusterId, key.nodeId, key.epoch, key.version],
  );
  return one(rows)?.hash;
}

/** The place a node's newest beat said that it holds; undefined before the first beat. */
export async function highestHeld(q: Queryable, nodeId: string): Promise<SnapshotPosition | undefined> {
  const rows = await q.query<SnapshotPosition>(
    `select snapshot_epoch as epoch, snapshot_version as version from beat_latest where node_id = $1`,
    [nodeId],
  );
  return one(rows);
}

/** Closes alerts about keys that do not sign any more. */
export async function closeSettledForks(q: Queryable): Promise<void> {
  await q.query(
    `update alert a set closed_at_ms = now_ms()
     where a.kind = 'snapshot-forked' and a.closed_at_ms is null and not exists (
       select 1 from signing_key k
       where k.cluster_id = a.cluster_id and 'signing-key/' || k.key_id = a.object and k.status = 'active')`,
  );
}

/** Closes what has been open for so long. */
export async function closeOldRollbacks(q: Queryable, afterMs: number): Promise<void> {
  await q.query(
    `update alert set closed_at_ms = now_ms()
     where kind = 'node-rolled-back' and closed_at_ms is null and opened_at_ms < now_ms() - $1::bigint`,
    [afterMs],
  );
}
