/**
 * Which node may hold what: a total table of data class by role, and the one function that cuts a cluster down to it.
 *
 * C3a. A field of a snapshot is filled only from its data class, and a data class only when a role of the node has it.
 * C3b. A role for organization X fills a class with X's rows alone (`visibility.ts`).
 * C3c. A class that comes with the membership is filled with rows of the node itself alone.
 */

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { type Snapshot, SnapshotSchema } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { type AssignableRole, hasRole } from "../members.ts";
import type {
  ClusterView,
  ViewIntent,
  ViewListener,
  ViewNode,
  ViewPool,
  ViewQos,
  ViewResource,
} from "./cluster-view.ts";
import { directOrganizations } from "./direct.ts";
import { scopeGraph } from "./graph.ts";
import { clusterPolicy, pathOffline, resourceOffline } from "./offline-scope.ts";
import { indexOf, neighboursOf } from "./view-index.ts";
import { covers, type OrganizationScope, pathGrants, scopeOfRoles } from "./visibility.ts";

/** The parts of a snapshot beyond the core (cluster, dates, bundle, offline mode, audit head, the node itself). */
export const dataClasses = [
  "neighbours",
  "members",
  "graph",
  "resourceRoutes",
  "listeners",
  "resourceTargets",
  "clients",
  "listenerGrants",
  "pools",
  "qos",
  "resourceQos",
  "routeIntents",
  "workloads",
  "endedLeases",
  "pathOffline",
  "resourceOffline",
] as const;

export type DataClass = (typeof dataClasses)[number];

/**
 * What every member holds whatever its roles are, and of itself alone: nothing here may be about another node.
 */
const classesOfMember: readonly DataClass[] = ["workloads"];

/** The table of A12. Roles whose work is not carried by paths hold the core and the member's classes alone. */
export const classesOfRole = {
  [NodeRole.ENTRY]: [
    "neighbours",
    "members",
    "graph",
    "resourceRoutes",
    "listeners",
    "clients",
    "pools",
    "qos",
    "resourceQos",
    "routeIntents",
    "endedLeases",
    "pathOffline",
    "resourceOffline",
  ],
  [NodeRole.RELAY]: ["neighbours", "members", "qos", "pathOffline"],
  [NodeRole.EGRESS]: [
    "neighbours",
    "members",
    "resourceTargets",
    "clients",
    "listenerGrants",
    "pools",
    "qos",
    "resourceQos",
    "endedLeases",
    "pathOffline",
    "resourceOffline",
  ],
  [NodeRole.RDP_WORKER]: [],
  [NodeRole.VNC_WORKER]: [],
  [NodeRole.VPN_EXIT]: [],
  [NodeRole.VPN_CONNECTOR]: [],
  [NodeRole.FILE_STORAGE_CACHE]: [],
  [NodeRole.UPDATE_CACHE]: [],
  [NodeRole.VIDEO_RELAY]: [],
  [NodeRole.STORAGE]: [],
  [NodeRole.ADMIN_INGRESS]: [],
} as const satisfies Record<AssignableRole, readonly DataClass[]>;

type Fields = MessageInitShape<typeof SnapshotSchema>;

/** What building one node's snapshot needs to know about that node. */
interface Subject {
  readonly view: ClusterView;
  readonly node: ViewNode;
  /** Organizations covered for the given data class: those of the roles that have it (C3a, C3b). */
  scope(dataClass: DataClass): OrganizationScope;
}

export interface SnapshotDates {
  readonly issuedAtMs: number;
  readonly notAfterMs: number;
}

/** The snapshot of one node. Throws `not_found` (NODE_UNKNOWN) when the view has no such node. */
export function scopeSnapshot(view: ClusterView, nodeId: string, dates: SnapshotDates): Snapshot {
  const node = indexOf(view).byId.get(nodeId);
  if (node === undefined) throw new WeftError("not_found", "no such node", { detail: "NODE_UNKNOWN" });
  const scopes = new Map(dataClasses.map((dataClass) => [dataClass, scopeOfRoles(node.roles, rolesWith(dataClass))]));
  const subject: Subject = {
    view,
    node,
    scope: (dataClass) => scopes.get(dataClass) ?? { all: false, ids: new Set() },
  };
  const fields: Fields = core(subject, dates);
  for (const dataClass of dataClasses) Object.assign(fields, builders[dataClass](subject));
  return create(SnapshotSchema, fields);
}

