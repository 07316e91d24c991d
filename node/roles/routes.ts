/**
 * Which way a channel goes, decided by this entry alone: resource -> pool -> ranked paths over the snapshot's graph with
 * the entry's own measurements in front (LAW-T2, LAW-S1).
 *
 * RO1. One decision is one sample: decisions are taken at most once a second per question, so that hysteresis counts
 *      samples of the network and not openings of channels (LAW-S3).
 * RO2. A path that could not be opened rests: it is tried after all others until it has rested.
 * RO3. A path beside others is wanted apart from them: fewest common relays first, one of the others itself last.
 */

import { matchIntents, needWithIntents } from "../../fabric/intents.ts";
import { poolById } from "../../fabric/members.ts";
import { linkKey, type RouteNeed } from "../../fabric/routing/graph.ts";
import type { RouteState } from "../../fabric/routing/pick.ts";
import { type PublishedGraph, RouteCache } from "../../fabric/routing/route-cache.ts";
import { pathKey } from "../../fabric/routing/scored-path.ts";
import type { ChannelClass } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { ResourceRoute, RouteLink, Snapshot } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import type { Clock } from "../../lib/clock.ts";
import { limits } from "../../lib/limits.ts";
import type { IdentityHolder, SnapshotHolder } from "../ports.ts";

export interface RouteDeps {
  readonly identity: IdentityHolder;
  readonly snapshot: SnapshotHolder;
  readonly clock: Clock;
  /** This node's own link measurements: fresher than the snapshot's. */
  readonly measurements: () => readonly RouteLink[];
  /** Neighbours no link leads to right now. */
  readonly downNeighbours: () => readonly string[];
}

export interface Route {
  readonly hops: readonly string[];
  readonly farEdge: string;
}

/** What the caller already has, and whom it must not use. */
export interface PathsBeside {
  /** Hop lists of the paths the new one is to stand beside (RO3). */
  readonly beside?: readonly (readonly string[])[];
  /** Nodes that drain or were revoked. */
  readonly shun?: readonly string[];
}

interface Question {
  readonly snapshot: Snapshot;
  readonly toNodeIds: readonly string[];
  readonly organizationId: string;
  readonly channelClass: ChannelClass;
  readonly down: readonly string[];
}

interface Decision {
  readonly state: RouteState;
  /** Best first. */
  readonly ordered: readonly (readonly string[])[];
  readonly snapshot: Snapshot;
  readonly down: string;
  readonly atMs: number;
}

export class Routes {
  readonly #deps: RouteDeps;
  readonly #cache = new RouteCache();
  readonly #decisions = new Map<string, Decision>();
  readonly #failed = new Map<string, number>();
  #published: { readonly snapshot: Snapshot; readonly published: PublishedGraph } | undefined;

  constructor(deps: RouteDeps) {
    this.#deps = deps;
  }

  /** The resource a name means for an organization, or undefined. */
  resource(name: string, organizationId: string): ResourceRoute | undefined {
    const routes = this.#deps.snapshot.current()?.resourceRoutes;
    return routes?.find((route) => route.name === name && route.organizationId === organizationId);
  }

  /** The egress nodes of a pool, best first, by their best path. */
  egresses(poolId: string, organizationId: string, channelClass: ChannelClass): string[] {
    const snapshot = this.#deps.snapshot.current();
    const pool = snapshot === undefined ? undefined : poolById(snapshot, poolId);
    if (snapshot === undefined || pool === undefined) return [];
    const paths = this.#ordered(snapshot, pool.egressNodeIds, organizationId, channelClass);
    return [...new Set(paths.map((hops) => hops.at(-1) ?? ""))].filter((id) => id !== "");
  }

