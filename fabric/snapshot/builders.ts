/**
 * How each data class of a snapshot is filled for one node. Whether a node holds a class at all is the table's to say
 * (`data-classes.ts`): a builder is handed the organizations its node's roles cover, and nothing is in scope where that is nobody.
 */

import type { MessageInitShape } from "@bufbuild/protobuf";
import { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { SnapshotSchema } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { hasRole } from "../members.ts";
import type {
  FullView,
  LastingNode,
  ViewIntent,
  ViewListener,
  ViewPool,
  ViewQos,
  ViewResource,
} from "./cluster-view.ts";
import type { DataClass } from "./data-classes.ts";
import { directOrganizations } from "./direct.ts";
import { scopeGraph } from "./graph.ts";

import { pathOffline, resourceOffline } from "./offline-scope.ts";
import { indexOf, keptOfNode, neighboursOf } from "./view-index.ts";
import { covers, type OrganizationScope, pathGrants, scopeKey, scopeOfRoles } from "./visibility.ts";

export type Fields = MessageInitShape<typeof SnapshotSchema>;

/** The parts of a view that a class may be made from. */
type Part = keyof FullView;

/** What building one node's snapshot needs to know about that node, and the parts of the view it is built from. */
export interface Subject<Parts extends Part = Part> {
  readonly view: Pick<FullView, Parts>;
  readonly node: LastingNode;
  /** Organizations covered for the given data class: those of the roles that have it (C3a, C3b). */
  scope(dataClass: DataClass): OrganizationScope;
  /** Whether every member holds the given data class, of itself alone (C3c). */
  ofMember(dataClass: DataClass): boolean;
}

/** Returns the fields of its class, empty when nothing is in scope, from these parts of the view and no others. */
export interface Builder {
  readonly parts: readonly Part[];
  build(subject: Subject): Fields;
}

function from<Parts extends Part>(parts: readonly Parts[], build: (subject: Subject<Parts>) => Fields): Builder {
  return { parts, build };
}

/** One builder per data class. */
export const builders: Readonly<Record<DataClass, Builder>> = {
  neighbours: from(["lasting", "intents", "pools", "resources"], ({ view, node, scope }) => ({
    neighbours: neighboursOf(view, node).map((other) =>
      neighbourFields(other, scope("neighbours"), directOrganizations(view, node, other)),
    ),
  })),
  members: from(["lasting"], ({ view, node }) => {
    const carried = scopeOfRoles(node.roles, [NodeRole.RELAY, NodeRole.EGRESS]);
    return {
      members: indexOf(view)
        .entries.filter((other) => other.nodeId !== node.nodeId)
        .map((other) => memberFields(other, carried))
        .filter((member) => member.roles.length > 0),
    };
  }),
  graph: from(["nodes", "lasting", "links", "intents", "pools", "resources"], ({ view, node, scope }) => {
    const within = scope("graph");
    return nothing(within) ? {} : { graph: scopeGraph(view, node, within) };
  }),
  resourceRoutes: from(["resources"], ({ view, scope }) => ({
    resourceRoutes: view.resources
      .filter((resource) => covers(scope("resourceRoutes"), resource.organizationId))
      .map((resource) => ({
        ...routeFields(resource),
        serviceClass: resource.serviceClass,
        exclusiveLeaseMs: BigInt(resource.exclusiveLeaseMs),
      })),
  })),
  listeners: from(["listeners", "resources"], ({ view, node, scope }) => ({
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
  })),
  resourceTargets: from(["pools", "resources"], (subject) => ({
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
  })),
  clients: from(["clients"], ({ view, scope }) => ({
    clients: view.clients
      .filter((client) => covers(scope("clients"), client.organizationId))
      .map(({ clientId, organizationId }) => ({ clientId, organizationId })),
  })),
  listenerGrants: from(["lasting", "listeners", "pools", "resources"], (subject) => {
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
  }),
  pools: from(["lasting", "pools"], ({ view, node }) => ({
    pools: view.pools.flatMap((pool) => poolFor(view, node, pool)),
  })),
  qos: from(["qos"], ({ view, scope }) => ({
    qos: nothing(scope("qos"))
      ? []
      : view.qos.filter((row) => row.resourceId === "" && coversRow(scope("qos"), row.organizationId)).map(qosFields),
  })),
  resourceQos: from(["qos", "pools", "resources"], (subject) => {
    const within = subject.scope("resourceQos");
    const known = new Set(
      [...enteredResources(subject), ...servedResources(subject, "resourceQos")].map((resource) => resource.resourceId),
    );
    return {
      resourceQos: subject.view.qos
        .filter((row) => row.resourceId !== "" && covers(within, row.organizationId) && known.has(row.resourceId))
        .map(qosFields),
    };
  }),
  routeIntents: from(["lasting", "intents"], ({ view, node, scope }) => ({
    routeIntents: nothing(scope("routeIntents"))
      ? []
      : view.intents
          .filter((row) => row.sourceNodeId === "" || row.sourceNodeId === node.nodeId)
          .filter((row) => coversRow(scope("routeIntents"), row.organizationId))
          // A node this entry cannot route over has no name here (C3).
          .filter((row) => row.nodeId === "" || isKnown(view, row.nodeId, scope("routeIntents")))
          .map(intentFields),
  })),
  endedLeases: from(["endedLeases"], ({ view, scope }) => ({
    endedLeaseIds: view.endedLeases
      .filter((lease) => covers(scope("endedLeases"), lease.organizationId))
      .map(({ leaseId }) => leaseId),
  })),
  pathOffline: from(["offline", "resources"], ({ view, scope }) => ({
    pathOffline: pathOffline(view, (organizationId) => covers(scope("pathOffline"), organizationId)),
  })),
  resourceOffline: from(["offline", "pools", "resources"], (subject) => {
    const known = new Set([...enteredResources(subject), ...servedResources(subject, "resourceOffline")]);
    return { resourceOffline: resourceOffline(subject.view, (resource) => known.has(resource)) };
  }),
  testTelemetry: from(["telemetryOff"], ({ view, scope }) => ({
    testTelemetryOffOrganizationIds: (view.telemetryOff ?? [])
      .map(({ organizationId }) => organizationId)
      .filter((organizationId) => organizationId !== "" && covers(scope("testTelemetry"), organizationId)),
  })),
  workloads: from(["workloads"], (subject) => ({
    workloads: own(subject, "workloads", subject.view.workloads).map(({ nodeId: _self, ...row }) => row),
  })),
};

/** Rows of a member's class: those of the node itself (C3c). */
function own<Row extends { readonly nodeId: string }>(
  { node, ofMember }: Subject<never>,
  dataClass: DataClass,
  rows: readonly Row[],
): readonly Row[] {
  return ofMember(dataClass) ? rows.filter((row) => row.nodeId === node.nodeId) : [];
}

/** Another node as one that keeps a link to it may know it: one object for all of the same scope. */
function neighbourFields(other: LastingNode, scope: OrganizationScope, directOrganizationIds: string[]) {
  return keptOfNode(other, `neighbour ${scopeKey(scope)} | ${directOrganizationIds.join(" ")}`, () => ({
    nodeId: other.nodeId,
    name: other.name,
    roles: pathGrants(scope, other.roles),
    region: other.region,
    addresses: other.dialOutOnly ? [] : addressesOf(other),
    linkLabel: other.linkLabel,
    dialOutOnly: other.dialOutOnly,
    dial: !other.dialOutOnly && other.addresses.length > 0,
    directOrganizationIds,
  }));
}

/** An entry as a node that carries for `carried` may know it. */
function memberFields(other: LastingNode, carried: OrganizationScope) {
  return keptOfNode(other, `member ${nothing(carried) ? "" : scopeKey(carried)}`, () => ({
    nodeId: other.nodeId,
    roles: entryGrants(carried, other),
  }));
}

function nothing(scope: OrganizationScope): boolean {
  return !scope.all && scope.ids.size === 0;
}

/** A row for one organization needs that one covered; a row without belongs to everybody who has the class. */
function coversRow(scope: OrganizationScope, organizationId: string): boolean {
  return organizationId === "" || covers(scope, organizationId);
}

function isKnown(view: Pick<FullView, "lasting">, nodeId: string, scope: OrganizationScope): boolean {
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
function enteredResources({ view, node }: Subject<"resources">): ViewResource[] {
  return view.resources.filter((resource) => hasRole(node.roles, NodeRole.ENTRY, resource.organizationId));
}

/** The addresses of a node, in its order. */
export function addressesOf(node: LastingNode): { host: string; port: number }[] {
  return node.addresses.map(({ host, port }) => ({ host, port }));
}

/** The grants by which `other` may start paths through a node that carries for `carried`. */
function entryGrants(carried: OrganizationScope, other: LastingNode): { role: NodeRole; organizationId: string }[] {
  return nothing(carried) ? [] : pathGrants(carried, other.roles).filter((grant) => grant.role === NodeRole.ENTRY);
}

function routeFields(resource: ViewResource) {
  const { resourceId, name, organizationId, poolId, kind, defaultClass, minimumAssurance } = resource;
  const { requiresLease } = resource;
  const classes = { defaultClass, allowedClasses: [...resource.allowedClasses] };
  return { resourceId, name, organizationId, poolId, kind, ...classes, minimumAssurance, requiresLease };
}

/** Resources of the pools this node is in, where its egress role covers their organization. */
function servedResources({ view, node, scope }: Subject<"pools" | "resources">, dataClass: DataClass): ViewResource[] {
  const pools = view.pools.filter((pool) => pool.egressNodeIds.includes(node.nodeId));
  return view.resources.filter(
    (resource) =>
      covers(scope(dataClass), resource.organizationId) &&
      pools.some((pool) => pool.poolId === resource.poolId && pool.organizationId === resource.organizationId),
  );
}

/** Whether a listener's node may enter for its organization: a listener alone gives no right. */
function entersFor(view: Pick<FullView, "lasting">, { entryNodeId, organizationId }: ViewListener): boolean {
  const roles = indexOf(view).byId.get(entryNodeId)?.roles ?? [];
  return hasRole(roles, NodeRole.ENTRY, organizationId);
}

function resourceNameOf(
  view: Pick<FullView, "resources">,
  resourceId: string,
  organizationId: string,
): string | undefined {
  return view.resources.find((item) => item.resourceId === resourceId && item.organizationId === organizationId)?.name;
}

/** An entry learns a pool's usable egresses and their locators; an egress learns that it is in the pool, not who else is. */
function poolFor(view: Pick<FullView, "lasting">, node: LastingNode, pool: ViewPool) {
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
