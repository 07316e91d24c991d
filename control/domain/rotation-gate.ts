/**
 * Whom a rotation waits for now, read from the store: members and what they acknowledged, leaves that may act, replicas of
 * control. What is decided from it is in rotation-phases.ts.
 */

import { INSTALLATION, type SpiffeKind } from "../../certs/spiffe.ts";
import { limits } from "../../lib/limits.ts";
import { listAcks, liveReplicas } from "../store/bundle-acks.ts";
import { listClusters } from "../store/clusters.ts";
import type { StoreContext } from "../store/context.ts";
import { listIdentities } from "../store/identities.ts";
import { type LiveLeaf, liveLeavesOf } from "../store/live-leaves.ts";
import { listMemberships } from "../store/memberships.ts";
import { type ExemptionRow, listExemptions, type RotationRow, requiredVersions } from "../store/rotations.ts";
import type { Queryable } from "../store/sql.ts";
import {
  type Holder,
  isPhase,
  phaseRules,
  type RotationPhase,
  type Straggler,
  stragglersOf,
} from "./rotation-phases.ts";

export type GateDeps = Pick<StoreContext, "seal" | "clock">;

/** What a rotation stands on. */
export interface RotationView {
  readonly row: RotationRow;
  readonly exemptions: readonly ExemptionRow[];
  readonly stragglers: readonly Straggler[];
  /** Nodes that count, exempted ones left out, and how many of them acknowledged what the phase needs. */
  readonly nodes: number;
  readonly acknowledged: number;
  /** Whether clients, who acknowledge nothing, have had the time to hear of the root before anybody shows a leaf of it. */
  readonly isHeard: boolean;
}

/** Kinds of roots that clients verify servers by. */
const shownToClients: ReadonlySet<SpiffeKind> = new Set(["node", "pool"]);

function isHeardByClients({ clock }: Pick<GateDeps, "clock">, row: RotationRow): boolean {
  if (!shownToClients.has(row.kind) || (row.phase !== "publish" && row.phase !== "restore")) return true;
  return clock.nowMs() - row.phaseSinceMs >= limits.clientsHearMs;
}

/** The clusters a rotation is about, in one order for everybody who locks them. */
export async function clustersOf(q: Queryable, scope: string): Promise<readonly string[]> {
  return scope === INSTALLATION ? (await listClusters(q)).map(({ id }) => id).sort() : [scope];
}

/** Reads where an open rotation stands. */
export async function viewRotation(q: Queryable, deps: GateDeps, row: RotationRow): Promise<RotationView> {
  const exemptions = await listExemptions(q, deps.seal, row.id);
  if (!isPhase(row.phase)) return { row, exemptions, stragglers: [], nodes: 0, acknowledged: 0, isHeard: true };
  const exempt = new Set(exemptions.map(({ subjectId }) => subjectId));
  const holders = await holdersOf(q, deps, row, row.phase);
  const gate = { phase: row.phase, oldKeyId: row.oldKeyId, nextKeyId: row.nextKeyId, exempt };
  const nodes = holders.filter(({ kind, id }) => kind === "node" && !exempt.has(id));
  const acknowledged = nodes.filter((node) => (node.acknowledged ?? 0) >= (node.required ?? 0));
  // Nodes say which roots their connections rely on, not whose leaf it is: it may be that of somebody exempted, for good.
  const isWaived = exempt.size > 0 && deps.clock.nowMs() - row.phaseSinceMs >= limits.taintedConnectionsMaxMs;
  const stragglers = stragglersOf(gate, holders).filter(({ waitsFor }) => !isWaived || waitsFor !== "connections");
  const isHeard = isHeardByClients(deps, row);
  return { row, exemptions, stragglers, nodes: nodes.length, acknowledged: acknowledged.length, isHeard };
}

async function holdersOf(
  q: Queryable,
  { seal }: Pick<GateDeps, "seal">,
  row: RotationRow,
  phase: RotationPhase,
): Promise<readonly Holder[]> {
  const required = requiredVersions(row);
  const leaves = await taintedLeaves(q, { seal }, row, phase);
  const byHolder = Map.groupBy(leaves, ({ holderId }) => holderId);
  const issuersOf = (id: string): string[] => (byHolder.get(id) ?? []).map(({ issuerKeyId }) => issuerKeyId);
  const holders: Holder[] = [];
  for (const clusterId of await clustersOf(q, row.scope)) {
    const needed = required[clusterId] === undefined ? {} : { required: required[clusterId] };
    const acks = new Map((await listAcks(q, seal, clusterId)).map((ack) => [ack.nodeId, ack]));
    for (const member of await listMemberships(q, seal, clusterId)) {
      if (member.status !== "active" || member.identityStatus !== "active") continue;
      const ack = acks.get(member.nodeId);
      holders.push({
        ...{ kind: "node", id: member.nodeId, name: member.nodeName, ...needed, issuers: issuersOf(member.nodeId) },
        ...(ack === undefined ? {} : { acknowledged: ack.bundleVersion }),
        taintedInUse: ack?.taintedInUse ?? [],
      });
    }
    for (const replica of await liveReplicas(q, clusterId)) {
      const { replicaId: id, bundleVersion, controlIssuerKeyId } = replica;
      const issuers = row.kind === "control" ? [controlIssuerKeyId] : [];
      holders.push({
        ...{ kind: "control", id, name: id, ...needed, acknowledged: bundleVersion, issuers, taintedInUse: [] },
      });
    }
  }
  if (row.kind !== "client" && row.kind !== "operator") return holders;
  for (const identity of await listIdentities(q, seal, [row.scope])) {
    if (identity.status !== "active" || identity.kind !== row.kind) continue;
    const { kind, id, name } = identity;
    holders.push({ kind, id, name, issuers: issuersOf(id), taintedInUse: [] });
  }
  return holders;
}

/** Leaves that the phase wants replaced; control replicas say themselves whose leaf they show. */
async function taintedLeaves(
  q: Queryable,
  { seal }: Pick<GateDeps, "seal">,
  row: RotationRow,
  phase: RotationPhase,
): Promise<readonly LiveLeaf[]> {
  const { tainted } = phaseRules[phase];
  if (tainted === undefined || row.kind === "control") return [];
  const issuerKeyId = tainted === "old" ? row.oldKeyId : row.nextKeyId;
  return await liveLeavesOf(q, seal, { scope: row.scope, kind: row.kind, issuerKeyId });
}
