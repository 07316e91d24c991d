/**
 * Finding paths: entry, one to four relays, far edge.
 *
 * PA1. Pure: order of lists decides nothing; the same graph and need give the same paths (S1).
 * PA2. Rank: fewer unmeasured links, then lower cost, then fewer hops, then a hash of (start, path). Equal paths spread
 *      over starts and stay put for each.
 * PA3. The standby shares as few relays with the primary as the mesh allows, then ranks as above; it ends at the same far
 *      edge, because the trunk does.
 *
 * The search keeps the best walk per (relays so far, last relay). As every step costs something or nothing (SC2), the best
 * walk of all is a path. 40 relays and 10 egresses are 4 x 40 x 40 steps.
 */

import type { RouteLink } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { limits } from "../../lib/limits.ts";
import { farEdgeFault, needFault, pathFault, relayFault } from "./filter.ts";
import { linkKey, type MeshGraph, type RouteNeed, unmeasuredLink } from "./graph.ts";
import { Prices } from "./prices.ts";
import { type Score, score, type Weights, weightsFor } from "./score.ts";

/** A usable path with its cost. */
export interface ScoredPath extends Score {
  /** Edge to edge. */
  readonly nodeIds: readonly string[];
  readonly key: string;
}

/** A path while it is searched for: its last node and the walk before it. */
interface Walk {
  readonly at: number;
  readonly before?: Walk;
  readonly hops: number;
  /** Relays also on the path to stay away from; weighs most. */
  readonly shared: number;
  readonly unmeasured: number;
  readonly cost: number;
}

interface Search {
  readonly prices: Prices;
  readonly startId: string;
  readonly start: number;
  readonly relays: readonly number[];
  readonly farEdges: readonly number[];
  readonly awayFrom: ReadonlySet<number>;
  readonly direct: boolean;
}

export interface SearchOptions {
  /** Default: those of the need's class. */
  readonly weights?: Weights;
  /** Default: `limits.routeCandidatesMaxCount`. */
  readonly maxCount?: number;
  /** Of the same graph, need and weights: to search twice for the price of one. */
  readonly prices?: Prices;
  /** Relays to stay away from: paths with fewer of them come first, before any other rank (PA3). */
  readonly awayFrom?: readonly string[];
}

const COST_QUANTUM = 1e-6;

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

export interface FoundPaths {
  /** Usable paths, best first (PA2): the best of each length and last relay, and those to keep. */
  readonly ranked: readonly ScoredPath[];
}

/** Searches usable paths; at most `maxCount`, besides those to keep. */
export function findPaths(graph: MeshGraph, need: RouteNeed, options: SearchOptions = {}): FoundPaths {
  const weights = options.weights ?? weightsFor(need.class);
  const prices = options.prices ?? new Prices(graph, need, weights);
  const awayFrom = options.awayFrom ?? [];
  const search = openSearch(graph, need, prices, need.toNodeIds, awayFrom);
  const walks = searchWalks(search).sort((a, b) => compareWalks(search, a, b));
  const found = walks.slice(0, options.maxCount ?? limits.routeCandidatesMaxCount).map((walk) => idsOf(prices, walk));
  const known = new Set(found.map(pathKey));
  const kept = (need.keep ?? []).filter((nodeIds) => !known.has(pathKey(nodeIds)));
  const ranked = [...found, ...kept].flatMap((nodeIds) => {
    const scored = scorePath(graph, need, nodeIds, weights);
    return typeof scored === "string" ? [] : [scored];
  });
  const relays = new Set(awayFrom);
  const shared = (path: ScoredPath): number => path.nodeIds.slice(1, -1).filter((id) => relays.has(id)).length;
  return { ranked: ranked.sort((a, b) => shared(a) - shared(b) || comparePaths(need.fromNodeId, a, b)) };
}

/**
 * The standby of a primary: usable, ending at the same far edge, sharing as few relays as possible (PA3). Undefined when
 * there is no other path.
 */
export function findStandby(
  graph: MeshGraph,
  need: RouteNeed,
  primary: readonly string[],
  options: SearchOptions = {},
): ScoredPath | undefined {
  const farEdge = primary.at(-1);
  if (farEdge === undefined) return undefined;
  const weights = options.weights ?? weightsFor(need.class);
  const prices = options.prices ?? new Prices(graph, need, weights);
  const search = openSearch(graph, need, prices, [farEdge], primary.slice(1, -1));
  const key = pathKey(primary);
  let best: Walk | undefined;
  for (const walk of searchWalks(search)) {
    if (best !== undefined && compareWalks(search, walk, best) >= 0) continue;
    if (pathKey(idsOf(prices, walk)) !== key) best = walk;
  }
  const scored = best === undefined ? undefined : scorePath(graph, need, idsOf(prices, best), weights);
  return typeof scored === "string" ? undefined : scored;
}

/** Relays two paths have in common. */
export function sharedRelays(a: readonly string[], b: readonly string[]): string[] {
  const inner = new Set(b.slice(1, -1));
  return a.slice(1, -1).filter((id) => inner.has(id));
}