function rolesWith(dataClass: DataClass): NodeRole[] {
  const table: Readonly<Record<number, readonly DataClass[]>> = classesOfRole;
  return Object.values(NodeRole).filter((role) => table[role]?.includes(dataClass) === true);
}

function core({ view, node }: Subject, dates: SnapshotDates): Fields {
  return {
    trustDomain: view.trustDomain,
    clusterId: view.clusterId,
    clusterSlug: view.clusterSlug,
    nodeId: node.nodeId,
    epoch: view.epoch,
    version: view.version,
    issuedAtMs: BigInt(Math.floor(dates.issuedAtMs)),
    notAfterMs: BigInt(Math.floor(dates.notAfterMs)),
    auditHead: { seq: view.auditHead.seq, hash: view.auditHead.hash },
    bundle: view.bundle,
    ...(view.signedBundle === undefined
      ? {}
      : { signedBundle: { bundle: view.signedBundle.bytes, signature: view.signedBundle.signature } }),
    offline: clusterPolicy(view),
    self: {
      name: node.name,
      roles: node.roles.map(({ role, organizationId }) => ({ role, organizationId })),
      region: node.region,
      addresses: addressesOf(node),
      linkLabel: node.linkLabel,
      dialOutOnly: node.dialOutOnly,
    },
  };
}

