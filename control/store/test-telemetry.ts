/**
 * Switches of test telemetry: whether probes of routes may be made, for a cluster, an organization, a node. A place without a row
 * is switched on. They grant nothing, so these rows carry no MAC.
 */

import { one, type Queryable, type Tx } from "./sql.ts";

export type TelemetryKind = "cluster" | "organization" | "node";

export interface TelemetryPlace {
  readonly clusterId: string;
  readonly kind: TelemetryKind;
  /** Of the organization or node; empty for the cluster. */
  readonly subjectId: string;
}

export interface TelemetryRow extends TelemetryPlace {
  readonly enabled: boolean;
  readonly changedAtMs: number;
  readonly changedBy: string;
}

const columns = `cluster_id as "clusterId", kind, subject_id as "subjectId", enabled, changed_at_ms as "changedAtMs",
  changed_by as "changedBy"`;

/** What was switched in a cluster: the cluster's first, then by kind and subject. */
export async function listTestTelemetry(q: Queryable, clusterId: string): Promise<readonly TelemetryRow[]> {
  const text = `select ${columns} from test_telemetry where cluster_id = $1 order by kind, subject_id`;
  return await q.query<TelemetryRow>(text, [clusterId]);
}

/** The switch of a place as it is now, locked until the transaction ends. */
export async function lockTestTelemetry(
  tx: Tx,
  { clusterId, kind, subjectId }: TelemetryPlace,
): Promise<TelemetryRow | undefined> {
  const text = `select ${columns} from test_telemetry where cluster_id = $1 and kind = $2 and subject_id = $3 for update`;
  return one(await tx.query<TelemetryRow>(text, [clusterId, kind, subjectId]));
}

/** Switches a place. */
export async function putTestTelemetry(
  tx: Tx,
  row: TelemetryPlace & { readonly enabled: boolean; readonly changedBy: string },
): Promise<TelemetryRow> {
  const { clusterId, kind, subjectId, enabled, changedBy } = row;
  const rows = await tx.query<TelemetryRow>(
    `insert into test_telemetry (cluster_id, kind, subject_id, enabled, changed_by) values ($1, $2, $3, $4, $5)
     on conflict (cluster_id, kind, subject_id) do update set enabled = excluded.enabled, changed_by = excluded.changed_by,
       changed_at_ms = now_ms()
     returning ${columns}`,
    [clusterId, kind, subjectId, enabled, changedBy],
  );
  return rows[0] ?? { ...row, changedAtMs: 0 };
}
