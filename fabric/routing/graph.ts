/**
 * The mesh as the planner sees it: nodes and directed links by id, with numbers that can be trusted to be numbers.
 *
 * GR1. The order of a snapshot's lists decides nothing.
 * GR2. Whatever can change a price is written into the journal, by edge, so that a planner prices again what changed and
 *      nothing else. A change of nothing that prices read is no change.
 */

import type { ChannelClass, RoleGrant } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { RouteLink, RouteNode, Snapshot } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { limits } from "../../lib/limits.ts";

/** One direction between two numbered nodes. It stays when its link goes: a link that comes back finds its number. */
export interface Edge {
  readonly id: number;
  readonly from: number;
  readonly to: number;
}

/** What a path is wanted for. */
export interface RouteNeed {
  /** When given, a graph of another cluster has no paths. */
  readonly clusterId?: string;
  readonly fromNodeId: string;
  /** Acceptable far edges: the egresses of the resource's pool, or the one of a trunk. */
  readonly toNodeIds: readonly string[];
  readonly organizationId: string;
  readonly class: ChannelClass;
  /** Nodes not to use, with the reason: policy, revoked, no address, simulated failure. */
  readonly avoid?: ReadonlyMap<string, string>;
  /** Links known to be down, as `linkKey`. */
  readonly downLinks?: ReadonlySet<string>;
  /** False when the offline mode or the state of authority forbids new paths. */
  readonly newPathsAllowed?: boolean;
  /** Paths in use: scored whatever their rank, while they can be used. */
  readonly keep?: readonly (readonly string[])[];
  /** Nodes a route intent prefers: other relays cost more (`preference.ts`). */
  readonly prefer?: ReadonlySet<string>;
  /** A route intent that says `direct`: a path without a relay may be used. */
  readonly direct?: boolean;
}

/** The key of one direction of a link. */
export function linkKey(fromNodeId: string, toNodeId: string): string {
  return `${fromNodeId}>${toNodeId}`;
}

export class MeshGraph {
  readonly clusterId: string;
  readonly #nodes = new Map<string, RouteNode>();
  readonly #links = new Map<string, RouteLink>();
  readonly #numbers = new Map<string, number>();
  readonly #edges = new Map<string, Edge>();
  /** Node ids by number. */
  readonly ids: string[] = [];
  /** Edges into and out of each node, by number. */
  readonly into: Edge[][] = [];
  readonly out: Edge[][] = [];
  /** Nodes by number and links by edge, as long as they are there. */
  readonly #nodeAt: (RouteNode | undefined)[] = [];
  readonly #linkAt: (RouteLink | undefined)[] = [];
  readonly #edgeAt: Edge[] = [];
  #journal: Edge[] = [];
  #journalStart = 0;

  constructor(clusterId: string) {
    this.clusterId = clusterId;
  }

  get nodes(): ReadonlyMap<string, RouteNode> {
    return this.#nodes;
  }

  get links(): ReadonlyMap<string, RouteLink> {
    return this.#links;
  }

  /** Grows with everything that can change a price. */
  get revision(): number {
    return this.#journalStart + this.#journal.length;
  }

  /** How many edges have no link any more. */
  get idleEdges(): number {
    return this.#edges.size - this.#links.size;
  }

  nodeAt(number: number): RouteNode | undefined {
    return this.#nodeAt[number];
  }

  /** How many edges there have been. */
  get edgeCount(): number {
    return this.#edgeAt.length;
  }

  edgeAt(id: number): Edge | undefined {
    return this.#edgeAt[id];
  }

  linkAt(edge: Edge): RouteLink | undefined {
    return this.#linkAt[edge.id];
  }

  /** The number of a node here, or -1. */
  numberOf(nodeId: string): number {
    return this.#numbers.get(nodeId) ?? -1;
  }

  edge(fromNodeId: string, toNodeId: string): Edge | undefined {
    return this.#edges.get(linkKey(fromNodeId, toNodeId));
  }

  /** Edges whose price may differ from what it was at `revision`; undefined when that is too long ago to tell. */
  changedSince(revision: number): readonly Edge[] | undefined {
    return revision < this.#journalStart ? undefined : this.#journal.slice(revision - this.#journalStart);
  }

  /** Adds or replaces a node. Returns whether anything a price reads is different. */
  setNode(node: RouteNode): boolean {
    const before = this.#nodes.get(node.nodeId);
    if (before === node) return false;
    const number = this.#number(node.nodeId);
    this.#nodes.set(node.nodeId, node);
    this.#nodeAt[number] = node;
    if (before !== undefined && sameNode(before, node)) return false;
    this.#note(this.into[number] ?? []);
    // Only a node's region is read on the links that leave it; a node that is new counts for both.
    if (before?.region !== node.region) this.#note(this.out[number] ?? []);
    return true;
  }

