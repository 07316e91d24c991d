/** What each step of a mesh costs under one need and one set of weights, computed once, when first asked for. */

import { linkFault } from "./filter.ts";
import { linkKey, type MeshGraph, measured, type RouteNeed } from "./graph.ts";
import { stepCost, type Weights } from "./score.ts";

export class Prices {
  readonly ids: readonly string[];
  readonly weights: Weights;
  readonly #graph: MeshGraph;
  readonly #need: RouteNeed;
  readonly #index: ReadonlyMap<string, number>;
  /** By (from, to, far edge or not): NaN is not computed yet, Infinity cannot be used. */
  readonly #costs: Float64Array;
  readonly #unmeasured: Uint8Array;

  constructor(graph: MeshGraph, need: RouteNeed, weights: Weights) {
    this.#graph = graph;
    this.#need = need;
    this.weights = weights;
    this.ids = [...graph.nodes.keys()];
    this.#index = new Map(this.ids.map((id, i) => [id, i]));
    this.#costs = new Float64Array(2 * this.ids.length ** 2).fill(Number.NaN);
    this.#unmeasured = new Uint8Array(this.ids.length ** 2);
  }

  /** The number of a node here, or -1. */
  indexOf(nodeId: string): number {
    return this.#index.get(nodeId) ?? -1;
  }

  /** Cost of the step, Infinity when it cannot be made. */
  cost(from: number, to: number, isFarEdge: boolean): number {
    const at = 2 * (from * this.ids.length + to) + (isFarEdge ? 1 : 0);
    const known = this.#costs[at] ?? Number.POSITIVE_INFINITY;
    if (!Number.isNaN(known)) return known;
    const cost = this.#compute(from, to, isFarEdge);
    this.#costs[at] = cost;
    return cost;
  }

  /** 1 when the step's round trip was never measured. Valid after `cost` of the same step. */
  unmeasured(from: number, to: number): number {
    return this.#unmeasured[from * this.ids.length + to] ?? 0;
  }

  #compute(from: number, to: number, isFarEdge: boolean): number {
    const fromId = this.ids[from] ?? "";
    const toId = this.ids[to] ?? "";
    const fromNode = this.#graph.nodes.get(fromId);
    const toNode = this.#graph.nodes.get(toId);
    const link = this.#graph.links.get(linkKey(fromId, toId));
    if (fromNode === undefined || toNode === undefined || link === undefined) return Number.POSITIVE_INFINITY;
    if (linkFault(this.#graph, this.#need, fromId, toId) !== undefined) return Number.POSITIVE_INFINITY;
    this.#unmeasured[from * this.ids.length + to] = measured(link.rttMs) === undefined ? 1 : 0;
    return stepCost(link, fromNode, toNode, isFarEdge, this.weights);
  }
}
