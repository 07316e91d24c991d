/**
 * What a restore left behind: where the backup stood, and what nodes have told since. Observations: they grant nothing, and
 * the epoch that a restore raised is in the authenticated row of the installation.
 */

import { limits } from "../../lib/limits.ts";
import type { ClusterPosition } from "./backup-file.ts";
import { one, type Queryable } from "./sql.ts";

export type Settled = "" | "answered" | "waited" | "accepted";

export interface RestoreRow {
  readonly id: string;
  readonly restoredAtMs: number;
  readonly takenAtMs: number;
  readonly backupEpoch: number;
  readonly backupAuditSeq: number;
  readonly positions: readonly ClusterPosition[];
  readonly epoch: number;
  readonly settledAtMs: number | null;
  readonly settledHow: Settled;
  /** Since the restore, by the store's clock. */
  readonly ageMs: number;
}

export interface WitnessRow {
  readonly clusterId: string;
  readonly nodeId: string;
  /** `unknown`: came with a certificate of this installation that the store does not have. */
  readonly kind: "returned" | "unknown";
  readonly auditSeq: number;
  readonly snapshotEpoch: number;
  readonly snapshotVersion: number;
  readonly feedEpoch: number;
  readonly feedSeq: number;
  readonly learnedCount: number;
  readonly seenAtMs: number;
}

/** The newest restore, settled or not; undefined in a store that never was. */
export async function newestRestore(q: Queryable): Promise<RestoreRow | undefined> {
  return one(
    await q.query<RestoreRow>(
      `select id, restored_at_ms as "restoredAtMs", taken_at_ms as "takenAtMs", backup_epoch as "backupEpoch",
         backup_audit_seq as "backupAuditSeq", positions, epoch, settled_at_ms as "settledAtMs",
         settled_how as "settledHow", now_ms() - restored_at_ms as "ageMs"
       from store_restore order by restored_at_ms desc, id limit 1`,
    ),
  );
}

/** Settles a restore; false when it was settled already. */
export async function settleRestore(q: Queryable, id: string, how: Exclude<Settled, "">): Promise<boolean> {
  const rows = await q.query(
    `update store_restore set settled_at_ms = now_ms(), settled_how = $2 where id = $1 and settled_at_ms is null
     returning id`,
    [id, how],
  );
  return rows.length === 1;
}

/** What nodes have told since a restore, at most `limits.listPageMaxCount` of them. */
export async function witnessesOf(q: Queryable, restoreId: string): Promise<readonly WitnessRow[]> {
  return await q.query<WitnessRow>(
    `select cluster_id as "clusterId", node_id as "nodeId", kind, audit_seq as "auditSeq",
       snapshot_epoch as "snapshotEpoch", snapshot_version as "snapshotVersion", feed_epoch as "feedEpoch",
       feed_seq as "feedSeq", learned_count as "learnedCount", seen_at_ms as "seenAtMs"
     from store_witness where restore_id = $1 order by cluster_id, node_id, kind limit ${limits.listPageMaxCount}`,
    [restoreId],
  );
}

export interface NewWitness extends Omit<WitnessRow, "seenAtMs"> {
  readonly auditHash: Uint8Array | null;
}

/** Keeps what a node told. The table is bounded: beyond that only the newest of known ones are kept up to date. */
export async function recordWitness(q: Queryable, restoreId: string, row: NewWitness): Promise<void> {
  await q.query(
    `insert into store_witness (restore_id, cluster_id, node_id, kind, audit_seq, audit_hash, snapshot_epoch,
       snapshot_version, feed_epoch, feed_seq, learned_count)
     select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11
     where (select count(*) from store_witness where restore_id = $1) < ${limits.restoreWitnessesMaxCount}
     on conflict (restore_id, cluster_id, node_id, kind) do update set seen_at_ms = now_ms(),
       audit_seq = greatest(store_witness.audit_seq, excluded.audit_seq), audit_hash = excluded.audit_hash,
       snapshot_epoch = greatest(store_witness.snapshot_epoch, excluded.snapshot_epoch),
       snapshot_version = greatest(store_witness.snapshot_version, excluded.snapshot_version),
       feed_epoch = greatest(store_witness.feed_epoch, excluded.feed_epoch),
       feed_seq = greatest(store_witness.feed_seq, excluded.feed_seq),
       learned_count = store_witness.learned_count + excluded.learned_count`,
    [
      restoreId,
      row.clusterId,
      row.nodeId,
      row.kind,
      row.auditSeq,
      row.auditHash,
      row.snapshotEpoch,
      row.snapshotVersion,
      row.feedEpoch,
      row.feedSeq,
      row.learnedCount,
    ],
  );
}

/** Active members that have not told yet, by cluster. */
export async function silentMembers(
  q: Queryable,
  restoreId: string,
): Promise<readonly { readonly clusterId: string; readonly nodeId: string; readonly name: string }[]> {
  return await q.query<{ clusterId: string; nodeId: string; name: string }>(
    `select n.cluster_id as "clusterId", n.id as "nodeId", n.name
     from node n join membership m on m.cluster_id = n.cluster_id and m.node_id = n.id
     where n.identity_status = 'active' and m.status = 'active' and not exists (
       select 1 from store_witness w where w.restore_id = $1 and w.cluster_id = n.cluster_id and w.node_id = n.id
         and w.kind = 'returned')
     order by n.cluster_id, n.name`,
    [restoreId],
  );
}
