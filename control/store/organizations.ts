/** Organizations: the tenants of a cluster. */

import { WeftError } from "../../lib/errors.ts";
import { isUniqueViolation, one, type Queryable, type Tx } from "./sql.ts";

export interface OrganizationRow {
  readonly id: string;
  readonly clusterId: string;
  readonly name: string;
  readonly createdAtMs: number;
}

const columns = `id, cluster_id as "clusterId", name, created_at_ms as "createdAtMs"`;

/** Adds an organization. Throws `already_exists` (ORGANIZATION_EXISTS). */
export async function insertOrganization(
  tx: Tx,
  organization: Omit<OrganizationRow, "createdAtMs">,
): Promise<OrganizationRow> {
  const { id, clusterId, name } = organization;
  try {
    const text = `insert into organization (id, cluster_id, name) values ($1, $2, $3) returning ${columns}`;
    const row = one(await tx.query<OrganizationRow>(text, [id, clusterId, name]));
    if (row === undefined) throw new Error("an inserted organization was not returned");
    return row;
  } catch (thrown) {
    if (!isUniqueViolation(thrown)) throw thrown;
    const options = { detail: "ORGANIZATION_EXISTS", cause: thrown };
    throw new WeftError("already_exists", "an organization with this name exists in the cluster", options);
  }
}

/** Organizations of a cluster by name. */
export async function listOrganizations(q: Queryable, clusterId: string): Promise<readonly OrganizationRow[]> {
  return await q.query<OrganizationRow>(`select ${columns} from organization where cluster_id = $1 order by name`, [
    clusterId,
  ]);
}

/** The organization with that id or name in the cluster. Throws `not_found` (ORGANIZATION_NOT_FOUND). */
export async function requireOrganization(q: Queryable, clusterId: string, idOrName: string): Promise<OrganizationRow> {
  const text = `select ${columns} from organization where cluster_id = $1 and (id = $2 or name = $2)
    order by (id = $2) desc limit 1`;
  const row = one(await q.query<OrganizationRow>(text, [clusterId, idOrName]));
  if (row !== undefined) return row;
  throw new WeftError("not_found", "no such organization in this cluster", { detail: "ORGANIZATION_NOT_FOUND" });
}
