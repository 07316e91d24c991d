/**
 * What a path costs. Ten inputs, each with a source, a unit and a weight; lower is better.
 *
 * SC1. The total is the sum of the parts, and every part is weight x value (S2).
 * SC2. Every input is a sum over the path's links, or over its nodes beyond the first: the cheapest path can be searched
 *      for, and adding a hop never makes a path cheaper.
 * SC3. An input that nothing was measured of is absent: it costs nothing and is shown as absent. Because that would make
 *      ignorance cheap, paths are ranked by unmeasured links first (`paths.ts`).
 */

import { ChannelClass, NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { RouteLink, RouteNode } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { unreachable } from "../../lib/errors.ts";
import { measured, measuredShare } from "./graph.ts";

export const scoreInputs = [
  "latency",
  "jitter",
  "loss",
  "reliability",
  "region_distance",
  "load",
  "bandwidth",
  "role_suitability",
  "trust_level",
  "failure_history",
] as const;

export type ScoreInput = (typeof scoreInputs)[number];

/** Where an input comes from and what its value counts. */
export interface InputRule {
  readonly unit: string;
  readonly source: string;
}

export const inputRules = {
  latency: { unit: "ms", source: "round trips of link probes, summed over links" },
  jitter: { unit: "ms", source: "mean change between consecutive probes, summed over links" },
  loss: { unit: "share", source: "share of probes without answer, summed over links" },
  reliability: { unit: "share down", source: "share of probe periods the link was not up, summed over links" },
  region_distance: { unit: "region changes", source: "regions assigned to nodes, links that leave one" },
  load: { unit: "share", source: "heartbeats of relays and far edge, summed" },
  bandwidth: { unit: "ms per MiB", source: "transfer rate of measured links, summed over links" },
  role_suitability: { unit: "other roles", source: "path roles a relay has besides relaying" },
  trust_level: { unit: "share untrusted", source: "trust level set by operators on relays and far edge" },
  failure_history: { unit: "failures", source: "recent failures of links, each halving every minute" },
} as const satisfies Record<ScoreInput, InputRule>;

/** Cost per unit of each input; 1 is the cost of a millisecond of round trip. */
export type Weights = Readonly<Record<ScoreInput, number>>;

const interactiveWeights: Weights = {
  latency: 1,
  jitter: 1,
  loss: 500,
  reliability: 100,
  region_distance: 2,
  load: 20,
  bandwidth: 0.05,
  role_suitability: 2,
  trust_level: 20,
  failure_history: 10,
};

/** The weights of a class: bulk minds bandwidth more, and jitter less. */
export function weightsFor(channelClass: ChannelClass): Weights {
  return channelClass === ChannelClass.BULK ? { ...interactiveWeights, jitter: 0.2, bandwidth: 1 } : interactiveWeights;
}

const MIB_BYTES = 1_048_576;

/** What one link adds to an input, or undefined when it is not measured or the input is not about links. */
export function linkValue(input: ScoreInput, link: RouteLink, from: RouteNode, to: RouteNode): number | undefined {
  switch (input) {
    case "latency":
      return measured(link.rttMs);
    case "jitter":
      return measured(link.jitterMs);
    case "loss":
      return measuredShare(link.lossShare);
    case "reliability": {
      const share = measuredShare(link.reliabilityShare);
      return share === undefined ? undefined : 1 - share;
    }
    case "region_distance":
      if (from.region === "" || to.region === "") return undefined;
      return from.region === to.region ? 0 : 1;
    case "bandwidth": {
      const rate = measured(link.bandwidthBytesPerSecond);
      return rate === undefined || rate === 0 ? undefined : (1_000 * MIB_BYTES) / rate;
    }
    case "failure_history":
      return measured(link.recentFailures);
    case "load":
    case "role_suitability":
    case "trust_level":
      return undefined;
    default:
      return unreachable(input);
  }
}

/** What one node beyond the first adds to an input, or undefined. */
export function nodeValue(input: ScoreInput, node: RouteNode, isFarEdge: boolean): number | undefined {
  switch (input) {
    case "load":
      return measuredShare(node.load);
    case "role_suitability":
      return isFarEdge ? undefined : new Set(node.roles.map((grant) => grant.role).filter(isOther)).size;
    case "trust_level":
      return node.trustLevel === 0 ? undefined : (100 - Math.min(100, node.trustLevel)) / 100;
    default:
      return undefined;
  }
}

function isOther(role: NodeRole): boolean {
  return role !== NodeRole.RELAY;
}

/** One term of a total, as `weft.routing.v1.ScorePart` carries it. */
export interface ScoreTerm {
  readonly input: ScoreInput;
  readonly value?: number;
  readonly unit: string;
  readonly weight: number;
  readonly cost: number;
}

/** A path's hops with everything scoring reads. `links[i]` leads from `nodes[i]` to `nodes[i + 1]`. */
export interface PathFacts {
  readonly nodes: readonly RouteNode[];
  readonly links: readonly RouteLink[];
}

export interface Score {
  readonly total: number;
  readonly parts: readonly ScoreTerm[];
  /** Links without a measured round trip. */
  readonly unmeasuredLinks: number;
}

/** The cost of a path and how it comes about (SC1). */
export function score(path: PathFacts, weights: Weights): Score {
  const parts = scoreInputs.map((input) => term(input, sumOf(input, path), weights[input]));
  const total = parts.reduce((sum, part) => sum + part.cost, 0);
  return { total, parts, unmeasuredLinks: path.links.filter((link) => measured(link.rttMs) === undefined).length };
}

function term(input: ScoreInput, value: number | undefined, weight: number): ScoreTerm {
  const { unit } = inputRules[input];
  return value === undefined ? { input, unit, weight, cost: 0 } : { input, value, unit, weight, cost: weight * value };
}

function sumOf(input: ScoreInput, { nodes, links }: PathFacts): number | undefined {
  let sum: number | undefined;
  for (const [i, link] of links.entries()) {
    const from = nodes[i];
    const to = nodes[i + 1];
    if (from === undefined || to === undefined) continue;
    const added = [linkValue(input, link, from, to), nodeValue(input, to, i === links.length - 1)];
    for (const value of added) if (value !== undefined) sum = (sum ?? 0) + value;
  }
  return sum;
}

/** What one step of a path costs: its link and the node it leads to (SC2). For searching. */
export function stepCost(
  link: RouteLink,
  from: RouteNode,
  to: RouteNode,
  isFarEdge: boolean,
  weights: Weights,
): number {
  let cost = 0;
  for (const input of scoreInputs) {
    cost += weights[input] * ((linkValue(input, link, from, to) ?? 0) + (nodeValue(input, to, isFarEdge) ?? 0));
  }
  return cost;
}
