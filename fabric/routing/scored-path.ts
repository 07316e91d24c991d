/**
 * A path with its score, and the order among such paths.
 *
 * PA2. Rank: fewer unmeasured links, then lower cost, then fewer hops, then a hash of (start, path). Equal paths spread
 *      over starts and stay put for each.
 */

import type { RouteLink } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { pathFault } from "./filter.ts";
import { linkKey, type MeshGraph, type RouteNeed, unmeasuredLink } from "./graph.ts";
import { type Score, score, type Weights, weightsFor } from "./score.ts";
import { quanta, tieHash } from "./walks.ts";

/** A usable path with its cost. */
export interface ScoredPath extends Score {
  /** Edge to edge. */
  readonly nodeIds: readonly string[];
  readonly key: string;
}

/** The key that names a path. */
export function pathKey(nodeIds: readonly string[]): string {
  return nodeIds.join(">");
}

/** A score of a path that can be used, or the reason why it cannot. */
export function scorePath(
  graph: MeshGraph,
  need: RouteNeed,
  nodeIds: readonly string[],
  weights: Weights = weightsFor(need.class),
): ScoredPath | string {
  const fault = pathFault(graph, need, nodeIds);
  if (fault !== undefined) return fault;
  const nodes = nodeIds.flatMap((id) => graph.nodes.get(id) ?? []);
  const links = nodeIds.slice(1).map((to, i) => linkBetween(graph, nodeIds[i] ?? "", to));
  return { nodeIds, key: pathKey(nodeIds), ...score({ nodes, links }, weights) };
}

function linkBetween(graph: MeshGraph, from: string, to: string): RouteLink {
  return graph.links.get(linkKey(from, to)) ?? unmeasuredLink(from, to);
}

/** PA2 among paths that are scored. */
export function comparePaths(startId: string, a: ScoredPath, b: ScoredPath): number {
  return (
    a.unmeasuredLinks - b.unmeasuredLinks ||
    quanta(a.total) - quanta(b.total) ||
    a.nodeIds.length - b.nodeIds.length ||
    tieHash(startId, a.key) - tieHash(startId, b.key) ||
    (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)
  );
}
