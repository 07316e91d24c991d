/**
 * The search itself: the best walk per (relays so far, last relay), kept up to date.
 *
 * WK1. What a relay's best walk of a length is depends on the best walks one shorter of the nodes with a link to it, on
 *      the price of these links and on nothing else. So after a change exactly those are computed again whose inputs
 *      changed, and the outcome equals a computation of everything.
 * WK2. A walk is replaced by another object whenever any link of it was priced again: the same object is the same path at
 *      the same price.
 * WK3. As every step costs something or nothing (SC2), the best walk of all is a path. 400 relays with 20 links each are
 *      4 x 400 x 20 steps.
 */

import { limits } from "../../lib/limits.ts";
import type { Edge } from "./graph.ts";
import type { Prices } from "./prices.ts";

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

/** Costs are compared in quanta, so that sums made in another order are still equal. */
export function quanta(cost: number): number {
  return Math.round(cost / COST_QUANTUM);
}

export class WalkTable {
  readonly #prices: Prices;
  readonly #startId: string;
  readonly #awayFrom: ReadonlySet<number>;
  readonly #direct: boolean;
  /** By number of relays, then by last node. */
  readonly #layers: (Walk | undefined)[][];
  /** Whole paths by far edge. */
  readonly #ends = new Map<number, readonly Walk[]>();
  readonly #staleEnds = new Set<number>();
  readonly #pending = new Set<number>();

  constructor(prices: Prices, startId: string, awayFrom: readonly string[], direct: boolean) {
    const { graph } = prices;
    this.#prices = prices;
    this.#startId = startId;
    this.#awayFrom = new Set(awayFrom.map((id) => graph.numberOf(id)));
    this.#direct = direct;
    const at = graph.numberOf(startId);
    const start: Walk = { at, stamp: 0, hops: 1, shared: 0, unmeasured: 0, cost: 0 };
    const first: (Walk | undefined)[] = [];
    if (at >= 0) first[at] = start;
    this.#layers = [first];
    for (let relays = 1; relays <= limits.routeRelaysMaxCount; relays++) this.#layers.push([]);
    this.#settle(new Set((graph.out[at] ?? []).map((edge) => edge.to)));
  }

  /** Remembers that steps into these nodes may cost something else. */
  touched(nodes: ReadonlySet<number>): void {
    for (const node of nodes) this.#pending.add(node);
  }

  /** Every path found to a far edge: the best of each length and last relay, in no order. */
  to(farEdge: number): readonly Walk[] {
    if (this.#pending.size > 0) {
      const nodes = new Set(this.#pending);
      this.#pending.clear();
      for (const node of nodes) this.#staleEnds.add(node);
      this.#settle(nodes);
    }
    const known = this.#ends.get(farEdge);
    if (known !== undefined && !this.#staleEnds.has(farEdge)) return known;
    const ends = this.#endsAt(farEdge, known ?? []);
    this.#ends.set(farEdge, ends);
    this.#staleEnds.delete(farEdge);
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

  #tie(walk: Walk): number {
    walk.tie ??= tieHash(this.#startId, this.key(walk));
    return walk.tie;
  }

  /** Computes again what steps into `nodes` can have changed, length by length (WK1). */
  #settle(nodes: ReadonlySet<number>): void {
    const { out } = this.#prices.graph;
    let work: ReadonlySet<number> = nodes;
    for (let relays = 1; relays <= limits.routeRelaysMaxCount; relays++) {
      const next = new Set(nodes);
      for (const node of work) {
        if (!this.#refresh(relays, node)) continue;
        for (const edge of out[node] ?? []) {
          next.add(edge.to);
          this.#staleEnds.add(edge.to);
        }
      }
      work = next;
    }
  }

  /** Whether the best walk of this length to this relay is another one now (WK2). */
  #refresh(relays: number, node: number): boolean {
    const layer = this.#layers[relays] ?? [];
    const before = layer[node];
    const best = this.#prices.isRelay(node) ? this.#best(this.#layers[relays - 1] ?? [], node) : undefined;
    if (best === before || (best !== undefined && before !== undefined && isSame(best, before))) return false;
    layer[node] = best;
    return true;
  }

  /** The best extension of a layer's walks to one relay. Sums are compared before anything is built. */
  #best(layer: readonly (Walk | undefined)[], to: number): Walk | undefined {
    const prices = this.#prices;
    const shares = this.#awayFrom.has(to) ? 1 : 0;
    let best: Walk | undefined;
    for (const edge of prices.graph.into[to] ?? []) {
      const walk = layer[edge.from];
      if (walk === undefined) continue;
      const cost = walk.cost + prices.cost(edge, false);
      if (!Number.isFinite(cost) || visits(walk, to)) continue;
      if (best !== undefined) {
        const worse =
          walk.shared + shares - best.shared ||
          walk.unmeasured + prices.unmeasured(edge) - best.unmeasured ||
          quanta(cost) - quanta(best.cost);
        if (worse > 0) continue;
      }
      const candidate = this.#extend(walk, edge, false);
      if (best === undefined || this.compare(candidate, best) < 0) best = candidate;
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
        const walk = this.#layers[relays]?.[edge.from];
        if (walk === undefined || visits(walk, farEdge) || !Number.isFinite(prices.cost(edge, true))) continue;
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
