/**
 * Lookups over a snapshot, and what roles mean.
 *
 * M1. A grant for an organization says nothing about any other; a grant without one covers all of the cluster.
 */

import { NodeCapability, NodeRole, type RoleGrant } from "../gen/weft/fabric/v1/role_pb.ts";
import type { Member, Neighbour, Pool, Snapshot } from "../gen/weft/fabric/v1/snapshot_pb.ts";

/** The part of a grant these rules read; messages and plain records both fit. */
export type Grant = Pick<RoleGrant, "role" | "organizationId">;

/** Every role a node can be given. */
export type AssignableRole = Exclude<(typeof NodeRole)[keyof typeof NodeRole], typeof NodeRole.UNSPECIFIED>;

/**
 * What a node must report before it may be given a role (A5): every one of `all`, and one of `any` where that is not
 * empty. Capabilities are never permissions; this only refuses assignments that could not work.
 */
export const requiredCapabilities = {
  [NodeRole.ENTRY]: { all: [NodeCapability.CAN_ACCEPT_CLIENT_INGRESS], any: [] },
  [NodeRole.RELAY]: { all: [NodeCapability.CAN_ACCEPT_NODE_INGRESS, NodeCapability.CAN_ROUTE_MESH], any: [] },
  [NodeRole.EGRESS]: {
    all: [],
    any: [NodeCapability.CAN_EGRESS_INTERNET, NodeCapability.CAN_EGRESS_PRIVATE_NETWORK],
  },
  [NodeRole.RDP_WORKER]: { all: [NodeCapability.CAN_RUN_RDP_WORKER], any: [] },
  [NodeRole.VNC_WORKER]: { all: [NodeCapability.CAN_RUN_VNC_WORKER], any: [] },
  [NodeRole.VPN_EXIT]: { all: [NodeCapability.CAN_RUN_VPN_EXIT], any: [] },
  [NodeRole.VPN_CONNECTOR]: { all: [NodeCapability.CAN_RUN_VPN_CONNECTOR], any: [] },
  [NodeRole.FILE_STORAGE_CACHE]: { all: [NodeCapability.CAN_RUN_FILE_CACHE], any: [] },
  [NodeRole.UPDATE_CACHE]: { all: [NodeCapability.CAN_RUN_UPDATE_CACHE], any: [] },
  [NodeRole.VIDEO_RELAY]: { all: [NodeCapability.CAN_RUN_VIDEO_RELAY], any: [] },
  [NodeRole.STORAGE]: { all: [NodeCapability.CAN_ACCEPT_NODE_INGRESS], any: [] },
  [NodeRole.ADMIN_INGRESS]: { all: [NodeCapability.CAN_ACCEPT_CLIENT_INGRESS], any: [] },
} as const satisfies Record<
  AssignableRole,
  { readonly all: readonly NodeCapability[]; readonly any: readonly NodeCapability[] }
>;

/** Whether a number from the wire is a role that can be assigned. */
export function isAssignableRole(role: NodeRole): role is AssignableRole {
  return Object.hasOwn(requiredCapabilities, role);
}

/** The capabilities missing for a role; empty when it may be assigned. Of an `any` group, all are named. */
export function missingCapabilities(role: AssignableRole, reported: readonly NodeCapability[]): NodeCapability[] {
  const need: { all: readonly NodeCapability[]; any: readonly NodeCapability[] } = requiredCapabilities[role];
  const missing = need.all.filter((capability) => !reported.includes(capability));
  if (need.any.length > 0 && !need.any.some((capability) => reported.includes(capability))) missing.push(...need.any);
  return missing;
}

/**
 * Whether the grants give `role` for an organization (M1). With `organizationId` undefined: for any organization, which
 * is for questions that concern none (probes, links).
 */
export function hasRole(grants: readonly Grant[], role: NodeRole, organizationId: string | undefined): boolean {
  return grants.some(
    (grant) =>
      grant.role === role &&
      (organizationId === undefined || grant.organizationId === "" || grant.organizationId === organizationId),
  );
}

/** The node that keeps a link to this one under that id, or undefined. */
export function neighbourById(snapshot: Snapshot, nodeId: string): Neighbour | undefined {
  return snapshot.neighbours.find((neighbour) => neighbour.nodeId === nodeId);
}

/** The node that may start paths through this one under that id, or undefined. */
export function memberById(snapshot: Snapshot, nodeId: string): Member | undefined {
  return snapshot.members.find((member) => member.nodeId === nodeId);
}

/** Whether somebody is a client of an organization. */
export function hasClient(snapshot: Snapshot, clientId: string, organizationId: string): boolean {
  return snapshot.clients.some((grant) => grant.clientId === clientId && grant.organizationId === organizationId);
}

/** Whether this node itself holds a role (for an organization). */
export function selfHasRole(snapshot: Snapshot, role: NodeRole, organizationId: string | undefined): boolean {
  return hasRole(snapshot.self?.roles ?? [], role, organizationId);
}

/** The pools of an organization that `nodeId` is a member of, as far as this snapshot knows. */
export function poolsOf(snapshot: Snapshot, nodeId: string, organizationId: string | undefined): Pool[] {
  return snapshot.pools.filter(
    (pool) =>
      pool.egressNodeIds.includes(nodeId) && (organizationId === undefined || pool.organizationId === organizationId),
  );
}

/** The pool with that id, or undefined. */
export function poolById(snapshot: Snapshot, poolId: string): Pool | undefined {
  return snapshot.pools.find((pool) => pool.poolId === poolId);
}
