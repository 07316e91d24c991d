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
import { LOCAL_DURABILITY, one } from "./sql.ts";

export interface BeatReport {
  readonly clusterId: string;
  readonly nodeId: string;
  readonly bootId: string;
  readonly seq: number;
  readonly sentAtMs: number;
  /** What the beat took to get here, as far as it is believed, ms. */
  readonly halfTripMs: number;
  /** As the node measures it; null while it has not. */
  readonly driftPpm: number | null;
  readonly load: number;
  readonly draining: boolean;
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
  readonly nodeId: string;
  readonly receivedAtMs: number;
  readonly skewMs: number;
  /** The node's health as snapshots show it; null before they show any. */
  readonly publishedHealth: Health | null;
  /** For how long they have shown that. */
  readonly publishedForMs: number | null;
  /** Of the membership row the answer relies on; the caller authenticates it. */
  readonly membershipMac: Uint8Array;
}

/**
 * Keeps beats of different nodes, each as the newest of its node unless one of the same boot with a higher number came
 * first, and in the log; with it the time last seen and the capabilities as reported. One statement for all of
 * them, in which time and skew are the store's. Beats of nodes that are no active members are neither kept nor answered.
 */
export async function recordBeats(q: Queryable, beats: readonly BeatReport[]): Promise<readonly BeatAnswer[]> {
  const rows = beats.map(({ auditHash, ...beat }) => ({
    ...beat,
    auditHash: auditHash === null ? null : Buffer.from(auditHash).toString("hex"),
  }));
  return await q.query<BeatAnswer>(
    `with clock as materialized (select now_ms() as at_ms, ${LOCAL_DURABILITY} as durability), beat as materialized (
       select r.*, c.at_ms, c.at_ms - r."sentAtMs" - r."halfTripMs" as skew_ms, m.mac,
         array(select jsonb_array_elements_text(r.capabilities)) as capable
       from clock c, jsonb_to_recordset($1::jsonb) as r ("clusterId" text, "nodeId" text, "bootId" text, seq bigint,
         "sentAtMs" bigint, "halfTripMs" double precision, load double precision, draining boolean,
         "snapshotEpoch" bigint, "snapshotVersion" bigint, "feedEpoch" bigint, "feedSeq" bigint, capabilities jsonb,
         version text, "operatorAddress" text, "auditSeq" bigint, "auditHash" text, listeners jsonb,
         "driftPpm" double precision)
       join membership m on m.cluster_id = r."clusterId" and m.node_id = r."nodeId" and m.status = 'active'
       join node n on n.id = r."nodeId" and n.cluster_id = r."clusterId" and n.identity_status = 'active'
     ), newest as (
       insert into beat_latest (node_id, cluster_id, boot_id, seq, sent_at_ms, received_at_ms, load, draining, skew_ms,
         snapshot_epoch, snapshot_version, feed_epoch, feed_seq, capabilities, version, operator_address, audit_seq,
         audit_hash, listeners, drift_ppm)
       select "nodeId", "clusterId", "bootId", seq, "sentAtMs", at_ms, load, draining, skew_ms, "snapshotEpoch",
         "snapshotVersion", "feedEpoch", "feedSeq", capable, version, "operatorAddress", "auditSeq",
         decode("auditHash", 'hex'), listeners, "driftPpm"
       from beat order by "nodeId"
       on conflict (node_id) do update set boot_id = excluded.boot_id, seq = excluded.seq,
         sent_at_ms = excluded.sent_at_ms, received_at_ms = excluded.received_at_ms, load = excluded.load,
         draining = excluded.draining, skew_ms = excluded.skew_ms, snapshot_epoch = excluded.snapshot_epoch,
         snapshot_version = excluded.snapshot_version, feed_epoch = excluded.feed_epoch, feed_seq = excluded.feed_seq,
         capabilities = excluded.capabilities, version = excluded.version,
         operator_address = excluded.operator_address, audit_seq = excluded.audit_seq,
         audit_hash = excluded.audit_hash, listeners = excluded.listeners, drift_ppm = excluded.drift_ppm
       where beat_latest.boot_id <> excluded.boot_id or beat_latest.seq < excluded.seq
       returning node_id
     ), logged as (
       insert into beat_log (node_id, cluster_id, boot_id, seq, received_at_ms, load, draining, skew_ms,
         snapshot_epoch, snapshot_version, feed_seq)
       select "nodeId", "clusterId", "bootId", seq, at_ms, load, draining, skew_ms, "snapshotEpoch", "snapshotVersion",
         "feedSeq" from beat
       -- A beat that is recorded again, because nobody heard that it was, is in the log.
       where not exists (select 1 from beat_latest l
         where l.node_id = beat."nodeId" and l.boot_id = beat."bootId" and l.seq = beat.seq)
     ), seen as (
       update membership m set last_seen_at_ms = greatest(m.last_seen_at_ms, beat.at_ms)
       from beat where m.cluster_id = beat."clusterId" and m.node_id = beat."nodeId"
     ), capable as (
       update node n set capabilities = beat.capable
       from beat join newest on newest.node_id = beat."nodeId"
       where n.id = beat."nodeId" and n.capabilities is distinct from beat.capable
     )
     select beat."nodeId", beat.at_ms as "receivedAtMs", beat.skew_ms as "skewMs", beat.mac as "membershipMac",
       p.health as "publishedHealth", beat.at_ms - p.health_since_ms as "publishedForMs", c.snapshot_epoch as epoch, c.snapshot_version as version
     from beat join cluster c on c.id = beat."clusterId" left join published_node p on p.node_id = beat."nodeId"`,
    [JSON.stringify(rows)],
  );
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
