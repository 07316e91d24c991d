/**
 * What a route intent that prefers nodes adds to a path: a cost for every relay beside the preferred ones. It is a term like
 * the others, so a preferred path can still lose to one that is much better, and a path is never lost to a wish.
 */

import type { RouteNeed } from "./graph.ts";
import type { ScoreTerm } from "./score.ts";

/** Cost of a relay that is not preferred, in milliseconds of round trip. */
const PER_RELAY_COST = 50;

/** What a step to a relay costs more under a need. */
export function preferenceCost(need: RouteNeed, relayId: string): number {
  return need.prefer === undefined || need.prefer.has(relayId) ? 0 : PER_RELAY_COST;
}

/** The term of a whole path; undefined when no intent prefers anything. */
export function preferenceTerm(need: RouteNeed, nodeIds: readonly string[]): ScoreTerm | undefined {
  if (need.prefer === undefined) return undefined;
  const value = nodeIds.slice(1, -1).filter((id) => need.prefer?.has(id) !== true).length;
  return { input: "intent", value, unit: "relays not preferred", weight: PER_RELAY_COST, cost: PER_RELAY_COST * value };
}
