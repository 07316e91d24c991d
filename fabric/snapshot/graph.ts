/** The part of the mesh an entry plans routes over: itself, the relays and the egresses of its organizations, no others. */

import type { MessageInitShape } from "@bufbuild/protobuf";
import { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { RouteGraphSchema } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { peerBounds } from "../routing/peer-set.ts";
import type { ClusterView, FullView, LastingNode, ViewLink, ViewNode } from "./cluster-view.ts";
import { keptOfNode, type LinkView, linksFrom, neighboursOf } from "./view-index.ts";
import { type OrganizationScope, pathGrants, scopeKey } from "./visibility.ts";

type GraphFields = MessageInitShape<typeof RouteGraphSchema>;

const carrierRoles: readonly NodeRole[] = [NodeRole.RELAY, NodeRole.EGRESS];

/** What a graph depends on. */
export type GraphView = LinkView & Pick<ClusterView, "links" | "nodes">;

/**
 * Nodes and links in scope. A link is listed when its ends keep one, measured or not: absent numbers stay absent, and a
 * route over a new relay is possible before anybody has measured it. Of a node with more neighbours than it keeps links to,
 * those links are listed that it measured.
 */
export function scopeGraph(view: GraphView, self: LastingNode, scope: OrganizationScope): GraphFields {
  const key = scopeKey(scope);
  const known = carriersIn(view, scope, key);
  const isListed = ({ nodeId }: LastingNode): boolean => nodeId === self.nodeId || known.has(nodeId);
  const isShown = (to: LastingNode): boolean => to.nodeId !== self.nodeId && known.has(to.nodeId);
  return {
    nodes: view.nodes
      .filter(isListed)
      .map((node) =>
        node.nodeId === self.nodeId
          ? nodeFields(node, pathGrants(scope, node.roles))
          : keptOfNode(node, `graph ${key}`, () => nodeFields(node, grantsInGraph(scope, node))),
      ),
    links: view.lasting.filter(isListed).flatMap((from) =>
      linksOf(view, from, from.nodeId === self.nodeId)
        .filter(({ to }) => isShown(to))
        .map(({ fields }) => fields),
    ),
  };
}

function nodeFields(node: ViewNode, roles: { role: NodeRole; organizationId: string }[]) {
  return {
    nodeId: node.nodeId,
    name: node.name,
    roles,
    region: node.region,
    trustLevel: node.trustLevel,
    health: node.health,
    ...(node.load === undefined ? {} : { load: node.load }),
  };
}

/** By id, the nodes that carry for a scope: the same for every entry of that scope. */
const carriers = new WeakMap<readonly LastingNode[], Map<string, ReadonlySet<string>>>();

function carriersIn(
  { lasting: nodes }: Pick<FullView, "lasting">,
  scope: OrganizationScope,
  key: string,
): ReadonlySet<string> {
  const byScope = carriers.get(nodes) ?? new Map<string, ReadonlySet<string>>();
  const found =
    byScope.get(key) ??
    new Set(nodes.filter((node) => grantsInGraph(scope, node).length > 0).map(({ nodeId }) => nodeId));
  carriers.set(nodes, byScope.set(key, found));
  return found;
}

interface ShownLink {
  readonly to: LastingNode;
  readonly fields: ReturnType<typeof linkFields>;
}

interface ShownLinks {
  readonly neighbours: readonly LastingNode[];
  readonly measured: ReadonlyMap<string, ViewLink> | undefined;
  readonly links: readonly ShownLink[];
}

const shown = new WeakMap<LastingNode, Map<boolean, ShownLinks>>();

function isSame(a: ShownLinks["measured"], b: ShownLinks["measured"]): boolean {
  if (a === b) return true;
  return a !== undefined && b?.size === a.size && [...a].every(([to, link]) => b.get(to) === link);
}

/** The links of a node that entries may hear of; of the entry's own, all. Kept while what they are made from is the same. */
function linksOf(view: GraphView, from: LastingNode, isSelf: boolean): readonly ShownLink[] {
  const neighbours = neighboursOf(view, from);
  const measured = linksFrom(view).get(from.nodeId);
  const byUse = shown.get(from) ?? new Map<boolean, ShownLinks>();
  const known = byUse.get(isSelf);
  if (known !== undefined && known.neighbours === neighbours && isSame(known.measured, measured)) return known.links;
  const keepsAll = isSelf || linksToAll(from, neighbours.length);
  const links = neighbours.flatMap((to) => {
    const link = measured?.get(to.nodeId);
    return keepsAll || link !== undefined ? [{ to, fields: linkFields(from.nodeId, to.nodeId, link) }] : [];
  });
  shown.set(from, byUse.set(isSelf, { neighbours, measured, links }));
  return links;
}

/** Whether a node links to all of its neighbours (PS1): what is not measured may then be there all the same. */
function linksToAll(node: LastingNode, neighbourCount: number): boolean {
  const isCore = node.roles.some((grant) => grant.role === NodeRole.RELAY);
  return neighbourCount <= peerBounds[isCore ? "core" : "edge"].max;
}

/** What an entry knows of the roles of a node that carries for it; nothing of one that does not. */
function grantsInGraph(scope: OrganizationScope, node: LastingNode): { role: NodeRole; organizationId: string }[] {
  const grants = pathGrants(scope, node.roles);
  return grants.some((grant) => carrierRoles.includes(grant.role)) ? grants : [];
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
