/** The part of the mesh an entry plans routes over: itself, the relays and the egresses of its organizations, no others. */

import type { MessageInitShape } from "@bufbuild/protobuf";
import { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { RouteGraphSchema } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { peerBounds } from "../routing/peer-set.ts";
import type { ClusterView, ViewLink, ViewNode } from "./cluster-view.ts";
import { neighboursOf } from "./view-index.ts";
import { type OrganizationScope, pathGrants } from "./visibility.ts";

type GraphFields = MessageInitShape<typeof RouteGraphSchema>;

const carriers: readonly NodeRole[] = [NodeRole.RELAY, NodeRole.EGRESS];

/**
 * Nodes and links in scope. A link is listed when its ends keep one, measured or not: absent numbers stay absent, and a
 * route over a new relay is possible before anybody has measured it. Of a node with more neighbours than it keeps links to,
 * those links are listed that it measured.
 */
export function scopeGraph(view: ClusterView, self: ViewNode, scope: OrganizationScope): GraphFields {
  const nodes = view.nodes.filter((node) => node.nodeId === self.nodeId || grantsInGraph(scope, node).length > 0);
  const inGraph = new Set(nodes.map((node) => node.nodeId));
  const measured = new Map(view.links.map((link) => [linkKey(link.fromNodeId, link.toNodeId), link]));
  return {
    nodes: nodes.map((node) => ({
      nodeId: node.nodeId,
      name: node.name,
      roles: node.nodeId === self.nodeId ? pathGrants(scope, node.roles) : grantsInGraph(scope, node),
      region: node.region,
      trustLevel: node.trustLevel,
      health: node.health,
      ...(node.load === undefined ? {} : { load: node.load }),
    })),
    links: nodes.flatMap((from) => {
      const neighbours = neighboursOf(view, from);
      const keepsAll = from.nodeId === self.nodeId || linksToAll(from, neighbours.length);
      return neighbours.flatMap((to) => {
        const link = measured.get(linkKey(from.nodeId, to.nodeId));
        const isListed = to.nodeId !== self.nodeId && inGraph.has(to.nodeId) && (keepsAll || link !== undefined);
        return isListed ? [linkFields(from.nodeId, to.nodeId, link)] : [];
      });
    }),
  };
}

/** Whether a node links to all of its neighbours (PS1): what is not measured may then be there all the same. */
function linksToAll(node: ViewNode, neighbourCount: number): boolean {
  const isCore = node.roles.some((grant) => grant.role === NodeRole.RELAY);
  return neighbourCount <= peerBounds[isCore ? "core" : "edge"].max;
}

/** What an entry knows of the roles of a node that carries for it; nothing of one that does not. */
function grantsInGraph(scope: OrganizationScope, node: ViewNode): { role: NodeRole; organizationId: string }[] {
  const grants = pathGrants(scope, node.roles);
  return grants.some((grant) => carriers.includes(grant.role)) ? grants : [];
}

function linkKey(from: string, to: string): string {
  return `${from}>${to}`;
}

function linkFields(fromNodeId: string, toNodeId: string, link: ViewLink | undefined) {
  if (link === undefined) return { fromNodeId, toNodeId };
  return {
    fromNodeId,
    toNodeId,
    measuredAtMs: BigInt(Math.floor(link.measuredAtMs)),
    ...(link.rttMs === undefined ? {} : { rttMs: link.rttMs }),
    ...(link.jitterMs === undefined ? {} : { jitterMs: link.jitterMs }),
    ...(link.lossShare === undefined ? {} : { lossShare: link.lossShare }),
    ...(link.reliabilityShare === undefined ? {} : { reliabilityShare: link.reliabilityShare }),
    ...(link.bandwidthBytesPerSecond === undefined ? {} : { bandwidthBytesPerSecond: link.bandwidthBytesPerSecond }),
    ...(link.recentFailures === undefined ? {} : { recentFailures: link.recentFailures }),
  };
}
