/** The mesh as the planner sees it: nodes and directed links by id, with numbers that can be trusted to be numbers. */

import { create } from "@bufbuild/protobuf";
import type { ChannelClass, RoleGrant } from "../../gen/weft/fabric/v1/role_pb.ts";
import {
  type RouteLink,
  RouteLinkSchema,
  type RouteNode,
  type Snapshot,
} from "../../gen/weft/fabric/v1/snapshot_pb.ts";

export interface MeshGraph {
  readonly clusterId: string;
  /** Sorted by id: the order of a snapshot's lists decides nothing. */
  readonly nodes: ReadonlyMap<string, RouteNode>;
  readonly links: ReadonlyMap<string, RouteLink>;
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
  /** A route intent that says `direct`: a path without a relay may be used. */
  readonly direct?: boolean;
}

/** The key of one direction of a link. */
export function linkKey(fromNodeId: string, toNodeId: string): string {
  return `${fromNodeId}>${toNodeId}`;
}

/** A graph of these nodes and links; `own` measurements replace those of the same direction. */
export function openGraph(
  clusterId: string,
  nodes: readonly RouteNode[],
  links: readonly RouteLink[],
  own: readonly RouteLink[] = [],
): MeshGraph {
  const byId = [...nodes].sort((a, b) => (a.nodeId < b.nodeId ? -1 : a.nodeId > b.nodeId ? 1 : 0));
  const linksByKey = new Map<string, RouteLink>();
  for (const link of [...links, ...own]) linksByKey.set(linkKey(link.fromNodeId, link.toNodeId), link);
  return { clusterId, nodes: new Map(byId.map((node) => [node.nodeId, node])), links: linksByKey };
}

/** The graph of an entry's snapshot, with its own measurements on top. */
export function graphOf(snapshot: Snapshot, own: readonly RouteLink[] = []): MeshGraph {
  const known = new Set(snapshot.graph?.nodes.map((node) => node.nodeId));
  const usable = own.filter((link) => known.has(link.fromNodeId) && known.has(link.toNodeId));
  return openGraph(snapshot.clusterId, snapshot.graph?.nodes ?? [], snapshot.graph?.links ?? [], usable);
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

/** A link nobody has measured. */
export function unmeasuredLink(fromNodeId: string, toNodeId: string): RouteLink {
  return create(RouteLinkSchema, { fromNodeId, toNodeId });
}
