/**
 * Nodes: the identity a host has in one cluster. What a node reports about itself (capabilities, load) is stored beside
 * what an operator approved (name, addresses, key), but only the latter is authenticated and ever decides anything.
 */

import { type Health, healthOf } from "../domain/health.ts";
import { insertMembership, type MembershipStatus, nodeNotFound } from "./memberships.ts";
import type { RowSource } from "./remembered-rows.ts";
import type { Queryable, Tx } from "./sql.ts";
import { one } from "./sql.ts";
import { canonicalJson, type MacField, requireAuthentic, type TrustSeal } from "./trust.ts";

export interface AddressRow {
  readonly host: string;
  readonly port: number;
}

export type IdentityStatus = "active" | "revoked";

export interface NodeRow {
  readonly id: string;
  readonly clusterId: string;
  readonly name: string;
  readonly identityStatus: IdentityStatus;
  /** SHA-256 of the enrolled key's SPKI, hex. */
  readonly keyHash: string;
  readonly linkLabel: string;
  readonly addresses: readonly AddressRow[];
  readonly dialOutOnly: boolean;
  readonly region: string;
  /** As last reported; never a permission. */
  readonly capabilities: readonly string[];
  readonly trustLevel: number;
  readonly requestId: string | null;
  readonly joinedAtMs: number;
  readonly revokedAtMs: number | null;
  readonly mac: Uint8Array;
}

const columns = `id, cluster_id as "clusterId", name, identity_status as "identityStatus", key_hash as "keyHash",
  link_label as "linkLabel", addresses, dial_out_only as "dialOutOnly", region, capabilities, trust_level as "trustLevel",
  request_id as "requestId", joined_at_ms as "joinedAtMs", revoked_at_ms as "revokedAtMs", mac`;

/** What is authenticated of a node. */
type Authenticated = Omit<NodeRow, "capabilities" | "joinedAtMs" | "mac">;

/** A node as snapshots are made from it. */
export type TrustedNode = Omit<NodeRow, "capabilities" | "joinedAtMs">;

export function macFields(row: Authenticated): MacField[] {
  return [
    row.id,
    row.clusterId,
    row.name,
    row.identityStatus,
    row.keyHash,
    row.linkLabel,
    canonicalJson(row.addresses),
    row.dialOutOnly,
    row.region,
    row.trustLevel,
    row.requestId,
    row.revokedAtMs,
  ];
}

/** Throws `data_loss` when the row was not written by a control of this installation. */
export function requireAuthenticNode(seal: TrustSeal, row: TrustedNode): void {
  requireAuthentic(seal, "node", macFields(row), row.mac);
}

/** The nodes of a cluster, by id. */
export const trustedNodes: RowSource<TrustedNode> = {
  table: "node",
  clusterColumn: "cluster_id",
  ownerColumn: "id",
  orderColumns: [],
  columns: {
    id: "id",
    clusterId: "cluster_id",
    name: "name",
    identityStatus: "identity_status",
    keyHash: "key_hash",
    linkLabel: "link_label",
    addresses: "addresses",
    dialOutOnly: "dial_out_only",
    region: "region",
    trustLevel: "trust_level",
    requestId: "request_id",
    revokedAtMs: "revoked_at_ms",
    mac: "mac",
  },
  ownerOf: ({ id }) => id,
  judge: requireAuthenticNode,
};

/** The node with that id or name in the cluster, unauthenticated, or undefined. */
export async function getNode(q: Queryable, clusterId: string, idOrName: string): Promise<NodeRow | undefined> {
  // An id can never be a name: names are given by operators, so the id is looked for first.
  const rows = await q.query<NodeRow>(
    `select ${columns} from node where cluster_id = $1 and (id = $2 or name = $2) order by (id = $2) desc limit 1`,
    [clusterId, idOrName],
  );
  return one(rows);
}

