/**
 * The search itself: the best walk per (relays so far, last relay), kept up to date.
 *
 * WK1. What a relay's best walk of a length is depends on the best walks one shorter of the nodes with a link to it, on
 *      the price of these links and on nothing else. So after a change exactly those are computed again whose inputs
 *      changed, and the outcome equals a computation of everything.
 * WK2. A walk is replaced by another object whenever any link of it was priced again: the same object is the same path at
 *      the same price.
 * WK3. Computed is only what a far edge that was asked for depends on. Whoever is known knows all it depends on.
 * WK4. As every step costs something or nothing (SC2), the best walk of all is a path. 400 relays with 20 links each are
 *      4 x 400 x 20 steps.
 */

import { limits } from "../../lib/limits.ts";
import type { Edge } from "./graph.ts";
import type { Prices } from "./prices.ts";
import type { StepValues } from "./score.ts";

/** A path while it is searched for: its last node and the walk before it. */
export interface Walk {
  readonly at: number;
  readonly before?: Walk;
  readonly edge?: Edge;
  readonly stamp: number;
  readonly hops: number;
  /** Relays also on the paths to stay away from; weighs most. */
  readonly shared: number;
  readonly unmeasured: number;
  readonly cost: number;
  /** Made when two walks are equal otherwise. */
  key?: string;
  tie?: number;
}

const COST_QUANTUM = 1e-6;
/** Farther than any path reaches. */
const unreached = 255;

/** Costs are compared in quanta, so that sums made in another order are still equal. */
export function quanta(cost: number): number {
  return Math.round(cost / COST_QUANTUM);
}

export class WalkTable {
  readonly #prices: Prices;
  readonly #startId: string;
  readonly #awayFrom: ReadonlySet<number>;
  readonly #direct: boolean;
  readonly #start: number;
  /** By number of relays, then by last node; null is known to be none, undefined was never asked for (WK3). */
  readonly #layers: (Walk | null | undefined)[][];
  /** Links from the start to each node, as far as links were ever known: less than this and there is no walk. */
  #distances = new Uint8Array(0);
  #distancesOf = -1;
  /** Whole paths by far edge. */
  readonly #ends = new Map<number, readonly Walk[]>();
  readonly #staleEnds: number[] = [];
  readonly #pending = new Set<number>();

