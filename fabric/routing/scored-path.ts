/**
 * A path with its score, and the order among such paths.
 *
 * PA2. Rank: fewer unmeasured links, then lower cost, then fewer hops, then a hash of (start, path). Equal paths spread
 *      over starts and stay put for each.
 */

import { assert } from "../../lib/errors.ts";
import { pathFault } from "./filter.ts";
import { linkKey, type MeshGraph, type RouteNeed } from "./graph.ts";
import { preferenceTerm } from "./preference.ts";
import { type Score, type StepValues, score, stepValues, type Weights, weightsFor } from "./score.ts";
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
  const last = nodeIds.length - 2;
  const steps = nodeIds.slice(1).map((to, i) => stepBetween(graph, nodeIds[i] ?? "", to, i === last));
  return scoredPath(need, nodeIds, steps, weights);
}

/** A path that is known to be usable, with its score. */
export function scoredPath(
  need: RouteNeed,
  nodeIds: readonly string[],
  steps: readonly StepValues[],
  weights: Weights,
): ScoredPath {
  const scored = score(steps, weights);
  const wish = preferenceTerm(need, nodeIds);
  const { total, parts } = scored;
  const withWish = wish === undefined ? {} : { total: total + wish.cost, parts: [...parts, wish] };
  return { nodeIds, key: pathKey(nodeIds), ...scored, ...withWish };
}

function stepBetween(graph: MeshGraph, fromId: string, toId: string, isFarEdge: boolean): StepValues {
  const from = graph.nodes.get(fromId);
  const to = graph.nodes.get(toId);
  const link = graph.links.get(linkKey(fromId, toId));
  assert(from !== undefined && to !== undefined && link !== undefined, "a usable path has its nodes and links");
  return stepValues(link, from, to, isFarEdge);
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
