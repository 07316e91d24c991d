/**
 * One cluster as snapshots see it, read in one repeatable-read transaction: position and content belong together.
 *
 * - Rows that create trust are authenticated on the way; one altered row stops every snapshot of the cluster, loudly.
 * - A revoked node is not in the view. A disabled member is, without any role: its own snapshot then grants nothing, and
 *   nobody else's contains it.
 * - What cannot work is left out: listeners at nodes that are no entry for their organization.
 */

import { exclusiveLeaseName, exclusiveLeasePrefix } from "../../fabric/lease.ts";
import { hasRole } from "../../fabric/members.ts";
import type { ClusterView, ViewNode, ViewResource, ViewWorkload } from "../../fabric/snapshot/cluster-view.ts";
import { NodeHealth, NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { auditHead } from "../store/audit.ts";
import type { StoreContext } from "../store/context.ts";
import { listDesiredWorkloads, privilegesApproved } from "../store/desired-workloads.ts";
import { listIdentities } from "../store/identities.ts";
import { type FenceRow, newestFences } from "../store/lease-tenures.ts";
import { publishedMeasurements } from "../store/links.ts";
import { listListeners } from "../store/listeners.ts";
import { listMemberships } from "../store/memberships.ts";
import { listNodes, type NodeRow } from "../store/nodes.ts";
import { listPools } from "../store/pools.ts";
import { listOfflinePolicies } from "../store/offline-policies.ts";
import { listQosPolicies } from "../store/qos-policies.ts";
import { listResources, type ResourceRow } from "../store/resources.ts";
import { listRoles } from "../store/roles.ts";
import { listRouteIntents } from "../store/route-intents.ts";
import { listEndedLeases } from "../store/service-leases.ts";
import type { SnapshotFrame } from "../store/snapshots.ts";
import { snapshotFrame } from "../store/snapshots.ts";
import type { Queryable, Tx } from "../store/sql.ts";
import type { TrustSeal } from "../store/trust.ts";
import {
  assurances,
  classes,
  healths,
  intentActions,
  offlineModes,
  resourceKinds,
  roles,
  serviceClasses,
} from "../store/vocabulary.ts";
import type { Authority } from "./authority.ts";
import { locatorsOf } from "./locators.ts";
import type { PublishedNode } from "./measurements.ts";
import type { GrantRow } from "./placement.ts";
import { serviceClassOf } from "./service-class.ts";
import { specFingerprint, specMessage } from "./workload-spec.ts";

/** A view, and when its version was reached: the issue time of all its snapshots. */
export interface DatedView {
  readonly view: ClusterView;
  readonly changedAtMs: number;
}

export interface ViewDeps extends Pick<StoreContext, "sql" | "seal"> {
  readonly authority: Pick<Authority, "bundle">;
}

/** Reads a cluster's view; undefined when there is no such cluster. */
export async function loadClusterView(deps: ViewDeps, clusterId: string): Promise<DatedView | undefined> {
  return await deps.sql.tx(
    async (tx) => {
      const frame = await snapshotFrame(tx, clusterId);
      return frame === undefined ? undefined : await readView(tx, deps, frame);
    },
    { mode: "read only" },
  );
}

async function readView(tx: Tx, { seal, authority }: ViewDeps, frame: SnapshotFrame): Promise<DatedView> {
  const { clusterId } = frame;
  const { message: bundle, ...signedBundle } = await authority.bundle(clusterId, tx);
  const head = await auditHead(tx);
  const nodes = await readNodes(tx, seal, clusterId);
  const { links } = await publishedMeasurements(tx, clusterId);
  const resources = await listResources(tx, seal, clusterId);
  const fenced = await newestFences(tx, clusterId, exclusiveLeasePrefix);
  const listeners = await listListeners(tx, seal, clusterId);
  const view: ClusterView = {
    trustDomain: bundle.trustDomain,
    clusterId,
    clusterSlug: frame.clusterSlug,
    epoch: BigInt(frame.epoch),
    version: BigInt(frame.version),
    auditHead: { seq: BigInt(head.seq), hash: head.hash },
    bundle,
    signedBundle,
    offline: (await listOfflinePolicies(tx, seal, clusterId)).map((row) => ({
      organizationId: row.organizationId,
      resourceId: row.resourceId,
      terms: { mode: offlineModes.value(row.mode), continueForMs: row.continueForMs, graceMs: row.graceMs },
    })),
    nodes,
    links,
    pools: (await listPools(tx, seal, clusterId)).map(({ id, name, organizationId, nodeIds }) => ({
      poolId: id,
      name,
      organizationId,
      egressNodeIds: nodeIds,
      locators: nodeIds.map((nodeId) => locatorsOf(seal, { clusterId, poolId: id, nodeId }, frame.changedAtMs)),
    })),
    resources: resources.map((row) => viewResource(row, fenced)),
    listeners: listeners
      .filter((row) => servesAt(nodes, row.entryNodeId, row.organizationId))
      .map(({ id, ...row }) => ({ ...row, listenerId: id })),
    clients: (await listIdentities(tx, seal, [clusterId]))
      .filter((row) => row.kind === "client" && row.status === "active")
      .map(({ id, organizationId }) => ({ clientId: id, organizationId })),
    qos: (await listQosPolicies(tx, seal, clusterId)).map((row) => ({
      class: classes.value(row.class),
      priority: row.priority,
      rateBytesPerSecond: BigInt(row.rateBytesPerSecond),
      burstBytes: BigInt(row.burstBytes),
      organizationId: row.organizationId,
      resourceId: row.resourceId,
    })),
    intents: (await listRouteIntents(tx, seal, clusterId)).map((row) => ({
      intentId: row.id,
      name: row.name,
      organizationId: row.organizationId,
      sourceNodeId: row.sourceNodeId,
      poolId: row.poolId,
      resourceId: row.resourceId,
      serviceClass: serviceClasses.value(row.serviceClass),
      action: intentActions.value(row.action),
      nodeId: row.nodeId,
      region: row.region,
      expiresAtMs: row.expiresAtMs,
    })),
    endedLeases: await listEndedLeases(tx, seal, clusterId, frame.changedAtMs),
    workloads: await readWorkloads(tx, seal, clusterId),
  };
  return { view, changedAtMs: frame.changedAtMs };
}

function viewResource(row: ResourceRow, fenced: ReadonlyMap<string, FenceRow>): ViewResource {
  return {
    resourceId: row.id,
    name: row.name,
    organizationId: row.organizationId,
    poolId: row.poolId,
    kind: resourceKinds.value(row.kind),
    defaultClass: classes.value(row.defaultClass),
    allowedClasses: row.allowedClasses.map((each) => classes.value(each)),
    minimumAssurance: assurances.value(row.minimumAssurance),
    host: row.host,
    port: row.port,
    unixPath: row.unixPath,
    serviceClass: serviceClassOf(row.service, row.kind),
    requiresLease: row.requiresLease,
    exclusiveLeaseMs: row.exclusiveLeaseMs,
    ...leastFenceOf(fenced, row.id),
  };
}

function leastFenceOf(fenced: ReadonlyMap<string, FenceRow>, resourceId: string): { leastFence?: FenceRow } {
  const leastFence = fenced.get(exclusiveLeaseName(resourceId));
  return leastFence === undefined ? {} : { leastFence };
}

/** What active members are asked to run. A disabled one is asked nothing: its own snapshot grants nothing. */
async function readWorkloads(q: Queryable, seal: TrustSeal, clusterId: string): Promise<ViewWorkload[]> {
  const members = await listMemberships(q, seal, clusterId);
  const active = new Set(members.filter((row) => row.status === "active").map((row) => row.nodeId));
  return (await listDesiredWorkloads(q, seal, clusterId))
    .filter((row) => active.has(row.nodeId))
    .map((row) => ({
      workloadId: row.id,
      nodeId: row.nodeId,
      name: row.name,
      spec: specMessage(row.spec),
      running: row.running,
      privilegesApproved: privilegesApproved(row),
      fingerprint: specFingerprint(row.spec),
    }));
}

function servesAt(nodes: readonly ViewNode[], entryNodeId: string, organizationId: string): boolean {
  return nodes.some((node) => node.nodeId === entryNodeId && hasRole(node.roles, NodeRole.ENTRY, organizationId));
}

/** The cluster's unrevoked nodes with the roles they may use now, by id. */
async function readNodes(q: Queryable, seal: TrustSeal, clusterId: string): Promise<readonly ViewNode[]> {
  const grants = Map.groupBy(await listRoles(q, seal, clusterId), (row) => row.nodeId);
  const members = await listMemberships(q, seal, clusterId);
  const active = new Set(members.filter((row) => row.status === "active").map((row) => row.nodeId));
  const published = new Map((await publishedMeasurements(q, clusterId)).nodes.map((row) => [row.nodeId, row]));
  const rows = (await listNodes(q, seal, clusterId)).filter((row) => row.identityStatus === "active");
  return rows.map((row) => viewNode(row, active.has(row.id) ? (grants.get(row.id) ?? []) : [], published.get(row.id)));
}

function viewNode(row: NodeRow, grants: readonly GrantRow[], published: PublishedNode | undefined): ViewNode {
  return {
    nodeId: row.id,
    name: row.name,
    roles: grants.map(({ role, organizationId }) => ({ role: roles.value(role), organizationId })),
    region: row.region,
    addresses: row.addresses,
    linkLabel: row.linkLabel,
    dialOutOnly: row.dialOutOnly,
    trustLevel: row.trustLevel,
    // Not known yet is not missing: a node just approved may be tried.
    health: published === undefined ? NodeHealth.UNSPECIFIED : healths.value(published.health),
    ...(published?.load === undefined ? {} : { load: published.load }),
  };
}