/** Nodes by id, authenticated; those that are not there are left out. */
export async function getNodes(q: Queryable, seal: TrustSeal, ids: readonly string[]): Promise<readonly NodeRow[]> {
  const rows = await q.query<NodeRow>(`select ${columns} from node where id = any($1::text[])`, [ids]);
  for (const row of rows) requireAuthenticNode(seal, row);
  return rows;
}

/** The node with that id or name in the cluster, authenticated; NOT_FOUND when it is not in this cluster. */
export async function requireNode(
  q: Queryable,
  seal: TrustSeal,
  clusterId: string,
  idOrName: string,
): Promise<NodeRow> {
  const row = await getNode(q, clusterId, idOrName);
  if (row === undefined) throw nodeNotFound();
  requireAuthenticNode(seal, row);
  return row;
}

/** Every node of the cluster by name, authenticated. */
export async function listNodes(q: Queryable, seal: TrustSeal, clusterId: string): Promise<readonly NodeRow[]> {
  const rows = await q.query<NodeRow>(`select ${columns} from node where cluster_id = $1 order by name, id`, [
    clusterId,
  ]);
  for (const row of rows) requireAuthenticNode(seal, row);
  return rows;
}

export interface NewNode {
  readonly id: string;
  readonly clusterId: string;
  readonly name: string;
  readonly keyHash: string;
  readonly linkLabel: string;
  readonly addresses: readonly AddressRow[];
  readonly dialOutOnly: boolean;
  readonly region: string;
  readonly capabilities: readonly string[];
  readonly requestId: string | null;
}

/** Inserts an approved node and its active membership. Roles, snapshot version and audit record are the caller's. */
export async function insertNode(tx: Tx, { seal }: { readonly seal: TrustSeal }, node: NewNode): Promise<void> {
  const full = { ...node, identityStatus: "active", trustLevel: 0, revokedAtMs: null } as const;
  await tx.query(
    `insert into node (id, cluster_id, name, key_hash, link_label, addresses, dial_out_only, region, capabilities,
       request_id, mac)
     values ($1, $2, $3, $4, $5, $6::jsonb, $7, $8, $9::text[], $10, $11)`,
    [
      node.id,
      node.clusterId,
      node.name,
      node.keyHash,
      node.linkLabel,
      JSON.stringify(node.addresses),
      node.dialOutOnly,
      node.region,
      node.capabilities,
      node.requestId,
      seal.mac("node", macFields(full)),
    ],
  );
  await insertMembership(tx, seal, node.clusterId, node.id);
}

async function lockNode(tx: Tx, seal: TrustSeal, nodeId: string): Promise<NodeRow> {
  const row = one(await tx.query<NodeRow>(`select ${columns} from node where id = $1 for update`, [nodeId]));
  if (row === undefined) throw nodeNotFound();
  requireAuthenticNode(seal, row);
  return row;
}

/** Follows a renewal to another key. */
export async function setNodeKey(
  tx: Tx,
  { seal }: { readonly seal: TrustSeal },
  nodeId: string,
  keyHash: string,
): Promise<void> {
  const row = await lockNode(tx, seal, nodeId);
  const mac = seal.mac("node", macFields({ ...row, keyHash }));
  await tx.query(`update node set key_hash = $2, mac = $3 where id = $1`, [nodeId, keyHash, mac]);
}

/** Marks an identity revoked, for good. False when it was already. */
export async function markNodeRevoked(tx: Tx, seal: TrustSeal, nodeId: string): Promise<boolean> {
  const row = await lockNode(tx, seal, nodeId);
  if (row.identityStatus === "revoked") return false;
  const now = one(await tx.query<{ nowMs: number }>(`select now_ms() as "nowMs"`));
  const revokedAtMs = now?.nowMs ?? 0;
  const mac = seal.mac("node", macFields({ ...row, identityStatus: "revoked", revokedAtMs }));
  await tx.query(`update node set identity_status = 'revoked', revoked_at_ms = $2, mac = $3 where id = $1`, [
    nodeId,
    revokedAtMs,
    mac,
  ]);
  return true;
}

