/** Saying why: candidates with every term, what was chosen, why the others lost or cannot be used. */

import { create } from "@bufbuild/protobuf";
import { type Candidate, CandidateSchema } from "../../gen/weft/routing/v1/routing_pb.ts";
import { limits } from "../../lib/limits.ts";
import { farEdgeFault, needFault, pathFault, relayFault } from "./filter.ts";
import type { MeshGraph, RouteNeed } from "./graph.ts";
import { findPaths, sharedRelays } from "./paths.ts";
import { chooseRoute, isRealGain, type RouteChoice, type RouteState } from "./pick.ts";
import type { ScoredPath } from "./scored-path.ts";

/**
 * The candidates of a graph: chosen first, then by rank, then those that cannot be used; at most
 * `limits.routeExplainedMaxCount`. `held` is what the node uses now; without it, what it would choose from nothing.
 */
export function explainRoutes(graph: MeshGraph, need: RouteNeed, held: RouteState = {}): Candidate[] {
  const choice = chooseRoute(graph, need, held);
  const chosen = [choice.primary, choice.standby].flatMap((path) => path ?? []);
  const { ranked } = findPaths(graph, need, { maxCount: limits.routeExplainedMaxCount });
  const rest = ranked.filter((path) => !chosen.some((other) => other.key === path.key));
  const filtered = filteredCandidates(graph, need);
  const room = Math.max(chosen.length, limits.routeExplainedMaxCount - filtered.length);
  const usable = [...chosen, ...rest].slice(0, room).map((path) => usableCandidate(graph, choice, path));
  return [...usable, ...filtered].slice(0, limits.routeExplainedMaxCount);
}

function usableCandidate(graph: MeshGraph, choice: RouteChoice, path: ScoredPath): Candidate {
  const isPrimary = path.key === choice.primary?.key;
  const isStandby = !isPrimary && path.key === choice.standby?.key;
  return create(CandidateSchema, {
    nodeIds: [...path.nodeIds],
    names: namesOf(graph, path.nodeIds),
    total: path.total,
    parts: path.parts.map((part) => ({ ...part })),
    outcome: isPrimary ? "primary" : isStandby ? "standby" : "lost",
    reason: isPrimary || choice.primary === undefined ? "" : reasonOf(choice.primary, path, isStandby),
    sharedHops: isPrimary || choice.primary === undefined ? [] : sharedRelays(path.nodeIds, choice.primary.nodeIds),
  });
}

function reasonOf(primary: ScoredPath, path: ScoredPath, isStandby: boolean): string {
  if (isStandby) {
    const shared = sharedRelays(path.nodeIds, primary.nodeIds).length;
    return shared === 0
      ? "shares no relay with the primary"
      : `shares ${shared} relay(s): nothing more disjoint exists`;
  }
  if (path.unmeasuredLinks > primary.unmeasuredLinks) {
    return `${path.unmeasuredLinks} link(s) not measured, the primary has ${primary.unmeasuredLinks}`;
  }
  const more = path.total - primary.total;
  if (path.total < primary.total) {
    const missing = isRealGain(primary, path) ? "not yet in enough samples" : "less than a move needs";
    return `costs ${(-more).toFixed(2)} less: ${missing}`;
  }
  if (more < 1e-6) return "costs the same: the choice of this start falls on the primary";
  return `costs ${more.toFixed(2)} more, most of it ${largestDifference(primary, path)}`;
}

function largestDifference(primary: ScoredPath, path: ScoredPath): string {
  const differences = path.parts.map((part, i) => ({
    input: part.input,
    more: part.cost - (primary.parts[i]?.cost ?? 0),
  }));
  const largest = differences.reduce((a, b) => (b.more > a.more ? b : a));
  return `${largest.input} (+${largest.more.toFixed(2)})`;
}

/** One candidate for every relay and far edge that stands in the graph and cannot be used. */
function filteredCandidates(graph: MeshGraph, need: RouteNeed): Candidate[] {
  const overall = needFault(graph, need);
  const ids = [...graph.nodes.keys()].filter((id) => id !== need.fromNodeId).sort();
  const farEdges = need.toNodeIds.filter((id) => graph.nodes.has(id));
  const anyFarEdge = farEdges.find((id) => farEdgeFault(graph, need, id) === undefined) ?? farEdges[0];
  const relays = ids.filter((id) => !need.toNodeIds.includes(id));
  const anyRelay = relays.find((id) => relayFault(graph, need, id) === undefined) ?? relays[0];
  const routes = [
    ...relays.map((id) => [need.fromNodeId, id, anyFarEdge]),
    ...farEdges.map((id) => [need.fromNodeId, anyRelay, id]),
  ].map((route) => route.flatMap((id) => id ?? []));
  const seen = new Set<string>();
  return routes.flatMap((nodeIds) => {
    const reason = overall ?? pathFault(graph, need, nodeIds);
    const key = nodeIds.join(">");
    if (reason === undefined || seen.has(key)) return [];
    seen.add(key);
    return [create(CandidateSchema, { nodeIds, names: namesOf(graph, nodeIds), outcome: "filtered", reason })];
  });
}

function namesOf(graph: MeshGraph, nodeIds: readonly string[]): string[] {
  return nodeIds.map((id) => graph.nodes.get(id)?.name ?? id);
}