  /**
   * Paths to one egress, best first; none over a shunned node. Beside other paths: those that share the fewest relays
   * with them first, each group by rank, and a path that is one of them last (RO3).
   */
  paths(farEdge: string, organizationId: string, channelClass: ChannelClass, wish: PathsBeside = {}): Route[] {
    const snapshot = this.#deps.snapshot.current();
    if (snapshot === undefined) return [];
    const { beside = [], shun = [] } = wish;
    const ordered = this.#ordered(snapshot, [farEdge], organizationId, channelClass);
    const relays = new Set(beside.flatMap((hops) => hops.slice(1, -1)));
    const allowed = (hops: readonly string[]): boolean => !hops.some((id) => shun.includes(id));
    // The ranked paths need not hold the most disjoint one, nor enough without the shunned: those are searched for.
    const searched =
      relays.size === 0 && shun.length === 0
        ? []
        : this.#searched({ snapshot, toNodeIds: [farEdge], organizationId, channelClass }, [...relays], shun);
    const rank = rankBeside(beside, relays);
    const byKey = new Map(
      [...ordered.slice(0, 1), ...searched, ...ordered].filter(allowed).map((hops) => [pathKey(hops), hops]),
    );
    return [...byKey.values()]
      .map((hops) => ({ hops, rank: rank(hops) + (this.#rests(hops) ? restingRank : 0) }))
      .sort((a, b) => a.rank - b.rank)
      .map(({ hops }) => ({ hops, farEdge }));
  }

  /** Remembers that a path could not be opened just now (RO2). */
  failed(hops: readonly string[]): void {
    const nowMs = this.#deps.clock.monoMs();
    this.#failed.set(hops.join(), nowMs + limits.failedPathRestMs);
    for (const [key, untilMs] of this.#failed) if (untilMs <= nowMs) this.#failed.delete(key);
  }

  #ordered(
    snapshot: Snapshot,
    toNodeIds: readonly string[],
    organizationId: string,
    channelClass: ChannelClass,
  ): readonly (readonly string[])[] {
    const key = [...toNodeIds, organizationId, channelClass].join("|");
    const nowMs = this.#deps.clock.monoMs();
    const down = this.#deps.downNeighbours();
    const before = this.#decisions.get(key);
    const fresh =
      before !== undefined &&
      before.snapshot === snapshot &&
      before.down === down.join() &&
      nowMs - before.atMs < limits.routeSampleEveryMs;
    const decision = fresh
      ? before
      : this.#decide({ snapshot, toNodeIds, organizationId, channelClass, down }, nowMs, before?.state);
    this.#decisions.set(key, decision);
    if (this.#failed.size === 0) return decision.ordered;
    const resting = (hops: readonly string[]): boolean => this.#rests(hops);
    return [...decision.ordered.filter((hops) => !resting(hops)), ...decision.ordered.filter(resting)];
  }

  #rests(hops: readonly string[]): boolean {
    return (this.#failed.get(hops.join()) ?? 0) > this.#deps.clock.monoMs();
  }

  #searched(
    question: Omit<Question, "down">,
    awayFrom: readonly string[],
    shun: readonly string[],
  ): (readonly string[])[] {
    const need = this.#posed({ ...question, down: this.#deps.downNeighbours() });
    const avoid = new Map([...(need.avoid ?? []), ...shun.map((id) => [id, "shunned"] as const)]);
    return this.#cache.paths({ ...need, avoid }, awayFrom).map((path) => path.nodeIds);
  }

  /** The need of a question, with the cache up to date for it. */
  #posed({ snapshot, toNodeIds, organizationId, channelClass, down }: Question): RouteNeed {
    if (this.#published?.snapshot !== snapshot) {
      const { clusterId, epoch, version, graph } = snapshot;
      const published = { clusterId, epoch, version, nodes: graph?.nodes ?? [], links: graph?.links ?? [] };
      this.#published = { snapshot, published };
    }
    this.#cache.publish(this.#published.published);
    this.#cache.measure(this.#deps.measurements());
    const self = this.#deps.identity.current().nodeId;
    const downLinks = new Set(down.map((neighbour) => linkKey(self, neighbour)));
    const need = { fromNodeId: self, toNodeIds, organizationId, class: channelClass, downLinks };
    if (snapshot.routeIntents.length === 0) return need;
    const asked = { ...need, nowMs: Math.max(this.#deps.clock.nowMs(), this.#deps.snapshot.newestSignedMs()) };
    return needWithIntents(need, this.#cache.graph.nodes.values(), matchIntents(snapshot, asked));
  }

  #decide(question: Question, atMs: number, before: RouteState | undefined): Decision {
    const choice = this.#cache.choose(this.#posed(question), before);
    const first = choice.primary;
    const rest = choice.ranked.filter((path) => path.key !== first?.key);
    return {
      state: choice.state,
      ordered: (first === undefined ? rest : [first, ...rest]).map((path) => path.nodeIds),
      snapshot: question.snapshot,
      down: question.down.join(),
      atMs,
    };
  }
}

/** Behind every path that does not rest, however many relays that one shares. */
const restingRank = 1_000;
/** Behind those that rest, too: a second connection over the very same hops protects from nothing. */
const identicalRank = 1_000_000;

function rankBeside(
  beside: readonly (readonly string[])[],
  relays: ReadonlySet<string>,
): (hops: readonly string[]) => number {
  const own = new Set(beside.map(pathKey));
  return (hops) => (own.has(pathKey(hops)) ? identicalRank : hops.slice(1, -1).filter((id) => relays.has(id)).length);
}