  constructor(prices: Prices, startId: string, awayFrom: readonly string[], direct: boolean) {
    const { graph } = prices;
    this.#prices = prices;
    this.#startId = startId;
    this.#awayFrom = new Set(awayFrom.map((id) => graph.numberOf(id)));
    this.#direct = direct;
    this.#start = graph.numberOf(startId);
    const start: Walk = { at: this.#start, stamp: 0, hops: 1, shared: 0, unmeasured: 0, cost: 0 };
    this.#layers = [[]];
    if (this.#start >= 0) this.#layers[0] = Array.from(graph.ids, (_, node) => (node === this.#start ? start : null));
    for (let relays = 1; relays <= limits.routeRelaysMaxCount; relays++)
      this.#layers.push(new Array<Walk | null | undefined>(graph.ids.length).fill(undefined));
  }

  /** Remembers that steps into these nodes may cost something else. */
  touched(nodes: ReadonlySet<number>): void {
    for (const node of nodes) this.#pending.add(node);
  }

  /** Every path found to a far edge: the best of each length and last relay, in no order. */
  to(farEdge: number): readonly Walk[] {
    if (this.#pending.size > 0) {
      const nodes = [...this.#pending];
      this.#pending.clear();
      for (const node of nodes) this.#staleEnds[node] = 1;
      this.#settle(nodes);
    }
    const known = this.#ends.get(farEdge);
    if (known !== undefined && this.#staleEnds[farEdge] !== 1) return known;
    const ends = this.#endsAt(farEdge, known ?? []);
    this.#ends.set(farEdge, ends);
    this.#staleEnds[farEdge] = 0;
    return ends;
  }

  /** PA2 and PA3 in one order. */
  compare(a: Walk, b: Walk): number {
    return (
      a.shared - b.shared ||
      a.unmeasured - b.unmeasured ||
      quanta(a.cost) - quanta(b.cost) ||
      a.hops - b.hops ||
      this.#tie(a) - this.#tie(b) ||
      (this.key(a) < this.key(b) ? -1 : this.key(a) > this.key(b) ? 1 : 0)
    );
  }

  key(walk: Walk): string {
    const id = this.#prices.graph.ids[walk.at] ?? "";
    walk.key ??= walk.before === undefined ? id : `${this.key(walk.before)}>${id}`;
    return walk.key;
  }

  ids(walk: Walk): string[] {
    const ids: string[] = [];
    for (let at: Walk | undefined = walk; at !== undefined; at = at.before)
      ids.push(this.#prices.graph.ids[at.at] ?? "");
    return ids.reverse();
  }

  /** What each step of a whole path adds to its score. */
  steps(walk: Walk): StepValues[] {
    const steps: StepValues[] = [];
    for (let at = walk; at.before !== undefined && at.edge !== undefined; at = at.before) {
      const values = this.#prices.values(at.edge, at === walk);
      if (values !== undefined) steps.push(values);
    }
    return steps.reverse();
  }

  #tie(walk: Walk): number {
    walk.tie ??= tieHash(this.#startId, this.key(walk));
    return walk.tie;
  }

  /** Computes again what steps into `nodes` can have changed, length by length (WK1). */
  #settle(nodes: readonly number[]): void {
    const { out, ids } = this.#prices.graph;
    const stale = this.#staleEnds;
    let work: readonly number[] = nodes;
    for (let relays = 1; relays <= limits.routeRelaysMaxCount; relays++) {
      const isLast = relays === limits.routeRelaysMaxCount;
      const next = isLast ? [] : [...nodes];
      const listed = new Uint8Array(ids.length);
      for (const node of next) listed[node] = 1;
      for (const node of work) {
        if (!this.#refresh(relays, node)) continue;
        for (const { to } of out[node] ?? []) {
          stale[to] = 1;
          if (listed[to] === 1 || isLast) continue;
          listed[to] = 1;
          next.push(to);
        }
      }
      work = next;
    }
  }

  /** The best walk of this length to this relay, computed when nobody has asked for it yet. */
  #at(relays: number, node: number): Walk | null {
    const layer = this.#layers[relays] ?? [];
    const known = layer[node];
    if (known !== undefined) return known;
    const isReached = relays > 0 && this.#distance(node) <= relays && this.#prices.isRelay(node);
    const walk = isReached ? this.#best(relays, node) : null;
    layer[node] = walk;
    return walk;
  }

  /** Whether the best walk of this length to this relay is another one now (WK2). */
  #refresh(relays: number, node: number): boolean {
    const layer = this.#layers[relays] ?? [];
    const before = layer[node];
    if (before === undefined) return false;
    const best = this.#prices.isRelay(node) ? this.#best(relays, node) : null;
    if (best === before || (best !== null && before !== null && isSame(best, before))) return false;
    layer[node] = best;
    return true;
  }

  /** Found by breadth, again whenever the graph has more edges than before. */
  #distance(node: number): number {
    const { graph } = this.#prices;
    if (this.#distancesOf !== graph.edgeCount) {
      this.#distancesOf = graph.edgeCount;
      this.#distances = new Uint8Array(graph.ids.length).fill(unreached);
      this.#distances[this.#start] = 0;
      let reached = [this.#start];
      for (let links = 1; links <= limits.routeRelaysMaxCount; links++) {
        const next = reached.flatMap((from) => (graph.out[from] ?? []).map((edge) => edge.to));
        reached = [...new Set(next)].filter((to) => this.#distances[to] === unreached);
        for (const to of reached) this.#distances[to] = links;
      }
    }
    return this.#distances[node] ?? unreached;
  }

  /** The best extension of shorter walks to one relay. Sums are compared before anything is built. */
  #best(relays: number, to: number): Walk | null {
    const prices = this.#prices;
    const shares = this.#awayFrom.has(to) ? 1 : 0;
    let best: Walk | null = null;
    for (const edge of prices.graph.into[to] ?? []) {
      const walk = this.#at(relays - 1, edge.from);
      if (walk === null) continue;
      const cost = walk.cost + prices.cost(edge, false);
      if (!Number.isFinite(cost) || visits(walk, to)) continue;
      if (best !== null) {
        const worse =
          walk.shared + shares - best.shared ||
          walk.unmeasured + prices.unmeasured(edge) - best.unmeasured ||
          quanta(cost) - quanta(best.cost);
        if (worse > 0) continue;
      }
      const candidate = this.#extend(walk, edge, false);
      if (best === null || this.compare(candidate, best) < 0) best = candidate;
    }
    return best;
  }

  #extend(walk: Walk, edge: Edge, isFarEdge: boolean): Walk {
    const prices = this.#prices;
    return {
      at: edge.to,
      before: walk,
      edge,
      stamp: prices.stamp(edge),
      hops: walk.hops + 1,
      shared: walk.shared + (!isFarEdge && this.#awayFrom.has(edge.to) ? 1 : 0),
      cost: walk.cost + prices.cost(edge, isFarEdge),
      unmeasured: walk.unmeasured + prices.unmeasured(edge),
    };
  }

  #endsAt(farEdge: number, known: readonly Walk[]): readonly Walk[] {
    const prices = this.#prices;
    const byBefore = new Map(known.map((walk) => [walk.before, walk]));
    const ends: Walk[] = [];
    for (let relays = this.#direct ? 0 : 1; relays <= limits.routeRelaysMaxCount; relays++) {
      for (const edge of prices.graph.into[farEdge] ?? []) {
        const walk = this.#at(relays, edge.from);
        if (walk === null || visits(walk, farEdge) || !Number.isFinite(prices.cost(edge, true))) continue;
        const same = byBefore.get(walk);
        ends.push(same?.stamp === prices.stamp(edge) ? same : this.#extend(walk, edge, true));
      }
    }
    return ends.length === known.length && ends.every((walk, i) => walk === known[i]) ? known : ends;
  }
}

function isSame(a: Walk, b: Walk): boolean {
  return a.before === b.before && a.edge === b.edge && a.stamp === b.stamp;
}

function visits(walk: Walk, node: number): boolean {
  for (let at: Walk | undefined = walk; at !== undefined; at = at.before) if (at.at === node) return true;
  return false;
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
