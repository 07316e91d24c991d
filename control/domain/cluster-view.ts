/**
 * One cluster as snapshots see it, read in one repeatable-read transaction: position and content belong together.
 *
 * - Rows that create trust are authenticated on the way; one altered row stops every snapshot of the cluster, loudly. Of the
 *   long tables those rows are read that have changed since the view before (control/store/remembered-rows.ts).
 * - What has not changed is the same object as in the view before, which is what encodings are kept by.
 * - What cannot work is left out: listeners at nodes that are no entry for their organization.
 */

import { exclusiveLeaseName, exclusiveLeasePrefix } from "../../fabric/lease.ts";
import { hasRole } from "../../fabric/members.ts";
import type {
  ClusterView,
  LastingNode,
  ViewListener,
  ViewResource,
  ViewWorkload,
} from "../../fabric/snapshot/cluster-view.ts";
import { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { keepLast, shareEqual } from "../../lib/share-equal.ts";
import { auditHead } from "../store/audit.ts";
import type { StoreContext } from "../store/context.ts";
import { listDesiredWorkloads, privilegesApproved } from "../store/desired-workloads.ts";
import { trustedIdentities } from "../store/identities.ts";
import { type FenceRow, newestFences } from "../store/lease-tenures.ts";
import { publishedLinks, publishedNodes } from "../store/links.ts";
import { listListeners } from "../store/listeners.ts";
import { type TrustedMembership, trustedMemberships } from "../store/memberships.ts";
import { trustedNodes } from "../store/nodes.ts";
import { listOfflinePolicies } from "../store/offline-policies.ts";
import { listEmptyPools, trustedPoolNodes } from "../store/pools.ts";
import { listQosPolicies } from "../store/qos-policies.ts";
import { foldAll, type OwnedRows, RememberedRows } from "../store/remembered-rows.ts";
import { listResources, type ResourceRow } from "../store/resources.ts";
import { trustedRoles } from "../store/roles.ts";
import { listRouteIntents } from "../store/route-intents.ts";
import { listEndedLeases } from "../store/service-leases.ts";
import type { SnapshotFrame } from "../store/snapshots.ts";
import { snapshotFrame } from "../store/snapshots.ts";
import type { Queryable, Tx } from "../store/sql.ts";
import { listTestTelemetry } from "../store/test-telemetry.ts";
import type { TrustSeal } from "../store/trust.ts";
import {
  assurances,
  classes,
  intentActions,
  offlineModes,
  resourceKinds,
  serviceClasses,
} from "../store/vocabulary.ts";
import type { Authority } from "./authority.ts";
import { serviceClassOf } from "./service-class.ts";
import { isActiveMember, lastingNodes, viewClients, viewLinks, viewNodes, viewPools } from "./view-lists.ts";
import { specFingerprint, specMessage } from "./workload-spec.ts";

/** A view, and when its version was reached: the issue time of all its snapshots. */
export interface DatedView {
  readonly view: ClusterView;
  readonly changedAtMs: number;
}

export interface ViewDeps extends Pick<StoreContext, "sql" | "seal"> {
  readonly authority: Pick<Authority, "bundle">;
}

/** Reads views of clusters, one after the other, and remembers what they are made of. One per process. */
export class ViewReader {
  readonly #deps: ViewDeps;
  readonly #memories = new Map<string, ViewMemory>();

  constructor(deps: ViewDeps) {
    this.#deps = deps;
  }

  /** A cluster's view; undefined when there is no such cluster. Of one cluster, one at a time. */
  async read(clusterId: string): Promise<DatedView | undefined> {
    return await this.#deps.sql.tx(
      async (tx) => {
        const frame = await snapshotFrame(tx, clusterId);
        if (frame === undefined) return undefined;
        const memory = this.#memories.get(clusterId) ?? new ViewMemory(this.#deps, clusterId);
        this.#memories.set(clusterId, memory);
        return { view: await memory.read(tx, frame), changedAtMs: frame.changedAtMs };
      },
      { mode: "read only" },
    );
  }
}

/** What the views of one cluster were made of so far. */
class ViewMemory {
  readonly #deps: ViewDeps;
  readonly #clusterId: string;
  readonly #rows: ReturnType<typeof remembered>;
  readonly #lasting = lastingNodes();
  readonly #nodes = viewNodes();
  readonly #links = viewLinks();
  readonly #clients = viewClients();
  readonly #pools: ReturnType<typeof viewPools>;
  #before: ShortLists | undefined;

