/**
 * Memberships: whether a node takes part in a cluster. Disabling one is not revoking an identity (M-A4): certificates stay
 * valid and may be renewed, but the member's snapshot grants nothing, no other node's snapshot contains it, and control
 * refuses what it asks beyond renewal.
 */

import { WeftError } from "../../lib/errors.ts";
import type { RowSource } from "./remembered-rows.ts";
import type { Queryable, Tx } from "./sql.ts";
import { one } from "./sql.ts";
import { type MacField, requireAuthentic, type TrustSeal } from "./trust.ts";

export type MembershipStatus = "active" | "disabled";

export interface MembershipRow {
  readonly clusterId: string;
  readonly nodeId: string;
  readonly nodeName: string;
  readonly status: MembershipStatus;
  readonly identityStatus: "active" | "revoked";
  readonly joinedAtMs: number;
  readonly lastSeenAtMs: number | null;
  readonly mac: Uint8Array;
}

const columns = `
  select m.cluster_id as "clusterId", m.node_id as "nodeId", n.name as "nodeName", m.status,
    n.identity_status as "identityStatus", m.joined_at_ms as "joinedAtMs", m.last_seen_at_ms as "lastSeenAtMs", m.mac
  from membership m join node n on n.id = m.node_id and n.cluster_id = m.cluster_id`;
const selectText = `${columns} where m.cluster_id = $1`;

export function macFields(row: Pick<MembershipRow, "clusterId" | "nodeId" | "status">): MacField[] {
  return [row.clusterId, row.nodeId, row.status];
}

function authentic(seal: TrustSeal, rows: readonly MembershipRow[]): readonly MembershipRow[] {
  for (const row of rows) requireAuthentic(seal, "membership", macFields(row), row.mac);
  return rows;
}

/** A membership as snapshots are made from it. */
export type TrustedMembership = Pick<MembershipRow, "clusterId" | "nodeId" | "status" | "mac">;

/** The memberships of a cluster, by node. */
export const trustedMemberships: RowSource<TrustedMembership> = {
  table: "membership",
  clusterColumn: "cluster_id",
  ownerColumn: "node_id",
  orderColumns: [],
  columns: { clusterId: "cluster_id", nodeId: "node_id", status: "status", mac: "mac" },
  ownerOf: ({ nodeId }) => nodeId,
  judge: (seal, row) => requireAuthentic(seal, "membership", macFields(row), row.mac),
};

/** Inserts an active membership; part of an approval. */
export async function insertMembership(tx: Tx, seal: TrustSeal, clusterId: string, nodeId: string): Promise<void> {
  const mac = seal.mac("membership", macFields({ clusterId, nodeId, status: "active" }));
  await tx.query(`insert into membership (cluster_id, node_id, mac) values ($1, $2, $3)`, [clusterId, nodeId, mac]);
}

/** Every membership of the cluster by node name, authenticated. */
export async function listMemberships(
  q: Queryable,
  seal: TrustSeal,
  clusterId: string,
): Promise<readonly MembershipRow[]> {
  return authentic(seal, await q.query<MembershipRow>(`${selectText} order by n.name, n.id`, [clusterId]));
}

/** One membership, authenticated, by node id; undefined when the node is not in this cluster. */
export async function getMembership(
  q: Queryable,
  seal: TrustSeal,
  clusterId: string,
  nodeId: string,
): Promise<MembershipRow | undefined> {
  return one(authentic(seal, await q.query<MembershipRow>(`${selectText} and m.node_id = $2`, [clusterId, nodeId])));
}

/** Memberships of several nodes, authenticated, in the order asked; undefined for nodes that are not in their cluster. */
export async function getMemberships(
  q: Queryable,
  seal: TrustSeal,
  keys: readonly { readonly clusterId: string; readonly nodeId: string }[],
): Promise<readonly (MembershipRow | undefined)[]> {
  const rows = await q.query<MembershipRow>(
    `${columns} where (m.cluster_id, m.node_id) in (
       select * from unnest($1::text[], $2::text[]))`,
    [keys.map(({ clusterId }) => clusterId), keys.map(({ nodeId }) => nodeId)],
  );
  const known = new Map(authentic(seal, rows).map((row) => [`${row.clusterId} ${row.nodeId}`, row]));
  return keys.map(({ clusterId, nodeId }) => known.get(`${clusterId} ${nodeId}`));
}

