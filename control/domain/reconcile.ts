/**
 * Reconciliation (M-W11): what becomes of a lease, and of what was placed on a node, by how its holder is. Pure: a table.
 * It runs when control starts, after an outage of the store, and ever after; repeating it changes nothing.
 *
 * | holder  | lease                                          | placement |
 * |---------|------------------------------------------------|-----------|
 * | online  | kept                                           | kept |
 * | draining| kept; it gets no new one                       | kept; it gets no new one |
 * | stale   | waited for while it lasts, then fenced         | waited for, then fenced: nothing new until it beats |
 * | offline | left to its TTL, then reclaimed                | left to its TTL, then reclaimed: it counts as nobody's |
 * | missing | fenced at once: an orphan, with an alert       | an orphan, with an alert |
 * | revoked | fenced at once: its holder is cut off anyway   | none: a revoked node is in nobody's snapshot |
 *
 * Nothing is done on silence nobody listened to: after an outage of control every holder looks silent, and each gets
 * `limits.placementWaitMs` to be heard before anything is taken from it. Nothing an operator placed is ever deleted: a node
 * that comes back has everything it had.
 */

import { limits } from "../../lib/limits.ts";
import type { Health } from "./health.ts";

/** How a holder is. Health as snapshots show it; null: they do not show it yet. */
export interface HolderFacts {
  readonly health: Health | null;
  readonly revoked: boolean;
  /** How long it has been so, milliseconds, and never longer than somebody has listened. */
  readonly forMs: number;
}

export type LeaseVerdict = "keep" | "wait" | "fence" | "reclaim" | "orphan";

/** What becomes of a lease somebody holds or held. `expired`: by the store's clock. */
export function leaseVerdict(holder: HolderFacts, expired: boolean): LeaseVerdict {
  if (holder.revoked) return "fence";
  const patient = holder.forMs < limits.placementWaitMs;
  switch (holder.health) {
    case "stale":
      return expired && !patient ? "fence" : "wait";
    case "offline":
      return expired && !patient ? "reclaim" : "wait";
    case "missing":
      return patient ? "wait" : "orphan";
    default:
      return "keep";
  }
}

export type PlacementState = "kept" | "nothing-new" | "waiting" | "fenced" | "reclaimed" | "orphaned";

/** How what was placed on a node stands. `before`: what was decided last. */
export function placementState(holder: HolderFacts, before: PlacementState): PlacementState {
  // While waiting, what was taken stays taken: only a beat brings it back.
  const waiting = taken.has(before) ? before : "waiting";
  const patient = holder.forMs < limits.placementWaitMs;
  switch (holder.health) {
    case null:
    case "online":
      return "kept";
    case "draining":
      return "nothing-new";
    case "stale":
      return patient ? waiting : "fenced";
    case "offline":
      if (holder.forMs >= limits.placementTtlMs) return "reclaimed";
      return patient || taken.has(before) ? waiting : "fenced";
    case "missing":
      return patient ? waiting : "orphaned";
  }
}

const taken: ReadonlySet<PlacementState> = new Set(["fenced", "reclaimed", "orphaned"]);

/** Whether a change of a placement's state is worth an audit record: it was taken from its node, or given back. */
export function isRecorded(before: PlacementState, after: PlacementState): boolean {
  return taken.has(before) !== taken.has(after) || (taken.has(after) && before !== after);
}