function openSearch(
  graph: MeshGraph,
  need: RouteNeed,
  prices: Prices,
  toNodeIds: readonly string[],
  awayFrom: readonly string[],
): Search {
  const ids = needFault(graph, need) === undefined ? prices.ids : [];
  const number = (id: string): number => prices.indexOf(id);
  return {
    prices,
    startId: need.fromNodeId,
    start: number(need.fromNodeId),
    relays: ids.filter((id) => id !== need.fromNodeId && relayFault(graph, need, id) === undefined).map(number),
    farEdges: ids.filter((id) => toNodeIds.includes(id) && farEdgeFault(graph, need, id) === undefined).map(number),
    awayFrom: new Set(awayFrom.map(number)),
    direct: need.direct === true,
  };
}

/** Every far edge after every kept walk, and the direct ones where the need allows them. */
function searchWalks(search: Search): Walk[] {
  const start: Walk = { at: search.start, hops: 1, shared: 0, unmeasured: 0, cost: 0 };
  const found: Walk[] = [];
  let layer: readonly Walk[] = [start];
  if (search.direct) extendToFarEdges(search, layer, found);
  for (let relays = 1; relays <= limits.routeRelaysMaxCount; relays++) {
    layer = nextLayer(search, layer);
    extendToFarEdges(search, layer, found);
  }
  return found;
}

function extendToFarEdges(search: Search, layer: readonly Walk[], found: Walk[]): void {
  for (const walk of layer) {
    for (const to of search.farEdges) {
      if (!visits(walk, to) && Number.isFinite(search.prices.cost(walk.at, to, true))) {
        found.push(extend(search, walk, to, true));
      }
    }
  }
}

/** The best extension of a layer's walks to each relay. Sums are compared before anything is built. */
function nextLayer(search: Search, layer: readonly Walk[]): Walk[] {
  const { prices, awayFrom } = search;
  const next: Walk[] = [];
  for (const to of search.relays) {
    const shares = awayFrom.has(to) ? 1 : 0;
    let best: Walk | undefined;
    for (const walk of layer) {
      const cost = walk.cost + prices.cost(walk.at, to, false);
      if (!Number.isFinite(cost) || visits(walk, to)) continue;
      if (best !== undefined) {
        const worse =
          walk.shared + shares - best.shared ||
          walk.unmeasured + prices.unmeasured(walk.at, to) - best.unmeasured ||
          quanta(cost) - quanta(best.cost);
        if (worse > 0) continue;
      }
      const candidate = extend(search, walk, to, false);
      if (best === undefined || compareWalks(search, candidate, best) < 0) best = candidate;
    }
    if (best !== undefined) next.push(best);
  }
  return next;
}

function extend({ prices, awayFrom }: Search, walk: Walk, to: number, isFarEdge: boolean): Walk {
  return {
    at: to,
    before: walk,
    hops: walk.hops + 1,
    shared: walk.shared + (!isFarEdge && awayFrom.has(to) ? 1 : 0),
    cost: walk.cost + prices.cost(walk.at, to, isFarEdge),
    unmeasured: walk.unmeasured + prices.unmeasured(walk.at, to),
  };
}

function visits(walk: Walk, node: number): boolean {
  for (let at: Walk | undefined = walk; at !== undefined; at = at.before) if (at.at === node) return true;
  return false;
}

function idsOf(prices: Prices, walk: Walk): string[] {
  const ids: string[] = [];
  for (let at: Walk | undefined = walk; at !== undefined; at = at.before) ids.push(prices.ids[at.at] ?? "");
  return ids.reverse();
}

/** Costs are compared in quanta, so that sums made in another order are still equal. */
function quanta(cost: number): number {
  return Math.round(cost / COST_QUANTUM);
}

/** PA2 and PA3 in one order. */
function compareWalks({ prices, startId }: Search, a: Walk, b: Walk): number {
  return (
    a.shared - b.shared ||
    a.unmeasured - b.unmeasured ||
    quanta(a.cost) - quanta(b.cost) ||
    a.hops - b.hops ||
    tieOrder(startId, pathKey(idsOf(prices, a)), pathKey(idsOf(prices, b)))
  );
}

/** PA2 among paths that are scored. */
function comparePaths(startId: string, a: ScoredPath, b: ScoredPath): number {
  return (
    a.unmeasuredLinks - b.unmeasuredLinks ||
    quanta(a.total) - quanta(b.total) ||
    a.nodeIds.length - b.nodeIds.length ||
    tieOrder(startId, a.key, b.key)
  );
}

function tieOrder(startId: string, a: string, b: string): number {
  return tieHash(startId, a) - tieHash(startId, b) || (a < b ? -1 : a > b ? 1 : 0);
}

/** FNV-1a with the finaliser of MurmurHash3: spreads, and depends on nothing but its words. */
export function tieHash(startId: string, key: string): number {
  let hash = 0x811c9dc5;
  for (const text of [startId, "\0", key]) {
    for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
