/**
 * What each step of a mesh costs under one need and one set of weights: computed when first asked for, and again when the
 * graph's journal or a changed set of links that are down says that it may differ.
 *
 * PR1. A stamp grows with every repricing of an edge: what was built of an edge with the same stamp is as it was.
 */

import { linkFault, relayFault } from "./filter.ts";
import { type Edge, linkKey, type MeshGraph, measured, type RouteNeed } from "./graph.ts";
import { stepCost, type Weights } from "./score.ts";

export class Prices {
  readonly graph: MeshGraph;
  readonly weights: Weights;
  #need: RouteNeed;
  /** By edge: NaN is not computed yet, Infinity cannot be used. */
  readonly #toRelay: number[] = [];
  readonly #toFarEdge: number[] = [];
  readonly #unmeasured: number[] = [];
  readonly #stamps: number[] = [];
  /** By node; absent: not asked yet. */
  readonly #relays: (boolean | undefined)[] = [];
  #revision: number;

  constructor(graph: MeshGraph, need: RouteNeed, weights: Weights) {
    this.graph = graph;
    this.weights = weights;
    this.#need = need;
    this.#revision = graph.revision;
  }

  /** Nodes into which a step may cost something else than before; undefined when everything may. */
  follow(need: RouteNeed): ReadonlySet<number> | undefined {
    const changed = this.graph.changedSince(this.#revision);
    this.#revision = this.graph.revision;
    const flipped = this.#flipped(need);
    this.#need = need;
    if (changed === undefined) return undefined;
    const nodes = new Set<number>();
    for (const edge of [...changed, ...flipped]) {
      this.#toRelay[edge.id] = Number.NaN;
      this.#toFarEdge[edge.id] = Number.NaN;
      this.#stamps[edge.id] = this.stamp(edge) + 1;
      this.#relays[edge.to] = undefined;
      nodes.add(edge.to);
    }
    return nodes;
  }

  /** Edges that went down or came up between the need before and this one. */
  #flipped(need: RouteNeed): Edge[] {
    const before = this.#need.downLinks ?? new Set<string>();
    const now = need.downLinks ?? new Set<string>();
    return [...before.symmetricDifference(now)].flatMap((key) => {
      const [from = "", to = ""] = key.split(">");
      return this.graph.edge(from, to) ?? [];
    });
  }

  isRelay(node: number): boolean {
    this.#relays[node] ??= relayFault(this.graph, this.#need, this.graph.ids[node] ?? "") === undefined;
    return this.#relays[node];
  }

  stamp(edge: Edge): number {
    return this.#stamps[edge.id] ?? 0;
  }

  /** Cost of the step, Infinity when it cannot be made. */
  cost(edge: Edge, isFarEdge: boolean): number {
    const costs = isFarEdge ? this.#toFarEdge : this.#toRelay;
    const known = costs[edge.id];
    if (known !== undefined && !Number.isNaN(known)) return known;
    const cost = this.#compute(edge, isFarEdge);
    costs[edge.id] = cost;
    return cost;
  }

  /** 1 when the step's round trip was never measured. Valid after `cost` of the same step. */
  unmeasured(edge: Edge): number {
    return this.#unmeasured[edge.id] ?? 0;
  }

  #compute(edge: Edge, isFarEdge: boolean): number {
    const fromId = this.graph.ids[edge.from] ?? "";
    const toId = this.graph.ids[edge.to] ?? "";
    const fromNode = this.graph.nodes.get(fromId);
    const toNode = this.graph.nodes.get(toId);
    const link = this.graph.links.get(linkKey(fromId, toId));
    if (fromNode === undefined || toNode === undefined || link === undefined) return Number.POSITIVE_INFINITY;
    if (linkFault(this.graph, this.#need, fromId, toId) !== undefined) return Number.POSITIVE_INFINITY;
    this.#unmeasured[edge.id] = measured(link.rttMs) === undefined ? 1 : 0;
    return stepCost(link, fromNode, toNode, isFarEdge, this.weights);
  }
}
