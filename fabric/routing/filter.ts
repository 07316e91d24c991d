/**
 * What cannot be used at all, and why. A filter judges one node or link by itself: taking a candidate away never makes
 * another one unusable.
 */

import { NodeHealth, NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { hasRole } from "../members.ts";
import { linkKey, type MeshGraph, type RouteNeed, rolesOf } from "./graph.ts";

/** Why no path at all can be used for this need, or undefined. */
export function needFault(graph: MeshGraph, need: RouteNeed): string | undefined {
  if (need.clusterId !== undefined && graph.clusterId !== need.clusterId) return "another cluster";
  if (need.newPathsAllowed === false) return "offline mode allows no new paths";
  if (!graph.nodes.has(need.fromNodeId)) return "the start is not in the graph";
  if (!hasRole(rolesOf(graph, need.fromNodeId), NodeRole.ENTRY, need.organizationId)) {
    return "the start has no entry role for this organization";
  }
  return need.avoid?.get(need.fromNodeId);
}

/** Why a node cannot relay for this need, or undefined. */
export function relayFault(graph: MeshGraph, need: RouteNeed, nodeId: string): string | undefined {
  if (!hasRole(rolesOf(graph, nodeId), NodeRole.RELAY, need.organizationId)) {
    return "no relay role for this organization";
  }
  return stateFault(graph, need, nodeId);
}

/** Why a node cannot be the far edge for this need, or undefined. */
export function farEdgeFault(graph: MeshGraph, need: RouteNeed, nodeId: string): string | undefined {
  if (!need.toNodeIds.includes(nodeId)) return "not in the pool";
  if (!hasRole(rolesOf(graph, nodeId), NodeRole.EGRESS, need.organizationId)) {
    return "no egress role for this organization";
  }
  return stateFault(graph, need, nodeId);
}

function stateFault(graph: MeshGraph, need: RouteNeed, nodeId: string): string | undefined {
  const avoided = need.avoid?.get(nodeId);
  if (avoided !== undefined) return avoided;
  switch (graph.nodes.get(nodeId)?.health) {
    case undefined:
      return "not in the graph";
    case NodeHealth.DRAINING:
      return "draining";
    case NodeHealth.OFFLINE:
      return "offline";
    case NodeHealth.MISSING:
      return "missing";
    default:
      return undefined;
  }
}

/** Why a link cannot be used, or undefined. */
export function linkFault(graph: MeshGraph, need: RouteNeed, from: string, to: string): string | undefined {
  const key = linkKey(from, to);
  if (!graph.links.has(key)) return "no link";
  return need.downLinks?.has(key) === true ? "link down" : undefined;
}

/** Why a whole path cannot be used for this need, or undefined. */
export function pathFault(graph: MeshGraph, need: RouteNeed, nodeIds: readonly string[]): string | undefined {
  const last = nodeIds.length - 1;
  const fault = needFault(graph, need) ?? (nodeIds[0] === need.fromNodeId ? undefined : "starts elsewhere");
  if (fault !== undefined) return fault;
  if (new Set(nodeIds).size !== nodeIds.length) return "a node occurs twice";
  if (last < 1 || (last === 1 && need.direct !== true)) return "no relay between the edges";
  for (let i = 1; i <= last; i++) {
    const at = nodeIds[i] ?? "";
    const why = i === last ? farEdgeFault(graph, need, at) : relayFault(graph, need, at);
    const step = why ?? linkFault(graph, need, nodeIds[i - 1] ?? "", at);
    if (step !== undefined) return `${graph.nodes.get(at)?.name ?? at}: ${step}`;
  }
  return undefined;
}
