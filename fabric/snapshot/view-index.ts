/**
 * What thousands of snapshots of one view look up again and again, worked out once per view. A view never changes: it is
 * replaced as a whole.
 */

import { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { ClusterView, ViewNode } from "./cluster-view.ts";
import { keepLink } from "./direct.ts";

interface ViewIndex {
  readonly byId: ReadonlyMap<string, ViewNode>;
  /** Nodes that may start paths. */
  readonly entries: readonly ViewNode[];
  /** Nodes that start or carry paths: one end of every link there is. */
  readonly makers: readonly ViewNode[];
  /** As far as asked for, by node. */
  readonly neighbours: Map<string, readonly ViewNode[]>;
}

type Nodes = Pick<ClusterView, "nodes">;

const indexes = new WeakMap<Nodes, ViewIndex>();

/** The index of a view. */
export function indexOf(view: Nodes): ViewIndex {
  const known = indexes.get(view);
  if (known !== undefined) return known;
  const made: ViewIndex = {
    byId: new Map(view.nodes.map((node) => [node.nodeId, node])),
    entries: view.nodes.filter((node) => has(node, NodeRole.ENTRY)),
    makers: view.nodes.filter(makesPaths),
    neighbours: new Map(),
  };
  indexes.set(view, made);
  return made;
}

/** The nodes that `node` keeps links with. Of two neighbours one starts or carries paths, so most need not be looked at. */
export function neighboursOf(view: ClusterView, node: ViewNode): readonly ViewNode[] {
  const { neighbours, makers } = indexOf(view);
  const known = neighbours.get(node.nodeId);
  if (known !== undefined) return known;
  const found = (makesPaths(node) ? view.nodes : makers).filter((other) => keepLink(view, node, other));
  neighbours.set(node.nodeId, found);
  return found;
}

function makesPaths(node: ViewNode): boolean {
  return has(node, NodeRole.ENTRY) || has(node, NodeRole.RELAY);
}

function has(node: ViewNode, role: NodeRole): boolean {
  return node.roles.some((grant) => grant.role === role);
}
