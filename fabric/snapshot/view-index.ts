/**
 * What thousands of snapshots look up again and again, worked out once for as long as the lists it is made from are the same
 * objects: a list never changes, it is replaced as a whole.
 */

import { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { ClusterView, FullView, LastingNode, ViewLink } from "./cluster-view.ts";
import { type DirectView, keepLink } from "./direct.ts";

interface NodeIndex {
  readonly byId: ReadonlyMap<string, LastingNode>;
  /** Nodes that may start paths. */
  readonly entries: readonly LastingNode[];
  /** Nodes that start or carry paths: one end of every link there is. */
  readonly makers: readonly LastingNode[];
  /** As far as asked for, by node, for these intents, pools and resources. */
  neighbours: { readonly of: readonly unknown[]; readonly byNode: Map<string, readonly LastingNode[]> };
}

const indexes = new WeakMap<readonly LastingNode[], NodeIndex>();

/** The index of a view's nodes. */
export function indexOf({ lasting: nodes }: Pick<FullView, "lasting">): NodeIndex {
  const known = indexes.get(nodes);
  if (known !== undefined) return known;
  const made: NodeIndex = {
    byId: new Map(nodes.map((node) => [node.nodeId, node])),
    entries: nodes.filter((node) => has(node, NodeRole.ENTRY)),
    makers: nodes.filter(makesPaths),
    neighbours: { of: [], byNode: new Map() },
  };
  indexes.set(nodes, made);
  return made;
}

/** What who links to whom depends on. */
export type LinkView = DirectView & Pick<FullView, "lasting">;

/** The nodes that `node` keeps links with. Of two neighbours one starts or carries paths, so most need not be looked at. */
export function neighboursOf(view: LinkView, node: LastingNode): readonly LastingNode[] {
  const index = indexOf(view);
  const of = [view.intents, view.pools, view.resources];
  if (of.some((list, at) => list !== index.neighbours.of[at])) index.neighbours = { of, byNode: new Map() };
  const { byNode } = index.neighbours;
  const known = byNode.get(node.nodeId);
  if (known !== undefined) return known;
  const found = (makesPaths(node) ? view.lasting : index.makers).filter((other) => keepLink(view, node, other));
  byNode.set(node.nodeId, found);
  return found;
}

type LinkIndex = ReadonlyMap<string, ReadonlyMap<string, ViewLink>>;

const linkIndexes = new WeakMap<readonly ViewLink[], LinkIndex>();

/** Measured links, by the node that measured and the one at the other end. */
export function linksFrom({ links }: Pick<ClusterView, "links">): LinkIndex {
  const known = linkIndexes.get(links);
  if (known !== undefined) return known;
  const made = new Map<string, Map<string, ViewLink>>();
  for (const link of links) {
    const its = made.get(link.fromNodeId) ?? new Map<string, ViewLink>();
    made.set(link.fromNodeId, its.set(link.toNodeId, link));
  }
  linkIndexes.set(links, made);
  return made;
}

const perNode = new WeakMap<LastingNode, Map<string, unknown>>();

/** How many answers about one node are kept: there are few different ones, and a cluster that has more works them out again. */
const keptPerNodeMaxCount = 64;

/** What `make` says of a node, kept under `key` for as long as the node is the same. `make` depends on nothing else. */
export function keptOfNode<T>(node: LastingNode, key: string, make: () => T): T {
  const answers = perNode.get(node) ?? new Map<string, unknown>();
  const known = answers.get(key) as T | undefined;
  if (known !== undefined) return known;
  if (answers.size >= keptPerNodeMaxCount) answers.clear();
  const made = make();
  perNode.set(node, answers.set(key, made));
  return made;
}

function makesPaths(node: LastingNode): boolean {
  return has(node, NodeRole.ENTRY) || has(node, NodeRole.RELAY);
}

function has(node: LastingNode, role: NodeRole): boolean {
  return node.roles.some((grant) => grant.role === role);
}
