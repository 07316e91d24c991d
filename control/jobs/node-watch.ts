/**
 * The watch over nodes: health, alerts, role coverage (M-A6), and reconciliation of leases and placements (M-W11). Every
 * replica runs it, at once when it starts and then by the clock; a failed round is tried again at its next time, so that the
 * first one after an outage of the store is a reconciliation like any other.
 *
 * N1. A round of one cluster is one transaction, and of several replicas one at a time has it (`claimWatch`): a transition is
 *     written, audited and told once.
 * N2. Rounds derive what should be from rows, never from what a round before remembered: any of them may be the first.
 */

import { exclusiveLeasePrefix } from "../../fabric/lease.ts";
import { limits } from "../../lib/limits.ts";
import { coverageDetail, coverageObject, coverageOf } from "../domain/coverage.ts";
import { alertsOfNode, nodeAlertKinds } from "../domain/node-alerts.ts";
import { isRecorded, leaseVerdict, placementState } from "../domain/reconcile.ts";
import { refreshMeasurements } from "../domain/upkeep.ts";
import { closeAlerts, openAlerts, syncAlerts } from "../store/alerts.ts";
import { type AuditEntry, appendAudits } from "../store/audit.ts";
import { listClusters } from "../store/clusters.ts";
import type { StoreContext } from "../store/context.ts";
import { quietReuses } from "../store/leaf-reuse.ts";
import { fenceLease } from "../store/leases.ts";
import {
  claimWatch,
  closeLeaseOrphans,
  closeWorkloadOrphans,
  dropRevokedPlacements,
  lockSilentLeases,
  type NodePlacements,
  roleCounts,
  roleNeeds,
  setPlacementStates,
  troubledNodes,
  unsettledPlacements,
} from "../store/node-watch.ts";
import { bumpSnapshot } from "../store/snapshots.ts";
import type { Tx } from "../store/sql.ts";
import { Rounds } from "./rounds.ts";

export interface NodeWatch {
  /** Ends the timer and waits for a round under way. */
  stop(): Promise<void>;
}

/** Runs `watchNodes` for every cluster now and every `limits.nodeWatchMs`. */
export function startNodeWatch(ctx: StoreContext): NodeWatch {
  const { clock, log } = ctx;
  const failed = "a look at nodes failed; the next one repeats it";
  const rounds = new Rounds({ clock, log: log.child({ sub: "node-watch" }) }, failed);
  const round = async (): Promise<void> => {
    for (const { id } of await listClusters(ctx.sql)) await watchNodes(ctx, id);
  };
  rounds.every(limits.nodeWatchMs, "clusters", round);
  rounds.run("clusters", round);
  return { stop: () => rounds.stop() };
}

/** One look at a cluster: health as snapshots show it, then what follows from it. False when another replica is at it. */
export async function watchNodes(ctx: StoreContext, clusterId: string): Promise<boolean> {
  await refreshMeasurements(ctx, clusterId);
  return await ctx.sql.tx(async (tx) => {
    if (!(await claimWatch(tx, clusterId))) return false;
    await watchAlerts(tx, clusterId);
    const records = [...(await reconcilePlacements(tx, clusterId)), ...(await reconcileLeases(ctx, tx, clusterId))];
    // Last: the head of the audit chain is locked from here to the end.
    const entries = records.map((record) => ({ actor: "system", clusterId, ...record }));
    if (entries.length > 0) await appendAudits(tx, entries);
    return true;
  });
}

type Recorded = Omit<AuditEntry, "actor" | "clusterId">;

async function watchAlerts(tx: Tx, clusterId: string): Promise<void> {
  const nodes = await troubledNodes(tx, clusterId);
  await syncAlerts(tx, clusterId, nodeAlertKinds, nodes.flatMap(alertsOfNode));
  const coverage = coverageOf(await roleCounts(tx, clusterId), await roleNeeds(tx, clusterId));
  const gaps = coverage.filter(({ gap }) => gap);
  const wanted = gaps.map((row) => ({
    kind: "role-coverage" as const,
    object: coverageObject(row),
    detail: coverageDetail(row),
  }));
  await syncAlerts(tx, clusterId, ["role-coverage"], wanted);
  await closeWorkloadOrphans(tx, clusterId);
  // Operators' are of no cluster.
  for (const scope of [clusterId, ""]) {
    const quiet = (await quietReuses(tx, scope)).map((object) => ({ kind: "identity-cloned" as const, object }));
    if (quiet.length > 0) await closeAlerts(tx, scope, quiet);
  }
}

