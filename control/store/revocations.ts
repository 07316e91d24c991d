/**
 * Revocations: what a cluster's feed says (LAW-I4).
 *
 * N1. The feed is every row of the cluster; a row is added or dropped only together with a new (feed_epoch, feed_seq), so
 *     one position has one content, whichever replica signs it.
 * N2. A row is dropped only when no certificate it can concern is valid any more; nodes grow theirs in the meantime.
 * N3. A feed stays within its bounds on the wire: an entry that does not fit is refused together with what it was part of.
 */

import { assert, WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { Hints } from "../hints/hints.ts";
import type { Queryable, Tx } from "./sql.ts";
import { one } from "./sql.ts";
import { type MacField, requireAuthentic, type TrustSeal } from "./trust.ts";

export interface RevocationRow {
  readonly clusterId: string;
  /** A leaf: both set. Hex. */
  readonly issuerKeyId: string;
  readonly serial: string;
  /** A key: set. Hex. With neither leaf nor key, the whole identity is meant. */
  readonly keyHash: string;
  readonly spiffeId: string;
  readonly revokedBy: string;
  readonly revokedAtMs: number;
  readonly notAfterMs: number;
  readonly mac: Uint8Array;
}

/** What is revoked: an identity, and of it one leaf, one key, or (neither given) everything. */
export interface RevocationEntry {
  readonly issuerKeyId?: string;
  readonly serial?: string;
  readonly keyHash?: string;
  readonly spiffeId: string;
  readonly reason: string;
  readonly revokedBy: string;
  /** When the last certificate this can concern ends. */
  readonly notAfterMs: number;
  readonly organizationId?: string;
}

export interface FeedPosition {
  readonly feedEpoch: number;
  readonly feedSeq: number;
}

interface RevocationContext {
  readonly seal: TrustSeal;
  readonly hints: Hints;
}

/** The topic that hints at a new feed of a cluster. */
export function feedTopic(clusterId: string): string {
  return `feed:${clusterId}`;
}

const columns = `cluster_id as "clusterId", issuer_key_id as "issuerKeyId", serial, key_hash as "keyHash",
  spiffe_id as "spiffeId", revoked_by as "revokedBy", revoked_at_ms as "revokedAtMs", not_after_ms as "notAfterMs", mac`;

export function macFields(row: Omit<RevocationRow, "mac">): MacField[] {
  const { clusterId, issuerKeyId, serial, keyHash, spiffeId, revokedBy, revokedAtMs, notAfterMs } = row;
  return [clusterId, issuerKeyId, serial, keyHash, spiffeId, revokedBy, revokedAtMs, notAfterMs];
}

/** Moves the feed on (N1); call it with a change of its rows, before the audit record. */
async function bumpFeed(tx: Tx, hints: Hints, clusterId: string): Promise<FeedPosition & { readonly nowMs: number }> {
  const row = one(
    await tx.query<FeedPosition & { nowMs: number }>(
      `update cluster set feed_seq = feed_seq + 1,
         feed_epoch = greatest(feed_epoch, coalesce((select epoch from installation), 1))
       where id = $1 returning feed_epoch as "feedEpoch", feed_seq as "feedSeq", now_ms() as "nowMs"`,
      [clusterId],
    ),
  );
  assert(row !== undefined, "a feed belongs to a cluster");
  tx.afterCommit(() => hints.publish(feedTopic(clusterId)));
  return row;
}

/** Adds one revocation to a cluster's feed; what is in it already stays as it is. Audit record: the caller's. */
export async function addRevocation(
  tx: Tx,
  ctx: RevocationContext,
  entry: RevocationEntry & { readonly clusterId: string },
): Promise<FeedPosition> {
  return await addRevocations(tx, ctx, entry.clusterId, [entry]);
}

/** Adds several at one new position of the feed. */
export async function addRevocations(
  tx: Tx,
  { seal, hints }: RevocationContext,
  clusterId: string,
  entries: readonly RevocationEntry[],
): Promise<FeedPosition> {
  const { feedEpoch, feedSeq, nowMs } = await bumpFeed(tx, hints, clusterId);
  for (const entry of entries) {
    const row = {
      clusterId,
      issuerKeyId: entry.issuerKeyId ?? "",
      serial: entry.serial ?? "",
      keyHash: entry.keyHash ?? "",
      spiffeId: entry.spiffeId,
      revokedBy: entry.revokedBy,
      revokedAtMs: nowMs,
      notAfterMs: entry.notAfterMs,
    };
    await tx.query(
      `insert into revocation (cluster_id, organization_id, feed_epoch, feed_seq, issuer_key_id, serial, key_hash, spiffe_id,
         reason, revoked_by, revoked_at_ms, not_after_ms, mac)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) on conflict do nothing`,
      [
        clusterId,
        entry.organizationId ?? "",
        feedEpoch,
        feedSeq,
        row.issuerKeyId,
        row.serial,
        row.keyHash,
        row.spiffeId,
        entry.reason,
        row.revokedBy,
        row.revokedAtMs,
        row.notAfterMs,
        seal.mac("revocation", macFields(row)),
      ],
    );
  }
  const { count, bytes } = (await feedFill(tx, clusterId))[0] ?? { count: 0, bytes: 0 };
  if (count > limits.revocationsMaxCount || bytes > limits.feedMaxBytes) throw feedFull();
  return { feedEpoch, feedSeq };
}

function feedFull(): WeftError {
  const message =
    "the revocation feed is full, nothing was revoked: take the node out of the cluster with weft membership disable, or replace the authority with weft ca rotate, which ends all of its certificates";
  const metadata = { max_revocations: String(limits.revocationsMaxCount), max_bytes: String(limits.feedMaxBytes) };
  return new WeftError("resource_exhausted", message, { detail: "FEED_FULL", retry: "never", metadata });
}

/** What an entry takes on the wire, at most: tags and lengths, two dates, its fields. */
const entryBytes = `48 + octet_length(spiffe_id) + (octet_length(issuer_key_id) + octet_length(serial) + octet_length(key_hash)) / 2`;
/** Of the feed besides its entries. */
const feedFrameBytes = 256;

/** How full a feed is. */
export interface FeedFill {
  readonly clusterId: string;
  readonly count: number;
  readonly bytes: number;
}

/** How full the feeds are; of one cluster, or of all. */
export async function feedFill(q: Queryable, clusterId = ""): Promise<readonly FeedFill[]> {
  return await q.query<FeedFill>(
    `select cluster_id as "clusterId", count(*) as count, (sum(${entryBytes}) + ${feedFrameBytes})::bigint as bytes
     from revocation where $1 = '' or cluster_id = $1 group by cluster_id order by cluster_id`,
    [clusterId],
  );
}

/** Those of the entries that fit into a feed, identities as a whole first: for what comes from elsewhere all at once. */
export async function fittingEntries<Entry extends RevocationEntry>(
  q: Queryable,
  clusterId: string,
  entries: readonly Entry[],
): Promise<readonly Entry[]> {
  const fill = (await feedFill(q, clusterId))[0] ?? { count: 0, bytes: feedFrameBytes };
  // What follows from an entry (other keys, other leaves) has to fit too.
  let room = Math.floor(limits.revocationsMaxCount * limits.feedFullShare) - fill.count;
  let roomBytes = Math.floor(limits.feedMaxBytes * limits.feedFullShare) - fill.bytes;
  const isPart = ({ serial, keyHash }: RevocationEntry): boolean => (serial ?? "") !== "" || (keyHash ?? "") !== "";
  return entries
    .toSorted((a, b) => Number(isPart(a)) - Number(isPart(b)))
    .filter((entry) => {
      const { spiffeId, issuerKeyId = "", serial = "", keyHash = "" } = entry;
      const size = 48 + Buffer.byteLength(spiffeId) + (issuerKeyId.length + serial.length + keyHash.length) / 2;
      if (room < 1 || roomBytes < size) return false;
      room -= 1;
      roomBytes -= size;
      return true;
    });
}

/** Active members that have not said that they applied a revocation of more than `olderMs` ago, though they beat. */
export async function unappliedNodes(
  q: Queryable,
  clusterId: string,
  olderMs: number,
): Promise<readonly { readonly nodeId: string; readonly nodeName: string }[]> {
  return await q.query(
    `with newest as (
       select feed_epoch, feed_seq from revocation where cluster_id = $1 and revoked_at_ms < now_ms() - $2::bigint
       order by feed_epoch desc, feed_seq desc limit 1
     )
     select n.id as "nodeId", n.name as "nodeName"
     from newest v join node n on n.cluster_id = $1 and n.identity_status = 'active'
     join membership m on m.cluster_id = n.cluster_id and m.node_id = n.id and m.status = 'active'
     join beat_latest b on b.node_id = n.id and b.received_at_ms > now_ms() - $3::bigint
     left join feed_receipt r on r.node_id = n.id
     where (v.feed_epoch, v.feed_seq) > (coalesce(r.feed_epoch, 0), coalesce(r.feed_seq, 0))
       and m.joined_at_ms < now_ms() - $2::bigint
     order by n.id`,
    [clusterId, olderMs, limits.staleAfterMs],
  );
}

/** Where the feed of a cluster says something. */
export interface FeedMark extends FeedPosition {
  readonly clusterId: string;
}

/** Adds revocations to the feed of every cluster: for operators, whom nodes of all clusters know. */
export async function addRevocationsEverywhere(
  tx: Tx,
  ctx: RevocationContext,
  entries: readonly RevocationEntry[],
): Promise<readonly FeedMark[]> {
  // One order for everybody: two of these at once must not wait for each other's cluster.
  const clusters = await tx.query<{ id: string }>(`select id from cluster order by id`);
  const marks: FeedMark[] = [];
  for (const { id } of clusters) marks.push({ clusterId: id, ...(await addRevocations(tx, ctx, id, entries)) });
  return marks;
}

/** Where the feeds stand; of one cluster, or of all. */
export async function feedMarks(q: Queryable, clusterId = ""): Promise<readonly FeedMark[]> {
  return await q.query<FeedMark>(
    `select id as "clusterId", feed_epoch as "feedEpoch", feed_seq as "feedSeq" from cluster
     where $1 = '' or id = $1 order by id`,
    [clusterId],
  );
}

/** Where a cluster's feed stands, and the store's time; undefined when there is no such cluster. */
export async function feedPosition(
  q: Queryable,
  clusterId: string,
): Promise<(FeedPosition & { readonly nowMs: number }) | undefined> {
  return one(
    await q.query<FeedPosition & { nowMs: number }>(
      `select feed_epoch as "feedEpoch", feed_seq as "feedSeq", now_ms() as "nowMs" from cluster where id = $1`,
      [clusterId],
    ),
  );
}

/** The cluster's revocations, authenticated, in the order they were added. */
export async function listRevocations(
  q: Queryable,
  seal: TrustSeal,
  clusterId: string,
): Promise<readonly RevocationRow[]> {
  const rows = await q.query<RevocationRow>(`select ${columns} from revocation where cluster_id = $1 order by id`, [
    clusterId,
  ]);
  for (const row of rows) requireAuthentic(seal, "revocation", macFields(row), row.mac);
  return rows;
}

/** Every authentic revocation of every cluster, as far as this store can still say; what was altered is left out. */
export async function survivingRevocations(q: Queryable, seal: TrustSeal): Promise<readonly RevocationRow[]> {
  const rows = await q.query<RevocationRow>(`select ${columns} from revocation order by id`);
  return rows.filter((row) => seal.verify("revocation", macFields(row), row.mac));
}

/** Whether the cluster's feed names a key. */
export async function isKeyRevoked(q: Queryable, clusterId: string, keyHash: string): Promise<boolean> {
  const text = "select 1 as found from revocation where cluster_id = $1 and key_hash = $2 limit 1";
  return (await q.query(text, [clusterId, keyHash])).length > 0;
}

/** Whether a feed names a leaf: that of its cluster, or all of them. */
export async function isLeafRevoked(
  q: Queryable,
  leaf: { readonly issuerKeyId: string; readonly serial: string },
): Promise<boolean> {
  const text = "select 1 as found from revocation where issuer_key_id = $1 and serial = $2 limit 1";
  return (await q.query(text, [leaf.issuerKeyId, leaf.serial])).length > 0;
}

/**
 * Drops what no longer concerns any valid certificate (N2), an hour late for the sake of slow clocks, and follows the
 * installation's epoch after a restore. Returns the clusters whose feed moved.
 */
export async function sweepRevocations(tx: Tx, hints: Hints): Promise<readonly string[]> {
  const lapsed = await tx.query<{ id: string }>(
    `delete from revocation where not_after_ms < now_ms() - $1::bigint returning cluster_id as id`,
    [limits.revocationLingerMs],
  );
  const restored = await tx.query<{ id: string }>(
    `select id from cluster where feed_epoch < coalesce((select epoch from installation), 1)`,
  );
  const moved = [...new Set([...lapsed, ...restored].map(({ id }) => id))].sort();
  for (const id of moved) await bumpFeed(tx, hints, id);
  return moved;
}
