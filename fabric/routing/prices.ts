/**
 * What each step of a mesh costs under one need and one set of weights: computed when first asked for, and again when the
 * graph's journal or a changed set of links that are down says that it may differ.
 *
 * PR1. A stamp grows with every repricing of an edge: what was built of an edge with the same stamp is as it was.
 */

import { relayFault } from "./filter.ts";
import type { Edge, MeshGraph, RouteNeed } from "./graph.ts";
import { preferenceCost } from "./preference.ts";
import { isUnmeasured, type StepValues, scoreInputs, stepCost, stepValues, type Weights, weightList } from "./score.ts";

/** Numbers by edge or node, as many as the graph has grown to. */
class Column {
  #values = new Float64Array(0);
  readonly #absent: number;

  constructor(absent: number) {
    this.#absent = absent;
  }

  get(at: number): number {
    return at < this.#values.length ? (this.#values[at] as number) : this.#absent;
  }

  set(at: number, value: number): void {
    if (at >= this.#values.length) {
      const grown = new Float64Array(Math.max(64, 2 * at)).fill(this.#absent);
      grown.set(this.#values);
      this.#values = grown;
    }
    this.#values[at] = value;
  }
}

export class Prices {
  readonly graph: MeshGraph;
  readonly weights: Weights;
  readonly #weightList: Float64Array;
  #need: RouteNeed;
  /** By edge: NaN is not computed yet, Infinity cannot be used. */
  readonly #toRelay = new Column(Number.NaN);
  readonly #toFarEdge = new Column(Number.NaN);
  readonly #unmeasured = new Column(0);
  readonly #stamps = new Column(0);
  readonly #down = new Set<number>();
  readonly #scratch: StepValues = new Float64Array(scoreInputs.length);
  /** By node: NaN is not asked yet. */
  readonly #relays = new Column(Number.NaN);
  #revision: number;

  constructor(graph: MeshGraph, need: RouteNeed, weights: Weights) {
    this.graph = graph;
    this.weights = weights;
    this.#weightList = weightList(weights);
    this.#need = need;
    this.#revision = graph.revision;
    this.#noteDown(need.downLinks ?? new Set());
  }

  /** Nodes into which a step may cost something else than before; undefined when everything may. */
  follow(need: RouteNeed): ReadonlySet<number> | undefined {
    const changed = this.graph.changedSince(this.#revision);
    this.#revision = this.graph.revision;
    this.#need = need;
    const flipped = this.#noteDown(need.downLinks ?? new Set());
    if (changed === undefined) return undefined;
    const nodes = new Set<number>();
    for (const edge of [...changed, ...flipped]) {
      this.#toRelay.set(edge.id, Number.NaN);
      this.#toFarEdge.set(edge.id, Number.NaN);
      this.#stamps.set(edge.id, this.stamp(edge) + 1);
      this.#relays.set(edge.to, Number.NaN);
      nodes.add(edge.to);
    }
    return nodes;
  }

  isRelay(node: number): boolean {
    const known = this.#relays.get(node);
    if (!Number.isNaN(known)) return known === 1;
    const isRelay = relayFault(this.graph, this.#need, this.graph.ids[node] ?? "") === undefined;
    this.#relays.set(node, isRelay ? 1 : 0);
    return isRelay;
  }

  stamp(edge: Edge): number {
    return this.#stamps.get(edge.id);
  }

  /** Cost of the step, Infinity when it cannot be made. */
  cost(edge: Edge, isFarEdge: boolean): number {
    const costs = isFarEdge ? this.#toFarEdge : this.#toRelay;
    const known = costs.get(edge.id);
    if (!Number.isNaN(known)) return known;
    const values = this.#down.has(edge.id) ? undefined : this.values(edge, isFarEdge, this.#scratch);
    const wish = isFarEdge ? 0 : preferenceCost(this.#need, this.graph.ids[edge.to] ?? "");
    const cost = values === undefined ? Number.POSITIVE_INFINITY : stepCost(values, this.#weightList) + wish;
    if (values !== undefined) this.#unmeasured.set(edge.id, isUnmeasured(values) ? 1 : 0);
    costs.set(edge.id, cost);
    return cost;
  }

  /** 1 when the step's round trip was never measured. Valid after `cost` of the same step. */
  unmeasured(edge: Edge): number {
    return this.#unmeasured.get(edge.id);
  }

  /** What the step adds to each input; undefined when its link or a node of it is gone. */
  values(edge: Edge, isFarEdge: boolean, into?: StepValues): StepValues | undefined {
    const from = this.graph.nodeAt(edge.from);
    const to = this.graph.nodeAt(edge.to);
    const link = this.graph.linkAt(edge);
    if (from === undefined || to === undefined || link === undefined) return undefined;
    return stepValues(link, from, to, isFarEdge, into);
  }

  /** Takes up which links are down; returns those that went down or came up. */
  #noteDown(keys: ReadonlySet<string>): Edge[] {
    const edges = [...keys].flatMap((key) => {
      const [from = "", to = ""] = key.split(">");
      return this.graph.edge(from, to) ?? [];
    });
    const now = new Map(edges.map((edge) => [edge.id, edge]));
    const flipped = edges.filter((edge) => !this.#down.has(edge.id));
    for (const id of this.#down) {
      const edge = now.has(id) ? undefined : this.graph.edgeAt(id);
      if (edge !== undefined) flipped.push(edge);
    }
    this.#down.clear();
    for (const edge of edges) this.#down.add(edge.id);
    return flipped;
  }
}
