/**
 * Deciding: which path is used now, given which was used before.
 *
 * PK1. A usable path is left only for a real gain: 20 % and 1 ms, in three consecutive samples (S3).
 * PK2. An unusable path is left at once.
 * PK3. What is not measured is no gain: a path with more unmeasured links never displaces one with fewer.
 * PK4. The first choice is among the paths with the fewest relays; a longer one has to prove itself by PK1.
 */

import { limits } from "../../lib/limits.ts";
import type { MeshGraph, RouteNeed } from "./graph.ts";
import { sharedRelays } from "./paths.ts";
import { Planner } from "./planner.ts";
import { type Weights, weightsFor } from "./score.ts";
import { pathKey, type ScoredPath } from "./scored-path.ts";

/** A path in use and for how many samples in a row another one was a real gain. */
export interface HeldPath {
  readonly nodeIds: readonly string[];
  readonly gainSamples: number;
}

/** What a decision remembers for the next. */
export interface RouteState {
  readonly primary?: HeldPath;
  readonly standby?: HeldPath;
}

export interface RouteChoice {
  readonly state: RouteState;
  readonly primary?: ScoredPath;
  readonly standby?: ScoredPath;
  readonly primaryMoved: boolean;
  readonly standbyMoved: boolean;
  /** All usable paths found, best first. */
  readonly ranked: readonly ScoredPath[];
}

interface Decision {
  readonly held?: HeldPath;
  readonly chosen?: ScoredPath;
  readonly moved: boolean;
}

/** Whether `best` is worth a move away from `current` (PK1, PK3). */
export function isRealGain(current: ScoredPath, best: ScoredPath): boolean {
  if (best.key === current.key || best.unmeasuredLinks > current.unmeasuredLinks) return false;
  const gain = current.total - best.total;
  return gain > limits.routeGainMinMs && gain > limits.routeGainShare * current.total;
}

/**
 * What one sequence of picks remembers, and its answer. Absent `chosen`: there is no usable path.
 */
export interface PickState {
  readonly held?: HeldPath;
}

export interface Picked {
  readonly state: PickState;
  readonly chosen?: ScoredPath;
  readonly moved: boolean;
}

/**
 * One sample of a decision among usable paths, best first. The held path stays while it is among them (PK1, PK2), so pass
 * it as `RouteNeed.keep` to `findPaths`. For primary and standby together use `chooseRoute`.
 */
export function pick(before: PickState | undefined, ranked: readonly ScoredPath[]): Picked {
  const key = before?.held === undefined ? undefined : pathKey(before.held.nodeIds);
  const current = key === undefined ? undefined : ranked.find((path) => path.key === key);
  const { held, chosen, moved } = decide(before?.held, current, ranked[0]);
  const state = held === undefined ? {} : { held };
  return chosen === undefined ? { state, moved } : { state, chosen, moved };
}

/** One sample of one decision. `current` is the held path as it scores now, undefined when it cannot be used (PK2). */
function decide(held: HeldPath | undefined, current: ScoredPath | undefined, best: ScoredPath | undefined): Decision {
  if (held === undefined || current === undefined) {
    if (best === undefined) return { moved: held !== undefined };
    return { held: { nodeIds: best.nodeIds, gainSamples: 0 }, chosen: best, moved: true };
  }
  if (best === undefined || !isRealGain(current, best)) {
    return { held: { nodeIds: current.nodeIds, gainSamples: 0 }, chosen: current, moved: false };
  }
  const gainSamples = held.gainSamples + 1;
  if (gainSamples < limits.routeGainSamplesCount) {
    return { held: { nodeIds: current.nodeIds, gainSamples }, chosen: current, moved: false };
  }
  return { held: { nodeIds: best.nodeIds, gainSamples: 0 }, chosen: best, moved: true };
}

/**
 * Primary and standby for a need, from what was held and what is measured now. One call is one sample. A lost primary is
 * replaced by the standby when that is usable: it is warm, and the next samples move on if something better is left.
 */
export function chooseRoute(
  graph: MeshGraph,
  need: RouteNeed,
  before: RouteState = {},
  weights: Weights = weightsFor(need.class),
): RouteChoice {
  return chooseWith(new Planner(graph, need, weights), need, before);
}

/** The same with a planner of that need, which may have answered before. */
export function chooseWith(planner: Planner, need: RouteNeed, before: RouteState): RouteChoice {
  const ranked = planner.ranked(need.toNodeIds);
  const rescore = (held: HeldPath | undefined): ScoredPath | undefined =>
    held === undefined ? undefined : planner.score(held.nodeIds);
  const current = rescore(before.primary);
  const warm = rescore(before.standby);
  const lost = before.primary !== undefined && current === undefined;
  const best = before.primary === undefined ? shortest(ranked) : ranked[0];
  const primary = decide(before.primary, current, lost && warm !== undefined ? warm : best);
  const standby = chooseStandby(planner, primary.chosen, before.standby, warm);
  return {
    state: {
      ...(primary.held === undefined ? {} : { primary: primary.held }),
      ...(standby.held === undefined ? {} : { standby: standby.held }),
    },
    ...(primary.chosen === undefined ? {} : { primary: primary.chosen }),
    ...(standby.chosen === undefined ? {} : { standby: standby.chosen }),
    primaryMoved: primary.moved,
    standbyMoved: standby.moved,
    ranked,
  };
}

/**
 * The best of the paths with the fewest relays: the first choice (PK4). Right after a start some links are measured and
 * others are not yet, and a detour that happens to be measured has proved nothing against the straight way.
 */
function shortest(ranked: readonly ScoredPath[]): ScoredPath | undefined {
  const fewest = Math.min(...ranked.map((path) => path.nodeIds.length));
  return ranked.find((path) => path.nodeIds.length === fewest);
}

/** A standby is kept like a primary, as long as it is as disjoint as the mesh allows and leads to the same far edge. */
function chooseStandby(
  planner: Planner,
  primary: ScoredPath | undefined,
  held: HeldPath | undefined,
  warm: ScoredPath | undefined,
): Decision {
  if (primary === undefined) return { moved: held !== undefined };
  const best = planner.standby(primary.nodeIds);
  const sharedBy = (path: ScoredPath): number => sharedRelays(path.nodeIds, primary.nodeIds).length;
  const fits =
    warm !== undefined &&
    best !== undefined &&
    warm.key !== primary.key &&
    warm.nodeIds.at(-1) === primary.nodeIds.at(-1) &&
    sharedBy(warm) <= sharedBy(best);
  return decide(held, fits ? warm : undefined, best);
}
