/**
 * Which way a channel goes, decided by this entry alone: resource -> pool -> ranked paths over the snapshot's graph with
 * the entry's own measurements in front. Choices are kept per pool and organization, so that equal paths do not flap.
 */

import { poolById } from "../../fabric/members.ts";
import { graphOf } from "../../fabric/routing/graph.ts";
import { findPaths, type ScoredPath } from "../../fabric/routing/paths.ts";
import { type PickState, pick } from "../../fabric/routing/pick.ts";
import type { ChannelClass } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { ResourceRoute, RouteLink, Snapshot } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import type { Clock } from "../../lib/clock.ts";
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

/** How long a path that just failed is left alone. */
const failedForMs = 2_000;

export class Routes {
  readonly #deps: RouteDeps;
  readonly #states = new Map<string, PickState>();
  readonly #failed = new Map<string, number>();

  constructor(deps: RouteDeps) {
    this.#deps = deps;
  }

  /** The resource a name means for an organization, or undefined. */
  resource(name: string, organizationId: string): ResourceRoute | undefined {
    return this.#deps.snapshot.current()?.resourceRoutes.find((route) => route.name === name && route.organizationId === organizationId);
  }

  /** The egress nodes of a pool, best first, by their best path. */
  egresses(poolId: string, organizationId: string, channelClass: ChannelClass): string[] {
    const snapshot = this.#deps.snapshot.current();
    const pool = snapshot === undefined ? undefined : poolById(snapshot, poolId);
    if (snapshot === undefined || pool === undefined) return [];
    const key = `${poolId}|${organizationId}`;
    const ranked = this.#ranked(snapshot, pool.egressNodeIds, organizationId, channelClass, key);
    const first = this.#hold(key, ranked);
    const ordered = first === undefined ? ranked : [first, ...ranked];
    return [...new Set(ordered.map((path) => path.nodeIds.at(-1) ?? ""))].filter((id) => id !== "");
  }

  /** Paths to one egress, best first. */
  paths(farEdge: string, organizationId: string, channelClass: ChannelClass): Route[] {
    const snapshot = this.#deps.snapshot.current();
    if (snapshot === undefined) return [];
    const key = `${farEdge}|${organizationId}`;
    const ranked = this.#ranked(snapshot, [farEdge], organizationId, channelClass, key);
    const first = this.#hold(key, ranked);
    const ordered = first === undefined ? ranked : [first, ...ranked.filter((path) => path.key !== first.key)];
    return ordered.map((path) => ({ hops: path.nodeIds, farEdge }));
  }

  /** Remembers that a path could not be opened just now. */
  failed(hops: readonly string[]): void {
    const nowMs = this.#deps.clock.monoMs();
    this.#failed.set(hops.join(), nowMs + failedForMs);
    for (const [key, untilMs] of this.#failed) if (untilMs <= nowMs) this.#failed.delete(key);
  }

  #ranked(snapshot: Snapshot, toNodeIds: readonly string[], organizationId: string, channelClass: ChannelClass, key: string): ScoredPath[] {
    const self = this.#deps.identity.current().nodeId;
    const { ranked } = findPaths(graphOf(snapshot, this.#deps.measurements()), {
      fromNodeId: self,
      toNodeIds,
      organizationId,
      class: channelClass,
      keep: this.#kept(key),
      downLinks: new Set(this.#deps.downNeighbours().map((neighbour) => `${self}>${neighbour}`)),
    });
    const resting = (path: ScoredPath): boolean => this.#rests(path);
    return [...ranked.filter((path) => !resting(path)), ...ranked.filter(resting)];
  }

  #rests(path: ScoredPath): boolean {
    return (this.#failed.get(path.nodeIds.join()) ?? 0) > this.#deps.clock.monoMs();
  }

  /** The path in use, which is scored whatever its rank. */
  #kept(key: string): (readonly string[])[] {
    const held = this.#states.get(key)?.held;
    return held === undefined ? [] : [held.nodeIds];
  }

  #hold(key: string, ranked: readonly ScoredPath[]): ScoredPath | undefined {
    // A path that rests is not usable now, so it is left at once (PK2); when all rest, the best of them is tried.
    const awake = ranked.filter((path) => !this.#rests(path));
    const { state, chosen } = pick(this.#states.get(key), awake.length > 0 ? awake : ranked);
    this.#states.set(key, state);
    return chosen;
  }
}
