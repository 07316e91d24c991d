/** Meshes to plan over: one entry, relays, egresses, every pair linked that the rules of links allow. */

import { create } from "@bufbuild/protobuf";
import { linkKey, type MeshGraph, openGraph, type RouteNeed } from "../../../../fabric/routing/graph.ts";
import { ChannelClass, NodeHealth, NodeRole } from "../../../../gen/weft/fabric/v1/role_pb.ts";
import {
  type RouteLink,
  RouteLinkSchema,
  type RouteNode,
  RouteNodeSchema,
} from "../../../../gen/weft/fabric/v1/snapshot_pb.ts";
import { type Random, randomInt } from "../../../../lib/random.ts";

export interface MeshShape {
  readonly relays: number;
  readonly egresses: number;
}

export interface Mesh {
  readonly nodes: RouteNode[];
  readonly links: RouteLink[];
}

export type LinkChange = Partial<
  Pick<
    RouteLink,
    "rttMs" | "jitterMs" | "lossShare" | "reliabilityShare" | "bandwidthBytesPerSecond" | "recentFailures"
  >
>;
export type NodeChange = Partial<Pick<RouteNode, "region" | "trustLevel" | "load" | "health">> & {
  readonly alsoRoles?: readonly NodeRole[];
};

function node(nodeId: string, role: NodeRole): RouteNode {
  const roles = [{ role, organizationId: "" }];
  return create(RouteNodeSchema, { nodeId, name: `${nodeId}-name`, roles, health: NodeHealth.ONLINE });
}

/** `e` enters, `r1`... relay, `x1`... exit; every allowed link measured at 10 ms. */
export function mesh({ relays, egresses }: MeshShape): Mesh {
  const relayIds = Array.from({ length: relays }, (_, i) => `r${i + 1}`);
  const egressIds = Array.from({ length: egresses }, (_, i) => `x${i + 1}`);
  const pairs = relayIds.flatMap((relay) => [
    ["e", relay] as const,
    ...relayIds.filter((other) => other !== relay).map((other) => [relay, other] as const),
    ...egressIds.map((egress) => [relay, egress] as const),
  ]);
  return {
    nodes: [
      node("e", NodeRole.ENTRY),
      ...relayIds.map((id) => node(id, NodeRole.RELAY)),
      ...egressIds.map((id) => node(id, NodeRole.EGRESS)),
    ],
    links: pairs.map(([fromNodeId, toNodeId]) => create(RouteLinkSchema, { fromNodeId, toNodeId, rttMs: 10 })),
  };
}

export function graphOfMesh({ nodes, links }: Mesh): MeshGraph {
  return openGraph("cl-a", nodes, links);
}

/** The mesh with every link into or out of `nodeId` changed. */
export function withLinksOf(given: Mesh, nodeId: string, change: LinkChange): Mesh {
  const touches = (link: RouteLink): boolean => link.fromNodeId === nodeId || link.toNodeId === nodeId;
  return { ...given, links: given.links.map((link) => (touches(link) ? { ...link, ...change } : link)) };
}

export function withLink(given: Mesh, from: string, to: string, change: LinkChange): Mesh {
  const key = linkKey(from, to);
  return {
    ...given,
    links: given.links.map((link) => (linkKey(link.fromNodeId, link.toNodeId) === key ? { ...link, ...change } : link)),
  };
}

export function withNode(given: Mesh, nodeId: string, change: NodeChange): Mesh {
  const { alsoRoles = [], ...fields } = change;
  const grants = alsoRoles.map((role) => ({
    $typeName: "weft.fabric.v1.RoleGrant" as const,
    role,
    organizationId: "",
  }));
  const nodes = given.nodes.map((one) =>
    one.nodeId === nodeId ? { ...one, ...fields, roles: [...one.roles, ...grants] } : one,
  );
  return { ...given, nodes };
}

export const need: RouteNeed = {
  clusterId: "cl-a",
  fromNodeId: "e",
  toNodeIds: ["x1", "x2", "x3", "x4", "x5"],
  organizationId: "org-1",
  class: ChannelClass.INTERACTIVE,
};

/** Every link with random numbers, some of them missing. */
export function randomly(given: Mesh, random: Random): Mesh {
  const maybe = (value: number): number | undefined => (random.float() < 0.9 ? value : undefined);
  const links = given.links.map((link) => {
    const fields = {
      rttMs: maybe(random.float() * 50),
      jitterMs: maybe(random.float() * 5),
      lossShare: maybe(random.float() * 0.02),
    };
    return create(RouteLinkSchema, {
      fromNodeId: link.fromNodeId,
      toNodeId: link.toNodeId,
      ...Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)),
    });
  });
  const nodes = given.nodes.map((one) => ({ ...one, load: random.float(), trustLevel: randomInt(random, 101) }));
  return { nodes, links };
}

export function shuffled<T>(list: readonly T[], random: Random): T[] {
  const out = [...list];
  for (let i = out.length - 1; i > 0; i--) {
    const j = randomInt(random, i + 1);
    [out[i], out[j]] = [out[j] as T, out[i] as T];
  }
  return out;
}
