/**
 * Workloads as operators want them, one per node and name. Trust rows: they make hosts run programs, so a row that was not
 * written by a holder of the sealing key starts nothing.
 */

import { WeftError } from "../../lib/errors.ts";
import { type StoredSpec, specFingerprint } from "../domain/workload-spec.ts";
import { isUniqueViolation, one, type Queryable, type Tx } from "./sql.ts";
import { canonicalJson, type MacField, requireAuthentic, type TrustSeal } from "./trust.ts";

export interface DesiredWorkload {
  readonly id: string;
  readonly clusterId: string;
  readonly nodeId: string;
  readonly name: string;
  /** False: it is to be stopped, and kept. */
  readonly running: boolean;
  readonly spec: StoredSpec;
  /** The spec somebody approved host privileges for; empty: none. */
  readonly privilegesFingerprint: string;
  readonly privilegesBy: string;
  readonly changedAtMs: number;
  readonly changedBy: string;
  readonly mac: Uint8Array;
}

export type NewWorkload = Omit<DesiredWorkload, "changedAtMs" | "mac">;

/** What the MAC of a row covers. */
export function macFields(row: NewWorkload): MacField[] {
  return [
    row.id,
    row.clusterId,
    row.nodeId,
    row.name,
    row.running ? "running" : "stopped",
    canonicalJson(row.spec),
    row.privilegesFingerprint,
    row.privilegesBy,
    row.changedBy,
  ];
}

const columns = `id, cluster_id as "clusterId", node_id as "nodeId", name, running, spec,
  privileges_fingerprint as "privilegesFingerprint", privileges_by as "privilegesBy", changed_at_ms as "changedAtMs",
  changed_by as "changedBy", mac`;

function authentic(seal: TrustSeal, rows: readonly DesiredWorkload[]): readonly DesiredWorkload[] {
  for (const row of rows) requireAuthentic(seal, "workload", macFields(row), row.mac);
  return rows;
}

/** Where a workload is: a node of a cluster and a name there. */
export type WorkloadPlace = Pick<DesiredWorkload, "clusterId" | "nodeId" | "name">;

/** What is desired at a place, authenticated and locked until the transaction ends. */
export async function lockWorkload(tx: Tx, seal: TrustSeal, at: WorkloadPlace): Promise<DesiredWorkload | undefined> {
  return one(
    authentic(
      seal,
      await tx.query<DesiredWorkload>(
        `select ${columns} from workload where cluster_id = $1 and node_id = $2 and name = $3 for update`,
        [at.clusterId, at.nodeId, at.name],
      ),
    ),
  );
}

/** Sets a workload; one of the same place is replaced and keeps its id. Pass the id it has. */
export async function putWorkload(tx: Tx, seal: TrustSeal, row: NewWorkload): Promise<void> {
  try {
    await tx.query(
      `insert into workload (id, cluster_id, node_id, name, running, spec, privileges_fingerprint, privileges_by,
         changed_by, mac)
       values ($1, $2, $3, $4, $5, $6::jsonb, $7, $8, $9, $10)
       on conflict (id) do update set running = excluded.running, spec = excluded.spec,
         privileges_fingerprint = excluded.privileges_fingerprint, privileges_by = excluded.privileges_by,
         changed_by = excluded.changed_by, changed_at_ms = now_ms(), mac = excluded.mac`,
      [
        row.id,
        row.clusterId,
        row.nodeId,
        row.name,
        row.running,
        JSON.stringify(row.spec),
        row.privilegesFingerprint,
        row.privilegesBy,
        row.changedBy,
        seal.mac("workload", macFields(row)),
      ],
    );
  } catch (cause) {
    if (!isUniqueViolation(cause)) throw cause;
    const message = "somebody else has just set the same workload; nothing was changed";
    throw new WeftError("aborted", message, { detail: "STORE_CONFLICT", retry: "now", cause });
  }
}

/** How many workloads a node has. */
export async function countWorkloads(tx: Tx, nodeId: string): Promise<number> {
  return (
    one(await tx.query<{ n: number }>(`select count(*)::int as n from workload where node_id = $1`, [nodeId]))?.n ?? 0
  );
}

/** The cluster's workloads by node and name, authenticated. */
export async function listDesiredWorkloads(
  q: Queryable,
  seal: TrustSeal,
  clusterId: string,
): Promise<readonly DesiredWorkload[]> {
  return authentic(
    seal,
    await q.query<DesiredWorkload>(
      `select ${columns} from workload where cluster_id = $1 order by node_id, name collate "C"`,
      [clusterId],
    ),
  );
}

/** The workloads of one node by name, authenticated. */
export async function workloadsOfNode(
  q: Queryable,
  seal: TrustSeal,
  at: Pick<WorkloadPlace, "clusterId" | "nodeId">,
): Promise<readonly DesiredWorkload[]> {
  return authentic(
    seal,
    await q.query<DesiredWorkload>(
      `select ${columns} from workload where cluster_id = $1 and node_id = $2 order by name collate "C"`,
      [at.clusterId, at.nodeId],
    ),
  );
}

/** Removes a workload; false when it was not there. */
export async function deleteWorkload(tx: Tx, id: string): Promise<boolean> {
  return (await tx.query<{ id: string }>(`delete from workload where id = $1 returning id`, [id])).length === 1;
}

/** Whether host privileges were approved for the spec as it is now. */
export function privilegesApproved(row: Pick<DesiredWorkload, "spec" | "privilegesFingerprint">): boolean {
  return row.spec.hostPrivileges && row.privilegesFingerprint === specFingerprint(row.spec);
}

export function workloadNotFound(): WeftError {
  return new WeftError("not_found", "no such workload on that node", { detail: "WORKLOAD_NOT_FOUND" });
}
