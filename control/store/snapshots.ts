/**
 * Positions and payloads of snapshots.
 *
 * V1. Whatever changes what some node sees calls `bumpSnapshot` in its own transaction, so a read that finds
 *     (epoch, version) in a repeatable-read transaction finds exactly the changes up to it.
 * V2. One payload for one (node, epoch, version), installation-wide: the first one kept wins, everybody sends that one or
 *     none. Payloads are functions of a position's rows and of the audit head in them, so a hash and that head are kept.
 * V3. (epoch, version) never goes back: the epoch follows the installation's, which a restore raises.
 */

import type { AuditHead } from "../../fabric/audit/chain.ts";
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
         snapshot_changed_at_ms as "changedAtMs"
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

/** What is kept of a payload: enough for every replica to make the same one, and to see that it did. */
export interface KeptPayload {
  /** SHA-256 of the payload. */
  readonly payloadHash: Uint8Array;
  readonly auditHead: AuditHead;
}

/** A row of what is kept. */
export interface PayloadRow extends PayloadKey {
  readonly payloadHash: Uint8Array;
  readonly auditSeq: number;
  readonly auditHash: Uint8Array;
}

export function macFields(row: PayloadRow): MacField[] {
  return [row.clusterId, row.nodeId, row.epoch, row.version, row.payloadHash, row.auditSeq, row.auditHash];
}

/** A payload, and what it is for. */
export interface NewPayload extends KeptPayload {
  readonly key: PayloadKey;
}

/** Keeps payloads unless another replica was first; returns those that count (V2), authenticated, in the order given. */
export async function keepPayloads(
  q: Queryable,
  seal: TrustSeal,
  payloads: readonly NewPayload[],
): Promise<readonly KeptPayload[]> {
  const rows = payloads.map(({ key, payloadHash, auditHead }): PayloadRow => {
    return { ...key, payloadHash, auditSeq: auditHead.seq, auditHash: auditHead.hash };
  });
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
  const kept = await q.query<PayloadRow & { readonly at: number; readonly mac: Uint8Array }>(
    `with built as materialized (
       select at, cluster_id, node_id, epoch, version, decode(payload_hash, 'hex') as payload_hash, audit_seq,
         decode(audit_hash, 'hex') as audit_hash, decode(mac, 'hex') as mac
       from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[], $7::text[], $8::text[])
         with ordinality as r (cluster_id, node_id, epoch, version, payload_hash, audit_seq, audit_hash, mac, at)
     ), kept as (
       insert into snapshot_payload (cluster_id, node_id, epoch, version, payload_hash, audit_seq, audit_hash, mac)
       -- A node that asks twice at once is one row.
       select distinct on (cluster_id, node_id, epoch, version) cluster_id, node_id, epoch, version, payload_hash,
         audit_seq, audit_hash, mac
       from built order by cluster_id, node_id, epoch, version, at
       -- Changes nothing, but waits for whoever is first and returns what it kept.
       on conflict (cluster_id, node_id, epoch, version) do update set epoch = excluded.epoch
       returning cluster_id, node_id, epoch, version, payload_hash, audit_seq, audit_hash, mac
     )
     select b.at, k.cluster_id as "clusterId", k.node_id as "nodeId", k.epoch, k.version, k.payload_hash as "payloadHash",
       k.audit_seq as "auditSeq", k.audit_hash as "auditHash", k.mac
     from built b join kept k using (cluster_id, node_id, epoch, version)`,
    [
      rows.map(({ clusterId }) => clusterId),
      rows.map(({ nodeId }) => nodeId),
      rows.map(({ epoch }) => epoch),
      rows.map(({ version }) => version),
      rows.map(({ payloadHash }) => hex(payloadHash)),
      rows.map(({ auditSeq }) => auditSeq),
      rows.map(({ auditHash }) => hex(auditHash)),
      rows.map((row) => hex(seal.mac("snapshot_payload", macFields(row)))),
    ],
  );
  const byPlace = new Map(kept.map((row) => [row.at, row]));
  return payloads.map((_, index) => {
    const row = byPlace.get(index + 1);
    assert(row !== undefined, "a payload that was just kept is there");
    requireAuthentic(seal, "snapshot_payload", macFields(row), row.mac);
    return { payloadHash: row.payloadHash, auditHead: { seq: row.auditSeq, hash: row.auditHash } };
  });
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
