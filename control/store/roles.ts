/**
 * Role assignments: what a node may do, for one organization or (empty) for all. Whether the node reports the capability
 * is checked by whoever assigns; a capability that vanishes later leaves the role in place and shows in lists.
 */

import type { GrantRow } from "../domain/placement.ts";
import type { RowSource } from "./remembered-rows.ts";
import type { Queryable, Tx } from "./sql.ts";
import { one } from "./sql.ts";
import { type MacField, requireAuthentic, type TrustSeal } from "./trust.ts";

export interface RoleRow extends GrantRow {
  readonly clusterId: string;
  readonly nodeId: string;
  readonly nodeName: string;
  readonly assignedAtMs: number;
  readonly assignedBy: string;
  readonly mac: Uint8Array;
}

export interface RoleKey {
  readonly clusterId: string;
  readonly nodeId: string;
  readonly role: string;
  /** Empty: every organization of the cluster. */
  readonly organizationId: string;
}

export function macFields(row: RoleKey & { readonly assignedBy: string }): MacField[] {
  return [row.clusterId, row.nodeId, row.role, row.organizationId, row.assignedBy];
}

/** An assignment as snapshots are made from it. */
export type TrustedRole = RoleKey & Pick<RoleRow, "assignedBy" | "mac">;

/** The assignments in a cluster, by node. */
export const trustedRoles: RowSource<TrustedRole> = {
  table: "role_assignment",
  clusterColumn: "cluster_id",
  ownerColumn: "node_id",
  orderColumns: ["role", "organization_id"],
  columns: {
    clusterId: "cluster_id",
    nodeId: "node_id",
    role: "role",
    organizationId: "organization_id",
    assignedBy: "assigned_by",
    mac: "mac",
  },
  ownerOf: ({ nodeId }) => nodeId,
  judge: (seal, row) => requireAuthentic(seal, "role_assignment", macFields(row), row.mac),
};

/** Inserts an assignment; false when it was there. Checks, snapshot version and audit record are the caller's. */
export async function assignRole(
  tx: Tx,
  { seal }: { readonly seal: TrustSeal },
  grant: RoleKey & { readonly assignedBy: string },
): Promise<boolean> {
  const rows = await tx.query<{ role: string }>(
    `insert into role_assignment (cluster_id, node_id, role, organization_id, assigned_by, mac)
     values ($1, $2, $3, $4, $5, $6) on conflict do nothing returning role`,
    [
      grant.clusterId,
      grant.nodeId,
      grant.role,
      grant.organizationId,
      grant.assignedBy,
      seal.mac("role_assignment", macFields(grant)),
    ],
  );
  return rows.length === 1;
}

/** Removes exactly this assignment; false when there was none. */
export async function removeRole(tx: Tx, key: RoleKey): Promise<boolean> {
  const rows = await tx.query<{ role: string }>(
    `delete from role_assignment where cluster_id = $1 and node_id = $2 and role = $3 and organization_id = $4
     returning role`,
    [key.clusterId, key.nodeId, key.role, key.organizationId],
  );
  return rows.length === 1;
}

const selectText = `
  select r.cluster_id as "clusterId", r.node_id as "nodeId", n.name as "nodeName", r.role,
    r.organization_id as "organizationId", r.assigned_at_ms as "assignedAtMs", r.assigned_by as "assignedBy", r.mac
  from role_assignment r join node n on n.id = r.node_id and n.cluster_id = r.cluster_id`;

function authentic(seal: TrustSeal, rows: readonly RoleRow[]): readonly RoleRow[] {
  for (const row of rows) requireAuthentic(seal, "role_assignment", macFields(row), row.mac);
  return rows;
}

/** The cluster's assignments, authenticated, by node name and role; of one node when `nodeId` is given. */
export async function listRoles(
  q: Queryable,
  seal: TrustSeal,
  clusterId: string,
  nodeId = "",
): Promise<readonly RoleRow[]> {
  const rows = await q.query<RoleRow>(
    `${selectText} where r.cluster_id = $1 and ($2 = '' or r.node_id = $2) order by n.name, n.id, r.role, r.organization_id`,
    [clusterId, nodeId],
  );
  return authentic(seal, rows);
}

/** One assignment, authenticated, or undefined. */
export async function getRole(q: Queryable, seal: TrustSeal, key: RoleKey): Promise<RoleRow | undefined> {
  const rows = await q.query<RoleRow>(
    `${selectText} where r.cluster_id = $1 and r.node_id = $2 and r.role = $3 and r.organization_id = $4`,
    [key.clusterId, key.nodeId, key.role, key.organizationId],
  );
  return one(authentic(seal, rows));
}

/** What several nodes were granted, authenticated, by node. */
export async function rolesOfNodes(
  q: Queryable,
  seal: TrustSeal,
  nodeIds: readonly string[],
): Promise<ReadonlyMap<string, readonly GrantRow[]>> {
  const rows = await q.query<RoleRow>(`${selectText} where r.node_id = any($1::text[])`, [nodeIds]);
  return Map.groupBy(authentic(seal, rows), (row) => row.nodeId);
}

/** What a node was granted, authenticated. */
export async function rolesOf(q: Queryable, seal: TrustSeal, nodeId: string): Promise<readonly GrantRow[]> {
  const rows = await q.query<RoleRow>(`${selectText} where r.node_id = $1 order by r.role, r.organization_id`, [
    nodeId,
  ]);
  return authentic(seal, rows).map(({ role, organizationId }) => ({ role, organizationId }));
}
