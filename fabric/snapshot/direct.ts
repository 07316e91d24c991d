/**
 * Which entries and egresses may link and meet without a relay, because a route intent says `direct`, and for whom.
 *
 * V3. A pair is direct for an organization only when both hold their role for it and the egress is in a pool of it that the
 *     intent is about. Nothing else follows from an intent: it gives no role.
 */

import { IntentAction, NodeRole, ServiceClass } from "../../gen/weft/fabric/v1/role_pb.ts";
import { hasRole } from "../members.ts";
import type { ClusterView, LastingNode, ViewIntent } from "./cluster-view.ts";
import { areNeighbours } from "./visibility.ts";

/** What direct links depend on. */
export type DirectView = Pick<ClusterView, "intents" | "pools" | "resources">;

/** Organizations whose paths may lead between two nodes without a relay, sorted; in either order of the nodes. */
export function directOrganizations(view: DirectView, a: LastingNode, b: LastingNode): string[] {
  const found = new Set<string>();
  for (const intent of view.intents) {
    if (intent.action !== IntentAction.DIRECT) continue;
    for (const organizationId of [...pairFor(view, intent, a, b), ...pairFor(view, intent, b, a)]) {
      found.add(organizationId);
    }
  }
  return [...found].sort();
}

/** Whether two nodes keep a link: as relays make it, or because they may meet directly. */
export function keepLink(view: DirectView, a: LastingNode, b: LastingNode): boolean {
  return areNeighbours(a, b) || (a.nodeId !== b.nodeId && directOrganizations(view, a, b).length > 0);
}

function pairFor(view: DirectView, intent: ViewIntent, entry: LastingNode, egress: LastingNode): string[] {
  if (intent.sourceNodeId !== "" && intent.sourceNodeId !== entry.nodeId) return [];
  return view.pools
    .filter((pool) => pool.egressNodeIds.includes(egress.nodeId))
    .filter((pool) => intent.organizationId === "" || intent.organizationId === pool.organizationId)
    .filter((pool) => intent.poolId === "" || intent.poolId === pool.poolId)
    .filter((pool) => intendsPool(view, intent, pool.poolId, pool.organizationId))
    .map((pool) => pool.organizationId)
    .filter((id) => hasRole(entry.roles, NodeRole.ENTRY, id) && hasRole(egress.roles, NodeRole.EGRESS, id));
}

/** Whether the intent is about something that is reached through this pool. */
function intendsPool(view: DirectView, intent: ViewIntent, poolId: string, organizationId: string): boolean {
  if (intent.resourceId === "" && intent.serviceClass === ServiceClass.UNSPECIFIED) return true;
  return view.resources.some(
    (resource) =>
      resource.poolId === poolId &&
      resource.organizationId === organizationId &&
      (intent.resourceId === "" || intent.resourceId === resource.resourceId) &&
      (intent.serviceClass === ServiceClass.UNSPECIFIED || intent.serviceClass === resource.serviceClass),
  );
}
