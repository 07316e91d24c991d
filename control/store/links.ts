/**
 * Link measurements: the newest sample of each direction, as its own end reported it, and the copy snapshots are made of.
 *
 * K1. A report writes samples only. What snapshots show is written by `publishMeasurements` alone, in a transaction that
 *     also bumps the snapshot version: one version, one content.
 */

import { limits } from "../../lib/limits.ts";
import type { LinkValues, Measurements, NodeValues, PublishedNode } from "../domain/measurements.ts";
import type { RowSource } from "./remembered-rows.ts";
import type { Queryable, Tx } from "./sql.ts";
import { LOCAL_DURABILITY, one } from "./sql.ts";

const valueColumns = `rtt_ms as "rttMs", jitter_ms as "jitterMs", loss_share as "lossShare",
  reliability_share as "reliabilityShare", bandwidth_bytes_per_second as "bandwidthBytesPerSecond",
  recent_failures as "recentFailures", measured_at_ms as "measuredAtMs"`;

const recordset = `jsonb_to_recordset($2::jsonb) as r ("fromNodeId" text, "toNodeId" text, "rttMs" float8, "jitterMs" float8,
  "lossShare" float8, "reliabilityShare" float8, "bandwidthBytesPerSecond" float8, "recentFailures" float8,
  "measuredAtMs" bigint)`;

const assignments = `rtt_ms = excluded.rtt_ms, jitter_ms = excluded.jitter_ms, loss_share = excluded.loss_share,
  reliability_share = excluded.reliability_share, bandwidth_bytes_per_second = excluded.bandwidth_bytes_per_second,
  recent_failures = excluded.recent_failures, measured_at_ms = excluded.measured_at_ms`;

function insertText(table: "link_sample" | "published_link", measuredAt: string): string {
  return `insert into ${table} (cluster_id, from_node_id, to_node_id, rtt_ms, jitter_ms, loss_share, reliability_share,
      bandwidth_bytes_per_second, recent_failures, measured_at_ms)
    select $1, "fromNodeId", "toNodeId", "rttMs", "jitterMs", "lossShare", "reliabilityShare", "bandwidthBytesPerSecond",
      "recentFailures", ${measuredAt} from ${recordset}${table === "link_sample" ? `, (select ${LOCAL_DURABILITY}) as durability` : ""}
    on conflict (from_node_id, to_node_id) do update set ${assignments}`;
}

/** Keeps samples that are not older than the kept ones. A clock ahead of the store's counts as now. */
export async function recordSamples(q: Queryable, clusterId: string, samples: readonly LinkValues[]): Promise<void> {
  if (samples.length === 0) return;
  await q.query(
    `${insertText("link_sample", `least("measuredAtMs", now_ms())`)}
     where link_sample.measured_at_ms <= excluded.measured_at_ms`,
    [clusterId, JSON.stringify(samples)],
  );
}

type Nullable<T> = { readonly [K in keyof T]: T[K] | null };

/** Drops what was not measured: absent, never null or 0. */
export function present<T extends object>(row: object): T {
  return Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null)) as T;
}

async function readLinks(q: Queryable, table: "link_sample" | "published_link", clusterId: string, fromNodeId = "") {
  const rows = await q.query<Nullable<LinkValues>>(
    `select from_node_id as "fromNodeId", to_node_id as "toNodeId", ${valueColumns} from ${table}
     where cluster_id = $1 and ($2 = '' or from_node_id = $2) order by from_node_id, to_node_id`,
    [clusterId, fromNodeId],
  );
  return rows.map((row) => present<LinkValues>(row));
}

/** The newest samples of the cluster; with `fromNodeId`, those that node measured. */
export function listSamples(q: Queryable, clusterId: string, fromNodeId = ""): Promise<readonly LinkValues[]> {
  return readLinks(q, "link_sample", clusterId, fromNodeId);
}

export type PublishedLinkRow = Nullable<LinkValues>;
export type PublishedNodeRow = Nullable<PublishedNode>;

