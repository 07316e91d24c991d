/** Health and skew of nodes: the whole table of M-A6, edges included. */

import { describe, expect, it } from "vitest";
import type { Health } from "../../../control/domain/health.ts";
import { healthOf, skewOf } from "../../../control/domain/health.ts";

describe("M-A6 health from the last beat", () => {
  const hourMs = 3_600_000;
  const table: readonly (readonly [ageMs: number | undefined, draining: boolean, health: Health])[] = [
    [0, false, "online"],
    [15_000, false, "online"],
    [15_001, false, "stale"],
    [60_000, false, "stale"],
    [60_001, false, "offline"],
    [24 * hourMs, false, "offline"],
    [24 * hourMs + 1, false, "missing"],
    [undefined, false, "missing"],
    [0, true, "draining"],
    [15_000, true, "draining"],
    [15_001, true, "stale"],
    [60_001, true, "offline"],
    [undefined, true, "missing"],
    // The store's clock was set back: a second is a difference between statements, an hour is not.
    [-15_000, false, "online"],
    [-15_001, false, "stale"],
    [-hourMs, true, "stale"],
  ];
  for (const [beatAgeMs, draining, health] of table) {
    it(`age ${beatAgeMs ?? "none"} ms, draining ${draining}: ${health}`, () => {
      expect(healthOf({ beatAgeMs, draining })).toBe(health);
    });
  }
});

describe("skew of a node's clock", () => {
  it("is positive when the node is behind, and half the round trip is the way here", () => {
    expect(skewOf({ sentAtMs: 1_000, receivedAtMs: 1_520, roundTripMs: 40 })).toBe(500);
  });

  it("is negative when the node is ahead", () => {
    expect(skewOf({ sentAtMs: 9_000, receivedAtMs: 4_000, roundTripMs: 0 })).toBe(-5_000);
  });

  it("does not believe a round trip that is negative, endless or not a number", () => {
    for (const roundTripMs of [-10, Number.NaN, Number.NEGATIVE_INFINITY]) {
      expect(skewOf({ sentAtMs: 0, receivedAtMs: 100, roundTripMs })).toBe(100);
    }
    expect(skewOf({ sentAtMs: 0, receivedAtMs: 10_000, roundTripMs: 3_600_000 })).toBe(7_500);
  });
});
