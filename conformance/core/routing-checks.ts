/** LAW-S1 to S3: routing decisions over random meshes, by the thousand, from one seed. */

import { create } from "@bufbuild/protobuf";
import { type MeshGraph, openGraph, type RouteNeed } from "../../fabric/routing/graph.ts";
import { chooseRoute, type RouteState } from "../../fabric/routing/pick.ts";
import { ChannelClass, NodeHealth, NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import {
  type RouteLink,
  RouteLinkSchema,
  type RouteNode,
  RouteNodeSchema,
} from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { type Random, seededRandom } from "../../lib/random.ts";
import { type Check, holds } from "../check.ts";

const seeds = 200;
const [relays, egresses] = [4, 2];

const need: RouteNeed = {
  clusterId: "cl-a",
  fromNodeId: "entry",
  toNodeIds: Array.from({ length: egresses }, (_, at) => `egress-${at}`),
  organizationId: "org-1",
  class: ChannelClass.INTERACTIVE,
};

interface Mesh {
  readonly nodes: readonly RouteNode[];
  readonly links: readonly RouteLink[];
}

function node(nodeId: string, role: NodeRole, load: number): RouteNode {
  const roles = [{ role, organizationId: "" }];
  return create(RouteNodeSchema, { nodeId, name: nodeId, roles, health: NodeHealth.ONLINE, load });
}

/** One entry, relays and egresses, every pair linked; `rttOf` measures a link. */
function meshOf(random: Random, rttOf: (random: Random) => number): Mesh {
  const relayIds = Array.from({ length: relays }, (_, at) => `relay-${at}`);
  const pairs = relayIds.flatMap((relay) => [
    ["entry", relay] as const,
    ...relayIds.filter((other) => other !== relay).map((other) => [relay, other] as const),
    ...need.toNodeIds.map((egress) => [relay, egress] as const),
  ]);
  return {
    nodes: [
      node("entry", NodeRole.ENTRY, 0.1),
      ...relayIds.map((id) => node(id, NodeRole.RELAY, random.float())),
      ...need.toNodeIds.map((id) => node(id, NodeRole.EGRESS, random.float())),
    ],
    links: pairs.map(([fromNodeId, toNodeId]) =>
      create(RouteLinkSchema, { fromNodeId, toNodeId, rttMs: rttOf(random), jitterMs: random.float() * 3 }),
    ),
  };
}

const graphOf = ({ nodes, links }: Mesh): MeshGraph => openGraph("cl-a", [...nodes], [...links]);
const anywhere = (random: Random): number => 1 + random.float() * 50;

function shuffled<T>(list: readonly T[], random: Random): T[] {
  return list
    .map((value) => ({ value, key: random.float() }))
    .sort((a, b) => a.key - b.key)
    .map(({ value }) => value);
}

function sameChoice(): string {
  for (let seed = 1; seed <= seeds; seed += 1) {
    const random = seededRandom(seed);
    const mesh = meshOf(random, anywhere);
    const told = chooseRoute(graphOf(mesh), need);
    const again = { nodes: shuffled(mesh.nodes, random), links: shuffled(mesh.links, random) };
    const other = chooseRoute(graphOf(again), need);
    const same = told.primary?.key === other.primary?.key && told.standby?.key === other.standby?.key;
    holds(same && told.primary !== undefined, `seed ${seed}: ${told.primary?.key} and ${other.primary?.key}`);
  }
  return `${seeds} meshes told in two orders, the same primary and standby`;
}

function explained(): string {
  let terms = 0;
  for (let seed = 1; seed <= seeds; seed += 1) {
    const { ranked } = chooseRoute(graphOf(meshOf(seededRandom(seed), anywhere)), need);
    for (const { key, total, parts } of ranked) {
      const sum = parts.reduce((so, { cost }) => so + cost, 0);
      terms += parts.length;
      holds(Math.abs(sum - total) < 1e-6, `seed ${seed}: ${key} says ${total}, its terms ${sum}`);
    }
    const totals = ranked.map(({ total }) => total);
    holds(
      totals.every((total, at) => at === 0 || total >= (totals[at - 1] ?? 0) - 1e-9),
      `seed ${seed}: not in the order of their totals`,
    );
  }
  return `${terms} terms of ${seeds} meshes add up to their totals`;
}

function noFlapping(): string {
  const samples = 100;
  let moves = 0;
  for (let seed = 1; seed <= 20; seed += 1) {
    const random = seededRandom(seed);
    const steady = meshOf(random, () => 10);
    let state: RouteState | undefined;
    for (let at = 0; at < samples; at += 1) {
      // Every link alike, within a tenth of a millisecond of noise.
      const links = steady.links.map((link) => ({ ...link, rttMs: 10 + random.float() * 0.1 }));
      const choice = chooseRoute(graphOf({ ...steady, links }), need, state);
      if (state !== undefined && choice.primaryMoved) moves += 1;
      ({ state } = choice);
    }
  }
  holds(moves === 0, `${moves} moves between equal paths`);
  return `${20 * samples} samples of equal paths, 0 moves`;
}

export const routingChecks: readonly Check<void>[] = [
  { id: "S1.same-choice", law: "LAW-S1", title: "the same facts in another order", run: sameChoice },
  { id: "S2.explained", law: "LAW-S2", title: "scores and their terms", run: explained },
  { id: "S3.no-flapping", law: "LAW-S3", title: "equal paths under noise", run: noFlapping },
];
