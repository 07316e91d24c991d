/** Workloads as their nodes report them: a state per name, replaced as a whole by every report. */

import type { Queryable, Tx } from "./sql.ts";

export type WorkloadStateName =
  | "running"
  | "stopped"
  | "degraded"
  | "failed"
  | "starting"
  | "unhealthy"
  | "backoff"
  | "stopping";

export interface WorkloadRow {
  readonly name: string;
  /** "native", "container" or "builtin". */
  readonly kind: string;
  /** Empty for a workload that is no built-in role. */
  readonly role: string;
  readonly state: WorkloadStateName;
  readonly reason: string;
  readonly version: string;
  readonly restarts: number;
  /** Of the spec the report is about; empty for roles. */
  readonly fingerprint: string;
}

/** A report and whose it is. */
export interface ReportedWorkload extends WorkloadRow {
  readonly nodeId: string;
  readonly reportedAtMs: number;
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
    `insert into workload_report (cluster_id, node_id, name, kind, role, state, reason, version, restarts, fingerprint)
     select $1, $2, name, kind, role, state, reason, version, restarts, fingerprint
     from jsonb_to_recordset($3::jsonb) as r (name text, kind text, role text, state text, reason text, version text,
       restarts bigint, fingerprint text)
     on conflict (node_id, name) do update set kind = excluded.kind, role = excluded.role, state = excluded.state,
       reason = excluded.reason, version = excluded.version, restarts = excluded.restarts,
       fingerprint = excluded.fingerprint, reported_at_ms = now_ms()`,
    [clusterId, nodeId, JSON.stringify(workloads)],
  );
}

/** What every node of a cluster reported last, or (not empty) that one. */
export async function listClusterWorkloads(
  q: Queryable,
  clusterId: string,
  nodeId = "",
): Promise<readonly ReportedWorkload[]> {
  return await q.query<ReportedWorkload>(
    `select name, kind, role, state, reason, version, restarts, fingerprint, node_id as "nodeId",
       reported_at_ms as "reportedAtMs" from workload_report
     where cluster_id = $1 and ($2 = '' or node_id = $2) order by node_id, name`,
    [clusterId, nodeId],
  );
}
