/** Workloads as their nodes report them: a state per name, replaced as a whole by every report. */

import type { Queryable, Tx } from "./sql.ts";

export type WorkloadStateName = "running" | "stopped" | "degraded" | "failed";

export interface WorkloadRow {
  readonly name: string;
  /** Empty for a workload that is no built-in role. */
  readonly role: string;
  readonly state: WorkloadStateName;
  readonly reason: string;
  readonly version: string;
}

/** Replaces what a node reported before. */
export async function replaceWorkloads(
  tx: Tx,
  clusterId: string,
  nodeId: string,
  workloads: readonly WorkloadRow[],
): Promise<void> {
  const names = workloads.map(({ name }) => name);
  await tx.query(`delete from workload_report where node_id = $1 and name <> all ($2::text[])`, [nodeId, names]);
  await tx.query(
    `insert into workload_report (cluster_id, node_id, name, role, state, reason, version)
     select $1, $2, name, role, state, reason, version
     from jsonb_to_recordset($3::jsonb) as r (name text, role text, state text, reason text, version text)
     on conflict (node_id, name) do update set role = excluded.role, state = excluded.state, reason = excluded.reason,
       version = excluded.version, reported_at_ms = now_ms()`,
    [clusterId, nodeId, JSON.stringify(workloads)],
  );
}

/** What a node reported last, by name. */
export async function listWorkloads(q: Queryable, nodeId: string): Promise<readonly WorkloadRow[]> {
  return await q.query<WorkloadRow>(
    `select name, role, state, reason, version from workload_report where node_id = $1 order by name`,
    [nodeId],
  );
}
