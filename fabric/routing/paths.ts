/**
 * Finding paths: entry, one to four relays, far edge.
 *
 * PA1. Pure: order of lists decides nothing; the same graph and need give the same paths (S1).
 * PA2. The rank: `scored-path.ts`.
 * PA3. The standby shares as few relays with the primary as the mesh allows, then ranks as above; it ends at the same far
 *      edge, because the trunk does.
 */

import type { MeshGraph, RouteNeed } from "./graph.ts";
import { Planner } from "./planner.ts";
import { type Weights, weightsFor } from "./score.ts";
import type { ScoredPath } from "./scored-path.ts";

export interface SearchOptions {
  /** Default: those of the need's class. */
  readonly weights?: Weights;
  /** Default: `limits.routeCandidatesMaxCount`. */
  readonly maxCount?: number;
  /** Relays to stay away from: paths with fewer of them come first, before any other rank (PA3). */
  readonly awayFrom?: readonly string[];
}

export interface FoundPaths {
  /** Usable paths, best first (PA2): the best of each length and last relay, and those to keep. */
  readonly ranked: readonly ScoredPath[];
}

/** Searches usable paths; at most `maxCount`, besides those to keep. */
export function findPaths(graph: MeshGraph, need: RouteNeed, options: SearchOptions = {}): FoundPaths {
  const planner = new Planner(graph, need, options.weights ?? weightsFor(need.class));
  return { ranked: planner.ranked(need.toNodeIds, options.awayFrom, options.maxCount) };
}

/**
 * The standby of a primary: usable, ending at the same far edge, sharing as few relays as possible (PA3). Undefined when
 * there is no other path.
 */
export function findStandby(
  graph: MeshGraph,
  need: RouteNeed,
  primary: readonly string[],
  options: Pick<SearchOptions, "weights"> = {},
): ScoredPath | undefined {
  return new Planner(graph, need, options.weights ?? weightsFor(need.class)).standby(primary);
}

/** Relays two paths have in common. */
export function sharedRelays(a: readonly string[], b: readonly string[]): string[] {
  const inner = new Set(b.slice(1, -1));
  return a.slice(1, -1).filter((id) => inner.has(id));
}
