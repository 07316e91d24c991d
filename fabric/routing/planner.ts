/**
 * A planner answers for one start, organization and class which paths lead where, and keeps the searches it made: asked
 * again after a change, it computes what the change touches (WK1). A planner made anew gives the same answers.
 *
 * PL1. Answers depend on graph, need and weights alone, never on what was asked before.
 */

import { limits } from "../../lib/limits.ts";
import { farEdgeFault, needFault } from "./filter.ts";
import type { MeshGraph, RouteNeed } from "./graph.ts";
import { Prices } from "./prices.ts";
import type { Weights } from "./score.ts";
import { comparePaths, pathKey, type ScoredPath, scoredPath, scorePath } from "./scored-path.ts";
import { type Walk, WalkTable } from "./walks.ts";

interface Ranking {
  readonly ends: readonly (readonly Walk[])[];
  readonly ranked: readonly ScoredPath[];
}

export class Planner {
  readonly graph: MeshGraph;
  readonly weights: Weights;
  #need: RouteNeed;
  readonly #prices: Prices;
  /** By relays to stay away from; the oldest first. */
  readonly #tables = new Map<string, WalkTable>();
  readonly #rankings = new Map<string, Ranking>();
  readonly #scored = new WeakMap<Walk, ScoredPath>();

  constructor(graph: MeshGraph, need: RouteNeed, weights: Weights) {
    this.graph = graph;
    this.weights = weights;
    this.#need = need;
    this.#prices = new Prices(graph, need, weights);
  }

  /**
   * Takes up what changed in the graph, and which links are down for this need. The need is otherwise one of the same
   * start, organization, class and nodes to avoid; its far edges and paths to keep are the question's own. False when
   * that can no longer be told: then a new planner has to be made.
   */
  follow(need: RouteNeed): boolean {
    const touched = this.#prices.follow(need);
    this.#need = need;
    if (touched === undefined) return false;
    if (touched.size > 0) for (const table of this.#tables.values()) table.touched(touched);
    return true;
  }

  /**
   * Usable paths, best first (PA2), those sharing fewer relays with `awayFrom` before all (PA3): at most `maxCount`,
   * besides those to keep.
   */
  ranked(
    toNodeIds: readonly string[],
    awayFrom: readonly string[] = [],
    maxCount: number = limits.routeCandidatesMaxCount,
  ): readonly ScoredPath[] {
    const need = this.#need;
    if (needFault(this.graph, need) !== undefined) return [];
    const table = this.#table(awayFrom);
    const farEdges = [...new Set(toNodeIds)].filter((id) => farEdgeFault(this.graph, need, id) === undefined).sort();
    const ends = farEdges.map((id) => table.to(this.graph.numberOf(id)));
    const key = `${awayFrom.join()}|${maxCount}|${farEdges.join()}`;
    const before = this.#rankings.get(key);
    const same = before?.ends.length === ends.length && ends.every((walks, i) => walks === before.ends[i]);
    const found = before !== undefined && same ? before.ranked : this.#rank(table, ends.flat(), awayFrom, maxCount);
    remember(this.#rankings, key, { ends, ranked: found }, limits.routeRankingsMaxCount);
    return this.#withKept(found, awayFrom);
  }

  /** The standby of a primary, or undefined when there is no other path (PA3). */
  standby(primary: readonly string[]): ScoredPath | undefined {
    const farEdge = primary.at(-1) ?? "";
    const need = this.#need;
    if (needFault(this.graph, need) !== undefined || farEdgeFault(this.graph, need, farEdge) !== undefined) {
      return undefined;
    }
    const table = this.#table(primary.slice(1, -1));
    const key = pathKey(primary);
    let best: Walk | undefined;
    for (const walk of table.to(this.graph.numberOf(farEdge))) {
      if (best !== undefined && table.compare(walk, best) >= 0) continue;
      if (table.key(walk) !== key) best = walk;
    }
    return best === undefined ? undefined : this.#score(table, best);
  }

  /** A path as it scores now, undefined when it cannot be used. */
  score(nodeIds: readonly string[]): ScoredPath | undefined {
    const scored = scorePath(this.graph, this.#need, nodeIds, this.weights);
    return typeof scored === "string" ? undefined : scored;
  }

  #table(awayFrom: readonly string[]): WalkTable {
    const key = [...awayFrom].sort().join();
    const table =
      this.#tables.get(key) ?? new WalkTable(this.#prices, this.#need.fromNodeId, awayFrom, this.#need.direct === true);
    remember(this.#tables, key, table, limits.routeTablesMaxCount);
    return table;
  }

  #rank(
    table: WalkTable,
    walks: readonly Walk[],
    awayFrom: readonly string[],
    maxCount: number,
  ): readonly ScoredPath[] {
    const best = [...walks].sort((a, b) => table.compare(a, b)).slice(0, maxCount);
    return this.#sorted(
      best.map((walk) => this.#score(table, walk)),
      awayFrom,
    );
  }

  /** A walk that was found is usable; as long as it is the same object, it scores the same (WK2). */
  #score(table: WalkTable, walk: Walk): ScoredPath {
    const known = this.#scored.get(walk);
    if (known !== undefined) return known;
    const scored = scoredPath(this.#need, table.ids(walk), table.steps(walk), this.weights);
    this.#scored.set(walk, scored);
    return scored;
  }

  #withKept(found: readonly ScoredPath[], awayFrom: readonly string[]): readonly ScoredPath[] {
    const { keep = [] } = this.#need;
    const kept = keep
      .filter((nodeIds) => !found.some((path) => path.key === pathKey(nodeIds)))
      .flatMap((nodeIds) => this.score(nodeIds) ?? []);
    return kept.length === 0 ? found : this.#sorted([...found, ...kept], awayFrom);
  }

  #sorted(paths: readonly ScoredPath[], awayFrom: readonly string[]): readonly ScoredPath[] {
    const relays = new Set(awayFrom);
    const shared = (path: ScoredPath): number => path.nodeIds.slice(1, -1).filter((id) => relays.has(id)).length;
    const { fromNodeId } = this.#need;
    return [...paths].sort((a, b) => shared(a) - shared(b) || comparePaths(fromNodeId, a, b));
  }
}

/** Puts an entry last and drops the first ones beyond `maxCount`. */
function remember<V>(map: Map<string, V>, key: string, value: V, maxCount: number): void {
  map.delete(key);
  map.set(key, value);
  for (const oldest of map.keys()) {
    if (map.size <= maxCount) return;
    map.delete(oldest);
  }
}