/** One builder per data class: each returns the fields of its class, empty when nothing is in scope. */
const builders: Readonly<Record<DataClass, (subject: Subject) => Fields>> = {
  neighbours: ({ view, node, scope }) => ({
    neighbours: neighboursOf(view, node).map((other) => ({
      nodeId: other.nodeId,
      name: other.name,
      roles: pathGrants(scope("neighbours"), other.roles),
      region: other.region,
      addresses: other.dialOutOnly ? [] : addressesOf(other),
      linkLabel: other.linkLabel,
      dialOutOnly: other.dialOutOnly,
      dial: !other.dialOutOnly && other.addresses.length > 0,
      directOrganizationIds: directOrganizations(view, node, other),
    })),
  }),
  members: ({ view, node }) => {
    const carried = scopeOfRoles(node.roles, [NodeRole.RELAY, NodeRole.EGRESS]);
    return {
      members: indexOf(view)
        .entries.filter((other) => other.nodeId !== node.nodeId)
        .map((other) => ({ nodeId: other.nodeId, roles: entryGrants(carried, other) }))
        .filter((member) => member.roles.length > 0),
    };
  },
  graph: ({ view, node, scope }) => {
    const within = scope("graph");
    return nothing(within) ? {} : { graph: scopeGraph(view, node, within) };
  },
  resourceRoutes: ({ view, scope }) => ({
    resourceRoutes: view.resources
      .filter((resource) => covers(scope("resourceRoutes"), resource.organizationId))
      .map((resource) => ({
        ...routeFields(resource),
        serviceClass: resource.serviceClass,
        exclusiveLeaseMs: BigInt(resource.exclusiveLeaseMs),
      })),
  }),
  listeners: ({ view, node, scope }) => ({
    listeners: view.listeners
      .filter((item) => item.entryNodeId === node.nodeId && covers(scope("listeners"), item.organizationId))
      .flatMap((item) => {
        const resourceName = resourceNameOf(view, item.resourceId, item.organizationId);
        if (resourceName === undefined) return [];
        const { listenerId, name, organizationId, bindHost, bindPort } = item;
        return [
          {
            listenerId,
            name,
            organizationId,
            resourceName,
            bindHost,
            bindPort,
            allowedSources: [...item.allowedSources],
          },
        ];
      }),
  }),
  resourceTargets: (subject) => ({
    resourceTargets: servedResources(subject, "resourceTargets").map((resource) => ({
      ...routeFields(resource),
      host: resource.host,
      port: resource.port,
      unixPath: resource.unixPath,
      // For contracts only: where none is needed, nodes from before contracts get what they know.
      ...(resource.requiresLease || resource.exclusiveLeaseMs > 0 ? { serviceClass: resource.serviceClass } : {}),
      exclusiveLeaseMs: BigInt(resource.exclusiveLeaseMs),
      ...(resource.leastFence === undefined ? {} : { leastFence: fenceFields(resource.leastFence) }),
    })),
  }),
  clients: ({ view, scope }) => ({
    clients: view.clients
      .filter((client) => covers(scope("clients"), client.organizationId))
      .map(({ clientId, organizationId }) => ({ clientId, organizationId })),
  }),
  listenerGrants: (subject) => {
    const served = new Set(servedResources(subject, "listenerGrants").map((resource) => resource.resourceId));
    return {
      listenerGrants: subject.view.listeners
        .filter((item) => served.has(item.resourceId) && entersFor(subject.view, item))
        .flatMap((item) => {
          const resourceName = resourceNameOf(subject.view, item.resourceId, item.organizationId);
          if (resourceName === undefined) return [];
          const { listenerId, entryNodeId, organizationId } = item;
          return [{ listenerId, entryNodeId, organizationId, resourceName }];
        }),
    };
  },
  pools: ({ view, node }) => ({ pools: view.pools.flatMap((pool) => poolFor(view, node, pool)) }),
  qos: ({ view, scope }) => ({
    qos: nothing(scope("qos"))
      ? []
      : view.qos.filter((row) => row.resourceId === "" && coversRow(scope("qos"), row.organizationId)).map(qosFields),
  }),
  resourceQos: (subject) => {
    const within = subject.scope("resourceQos");
    const known = new Set(
      [...enteredResources(subject), ...servedResources(subject, "resourceQos")].map((resource) => resource.resourceId),
    );
    return {
      resourceQos: subject.view.qos
        .filter((row) => row.resourceId !== "" && covers(within, row.organizationId) && known.has(row.resourceId))
        .map(qosFields),
    };
  },
  routeIntents: ({ view, node, scope }) => ({
    routeIntents: nothing(scope("routeIntents"))
      ? []
      : view.intents
          .filter((row) => row.sourceNodeId === "" || row.sourceNodeId === node.nodeId)
          .filter((row) => coversRow(scope("routeIntents"), row.organizationId))
          // A node this entry cannot route over has no name here (C3).
          .filter((row) => row.nodeId === "" || isKnown(view, row.nodeId, scope("routeIntents")))
          .map(intentFields),
  }),
  endedLeases: ({ view, scope }) => ({
    endedLeaseIds: view.endedLeases
      .filter((lease) => covers(scope("endedLeases"), lease.organizationId))
      .map(({ leaseId }) => leaseId),
  }),
  pathOffline: ({ view, scope }) => ({
    pathOffline: pathOffline(view, (organizationId) => covers(scope("pathOffline"), organizationId)),
  }),
  resourceOffline: (subject) => {
    const known = new Set([...enteredResources(subject), ...servedResources(subject, "resourceOffline")]);
    return { resourceOffline: resourceOffline(subject.view, (resource) => known.has(resource)) };
  },
  workloads: (subject) => ({
    workloads: own(subject, "workloads", subject.view.workloads).map(({ nodeId: _self, ...row }) => row),
  }),
};

/** Rows of a member's class: those of the node itself (C3c). */
function own<Row extends { readonly nodeId: string }>(
  { node }: Subject,
  dataClass: DataClass,
  rows: readonly Row[],
): readonly Row[] {
  return classesOfMember.includes(dataClass) ? rows.filter((row) => row.nodeId === node.nodeId) : [];
}

function nothing(scope: OrganizationScope): boolean {
  return !scope.all && scope.ids.size === 0;
}

/** A row for one organization needs that one covered; a row without belongs to everybody who has the class. */
function coversRow(scope: OrganizationScope, organizationId: string): boolean {
  return organizationId === "" || covers(scope, organizationId);
}

