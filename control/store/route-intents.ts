/** Route intents. A removed or expired one keeps its row, for the audit trail; its name is free again. */

import { WeftError } from "../../lib/errors.ts";
import type { IntentActionName } from "../domain/route-intent.ts";
import { isUniqueViolation, one, type Queryable, type Tx } from "./sql.ts";
import { type MacField, requireAuthentic, type TrustSeal } from "./trust.ts";

export interface RouteIntentRow {
  readonly id: string;
  readonly clusterId: string;
  readonly name: string;
  /** Empty: every organization. */
  readonly organizationId: string;
  /** Empty: every entry. */
  readonly sourceNodeId: string;
  readonly poolId: string;
  readonly resourceId: string;
  /** Empty: every class of service. */
  readonly serviceClass: string;
  readonly action: IntentActionName;
  readonly nodeId: string;
  readonly region: string;
  /** 0: until it is removed. */
  readonly expiresAtMs: number;
  readonly createdAtMs: number;
  readonly createdBy: string;
  readonly mac: Uint8Array;
}

export type NewRouteIntent = Omit<RouteIntentRow, "createdAtMs" | "mac">;

export function macFields(row: NewRouteIntent): MacField[] {
  return [
    row.id,
    row.clusterId,
    row.name,
    row.organizationId,
    row.sourceNodeId,
    row.poolId,
    row.resourceId,
    row.serviceClass,
    row.action,
    row.nodeId,
    row.region,
    row.expiresAtMs,
    row.createdBy,
  ];
}

const columns = `id, cluster_id as "clusterId", name, organization_id as "organizationId", source_node_id as "sourceNodeId",
  pool_id as "poolId", resource_id as "resourceId", service_class as "serviceClass", action, node_id as "nodeId", region,
  expires_at_ms as "expiresAtMs", created_at_ms as "createdAtMs", created_by as "createdBy", mac`;

/** Inserts an intent; `already_exists` when the cluster has one of that name. */
export async function insertRouteIntent(tx: Tx, seal: TrustSeal, row: NewRouteIntent): Promise<void> {
  try {
    await tx.query(
      `insert into route_intent (id, cluster_id, name, organization_id, source_node_id, pool_id, resource_id,
         service_class, action, node_id, region, expires_at_ms, created_by, mac)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
      [
        row.id,
        row.clusterId,
        row.name,
        row.organizationId,
        row.sourceNodeId,
        row.poolId,
        row.resourceId,
        row.serviceClass,
        row.action,
        row.nodeId,
        row.region,
        row.expiresAtMs,
        row.createdBy,
        seal.mac("route_intent", macFields(row)),
      ],
    );
  } catch (cause) {
    if (!isUniqueViolation(cause)) throw cause;
    const message = "the cluster has a route intent of that name";
    throw new WeftError("already_exists", message, { detail: "ROUTE_INTENT_EXISTS", cause });
  }
}

/** The cluster's intents by name, authenticated. */
export async function listRouteIntents(
  q: Queryable,
  seal: TrustSeal,
  clusterId: string,
): Promise<readonly RouteIntentRow[]> {
  const rows = await q.query<RouteIntentRow>(
    `select ${columns} from route_intent where cluster_id = $1 and removed_at_ms is null order by name`,
    [clusterId],
  );
  for (const row of rows) requireAuthentic(seal, "route_intent", macFields(row), row.mac);
  return rows;
}

/** The intent with that id or name, authenticated; NOT_FOUND otherwise. */
export async function requireRouteIntent(
  q: Queryable,
  seal: TrustSeal,
  clusterId: string,
  idOrName: string,
): Promise<RouteIntentRow> {
  const row = one(
    await q.query<RouteIntentRow>(
      `select ${columns} from route_intent where cluster_id = $1 and (id = $2 or name = $2) and removed_at_ms is null
       order by (id = $2) desc limit 1`,
      [clusterId, idOrName],
    ),
  );
  if (row === undefined) throw intentNotFound();
  requireAuthentic(seal, "route_intent", macFields(row), row.mac);
  return row;
}

/** Removes an intent; false when it was not there. */
export async function markRouteIntentRemoved(tx: Tx, clusterId: string, id: string): Promise<boolean> {
  const rows = await tx.query<{ id: string }>(
    `update route_intent set removed_at_ms = now_ms() where cluster_id = $1 and id = $2 and removed_at_ms is null
     returning id`,
    [clusterId, id],
  );
  return rows.length === 1;
}

/** Removes intents whose time is over; returns them. */
export async function expireRouteIntents(
  tx: Tx,
): Promise<readonly Pick<RouteIntentRow, "id" | "clusterId" | "organizationId" | "name">[]> {
  return await tx.query(
    `update route_intent set removed_at_ms = now_ms()
     where removed_at_ms is null and expires_at_ms > 0 and expires_at_ms <= now_ms()
     returning id, cluster_id as "clusterId", organization_id as "organizationId", name`,
  );
}

export function intentNotFound(): WeftError {
  return new WeftError("not_found", "no such route intent in this cluster", { detail: "ROUTE_INTENT_NOT_FOUND" });
}
