/**
 * The routes of one node, kept up to date: the newest graph, and for each kind of question a planner that follows its
 * changes.
 *
 * RC1. An answer is the one a computation of everything would give (PL1, WK1): the cache saves time and decides nothing.
 * RC2. A new version within an epoch is taken up by its differences. A new epoch drops everything: after a restore,
 *      nothing that was known before counts.
 * RC3. What this node measured itself stands in front of what the snapshot says of the same direction.
 */

import type { RouteLink, RouteNode } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { limits } from "../../lib/limits.ts";
import { linkKey, MeshGraph, type RouteNeed } from "./graph.ts";
import { chooseWith, type RouteChoice, type RouteState } from "./pick.ts";
import { Planner } from "./planner.ts";
import { weightsFor } from "./score.ts";
import type { ScoredPath } from "./scored-path.ts";

/** A graph as it was published. */
export interface PublishedGraph {
  readonly clusterId: string;
  readonly epoch: bigint;
  readonly version: bigint;
  readonly nodes: readonly RouteNode[];
  readonly links: readonly RouteLink[];
}

export class RouteCache {
  #published: PublishedGraph | undefined;
  #graph = new MeshGraph("");
  #base = new Map<string, RouteLink>();
  #own = new Map<string, RouteLink>();
  readonly #planners = new Map<string, Planner>();

  /** The graph decisions are made over. */
  get graph(): MeshGraph {
    return this.#graph;
  }

  /** Grows with everything that can change an answer. */
  get revision(): number {
    return this.#graph.revision;
  }

  /** Takes up a published graph; the same object again is no work (RC2). */
  publish(next: PublishedGraph): void {
    const before = this.#published;
    if (before === next) return;
    this.#published = next;
    const isOther = before?.clusterId !== next.clusterId || before.epoch !== next.epoch;
    const startsOver = isOther || this.#graph.idleEdges > limits.routeIdleEdgesMaxCount;
    if (startsOver) {
      this.#planners.clear();
      this.#graph = new MeshGraph(next.clusterId);
      this.#base = new Map();
    }
    for (const node of next.nodes) this.#graph.setNode(node);
    if (
      !startsOver &&
      before !== undefined &&
      sameNodes(before.nodes, next.nodes) &&
      sameLinks(before.links, next.links)
    ) {
      for (const [i, link] of next.links.entries()) if (link !== before.links[i]) this.#setBase(link);
    } else this.#setAll(next);
    this.measure([...this.#own.values()]);
  }

  /** What goes and comes; the values of what stays. */
  #setAll(next: PublishedGraph): void {
    const graph = this.#graph;
    const nodes = new Set(next.nodes.map((node) => node.nodeId));
    const before = this.#base;
    this.#base = new Map(next.links.map((link) => [linkKey(link.fromNodeId, link.toNodeId), link]));
    for (const [key, link] of this.#base) if (!this.#own.has(key)) graph.setLink(link);
    for (const nodeId of [...graph.nodes.keys()]) if (!nodes.has(nodeId)) graph.removeNode(nodeId);
    for (const key of before.keys()) if (!this.#base.has(key)) this.#unset(key);
  }

  #setBase(link: RouteLink): void {
    const key = linkKey(link.fromNodeId, link.toNodeId);
    this.#base.set(key, link);
    if (!this.#own.has(key)) this.#graph.setLink(link);
  }

  /** Takes up this node's own measurements: all of them, each time (RC3). */
  measure(own: readonly RouteLink[]): void {
    const usable = own.filter(({ fromNodeId, toNodeId }) => this.#knows(fromNodeId) && this.#knows(toNodeId));
    const next = new Map(usable.map((link) => [linkKey(link.fromNodeId, link.toNodeId), link]));
    const before = this.#own;
    this.#own = next;
    for (const link of next.values()) this.#graph.setLink(link);
    for (const key of before.keys()) if (!next.has(key)) this.#unset(key);
  }

  /** The decision of one sample: what `chooseRoute` would say of this graph. */
  choose(need: RouteNeed, before: RouteState = {}): RouteChoice {
    return chooseWith(this.#planner(need), need, before);
  }

  /** Usable paths apart from some relays, best first: what `findPaths` would say of this graph. */
  paths(need: RouteNeed, awayFrom: readonly string[] = []): readonly ScoredPath[] {
    return this.#planner(need).ranked(need.toNodeIds, awayFrom);
  }

  #knows(nodeId: string): boolean {
    return this.#graph.nodes.has(nodeId);
  }

  /** What is left of a direction when one of its sources went. */
  #unset(key: string): void {
    const link = this.#own.get(key) ?? this.#base.get(key);
    if (link === undefined) this.#graph.removeLink(key);
    else this.#graph.setLink(link);
  }

  #planner(need: RouteNeed): Planner {
    const key = plannerKey(need);
    let planner = this.#planners.get(key);
    this.#planners.delete(key);
    if (planner?.follow(need) !== true) planner = new Planner(this.#graph, need, weightsFor(need.class));
    this.#planners.set(key, planner);
    for (const oldest of this.#planners.keys()) {
      if (this.#planners.size <= limits.routePlannersMaxCount) break;
      this.#planners.delete(oldest);
    }
    return planner;
  }
}

/** Needs with the same key can share a planner: they differ in far edges, paths to keep and links that are down. */
function plannerKey({ fromNodeId, organizationId, class: channelClass, direct, avoid, prefer }: RouteNeed): string {
  const avoided = [...(avoid?.keys() ?? [])].sort();
  const preferred = prefer === undefined ? null : [...prefer].sort();
  return JSON.stringify([fromNodeId, organizationId, channelClass, direct === true, avoided, preferred]);
}

/** Whether two lists name the same nodes in the same order: then nobody came and nobody went. */
function sameNodes(a: readonly RouteNode[], b: readonly RouteNode[]): boolean {
  return a.length === b.length && a.every((node, i) => node.nodeId === b[i]?.nodeId);
}

/** The same for links. */
function sameLinks(a: readonly RouteLink[], b: readonly RouteLink[]): boolean {
  if (a.length !== b.length) return false;
  return a.every((link, i) => {
    const other = b[i];
    return link === other || (link.fromNodeId === other?.fromNodeId && link.toNodeId === other.toNodeId);
  });
}
