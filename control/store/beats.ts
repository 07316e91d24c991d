/**
 * Beats: the newest of each node, and a log of all with a stated retention (M-A6). What arrives here is what a node says
 * about itself; nothing in it grants anything.
 */

import { assert } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { Health } from "../domain/health.ts";
import type { ReportedListener } from "./nodes.ts";
import type { SnapshotPosition } from "./snapshots.ts";
import type { Queryable } from "./sql.ts";
import { one } from "./sql.ts";

export interface BeatReport {
  readonly clusterId: string;
  readonly nodeId: string;
  readonly bootId: string;
  readonly seq: number;
  readonly sentAtMs: number;
  readonly receivedAtMs: number;
  readonly load: number;
  readonly draining: boolean;
  readonly skewMs: number;
  readonly snapshotEpoch: number;
  readonly snapshotVersion: number;
  readonly feedEpoch: number;
  readonly feedSeq: number;
  readonly capabilities: readonly string[];
  readonly version: string;
  readonly operatorAddress: string;
  readonly auditSeq: number;
  readonly auditHash: Uint8Array | null;
  readonly listeners: readonly ReportedListener[];
}

/** The store's time, milliseconds: the one that ages are measured by. */
export async function storeNowMs(q: Queryable): Promise<number> {
  const row = one(await q.query<{ nowMs: number }>(`select now_ms() as "nowMs"`));
  assert(row !== undefined, "the store tells the time");
  return row.nowMs;
}

/** What a beat is answered from. */
export interface BeatAnswer extends SnapshotPosition {
  /** The node's health as snapshots show it; null before they show any. */
  readonly publishedHealth: Health | null;
}

/**
 * Keeps a beat: as the newest unless one of the same boot with a higher number came first, always in the log; with it
 * the time last seen and the capabilities as reported. One statement. Returns where the cluster's snapshots stand.
 */
export async function recordBeat(q: Queryable, beat: BeatReport): Promise<BeatAnswer> {
  const row = one(
    await q.query<BeatAnswer>(
      `with newest as (
         insert into beat_latest (node_id, cluster_id, boot_id, seq, sent_at_ms, received_at_ms, load, draining, skew_ms,
           snapshot_epoch, snapshot_version, feed_epoch, feed_seq, capabilities, version, operator_address, audit_seq,
           audit_hash, listeners)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14::text[], $15, $16, $17, $18, $19::jsonb)
         on conflict (node_id) do update set boot_id = excluded.boot_id, seq = excluded.seq,
           sent_at_ms = excluded.sent_at_ms, received_at_ms = excluded.received_at_ms, load = excluded.load,
           draining = excluded.draining, skew_ms = excluded.skew_ms, snapshot_epoch = excluded.snapshot_epoch,
           snapshot_version = excluded.snapshot_version, feed_epoch = excluded.feed_epoch, feed_seq = excluded.feed_seq,
           capabilities = excluded.capabilities, version = excluded.version,
           operator_address = excluded.operator_address, audit_seq = excluded.audit_seq,
           audit_hash = excluded.audit_hash, listeners = excluded.listeners
         where beat_latest.boot_id <> excluded.boot_id or beat_latest.seq < excluded.seq
         returning node_id
       ), logged as (
         insert into beat_log (node_id, cluster_id, boot_id, seq, received_at_ms, load, draining, skew_ms,
           snapshot_epoch, snapshot_version, feed_seq)
         values ($1, $2, $3, $4, $6, $7, $8, $9, $10, $11, $13)
       ), seen as (
         update membership set last_seen_at_ms = greatest(last_seen_at_ms, $6::bigint) where cluster_id = $2 and node_id = $1
       ), capable as (
         update node set capabilities = $14::text[]
         where id = $1 and capabilities is distinct from $14::text[] and exists (select 1 from newest)
       )
       select snapshot_epoch as epoch, snapshot_version as version,
         (select health from published_node where node_id = $1) as "publishedHealth"
       from cluster where id = $2`,
      [
        beat.nodeId,
        beat.clusterId,
        beat.bootId,
        beat.seq,
        beat.sentAtMs,
        beat.receivedAtMs,
        beat.load,
        beat.draining,
        beat.skewMs,
        beat.snapshotEpoch,
        beat.snapshotVersion,
        beat.feedEpoch,
        beat.feedSeq,
        beat.capabilities,
        beat.version,
        beat.operatorAddress,
        beat.auditSeq,
        beat.auditHash,
        JSON.stringify(beat.listeners),
      ],
    ),
  );
  assert(row !== undefined, "a beat belongs to a cluster");
  return row;
}

/**
 * The stated retention of the log: deletes entries older than `limits.beatLogRetentionMs`, and those before the newest
 * `limits.beatLogMaxCount`, so that neither time nor a node that beats without end lets it grow. A bounded number at a time;
 * returns how many.
 */
export async function sweepBeatLog(q: Queryable, { maxCount }: { maxCount?: number } = {}): Promise<number> {
  const row = one(
    await q.query<{ n: number }>(
      `with gone as (
         delete from beat_log where id in (
           (select id from beat_log where received_at_ms < now_ms() - $1::bigint order by received_at_ms limit $2)
           union all
           (select id from beat_log where id <= (select max(id) from beat_log) - $3::bigint order by id limit $2)
         ) returning id)
       select count(*) as n from gone`,
      [limits.beatLogRetentionMs, limits.sweepRowsMaxCount, maxCount ?? limits.beatLogMaxCount],
    ),
  );
  return row?.n ?? 0;
}