/** Decides about what was placed on nodes, at most `limits.reconciledMaxCount` changes a round; returns what to record. */
async function reconcilePlacements(tx: Tx, clusterId: string): Promise<readonly Recorded[]> {
  await dropRevokedPlacements(tx, clusterId);
  const looked = (await unsettledPlacements(tx, clusterId)).map((node) => ({
    ...node,
    after: hasPlacements(node) ? placementState(node, node.state) : ("kept" as const),
  }));
  const changed = looked.filter(({ state, after }) => state !== after).slice(0, limits.reconciledMaxCount);
  await setPlacementStates(
    tx,
    clusterId,
    changed.map(({ nodeId, after }) => ({ nodeId, state: after })),
  );
  const orphans = looked.filter(({ after }) => after === "orphaned");
  const wanted = orphans.map((node) => ({
    kind: "placement-orphaned" as const,
    object: `node/${node.nodeId}`,
    detail: `${placed(node)} placed on it have nobody: bring it back, or place them elsewhere`,
  }));
  await syncAlerts(tx, clusterId, ["placement-orphaned"], wanted);
  return changed
    .filter(({ state, after }) => isRecorded(state, after))
    .map(({ nodeId, state, after }) => ({
      ...{ action: "placement.reconciled", object: `node/${nodeId}` },
      before: { state },
      after: { state: after },
    }));
}

function hasPlacements({ roles, pools, listeners, workloads }: NodePlacements): boolean {
  return roles + pools + listeners + workloads > 0;
}

/** "2 roles, 1 pool": what there is of each. */
function placed({ roles, pools, listeners, workloads }: NodePlacements): string {
  const words = Object.entries({ role: roles, pool: pools, listener: listeners, workload: workloads });
  return words.flatMap(([word, n]) => (n === 0 ? [] : [`${n} ${word}${n === 1 ? "" : "s"}`])).join(", ");
}

/**
 * Takes leases from holders that are gone, under a higher fence; returns what to record. Their rows are locked: nobody
 * acquires one meanwhile.
 */
async function reconcileLeases(ctx: StoreContext, tx: Tx, clusterId: string): Promise<readonly Recorded[]> {
  await closeLeaseOrphans(tx, clusterId);
  const records: Recorded[] = [];
  const orphans = new Map<string, number>();
  let exclusive = false;
  for (const lease of await lockSilentLeases(tx, clusterId)) {
    const verdict = leaseVerdict(lease, lease.expired);
    if (verdict === "keep" || verdict === "wait") continue;
    const { name, holderNodeId, bootId, epoch, counter } = lease;
    const fenced = await fenceLease(tx, { clusterId, name, by: "system" });
    if (fenced === undefined) continue;
    // Egresses learn the fence of an exclusive resource from their snapshots, before anybody shows it to them.
    exclusive ||= name.startsWith(exclusiveLeasePrefix);
    if (verdict === "orphan") orphans.set(holderNodeId, (orphans.get(holderNodeId) ?? 0) + 1);
    records.push({
      ...{ action: "lease.fenced", object: `lease/${name}` },
      before: { nodeId: holderNodeId, bootId, epoch, counter },
      after: { epoch: fenced.epoch, counter: fenced.counter, why: verdict },
    });
  }
  const alerts = [...orphans].map(([nodeId, n]) => ({
    kind: "lease-orphaned" as const,
    object: `node/${nodeId}`,
    detail: `${n} of its leases ${n === 1 ? "was" : "were"} taken from it: what they guard may have no holder (weft lease list)`,
  }));
  await openAlerts(tx, clusterId, alerts);
  if (exclusive) await bumpSnapshot(tx, ctx.hints, clusterId);
  return records;
}
