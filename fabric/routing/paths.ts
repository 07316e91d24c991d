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
 * walk of all is a path. 40 relays and 10 egresses are 4 x 40 x 40 steps, well under a millisecond after scoring links.
 */

import type { RouteLink } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { limits } from "../../lib/limits.ts";
import { farEdgeFault, linkFault, needFault, pathFault, relayFault } from "./filter.ts";
import { linkKey, type MeshGraph, measured, type RouteNeed, unmeasuredLink } from "./graph.ts";
import { type Score, score, stepCost, type Weights, weightsFor } from "./score.ts";

/** A usable path with its cost. */
export interface ScoredPath extends Score {
  /** Edge to edge. */
  readonly nodeIds: readonly string[];
  readonly key: string;
}

/** A path while it is searched for. */
interface Walk {
  readonly nodeIds: readonly string[];
  /** Relays also on the path to stay away from; weighs most. */
  readonly shared: number;
  readonly unmeasured: number;
  readonly cost: number;
}

interface Search {
  readonly graph: MeshGraph;
  readonly need: RouteNeed;
  readonly weights: Weights;
  readonly relayIds: readonly string[];
  readonly farEdgeIds: readonly string[];
  readonly awayFrom: ReadonlySet<string>;
  readonly steps: Map<string, { readonly cost: number; readonly unmeasured: number } | undefined>;
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

/** Searches usable paths; at most `limits.routeCandidatesMaxCount`, besides those to keep. */
export function findPaths(graph: MeshGraph, need: RouteNeed, weights: Weights = weightsFor(need.class)): FoundPaths {
  const walks = searchWalks(openSearch(graph, need, weights, need.toNodeIds, new Set()));
  walks.sort((a, b) => compareWalks(need.fromNodeId, a, b));
  const found = walks.slice(0, limits.routeCandidatesMaxCount).map((walk) => walk.nodeIds);
  const known = new Set(found.map(pathKey));
  const kept = (need.keep ?? []).filter((nodeIds) => !known.has(pathKey(nodeIds)));
  const ranked = [...found, ...kept].flatMap((nodeIds) => {
    const scored = scorePath(graph, need, nodeIds, weights);
    return typeof scored === "string" ? [] : [scored];
  });
  return { ranked: ranked.sort((a, b) => comparePaths(need.fromNodeId, a, b)) };
}

/**
 * The standby of a primary: usable, ending at the same far edge, sharing as few relays as possible (PA3). Undefined when
 * there is no other path.
 */
export function findStandby(
  graph: MeshGraph,
  need: RouteNeed,
  primary: readonly string[],
  weights: Weights = weightsFor(need.class),
): ScoredPath | undefined {
  const farEdge = primary.at(-1);
  if (farEdge === undefined) return undefined;
  const search = openSearch(graph, need, weights, [farEdge], new Set(primary.slice(1, -1)));
  const key = pathKey(primary);
  const walks = searchWalks(search).filter((walk) => pathKey(walk.nodeIds) !== key);
  const best = walks.sort((a, b) => compareWalks(need.fromNodeId, a, b))[0];
  const scored = best === undefined ? undefined : scorePath(graph, need, best.nodeIds, weights);
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
  weights: Weights,
  toNodeIds: readonly string[],
  awayFrom: ReadonlySet<string>,
): Search {
  const usable = needFault(graph, need) === undefined;
  const ids = usable ? [...graph.nodes.keys()] : [];
  return {
    graph,
    need,
    weights,
    relayIds: ids.filter((id) => id !== need.fromNodeId && relayFault(graph, need, id) === undefined),
    farEdgeIds: ids.filter((id) => toNodeIds.includes(id) && farEdgeFault(graph, need, id) === undefined),
    awayFrom,
    steps: new Map(),
  };
}

/** Every far edge after every kept walk, and the direct ones where the need allows them. */
function searchWalks(search: Search): Walk[] {
  const { need, farEdgeIds } = search;
  const start: Walk = { nodeIds: [need.fromNodeId], shared: 0, unmeasured: 0, cost: 0 };
  const found: Walk[] = need.direct === true ? farEdgeIds.flatMap((id) => step(search, start, id, true)) : [];
  let layer: readonly Walk[] = [start];
  for (let relays = 1; relays <= limits.routeRelaysMaxCount; relays++) {
    layer = nextLayer(search, layer);
    for (const walk of layer) for (const id of farEdgeIds) found.push(...step(search, walk, id, true));
  }
  return found;
}

/** The best extension of a layer's walks to each relay. */
function nextLayer(search: Search, layer: readonly Walk[]): Walk[] {
  const next: Walk[] = [];
  for (const id of search.relayIds) {
    let best: Walk | undefined;
    for (const walk of layer) {
      const [candidate] = step(search, walk, id, false);
      if (candidate === undefined) continue;
      if (best === undefined || compareWalks(search.need.fromNodeId, candidate, best) < 0) best = candidate;
    }
    if (best !== undefined) next.push(best);
  }
  return next;
}

/** One walk with one more node, or nothing when that step cannot be made. */
function step(search: Search, walk: Walk, to: string, isFarEdge: boolean): Walk[] {
  const from = walk.nodeIds.at(-1) ?? "";
  if (walk.nodeIds.includes(to)) return [];
  const price = priceOf(search, from, to, isFarEdge);
  if (price === undefined) return [];
  const shares = !isFarEdge && search.awayFrom.has(to) ? 1 : 0;
  return [
    {
      nodeIds: [...walk.nodeIds, to],
      shared: walk.shared + shares,
      unmeasured: walk.unmeasured + price.unmeasured,
      cost: walk.cost + price.cost,
    },
  ];
}

function priceOf(search: Search, from: string, to: string, isFarEdge: boolean) {
  const key = isFarEdge ? `${from}>>${to}` : `${from}>${to}`;
  if (search.steps.has(key)) return search.steps.get(key);
  const { graph, need, weights } = search;
  const fromNode = graph.nodes.get(from);
  const toNode = graph.nodes.get(to);
  const link = graph.links.get(linkKey(from, to));
  const usable = linkFault(graph, need, from, to) === undefined;
  const price =
    usable && link !== undefined && fromNode !== undefined && toNode !== undefined
      ? {
          cost: stepCost(link, fromNode, toNode, isFarEdge, weights),
          unmeasured: measured(link.rttMs) === undefined ? 1 : 0,
        }
      : undefined;
  search.steps.set(key, price);
  return price;
}

function comparePaths(startId: string, a: ScoredPath, b: ScoredPath): number {
  const walk = (path: ScoredPath): Walk => ({
    nodeIds: path.nodeIds,
    shared: 0,
    unmeasured: path.unmeasuredLinks,
    cost: path.total,
  });
  return compareWalks(startId, walk(a), walk(b));
}

/** PA2 and PA3 in one order. Costs are compared in quanta, so that sums made in another order are still equal. */
function compareWalks(startId: string, a: Walk, b: Walk): number {
  return (
    a.shared - b.shared ||
    a.unmeasured - b.unmeasured ||
    Math.round(a.cost / COST_QUANTUM) - Math.round(b.cost / COST_QUANTUM) ||
    a.nodeIds.length - b.nodeIds.length ||
    tieOrder(startId, a.nodeIds, b.nodeIds)
  );
}

function tieOrder(startId: string, a: readonly string[], b: readonly string[]): number {
  const keyA = pathKey(a);
  const keyB = pathKey(b);
  return tieHash(startId, keyA) - tieHash(startId, keyB) || (keyA < keyB ? -1 : keyA > keyB ? 1 : 0);
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
