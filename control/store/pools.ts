/**
 * Egress pools: the exits organizations see (M-A20). A pool belongs to one organization and is one trust class; only nodes
 * that may be egresses for that organization are put in. A member that loses the role stays listed here and drops out of
 * every snapshot.
 */

import { WeftError } from "../../lib/errors.ts";
import type { RowSource } from "./remembered-rows.ts";
import type { Queryable, Tx } from "./sql.ts";
import { isUniqueViolation, one } from "./sql.ts";
import { type MacField, requireAuthentic, type TrustSeal } from "./trust.ts";

export interface PoolRow {
  readonly id: string;
  readonly clusterId: string;
  readonly organizationId: string;
  readonly name: string;
  readonly createdAtMs: number;
  readonly mac: Uint8Array;
}

export interface PoolNodeRow {
  readonly poolId: string;
  readonly nodeId: string;
  readonly clusterId: string;
  readonly addedBy: string;
  readonly mac: Uint8Array;
}

/** A pool and the nodes put in, by id. */
export interface PoolWithNodes extends PoolRow {
  readonly nodeIds: readonly string[];
}

export function poolFields(row: Omit<PoolRow, "createdAtMs" | "mac">): MacField[] {
  return [row.id, row.clusterId, row.organizationId, row.name];
}

export function poolNodeFields(row: Omit<PoolNodeRow, "mac">): MacField[] {
  return [row.poolId, row.nodeId, row.clusterId, row.addedBy];
}

/** Which nodes are in the pools of a cluster, by node. */
export const trustedPoolNodes: RowSource<PoolNodeRow> = {
  table: "pool_node",
  clusterColumn: "cluster_id",
  ownerColumn: "node_id",
  orderColumns: ["pool_id"],
  columns: { poolId: "pool_id", nodeId: "node_id", clusterId: "cluster_id", addedBy: "added_by", mac: "mac" },
  ownerOf: ({ nodeId }) => nodeId,
  judge: (seal, row) => requireAuthentic(seal, "pool_node", poolNodeFields(row), row.mac),
};

const poolColumns = `id, cluster_id as "clusterId", organization_id as "organizationId", name,
  created_at_ms as "createdAtMs", mac`;
const poolNodeColumns = `pool_id as "poolId", node_id as "nodeId", cluster_id as "clusterId", added_by as "addedBy", mac`;

/** Inserts an empty pool; `already_exists` when the organization has one of that name. */
export async function insertPool(tx: Tx, seal: TrustSeal, pool: Omit<PoolRow, "createdAtMs" | "mac">): Promise<void> {
  try {
    await tx.query(`insert into pool (id, cluster_id, organization_id, name, mac) values ($1, $2, $3, $4, $5)`, [
      pool.id,
      pool.clusterId,
      pool.organizationId,
      pool.name,
      seal.mac("pool", poolFields(pool)),
    ]);
  } catch (cause) {
    if (!isUniqueViolation(cause)) throw cause;
    throw new WeftError("already_exists", "the organization has a pool of that name", { detail: "POOL_EXISTS", cause });
  }
}

/** Puts a node into a pool; false when it was in it. */
export async function insertPoolNode(tx: Tx, seal: TrustSeal, row: Omit<PoolNodeRow, "mac">): Promise<boolean> {
  const rows = await tx.query<{ nodeId: string }>(
    `insert into pool_node (pool_id, node_id, cluster_id, added_by, mac) values ($1, $2, $3, $4, $5)
     on conflict do nothing returning node_id as "nodeId"`,
    [row.poolId, row.nodeId, row.clusterId, row.addedBy, seal.mac("pool_node", poolNodeFields(row))],
  );
  return rows.length === 1;
}

/** Every pool of the cluster by name, authenticated. */
export async function listEmptyPools(q: Queryable, seal: TrustSeal, clusterId: string): Promise<readonly PoolRow[]> {
  const text = `select ${poolColumns} from pool where cluster_id = $1 order by name, id`;
  const pools = await q.query<PoolRow>(text, [clusterId]);
  for (const pool of pools) requireAuthentic(seal, "pool", poolFields(pool), pool.mac);
  return pools;
}

/** Every pool of the cluster by name, authenticated, with its nodes. */
export async function listPools(q: Queryable, seal: TrustSeal, clusterId: string): Promise<readonly PoolWithNodes[]> {
  const pools = await listEmptyPools(q, seal, clusterId);
  const nodes = await q.query<PoolNodeRow>(
    `select ${poolNodeColumns} from pool_node where cluster_id = $1 order by pool_id, node_id`,
    [clusterId],
  );
  return withNodes(seal, pools, nodes);
}

/** Pools, authenticated already, with what was put in. */
function withNodes(
  seal: TrustSeal,
  pools: readonly PoolRow[],
  nodes: readonly PoolNodeRow[],
): readonly PoolWithNodes[] {
  const byPool = new Map<string, string[]>();
  for (const row of nodes) {
    requireAuthentic(seal, "pool_node", poolNodeFields(row), row.mac);
    byPool.set(row.poolId, [...(byPool.get(row.poolId) ?? []), row.nodeId]);
  }
  return pools.map((pool) => ({ ...pool, nodeIds: byPool.get(pool.id) ?? [] }));
}

/** The pool with that id or name in the cluster, authenticated; NOT_FOUND otherwise. */
export async function requirePool(
  q: Queryable,
  seal: TrustSeal,
  clusterId: string,
  idOrName: string,
): Promise<PoolWithNodes> {
  const pools = await q.query<PoolRow>(
    `select ${poolColumns} from pool where cluster_id = $1 and (id = $2 or name = $2) order by (id = $2) desc, id limit 2`,
    [clusterId, idOrName],
  );
  const [found, other] = pools;
  if (found === undefined)
    throw new WeftError("not_found", "no such pool in this cluster", { detail: "POOL_NOT_FOUND" });
  if (other !== undefined && found.id !== idOrName && other.id !== idOrName) {
    throw new WeftError("failed_precondition", "several organizations have a pool of that name: give its id", {
      detail: "AMBIGUOUS_NAME",
    });
  }
  const nodes = await q.query<PoolNodeRow>(
    `select ${poolNodeColumns} from pool_node where pool_id = $1 order by node_id`,
    [found.id],
  );
  requireAuthentic(seal, "pool", poolFields(found), found.mac);
  return one(withNodes(seal, [found], nodes)) as PoolWithNodes;
}

/** The pools a node was put in, authenticated, by id. */
export async function poolsOfNode(
  q: Queryable,
  seal: TrustSeal,
  clusterId: string,
  nodeId: string,
): Promise<readonly { readonly poolId: string }[]> {
  const rows = await q.query<PoolNodeRow>(
    `select ${poolNodeColumns} from pool_node where cluster_id = $1 and node_id = $2 order by pool_id`,
    [clusterId, nodeId],
  );
  for (const row of rows) requireAuthentic(seal, "pool_node", poolNodeFields(row), row.mac);
  return rows.map(({ poolId }) => ({ poolId }));
}
