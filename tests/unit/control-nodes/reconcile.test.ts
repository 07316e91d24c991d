/** The table of reconciliation, cell by cell. */

import { describe, expect, it } from "vitest";
import {
  type HolderFacts,
  isRecorded,
  leaseVerdict,
  type PlacementState,
  placementState,
} from "../../../control/domain/reconcile.ts";
import { limits } from "../../../lib/limits.ts";

const wait = limits.placementWaitMs;
const ttl = limits.placementTtlMs;
const holder = (health: HolderFacts["health"], forMs: number, revoked = false): HolderFacts => {
  return { health, forMs, revoked };
};

describe("M-W11 a lease", () => {
  it.each([
    ["online", 1e9, true, "keep"],
    ["online", 0, false, "keep"],
    [null, 1e9, true, "keep"],
    ["draining", 1e9, false, "keep"],
    ["draining", 1e9, true, "keep"],
    ["stale", wait, false, "wait"],
    ["stale", wait - 1, true, "wait"],
    ["stale", wait, true, "fence"],
    ["offline", 1e9, false, "wait"],
    ["offline", wait - 1, true, "wait"],
    ["offline", wait, true, "reclaim"],
    ["missing", wait - 1, true, "wait"],
    ["missing", wait, true, "orphan"],
    ["missing", wait, false, "orphan"],
  ] as const)("of a holder that is %s for %d ms, expired: %s, is to %s", (health, forMs, expired, verdict) => {
    expect(leaseVerdict(holder(health, forMs), expired)).toBe(verdict);
  });

  it("of a revoked holder is fenced at once, expired or not", () => {
    for (const health of ["online", "draining", "stale", "offline", "missing", null] as const) {
      for (const expired of [true, false]) expect(leaseVerdict(holder(health, 0, true), expired)).toBe("fence");
    }
  });
});

describe("M-W11 a placement", () => {
  it.each([
    ["online", 1e9, "orphaned", "kept"],
    [null, 1e9, "kept", "kept"],
    ["draining", 1e9, "kept", "nothing-new"],
    ["stale", wait - 1, "kept", "waiting"],
    ["stale", wait - 1, "reclaimed", "reclaimed"],
    ["stale", wait, "waiting", "fenced"],
    ["offline", wait - 1, "kept", "waiting"],
    ["offline", wait, "waiting", "fenced"],
    ["offline", 0, "fenced", "fenced"],
    ["offline", ttl - 1, "fenced", "fenced"],
    ["offline", ttl, "fenced", "reclaimed"],
    ["offline", ttl, "kept", "reclaimed"],
    ["missing", wait - 1, "kept", "waiting"],
    ["missing", wait - 1, "reclaimed", "reclaimed"],
    ["missing", wait, "reclaimed", "orphaned"],
  ] as const)("of a node that is %s for %d ms goes from %s to %s", (...[health, forMs, before, after]) => {
    expect(placementState(holder(health, forMs), before)).toBe(after);
    // Repeating it changes nothing.
    expect(placementState(holder(health, forMs), after)).toBe(after);
  });

  it("is taken back by nothing but a beat, and never on silence nobody listened to", () => {
    for (const before of ["kept", "nothing-new", "waiting"] as const) {
      for (const health of ["stale", "offline", "missing"] as const) {
        expect(placementState(holder(health, 0), before)).toBe("waiting");
      }
    }
  });

  it("is recorded when it is taken or given back, not while somebody waits", () => {
    const records = (before: PlacementState, after: PlacementState) => isRecorded(before, after);
    expect(records("kept", "waiting")).toBe(false);
    expect(records("waiting", "kept")).toBe(false);
    expect(records("kept", "nothing-new")).toBe(false);
    expect(records("waiting", "fenced")).toBe(true);
    expect(records("fenced", "reclaimed")).toBe(true);
    expect(records("orphaned", "kept")).toBe(true);
  });
});