/** The error of whoever names a node that is not in the cluster. */
export function nodeNotFound(): WeftError {
  return new WeftError("not_found", "no such node in this cluster", { detail: "NODE_NOT_FOUND" });
}

/** The error of everything a disabled member asks for. */
export function membershipDisabled(): WeftError {
  return new WeftError("failed_precondition", "membership disabled", { detail: "MEMBERSHIP_DISABLED", retry: "later" });
}

/**
 * The calling node's membership. Throws `permission_denied` IDENTITY_REVOKED, `failed_precondition` MEMBERSHIP_DISABLED,
 * or NOT_FOUND for a node of another cluster.
 */
export async function requireActiveMember(
  q: Queryable,
  seal: TrustSeal,
  clusterId: string,
  nodeId: string,
): Promise<MembershipRow> {
  const row = await requireMember(q, seal, clusterId, nodeId);
  if (row.status !== "active") throw membershipDisabled();
  return row;
}

/** The calling node's membership, disabled or not. Throws like `requireActiveMember` otherwise. */
export async function requireMember(
  q: Queryable,
  seal: TrustSeal,
  clusterId: string,
  nodeId: string,
): Promise<MembershipRow> {
  return requireUnrevoked(await getMembership(q, seal, clusterId, nodeId));
}

/** A membership that was found, of an identity that is not revoked. Throws like `requireActiveMember` otherwise. */
export function requireUnrevoked(row: MembershipRow | undefined): MembershipRow {
  if (row === undefined) throw nodeNotFound();
  if (row.identityStatus !== "active") {
    throw new WeftError("permission_denied", "this identity is revoked", { detail: "IDENTITY_REVOKED" });
  }
  return row;
}

/**
 * Whether something new may be placed on a node: throws `failed_precondition` when it is revoked, disabled, or drains
 * (M-W11: what it has it keeps, it gets nothing new).
 */
export async function requirePlaceable(
  q: Queryable,
  seal: TrustSeal,
  clusterId: string,
  nodeId: string,
): Promise<void> {
  const row = await getMembership(q, seal, clusterId, nodeId);
  if (row === undefined) throw nodeNotFound();
  if (row.identityStatus !== "active") {
    throw new WeftError("failed_precondition", "this identity is revoked", { detail: "IDENTITY_REVOKED" });
  }
  if (row.status !== "active") throw membershipDisabled();
  await requireTakesNew(q, nodeId);
}

/** Throws `failed_precondition` (NODE_DRAINING) for a node that said last that it drains. */
export async function requireTakesNew(q: Queryable, nodeId: string): Promise<void> {
  const beat = one(
    await q.query<{ draining: boolean }>(`select draining from beat_latest where node_id = $1`, [nodeId]),
  );
  if (beat?.draining !== true) return;
  const message = "the node drains: it keeps what it has and gets nothing new (weft node undrain)";
  throw new WeftError("failed_precondition", message, { detail: "NODE_DRAINING", retry: "later" });
}

/** Sets a membership's status; false when it had it already. Snapshot version and audit record are the caller's. */
export async function setMembershipStatus(
  tx: Tx,
  seal: TrustSeal,
  row: Pick<MembershipRow, "clusterId" | "nodeId" | "status">,
): Promise<boolean> {
  const changed = await tx.query<{ nodeId: string }>(
    `update membership set status = $3, mac = $4, changed_at_ms = now_ms()
     where cluster_id = $1 and node_id = $2 and status <> $3 returning node_id as "nodeId"`,
    [row.clusterId, row.nodeId, row.status, seal.mac("membership", macFields(row))],
  );
  return changed.length === 1;
}