function isKnown(view: ClusterView, nodeId: string, scope: OrganizationScope): boolean {
  const node = indexOf(view).byId.get(nodeId);
  return node !== undefined && pathGrants(scope, node.roles).length > 0;
}

function fenceFields({ epoch, counter }: NonNullable<ViewResource["leastFence"]>) {
  return { epoch: BigInt(epoch), counter: BigInt(counter) };
}

function qosFields(row: ViewQos) {
  const { class: channelClass, priority, rateBytesPerSecond, burstBytes, organizationId, resourceId } = row;
  return { class: channelClass, priority, rateBytesPerSecond, burstBytes, organizationId, resourceId };
}

function intentFields({ expiresAtMs, ...row }: ViewIntent) {
  return { ...row, expiresAtMs: BigInt(expiresAtMs) };
}

/** Resources this node's entry role covers. */
function enteredResources({ view, node }: Subject): ViewResource[] {
  return view.resources.filter((resource) => hasRole(node.roles, NodeRole.ENTRY, resource.organizationId));
}

function addressesOf(node: ViewNode): { host: string; port: number }[] {
  return node.addresses.map(({ host, port }) => ({ host, port }));
}

/** The grants by which `other` may start paths through a node that carries for `carried`. */
function entryGrants(carried: OrganizationScope, other: ViewNode): { role: NodeRole; organizationId: string }[] {
  return nothing(carried) ? [] : pathGrants(carried, other.roles).filter((grant) => grant.role === NodeRole.ENTRY);
}

function routeFields(resource: ViewResource) {
  const { resourceId, name, organizationId, poolId, kind, defaultClass, minimumAssurance } = resource;
  const { requiresLease } = resource;
  const classes = { defaultClass, allowedClasses: [...resource.allowedClasses] };
  return { resourceId, name, organizationId, poolId, kind, ...classes, minimumAssurance, requiresLease };
}

/** Resources of the pools this node is in, where its egress role covers their organization. */
function servedResources({ view, node, scope }: Subject, dataClass: DataClass): ViewResource[] {
  const pools = view.pools.filter((pool) => pool.egressNodeIds.includes(node.nodeId));
  return view.resources.filter(
    (resource) =>
      covers(scope(dataClass), resource.organizationId) &&
      pools.some((pool) => pool.poolId === resource.poolId && pool.organizationId === resource.organizationId),
  );
}

/** Whether a listener's node may enter for its organization: a listener alone gives no right. */
function entersFor(view: ClusterView, { entryNodeId, organizationId }: ViewListener): boolean {
  const roles = indexOf(view).byId.get(entryNodeId)?.roles ?? [];
  return hasRole(roles, NodeRole.ENTRY, organizationId);
}

function resourceNameOf(view: ClusterView, resourceId: string, organizationId: string): string | undefined {
  return view.resources.find((item) => item.resourceId === resourceId && item.organizationId === organizationId)?.name;
}

/** An entry learns a pool's usable egresses and their locators; an egress learns that it is in the pool, not who else is. */
function poolFor(view: ClusterView, node: ViewNode, pool: ViewPool) {
  const { byId } = indexOf(view);
  const usable = pool.egressNodeIds.filter((id) =>
    hasRole(byId.get(id)?.roles ?? [], NodeRole.EGRESS, pool.organizationId),
  );
  const routes = hasRole(node.roles, NodeRole.ENTRY, pool.organizationId);
  const egressNodeIds = routes ? usable : usable.filter((id) => id === node.nodeId);
  if (!routes && egressNodeIds.length === 0) return [];
  const { poolId, name, organizationId } = pool;
  // Only who hands handles out and takes them back needs to read them.
  const locators = routes
    ? pool.locators
        .filter(({ egressNodeId }) => usable.includes(egressNodeId))
        .map(({ egressNodeId, previous, current, next }) => ({ egressNodeId, previous, current, next }))
    : [];
  return [{ poolId, name, organizationId, egressNodeIds, locators }];
}
