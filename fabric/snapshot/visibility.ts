/**
 * Who sees whom: organizations a node's grants cover, and which nodes keep links.
 *
 * V1. What one organization's grants do not cover does not exist for them: neither its nodes, nor its ids in grants.
 * V2. Links: relays with everybody who enters, relays or exits; entries and egresses with relays only, unless a route
 *     intent lets them meet (`direct.ts`).
 */

import { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { Grant } from "../members.ts";
import type { LastingNode } from "./cluster-view.ts";

/** Organizations some grants cover: all of the cluster, or exactly these. */
export interface OrganizationScope {
  readonly all: boolean;
  readonly ids: ReadonlySet<string>;
}

/** The organizations covered by the grants of the given roles. */
export function scopeOfRoles(grants: readonly Grant[], roles: readonly NodeRole[]): OrganizationScope {
  const relevant = grants.filter((grant) => roles.includes(grant.role));
  return {
    all: relevant.some((grant) => grant.organizationId === ""),
    ids: new Set(relevant.map((grant) => grant.organizationId).filter((id) => id !== "")),
  };
}

/** A text that two scopes share exactly when they cover the same. */
export function scopeKey({ all, ids }: OrganizationScope): string {
  return all ? "*" : [...ids].sort().join(" ");
}

/** Whether a scope covers an organization. */
export function covers(scope: OrganizationScope, organizationId: string): boolean {
  return scope.all || scope.ids.has(organizationId);
}

/** The roles that take part in paths. */
export const pathRoles: readonly NodeRole[] = [NodeRole.ENTRY, NodeRole.RELAY, NodeRole.EGRESS];

/**
 * The grants of another node as a node of this scope may know them: for everybody or for a covered organization (V1), and
 * only those paths are made of; what else a host works as is not its neighbours' business.
 */
export function pathGrants(
  scope: OrganizationScope,
  grants: readonly Grant[],
): { role: NodeRole; organizationId: string }[] {
  return grants
    .filter((grant) => pathRoles.includes(grant.role))
    .filter((grant) => grant.organizationId === "" || covers(scope, grant.organizationId))
    .map(({ role, organizationId }) => ({ role, organizationId }));
}

function meets(a: OrganizationScope, b: OrganizationScope): boolean {
  const empty = (scope: OrganizationScope): boolean => !scope.all && scope.ids.size === 0;
  if (empty(a) || empty(b)) return false;
  return a.all || b.all || [...a.ids].some((id) => b.ids.has(id));
}

/** Whether `node` keeps a link to `other` (V2): one of them relays for an organization the other takes part in. */
export function areNeighbours(node: LastingNode, other: LastingNode): boolean {
  if (node.nodeId === other.nodeId) return false;
  const a = linkScopes(node);
  const b = linkScopes(other);
  return meets(a.relays, b.takesPart) || meets(a.takesPart, b.relays);
}

interface LinkScopes {
  readonly relays: OrganizationScope;
  readonly takesPart: OrganizationScope;
}

const scopesOfNodes = new WeakMap<LastingNode, LinkScopes>();

/** Every node is compared with thousands of others. */
function linkScopes(node: LastingNode): LinkScopes {
  const known = scopesOfNodes.get(node);
  if (known !== undefined) return known;
  const made = { relays: scopeOfRoles(node.roles, [NodeRole.RELAY]), takesPart: scopeOfRoles(node.roles, pathRoles) };
  scopesOfNodes.set(node, made);
  return made;
}