  /** Adds or replaces one direction of a link. Returns whether anything a price reads is different. */
  setLink(link: RouteLink): boolean {
    const key = linkKey(link.fromNodeId, link.toNodeId);
    const edge = this.#edge(key, link);
    const before = this.#linkAt[edge.id];
    if (before === link) return false;
    this.#links.set(key, link);
    this.#linkAt[edge.id] = link;
    if (before !== undefined && sameLink(before, link)) return false;
    this.#note([edge]);
    return true;
  }

  removeNode(nodeId: string): void {
    if (!this.#nodes.delete(nodeId)) return;
    const number = this.#number(nodeId);
    this.#nodeAt[number] = undefined;
    this.#note(this.into[number] ?? []);
    this.#note(this.out[number] ?? []);
  }

  removeLink(key: string): void {
    const edge = this.#edges.get(key);
    if (!this.#links.delete(key) || edge === undefined) return;
    this.#linkAt[edge.id] = undefined;
    this.#note([edge]);
  }

  #number(nodeId: string): number {
    const known = this.#numbers.get(nodeId);
    if (known !== undefined) return known;
    const number = this.ids.push(nodeId) - 1;
    this.#numbers.set(nodeId, number);
    this.#nodeAt.push(undefined);
    this.into.push([]);
    this.out.push([]);
    return number;
  }

  #edge(key: string, link: RouteLink): Edge {
    const known = this.#edges.get(key);
    if (known !== undefined) return known;
    const id = this.#linkAt.push(undefined) - 1;
    const edge = { id, from: this.#number(link.fromNodeId), to: this.#number(link.toNodeId) };
    this.#edges.set(key, edge);
    this.#edgeAt.push(edge);
    this.into[edge.to]?.push(edge);
    this.out[edge.from]?.push(edge);
    return edge;
  }

  #note(edges: readonly Edge[]): void {
    if (this.#journal.length + edges.length > limits.routeJournalMaxCount) {
      this.#journalStart += this.#journal.length + 1;
      this.#journal = [];
    }
    for (const edge of edges) this.#journal.push(edge);
  }
}

/** A graph of these nodes and links; `own` measurements replace those of the same direction. */
export function openGraph(
  clusterId: string,
  nodes: readonly RouteNode[],
  links: readonly RouteLink[],
  own: readonly RouteLink[] = [],
): MeshGraph {
  const graph = new MeshGraph(clusterId);
  for (const node of nodes) graph.setNode(node);
  for (const link of [...links, ...own]) graph.setLink(link);
  return graph;
}

/** The graph of an entry's snapshot, with its own measurements on top. */
export function graphOf(snapshot: Snapshot, own: readonly RouteLink[] = []): MeshGraph {
  const known = new Set(snapshot.graph?.nodes.map((node) => node.nodeId));
  const usable = own.filter((link) => known.has(link.fromNodeId) && known.has(link.toNodeId));
  return openGraph(snapshot.clusterId, snapshot.graph?.nodes ?? [], snapshot.graph?.links ?? [], usable);
}

/** Whether two measurements price the same: when they were taken does not matter. */
function sameLink(a: RouteLink, b: RouteLink): boolean {
  return (
    a === b ||
    (a.rttMs === b.rttMs &&
      a.jitterMs === b.jitterMs &&
      a.lossShare === b.lossShare &&
      a.reliabilityShare === b.reliabilityShare &&
      a.bandwidthBytesPerSecond === b.bandwidthBytesPerSecond &&
      a.recentFailures === b.recentFailures)
  );
}

/** Whether two states of a node price and filter the same. */
function sameNode(a: RouteNode, b: RouteNode): boolean {
  return (
    a === b ||
    (a.region === b.region &&
      a.trustLevel === b.trustLevel &&
      a.load === b.load &&
      a.health === b.health &&
      a.roles.length === b.roles.length &&
      a.roles.every(({ role, organizationId }, i) => {
        const other = b.roles[i];
        return role === other?.role && organizationId === other.organizationId;
      }))
  );
}

/** A measured number, or undefined when it is absent or cannot be one (not finite, negative). */
export function measured(value: number | undefined): number | undefined {
  return value !== undefined && Number.isFinite(value) && value >= 0 ? value : undefined;
}

/** A measured share, at most 1. */
export function measuredShare(value: number | undefined): number | undefined {
  const number = measured(value);
  return number === undefined ? undefined : Math.min(1, number);
}

/** Roles of a node of the graph, or none when it is not in it. */
export function rolesOf(graph: MeshGraph, nodeId: string): readonly RoleGrant[] {
  return graph.nodes.get(nodeId)?.roles ?? [];
}
