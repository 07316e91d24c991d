/** Resources: what clients ask for by name. A removed resource keeps its row, for the audit trail; its name is free again. */

import { WeftError } from "../../lib/errors.ts";
import type { AssuranceName, ClassName, ResourceKindName, ResourceSpec } from "../domain/placement.ts";
import type { Queryable, Tx } from "./sql.ts";
import { isUniqueViolation, one } from "./sql.ts";
import { type MacField, requireAuthentic, type TrustSeal } from "./trust.ts";

export interface ResourceRow extends ResourceSpec {
  readonly id: string;
  readonly clusterId: string;
  readonly organizationId: string;
  readonly poolId: string;
  readonly kind: ResourceKindName;
  readonly defaultClass: ClassName;
  readonly allowedClasses: readonly ClassName[];
  readonly minimumAssurance: AssuranceName;
  readonly createdAtMs: number;
  readonly createdBy: string;
  readonly mac: Uint8Array;
}

export type NewResource = Omit<ResourceRow, "createdAtMs" | "mac">;

export function macFields(row: NewResource): MacField[] {
  return [
    row.id,
    row.clusterId,
    row.organizationId,
    row.poolId,
    row.name,
    row.kind,
    row.service,
    row.defaultClass,
    row.allowedClasses.join(","),
    row.minimumAssurance,
    row.host,
    row.port,
    row.unixPath,
    row.createdBy,
    // Rows from before there were exclusive resources have no such field in their MAC.
    ...(row.exclusiveLeaseMs === 0 ? [] : [row.exclusiveLeaseMs]),
    ...(row.requiresLease ? ["requires-lease"] : []),
  ];
}

const columns = `id, cluster_id as "clusterId", organization_id as "organizationId", pool_id as "poolId", name, kind, service,
  default_class as "defaultClass", allowed_classes as "allowedClasses", minimum_assurance as "minimumAssurance", host, port,
  unix_path as "unixPath", exclusive_lease_ms as "exclusiveLeaseMs", requires_lease as "requiresLease",
  created_at_ms as "createdAtMs", created_by as "createdBy", mac`;

/** Inserts a resource; `already_exists` when the organization has one of that name. */
export async function insertResource(tx: Tx, seal: TrustSeal, row: NewResource): Promise<void> {
  try {
    await tx.query(
      `insert into resource (id, cluster_id, organization_id, pool_id, name, kind, service, default_class, allowed_classes,
         minimum_assurance, host, port, unix_path, created_by, exclusive_lease_ms, requires_lease, mac)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9::text[], $10, $11, $12, $13, $14, $15, $16, $17)`,
      [
        row.id,
        row.clusterId,
        row.organizationId,
        row.poolId,
        row.name,
        row.kind,
        row.service,
        row.defaultClass,
        row.allowedClasses,
        row.minimumAssurance,
        row.host,
        row.port,
        row.unixPath,
        row.createdBy,
        row.exclusiveLeaseMs,
        row.requiresLease,
        seal.mac("resource", macFields(row)),
      ],
    );
  } catch (cause) {
    if (!isUniqueViolation(cause)) throw cause;
    const message = "the organization has a resource of that name";
    throw new WeftError("already_exists", message, { detail: "RESOURCE_EXISTS", cause });
  }
}

/** The cluster's resources by organization and name, authenticated. */
export async function listResources(q: Queryable, seal: TrustSeal, clusterId: string): Promise<readonly ResourceRow[]> {
  const rows = await q.query<ResourceRow>(
    `select ${columns} from resource where cluster_id = $1 and removed_at_ms is null order by organization_id, name, id`,
    [clusterId],
  );
  for (const row of rows) requireAuthentic(seal, "resource", macFields(row), row.mac);
  return rows;
}

export function resourceNotFound(): WeftError {
  return new WeftError("not_found", "no such resource in this cluster", { detail: "RESOURCE_NOT_FOUND" });
}

/** The resource with that id, or with that name in the organization (any, when empty); authenticated; NOT_FOUND otherwise. */
export async function requireResource(
  q: Queryable,
  seal: TrustSeal,
  key: { readonly clusterId: string; readonly idOrName: string; readonly organizationId?: string },
): Promise<ResourceRow> {
  const rows = await q.query<ResourceRow>(
    `select ${columns} from resource where cluster_id = $1 and removed_at_ms is null and (id = $2 or name = $2)
       and ($3 = '' or organization_id = $3) order by (id = $2) desc, id limit 2`,
    [key.clusterId, key.idOrName, key.organizationId ?? ""],
  );
  const [found, other] = rows;
  if (found === undefined) throw resourceNotFound();
  if (other !== undefined && found.id !== key.idOrName) {
    const message = "several organizations have a resource of that name: give its id or the organization";
    throw new WeftError("failed_precondition", message, { detail: "AMBIGUOUS_NAME" });
  }
  requireAuthentic(seal, "resource", macFields(found), found.mac);
  return found;
}

/** Removes a resource; false when it was not there. Its listeners have to be gone: `failed_precondition` otherwise. */
export async function markResourceRemoved(tx: Tx, clusterId: string, resourceId: string): Promise<boolean> {
  // The lock makes a listener that is being added for it wait, and then find it removed.
  const locked = one(
    await tx.query<{ id: string }>(
      `select id from resource where cluster_id = $1 and id = $2 and removed_at_ms is null for update`,
      [clusterId, resourceId],
    ),
  );
  if (locked === undefined) return false;
  const used = await tx.query<{ name: string }>(
    `select name from listener where resource_id = $1 and removed_at_ms is null order by name limit 1`,
    [resourceId],
  );
  if (used[0] !== undefined) {
    throw new WeftError("failed_precondition", "a listener still leads to this resource: remove it first", {
      detail: "RESOURCE_IN_USE",
      metadata: { listener: used[0].name },
    });
  }
  await tx.query(`update resource set removed_at_ms = now_ms() where id = $1`, [resourceId]);
  return true;
}

/** Holds a resource in place until the transaction ends, so that nothing is placed on one that is being removed. */
export async function lockResource(tx: Tx, resourceId: string): Promise<void> {
  const rows = await tx.query<{ id: string }>(
    `select id from resource where id = $1 and removed_at_ms is null for share`,
    [resourceId],
  );
  if (rows.length === 0) throw resourceNotFound();
}
