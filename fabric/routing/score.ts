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
import { limits } from "../../lib/limits.ts";
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
  reliability: {
    unit: "share down",
    source: "share of probe periods the link was not up, at most a fifth a link, summed over links",
  },
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

/** What one step of a path adds to each input, in the order of `scoreInputs`; NaN where nothing was measured. */
export type StepValues = Float64Array;

/**
 * The values of one step: its link and the node it leads to (SC2). No input is about both. Written into `values`, which a
 * search gives to make no new list for every link of a mesh.
 */
export function stepValues(
  link: RouteLink,
  from: RouteNode,
  to: RouteNode,
  isFarEdge: boolean,
  values: StepValues = new Float64Array(scoreInputs.length),
): StepValues {
  // In the order of `scoreInputs`. Written out: a large mesh has every link priced when a planner is made.
  values[0] = measured(link.rttMs) ?? Number.NaN;
  values[1] = measured(link.jitterMs) ?? Number.NaN;
  values[2] = measuredShare(link.lossShare) ?? Number.NaN;
  values[3] = shareDown(link);
  values[4] = from.region === "" || to.region === "" ? Number.NaN : from.region === to.region ? 0 : 1;
  values[5] = measuredShare(to.load) ?? Number.NaN;
  values[6] = msPerMib(link);
  values[7] = isFarEdge ? Number.NaN : otherRoles(to);
  values[8] = to.trustLevel === 0 ? Number.NaN : (100 - Math.min(100, to.trustLevel)) / 100;
  values[9] = measured(link.recentFailures) ?? Number.NaN;
  return values;
}

/** Bounded, so that one bad stretch never outweighs all the rest: who is down now is not used anyway. */
function shareDown(link: RouteLink): number {
  const up = measuredShare(link.reliabilityShare);
  return up === undefined ? Number.NaN : Math.min(limits.linkDownMaxShare, 1 - up);
}

function msPerMib(link: RouteLink): number {
  const rate = measured(link.bandwidthBytesPerSecond);
  return rate === undefined || rate === 0 ? Number.NaN : (1_000 * MIB_BYTES) / rate;
}

function otherRoles(node: RouteNode): number {
  const [first, ...more] = node.roles;
  if (first === undefined) return 0;
  if (more.length === 0) return first.role === NodeRole.RELAY ? 0 : 1;
  return new Set(node.roles.map((grant) => grant.role).filter((role) => role !== NodeRole.RELAY)).size;
}

/** One term of a total, as `weft.routing.v1.ScorePart` carries it. */
export interface ScoreTerm {
  /** "intent": what a route intent prefers, which is no measurement (`preference.ts`). */
  readonly input: ScoreInput | "intent";
  readonly value?: number;
  readonly unit: string;
  readonly weight: number;
  readonly cost: number;
}

export interface Score {
  readonly total: number;
  readonly parts: readonly ScoreTerm[];
  /** Links without a measured round trip. */
  readonly unmeasuredLinks: number;
}

/** The cost of a path and how it comes about (SC1). */
export function score(steps: readonly StepValues[], weights: Weights): Score {
  let total = 0;
  const parts = scoreInputs.map((input, i) => {
    const part = term(input, sumOf(steps, i), weights[input]);
    total += part.cost;
    return part;
  });
  return { total, parts, unmeasuredLinks: steps.filter(isUnmeasured).length };
}

/** Whether the round trip of a step's link was never measured. */
export function isUnmeasured(step: StepValues): boolean {
  return Number.isNaN(step[latencyAt]);
}

const latencyAt = scoreInputs.indexOf("latency");

function term(input: ScoreInput, value: number, weight: number): ScoreTerm {
  const { unit } = inputRules[input];
  return Number.isNaN(value) ? { input, unit, weight, cost: 0 } : { input, value, unit, weight, cost: weight * value };
}

/** The sum of what was measured; NaN when nothing was. */
function sumOf(steps: readonly StepValues[], input: number): number {
  let sum = Number.NaN;
  for (const step of steps) {
    const value = step[input] ?? Number.NaN;
    if (!Number.isNaN(value)) sum = Number.isNaN(sum) ? value : sum + value;
  }
  return sum;
}

/** Weights in the order of `scoreInputs`. */
export function weightList(weights: Weights): Float64Array {
  return Float64Array.from(scoreInputs, (input) => weights[input]);
}

/** What one step costs. For searching. */
export function stepCost(step: StepValues, weights: Float64Array): number {
  let cost = 0;
  for (let i = 0; i < step.length; i++) {
    const value = step[i] as number;
    if (!Number.isNaN(value)) cost += (weights[i] as number) * value;
  }
  return cost;
}