/** Links as snapshots of the current version show them, by the node that measured. */
export const publishedLinks: RowSource<PublishedLinkRow> = {
  table: "published_link",
  clusterColumn: "cluster_id",
  ownerColumn: "from_node_id",
  orderColumns: ["to_node_id"],
  columns: {
    fromNodeId: "from_node_id",
    toNodeId: "to_node_id",
    rttMs: "rtt_ms",
    jitterMs: "jitter_ms",
    lossShare: "loss_share",
    reliabilityShare: "reliability_share",
    bandwidthBytesPerSecond: "bandwidth_bytes_per_second",
    recentFailures: "recent_failures",
    measuredAtMs: "measured_at_ms",
  },
  ownerOf: ({ fromNodeId }) => fromNodeId ?? "",
};

/** States of nodes as snapshots of the current version show them, by node. */
export const publishedNodes: RowSource<PublishedNodeRow> = {
  table: "published_node",
  clusterColumn: "cluster_id",
  ownerColumn: "node_id",
  orderColumns: [],
  columns: { nodeId: "node_id", load: "load", health: "health" },
  ownerOf: ({ nodeId }) => nodeId ?? "",
};

/** Links and node states as snapshots of the current version show them. */
export async function publishedMeasurements(q: Queryable, clusterId: string): Promise<Measurements<PublishedNode>> {
  const links = await readLinks(q, "published_link", clusterId);
  const nodes = await q.query<Nullable<PublishedNode>>(
    `select node_id as "nodeId", load, health from published_node where cluster_id = $1 order by node_id`,
    [clusterId],
  );
  return { links, nodes: nodes.map((row) => present<PublishedNode>(row)) };
}

/** Links and node states as last reported. Revoked nodes are left out, and new ones until they have had time to beat. */
export async function reportedMeasurements(q: Queryable, clusterId: string): Promise<Measurements<NodeValues>> {
  const links = await listSamples(q, clusterId);
  const nodes = await q.query<Nullable<NodeValues>>(
    `select n.id as "nodeId", b.load, coalesce(b.draining, false) as draining, now_ms() - b.received_at_ms as "beatAgeMs"
     from node n left join beat_latest b on b.node_id = n.id
     where n.cluster_id = $1 and n.identity_status = 'active'
       and (b.node_id is not null or n.joined_at_ms < now_ms() - $2::bigint) order by n.id`,
    [clusterId, limits.offlineAfterMs],
  );
  return { links, nodes: nodes.map((row) => present<NodeValues>(row)) };
}

/** A turn at looking at a cluster's measurements. */
export interface MeasurementTurn {
  /** How long beats have been looked at without a gap; 0 after nobody did, for instance while control was stopped. */
  readonly listenedForMs: number;
}

/**
 * Claims a turn; at most one caller per period gets one, the others undefined. A turn of the future was before the store's
 * clock was set back: it holds up nobody, and listening begins anew.
 */
export async function claimMeasurementTurn(
  tx: Tx,
  clusterId: string,
  periodMs: number,
): Promise<MeasurementTurn | undefined> {
  const rows = await tx.query<MeasurementTurn>(
    `update cluster set graph_refreshed_at_ms = now_ms(),
       listening_since_ms = case when abs(now_ms() - graph_refreshed_at_ms) > $3::bigint then now_ms()
         else least(listening_since_ms, now_ms()) end
     where id = $1 and (graph_refreshed_at_ms <= now_ms() - $2::bigint or graph_refreshed_at_ms > now_ms() + $2::bigint)
     returning now_ms() - listening_since_ms as "listenedForMs"`,
    [clusterId, periodMs, limits.deafAfterMs],
  );
  return one(rows);
}

/** Writes what the next snapshot version shows (K1). The caller bumps the version in the same transaction. */
export async function publishMeasurements(
  tx: Tx,
  clusterId: string,
  changed: { readonly links: readonly LinkValues[]; readonly nodes: readonly PublishedNode[] },
): Promise<void> {
  if (changed.links.length > 0) {
    await tx.query(insertText("published_link", `"measuredAtMs"`), [clusterId, JSON.stringify(changed.links)]);
  }
  if (changed.nodes.length > 0) {
    await tx.query(
      `insert into published_node (node_id, cluster_id, load, health)
       select "nodeId", $1, load, health from jsonb_to_recordset($2::jsonb) as r ("nodeId" text, load float8, health text)
       on conflict (node_id) do update set load = excluded.load, health = excluded.health, health_since_ms =
         case when published_node.health = excluded.health then published_node.health_since_ms else now_ms() end`,
      [clusterId, JSON.stringify(changed.nodes)],
    );
  }
}