/** What a node said last, for lists. Absent fields were never reported. */
export interface NodeStatusRow {
  readonly nodeId: string;
  readonly membershipStatus: MembershipStatus;
  readonly joinedAtMs: number;
  readonly lastSeenAtMs: number | null;
  readonly beatAgeMs: number | null;
  readonly draining: boolean | null;
  readonly load: number | null;
  readonly skewMs: number | null;
  readonly driftPpm: number | null;
  readonly snapshotEpoch: number | null;
  readonly snapshotVersion: number | null;
  readonly operatorAddress: string | null;
  readonly version: string | null;
  readonly listeners: readonly ReportedListener[] | null;
  /** Since when snapshots show the health they show; null while they do not show the node. */
  readonly healthSinceMs: number | null;
  /** What reconciliation decided about what was placed on it; null: it keeps it. */
  readonly placementState: string | null;
  readonly groupId: string | null;
  /** Kinds of open alerts about it. */
  readonly alerts: readonly string[];
  readonly certificateSerial: string | null;
  readonly certificateNotAfterMs: number | null;
}

/** What became of a listener, as its entry reported it. */
export interface ReportedListener {
  readonly listenerId: string;
  readonly boundAddress: string;
  readonly error: string;
}

/** Reported state of the cluster's nodes by id; with `nodeId`, of that one only. */
export async function nodeStatuses(
  q: Queryable,
  clusterId: string,
  nodeId?: string,
): Promise<ReadonlyMap<string, NodeStatusRow>> {
  const rows = await q.query<NodeStatusRow>(
    `select m.node_id as "nodeId", m.status as "membershipStatus", m.joined_at_ms as "joinedAtMs",
       m.last_seen_at_ms as "lastSeenAtMs", now_ms() - b.received_at_ms as "beatAgeMs", b.draining, b.load,
       b.skew_ms as "skewMs", b.drift_ppm as "driftPpm", b.snapshot_epoch as "snapshotEpoch", b.snapshot_version as "snapshotVersion",
       b.operator_address as "operatorAddress", b.version, b.listeners,
       p.health_since_ms as "healthSinceMs", s.state as "placementState", g.group_id as "groupId",
       coalesce((select array_agg(a.kind order by a.kind) from alert a where a.cluster_id = m.cluster_id
         and a.object = 'node/' || m.node_id and a.closed_at_ms is null), '{}') as alerts,
       c.serial as "certificateSerial", c.not_after_ms as "certificateNotAfterMs"
     from membership m
     left join beat_latest b on b.node_id = m.node_id
     left join published_node p on p.node_id = m.node_id
     left join placement_state s on s.node_id = m.node_id
     left join group_member g on g.cluster_id = m.cluster_id and g.node_id = m.node_id
     left join certificate c on c.scope = m.cluster_id and c.subject_kind = 'node' and c.subject_id = m.node_id
       and c.holder_id = m.node_id and c.status = 'current'
     where m.cluster_id = $1 and ($2 = '' or m.node_id = $2)`,
    [clusterId, nodeId ?? ""],
  );
  return new Map(rows.map((row) => [row.nodeId, row]));
}

/** Names of the cluster's nodes by id, for lists: unauthenticated, and nothing is decided by them. */
export async function nodeNames(q: Queryable, clusterId: string): Promise<ReadonlyMap<string, string>> {
  const rows = await q.query<{ id: string; name: string }>(`select id, name from node where cluster_id = $1`, [
    clusterId,
  ]);
  return new Map(rows.map(({ id, name }) => [id, name]));
}

/** Health of a node from its reported state. */
export function healthOfStatus(status: NodeStatusRow | undefined): Health {
  return healthOf({ beatAgeMs: status?.beatAgeMs ?? undefined, draining: status?.draining ?? false });
}