  constructor(deps: ViewDeps, clusterId: string) {
    this.#deps = deps;
    this.#clusterId = clusterId;
    this.#rows = remembered(clusterId);
    this.#pools = viewPools(deps.seal);
  }

  async read(tx: Tx, frame: SnapshotFrame): Promise<ClusterView> {
    const { seal } = this.#deps;
    const rows = this.#rows;
    const folded = await foldAll(tx, this.#clusterId, Object.values(rows));
    const members = await rows.members.refresh(tx, seal, folded);
    const lasting = this.#lasting(
      await rows.nodes.refresh(tx, seal, folded),
      members,
      await rows.grants.refresh(tx, seal, folded),
    );
    const nodes = this.#nodes(lasting, await rows.states.refresh(tx, seal, folded));
    const poolNodes = await rows.poolNodes.refresh(tx, seal, folded);
    const links = this.#links(await rows.links.refresh(tx, seal, folded));
    const clients = this.#clients(await rows.identities.refresh(tx, seal, folded));
    const short = shareEqual(this.#before, await readShort(tx, this.#deps, frame, members));
    this.#before = short;
    const { poolRows, listeners, ...rest } = short;
    const head = await auditHead(tx);
    return {
      clusterId: this.#clusterId,
      clusterSlug: frame.clusterSlug,
      epoch: BigInt(frame.epoch),
      version: BigInt(frame.version),
      auditHead: { seq: BigInt(head.seq), hash: head.hash },
      nodes,
      lasting,
      links,
      clients,
      pools: this.#pools(poolRows, poolNodes, frame.changedAtMs),
      listeners: this.#served(lasting, listeners),
      ...rest,
    };
  }

  /** Listeners at nodes that are entries for their organization. */
  readonly #served = keepLast((nodes: readonly LastingNode[], listeners: readonly ViewListener[]) => {
    const entries = new Map(nodes.map((node) => [node.nodeId, node]));
    return listeners.filter(({ entryNodeId, organizationId }) =>
      hasRole(entries.get(entryNodeId)?.roles ?? [], NodeRole.ENTRY, organizationId),
    );
  });
}

function remembered(clusterId: string) {
  return {
    nodes: new RememberedRows(trustedNodes, clusterId),
    members: new RememberedRows(trustedMemberships, clusterId),
    grants: new RememberedRows(trustedRoles, clusterId),
    identities: new RememberedRows(trustedIdentities, clusterId),
    poolNodes: new RememberedRows(trustedPoolNodes, clusterId),
    links: new RememberedRows(publishedLinks, clusterId),
    states: new RememberedRows(publishedNodes, clusterId),
  };
}

/** What is short enough to be read as a whole for every view. */
type ShortLists = Awaited<ReturnType<typeof readShort>>;

async function readShort(
  tx: Tx,
  { seal, authority }: ViewDeps,
  frame: SnapshotFrame,
  members: OwnedRows<TrustedMembership>,
) {
  const { clusterId } = frame;
  const { message: bundle, ...signedBundle } = await authority.bundle(clusterId, tx);
  const resources = await listResources(tx, seal, clusterId);
  const fenced = await newestFences(tx, clusterId, exclusiveLeasePrefix);
  const listeners = await listListeners(tx, seal, clusterId);
  return {
    trustDomain: bundle.trustDomain,
    bundle,
    signedBundle,
    offline: (await listOfflinePolicies(tx, seal, clusterId)).map((row) => ({
      organizationId: row.organizationId,
      resourceId: row.resourceId,
      terms: { mode: offlineModes.value(row.mode), continueForMs: row.continueForMs, graceMs: row.graceMs },
    })),
    poolRows: await listEmptyPools(tx, seal, clusterId),
    resources: resources.map((row) => viewResource(row, fenced)),
    listeners: listeners.map(({ id, ...row }) => ({ ...row, listenerId: id })),
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
    workloads: await readWorkloads(tx, seal, clusterId, members),
    telemetryOff: (await listTestTelemetry(tx, clusterId))
      .filter(({ enabled }) => !enabled)
      .map(({ kind, subjectId }) => ({
        organizationId: kind === "organization" ? subjectId : "",
        nodeId: kind === "node" ? subjectId : "",
      })),
  };
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
async function readWorkloads(
  q: Queryable,
  seal: TrustSeal,
  clusterId: string,
  members: OwnedRows<TrustedMembership>,
): Promise<ViewWorkload[]> {
  return (await listDesiredWorkloads(q, seal, clusterId))
    .filter((row) => isActiveMember(members, row.nodeId))
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
