/** QoS policies: at most one per place (cluster, organization, resource) and class; setting it again replaces it. */

import { WeftError } from "../../lib/errors.ts";
import type { ClassPolicySpec } from "../domain/class-policy.ts";
import { isUniqueViolation, one, type Queryable, type Tx } from "./sql.ts";
import { type MacField, requireAuthentic, type TrustSeal } from "./trust.ts";

export interface QosPolicyRow extends ClassPolicySpec {
  readonly id: string;
  readonly clusterId: string;
  /** Empty: the whole cluster. */
  readonly organizationId: string;
  /** Empty: everything of the organization or cluster. */
  readonly resourceId: string;
  readonly changedAtMs: number;
  readonly changedBy: string;
  readonly mac: Uint8Array;
}

export type NewQosPolicy = Omit<QosPolicyRow, "changedAtMs" | "mac">;

export function macFields(row: NewQosPolicy): MacField[] {
  return [
    row.id,
    row.clusterId,
    row.organizationId,
    row.resourceId,
    row.class,
    row.priority,
    row.rateBytesPerSecond,
    row.burstBytes,
    row.changedBy,
  ];
}

const columns = `id, cluster_id as "clusterId", organization_id as "organizationId", resource_id as "resourceId", class,
  priority, rate_bytes_per_second as "rateBytesPerSecond", burst_bytes as "burstBytes", changed_at_ms as "changedAtMs",
  changed_by as "changedBy", mac`;

/** What is set at a place for a class, authenticated and locked until the transaction ends. */
export async function lockQosPolicy(
  tx: Tx,
  seal: TrustSeal,
  at: Pick<QosPolicyRow, "clusterId" | "organizationId" | "resourceId" | "class">,
): Promise<QosPolicyRow | undefined> {
  const row = one(
    await tx.query<QosPolicyRow>(
      `select ${columns} from qos_policy
       where cluster_id = $1 and organization_id = $2 and resource_id = $3 and class = $4 for update`,
      [at.clusterId, at.organizationId, at.resourceId, at.class],
    ),
  );
  if (row !== undefined) requireAuthentic(seal, "qos_policy", macFields(row), row.mac);
  return row;
}

/** Sets a policy; one of the same place and class is replaced and keeps its id. Pass the id it has. */
export async function putQosPolicy(tx: Tx, seal: TrustSeal, row: NewQosPolicy): Promise<void> {
  try {
    await tx.query(
      `insert into qos_policy (id, cluster_id, organization_id, resource_id, class, priority, rate_bytes_per_second,
       burst_bytes, changed_by, mac)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
     on conflict (id) do update set priority = excluded.priority,
       rate_bytes_per_second = excluded.rate_bytes_per_second, burst_bytes = excluded.burst_bytes,
       changed_by = excluded.changed_by, changed_at_ms = now_ms(), mac = excluded.mac`,
      [
        row.id,
        row.clusterId,
        row.organizationId,
        row.resourceId,
        row.class,
        row.priority,
        row.rateBytesPerSecond,
        row.burstBytes,
        row.changedBy,
        seal.mac("qos_policy", macFields(row)),
      ],
    );
  } catch (cause) {
    if (!isUniqueViolation(cause)) throw cause;
    const message = "somebody else has just set the same policy; nothing was changed";
    throw new WeftError("aborted", message, { detail: "STORE_CONFLICT", retry: "now", cause });
  }
}

/** The cluster's policies, widest first, authenticated. */
export async function listQosPolicies(
  q: Queryable,
  seal: TrustSeal,
  clusterId: string,
): Promise<readonly QosPolicyRow[]> {
  const rows = await q.query<QosPolicyRow>(
    `select ${columns} from qos_policy where cluster_id = $1 order by organization_id, resource_id, class`,
    [clusterId],
  );
  for (const row of rows) requireAuthentic(seal, "qos_policy", macFields(row), row.mac);
  return rows;
}

/** The policy with that id, authenticated; NOT_FOUND otherwise. */
export async function requireQosPolicy(
  q: Queryable,
  seal: TrustSeal,
  clusterId: string,
  id: string,
): Promise<QosPolicyRow> {
  const row = one(
    await q.query<QosPolicyRow>(`select ${columns} from qos_policy where cluster_id = $1 and id = $2`, [clusterId, id]),
  );
  if (row === undefined) throw policyNotFound();
  requireAuthentic(seal, "qos_policy", macFields(row), row.mac);
  return row;
}

/** Removes a policy; false when it was not there. */
export async function deleteQosPolicy(tx: Tx, clusterId: string, id: string): Promise<boolean> {
  const rows = await tx.query<{ id: string }>(`delete from qos_policy where cluster_id = $1 and id = $2 returning id`, [
    clusterId,
    id,
  ]);
  return rows.length === 1;
}

export function policyNotFound(): WeftError {
  return new WeftError("not_found", "no such QoS policy in this cluster", { detail: "QOS_POLICY_NOT_FOUND" });
}
