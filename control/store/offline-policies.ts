/** Offline policies: at most one per place (cluster, organization, resource); setting it again replaces it. */

import { WeftError } from "../../lib/errors.ts";
import { isUniqueViolation, one, type Queryable, type Tx } from "./sql.ts";
import { type MacField, requireAuthentic, type TrustSeal } from "./trust.ts";

export type OfflineModeName = "continue" | "continue-for" | "existing-only" | "fail-closed";

/** What a policy says. Durations are 0 where they have their default or no meaning. */
export interface OfflineSpec {
  readonly mode: OfflineModeName;
  readonly continueForMs: number;
  readonly graceMs: number;
}

/** Where it is set. */
export interface OfflinePlace {
  readonly clusterId: string;
  /** Empty: the whole cluster. */
  readonly organizationId: string;
  /** Empty: everything of the organization or cluster. */
  readonly resourceId: string;
}

export interface OfflinePolicyRow extends OfflineSpec, OfflinePlace {
  readonly id: string;
  readonly changedAtMs: number;
  readonly changedBy: string;
  readonly mac: Uint8Array;
}

export type NewOfflinePolicy = Omit<OfflinePolicyRow, "changedAtMs" | "mac">;

export function macFields(row: NewOfflinePolicy): MacField[] {
  const { id, clusterId, organizationId, resourceId, mode, continueForMs, graceMs, changedBy } = row;
  return [id, clusterId, organizationId, resourceId, mode, continueForMs, graceMs, changedBy];
}

const columns = `id, cluster_id as "clusterId", organization_id as "organizationId", resource_id as "resourceId", mode,
  continue_for_ms as "continueForMs", grace_ms as "graceMs", changed_at_ms as "changedAtMs", changed_by as "changedBy", mac`;

function authentic(seal: TrustSeal, row: OfflinePolicyRow): OfflinePolicyRow {
  requireAuthentic(seal, "offline_policy", macFields(row), row.mac);
  return row;
}

/** What is set at a place, authenticated and locked until the transaction ends. */
export async function lockOfflinePolicy(
  tx: Tx,
  seal: TrustSeal,
  { clusterId, organizationId, resourceId }: OfflinePlace,
): Promise<OfflinePolicyRow | undefined> {
  const rows = await tx.query<OfflinePolicyRow>(
    `select ${columns} from offline_policy
     where cluster_id = $1 and organization_id = $2 and resource_id = $3 for update`,
    [clusterId, organizationId, resourceId],
  );
  const row = one(rows);
  return row === undefined ? undefined : authentic(seal, row);
}

/** Sets a policy; one of the same place is replaced and keeps its id. Pass the id it has. */
export async function putOfflinePolicy(tx: Tx, seal: TrustSeal, row: NewOfflinePolicy): Promise<void> {
  const { id, clusterId, organizationId, resourceId, mode, continueForMs, graceMs, changedBy } = row;
  try {
    await tx.query(
      `insert into offline_policy (id, cluster_id, organization_id, resource_id, mode, continue_for_ms, grace_ms,
         changed_by, mac)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
       on conflict (id) do update set mode = excluded.mode, continue_for_ms = excluded.continue_for_ms,
         grace_ms = excluded.grace_ms, changed_by = excluded.changed_by, changed_at_ms = now_ms(), mac = excluded.mac`,
      [
        ...[id, clusterId, organizationId, resourceId, mode, continueForMs, graceMs, changedBy],
        seal.mac("offline_policy", macFields(row)),
      ],
    );
  } catch (cause) {
    if (!isUniqueViolation(cause)) throw cause;
    const message = "somebody else has just set the same policy; nothing was changed";
    throw new WeftError("aborted", message, { detail: "STORE_CONFLICT", retry: "now", cause });
  }
}

/** The cluster's policies, widest first, authenticated. */
export async function listOfflinePolicies(
  q: Queryable,
  seal: TrustSeal,
  clusterId: string,
): Promise<readonly OfflinePolicyRow[]> {
  const rows = await q.query<OfflinePolicyRow>(
    `select ${columns} from offline_policy where cluster_id = $1 order by organization_id, resource_id`,
    [clusterId],
  );
  return rows.map((row) => authentic(seal, row));
}

/** The policy with that id, authenticated; NOT_FOUND otherwise. */
export async function requireOfflinePolicy(
  q: Queryable,
  seal: TrustSeal,
  clusterId: string,
  id: string,
): Promise<OfflinePolicyRow> {
  const rows = await q.query<OfflinePolicyRow>(
    `select ${columns} from offline_policy where cluster_id = $1 and id = $2`,
    [clusterId, id],
  );
  const row = one(rows);
  if (row === undefined) throw offlinePolicyNotFound();
  return authentic(seal, row);
}

/** Removes a policy; false when it was not there. */
export async function deleteOfflinePolicy(tx: Tx, clusterId: string, id: string): Promise<boolean> {
  const text = `delete from offline_policy where cluster_id = $1 and id = $2 returning id`;
  return (await tx.query<{ id: string }>(text, [clusterId, id])).length === 1;
}

/** Removes what was set for a resource that is no more. */
export async function deleteOfflinePoliciesOf(tx: Tx, clusterId: string, resourceId: string): Promise<void> {
  await tx.query(`delete from offline_policy where cluster_id = $1 and resource_id = $2`, [clusterId, resourceId]);
}

export function offlinePolicyNotFound(): WeftError {
  return new WeftError("not_found", "no such offline policy in this cluster", { detail: "OFFLINE_POLICY_NOT_FOUND" });
}
