/**
 * What operators should look at among workloads: those that are wished for and that their node cannot or may not run, as the
 * node itself says. An observation: nothing is decided by it.
 */

import { closeAlert, closeAlerts, openAlerts } from "../store/alerts.ts";
import { workloadsOfNode } from "../store/desired-workloads.ts";
import type { Tx } from "../store/sql.ts";
import type { TrustSeal } from "../store/trust.ts";
import type { WorkloadRow, WorkloadStateName } from "../store/workloads.ts";

const kind = "workload-not-running";

/** States that end only when somebody does something. */
const stuck: ReadonlySet<WorkloadStateName> = new Set(["degraded", "failed"]);

function objectOf(workloadId: string): string {
  return `workload/${workloadId}`;
}

/** Opens and closes alerts after a report of a node. What the report names beyond what is desired raises none. */
export async function alertWorkloads(
  tx: Tx,
  seal: TrustSeal,
  at: { readonly clusterId: string; readonly nodeId: string },
  reports: readonly WorkloadRow[],
): Promise<void> {
  const desired = await workloadsOfNode(tx, seal, at);
  const states = new Map(reports.map(({ name, state }) => [name, state]));
  const isStuck = (name: string): boolean => stuck.has(states.get(name) ?? "running");
  await openAlerts(
    tx,
    at.clusterId,
    desired
      .filter(({ name }) => isStuck(name))
      .map(({ id, name }) => ({
        kind,
        object: objectOf(id),
        // The reason is the node's text: it stands in "weft workload show".
        detail: `workload ${name} of node/${at.nodeId} is ${states.get(name)}; weft workload show ${name} says why`,
      })),
  );
  const well = desired.filter(({ name }) => !isStuck(name));
  await closeAlerts(
    tx,
    at.clusterId,
    well.map(({ id }) => ({ kind, object: objectOf(id) })),
  );
}

/** A workload that is no more has nothing to look at. */
export async function forgetWorkload(tx: Tx, clusterId: string, workloadId: string): Promise<void> {
  await closeAlert(tx, { clusterId, kind, object: objectOf(workloadId) });
}
