/**
 * Positions and payloads of snapshots.
 *
 * V1. Whatever changes what some node sees calls `bumpSnapshot` in its own transaction, so a read that finds
 *     (epoch, version) in a repeatable-read transaction finds exactly the changes up to it.
 * V2. One payload for one (node, epoch, version), installation-wide: the first one kept wins, everybody sends that one.
 * V3. (epoch, version) never goes back: the epoch follows the installation's, which a restore raises.
 */

import { assert } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { Hints } from "../hints/hints.ts";
import type { Queryable, Tx } from "./sql.ts";
import { one } from "./sql.ts";
import { type MacField, requireAuthentic, type TrustSeal } from "./trust.ts";

/** Where a cluster's configuration stands. */
export interface SnapshotPosition {
  readonly epoch: number;
  readonly version: number;
}

/** Negative, zero or positive: a before, at or after b. */
export function comparePositions(a: SnapshotPosition, b: SnapshotPosition): number {
  return a.epoch === b.epoch ? a.version - b.version : a.epoch - b.epoch;
}

/** What a snapshot says about itself and about its cluster. */
export interface SnapshotFrame extends SnapshotPosition {
  readonly clusterId: string;
  readonly clusterSlug: string;
  readonly changedAtMs: number;
  readonly offlineMode: string;
  readonly continueForMs: number;
}

const bumpText = `
  update cluster set
    snapshot_version = snapshot_version + 1,
    snapshot_epoch = greatest(snapshot_epoch, coalesce((select epoch from installation), 1)),
    snapshot_changed_at_ms = greatest(now_ms(), snapshot_changed_at_ms + 1)`;

/** The topic that hints at new snapshots of a cluster. */
export function snapshotTopic(clusterId: string): string {
  return `snapshot:${clusterId}`;
}

/** Gives the cluster a new snapshot version (V1). Before the audit record, after the change itself: one lock order. */
export async function bumpSnapshot(tx: Tx, hints: Hints, clusterId: string): Promise<void> {
  const rows = await tx.query<{ id: string }>(`${bumpText} where id = $1 returning id`, [clusterId]);
  assert(rows.length === 1, "a snapshot belongs to a cluster");
  tx.afterCommit(() => hints.publish(snapshotTopic(clusterId)));
}

/** Renews clusters whose newest snapshot is old, so that no node's copy ends while control lives; returns their ids. */
export async function refreshAgedSnapshots(tx: Tx, hints: Hints): Promise<readonly string[]> {
  const rows = await tx.query<{ id: string }>(
    `${bumpText} where snapshot_changed_at_ms <= now_ms() - $1::bigint
       or snapshot_epoch < coalesce((select epoch from installation), 1) returning id`,
    [limits.snapshotRefreshMs],
  );
  for (const { id } of rows) tx.afterCommit(() => hints.publish(snapshotTopic(id)));
  return rows.map(({ id }) => id);
}

/** The cluster's position, or undefined when there is no such cluster. */
export async function snapshotPosition(q: Queryable, clusterId: string): Promise<SnapshotPosition | undefined> {
  return one(
    await q.query<SnapshotPosition>(
      `select snapshot_epoch as epoch, snapshot_version as version from cluster where id = $1`,
      [clusterId],
    ),
  );
}

/** The cluster part of a snapshot. */
export async function snapshotFrame(q: Queryable, clusterId: string): Promise<SnapshotFrame | undefined> {
  return one(
    await q.query<SnapshotFrame>(
      `select id as "clusterId", slug as "clusterSlug", snapshot_epoch as epoch, snapshot_version as version,
         snapshot_changed_at_ms as "changedAtMs", offline_mode as "offlineMode", continue_for_ms as "continueForMs"
       from cluster where id = $1`,
      [clusterId],
    ),
  );
}

/** Names the one payload of a node at a position. */
export interface PayloadKey extends SnapshotPosition {
  readonly clusterId: string;
  readonly nodeId: string;
}

export function macFields(key: PayloadKey, payload: Uint8Array): MacField[] {
  return [key.clusterId, key.nodeId, key.epoch, key.version, payload];
}

/** The payload kept for a node at a position, authenticated, if one was built already. */
export async function keptPayload(q: Queryable, seal: TrustSeal, key: PayloadKey): Promise<Uint8Array | undefined> {
  const rows = await q.query<{ payload: Uint8Array; mac: Uint8Array }>(
    `select payload, mac from snapshot_payload where cluster_id = $1 and node_id = $2 and epoch = $3 and version = $4`,
    [key.clusterId, key.nodeId, key.epoch, key.version],
  );
  const kept = one(rows);
  if (kept !== undefined) requireAuthentic(seal, "snapshot_payload", macFields(key, kept.payload), kept.mac);
  return kept?.payload;
}

/** Keeps a payload unless another replica was first; returns the one that counts (V2). */
export async function keepPayload(
  q: Queryable,
  seal: TrustSeal,
  key: PayloadKey,
  payload: Uint8Array,
): Promise<Uint8Array> {
  await q.query(
    `insert into snapshot_payload (cluster_id, node_id, epoch, version, payload, mac) values ($1, $2, $3, $4, $5, $6)
     on conflict do nothing`,
    [key.clusterId, key.nodeId, key.epoch, key.version, payload, seal.mac("snapshot_payload", macFields(key, payload))],
  );
  const kept = await keptPayload(q, seal, key);
  assert(kept !== undefined, "a payload that was just kept is there");
  return kept;
}

/**
 * Forgets payloads that are neither current nor young. The age leaves a replica that is still building for an older
 * version no chance to put other bytes under it.
 */
export async function sweepPayloads(q: Queryable): Promise<number> {
  const rows = await q.query<{ version: number }>(
    `delete from snapshot_payload p using cluster c
     where c.id = p.cluster_id and p.created_at_ms < now_ms() - $1::bigint
       and (p.epoch, p.version) < (c.snapshot_epoch, c.snapshot_version)
     returning p.version`,
    [limits.snapshotPayloadRetentionMs],
  );
  return rows.length;
}
