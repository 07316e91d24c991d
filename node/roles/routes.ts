/**
 * Which way a channel goes, decided by this entry alone: resource -> pool -> ranked paths over the snapshot's graph with
 * the entry's own measurements in front (LAW-T2, LAW-S1).
 *
 * RO1. One decision is one sample: decisions are taken at most once a second per question, so that hysteresis counts
 *      samples of the network and not openings of channels (LAW-S3).
 * RO2. A path that could not be opened rests: it is tried after all others until it has rested.
 */

import { poolById } from "../../fabric/members.ts";
import { graphOf, linkKey } from "../../fabric/routing/graph.ts";
import { chooseRoute, type RouteState } from "../../fabric/routing/pick.ts";
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
  readonly #decisions = new Map<string, Decision>();
  readonly #failed = new Map<string, number>();

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

  /** Paths to one egress, best first. */
  paths(farEdge: string, organizationId: string, channelClass: ChannelClass): Route[] {
    const snapshot = this.#deps.snapshot.current();
    if (snapshot === undefined) return [];
    return this.#ordered(snapshot, [farEdge], organizationId, channelClass).map((hops) => ({ hops, farEdge }));
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
  ): (readonly string[])[] {
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
      : this.#decide({ snapshot, toNodeIds, organizationId, channelClass, down, nowMs }, before?.state);
    this.#decisions.set(key, decision);
    const resting = (hops: readonly string[]): boolean => (this.#failed.get(hops.join()) ?? 0) > nowMs;
    return [...decision.ordered.filter((hops) => !resting(hops)), ...decision.ordered.filter(resting)];
  }

  #decide(
    question: {
      readonly snapshot: Snapshot;
      readonly toNodeIds: readonly string[];
      readonly organizationId: string;
      readonly channelClass: ChannelClass;
      readonly down: readonly string[];
      readonly nowMs: number;
    },
    before: RouteState | undefined,
  ): Decision {
    const self = this.#deps.identity.current().nodeId;
    const { snapshot, toNodeIds, organizationId, down } = question;
    const choice = chooseRoute(
      graphOf(snapshot, this.#deps.measurements()),
      {
        fromNodeId: self,
        toNodeIds,
        organizationId,
        class: question.channelClass,
        downLinks: new Set(down.map((neighbour) => linkKey(self, neighbour))),
      },
      before,
    );
    const first = choice.primary;
    const rest = choice.ranked.filter((path) => path.key !== first?.key);
    return {
      state: choice.state,
      ordered: (first === undefined ? rest : [first, ...rest]).map((path) => path.nodeIds),
      snapshot,
      down: down.join(),
      atMs: question.nowMs,
    };
  }
}
