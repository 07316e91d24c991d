/** Health and skew of nodes: the whole table of M-A6, edges included. */

import { describe, expect, it } from "vitest";
import type { Health } from "../../../control/domain/health.ts";
import { halfTripMs, healthOf } from "../../../control/domain/health.ts";

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

describe("what a beat was on its way for", () => {
  it("is half the round trip before it", () => {
    expect(halfTripMs(40)).toBe(20);
  });

  it("is nothing for a round trip that is negative, endless or not a number, and bounded by the beat period", () => {
    for (const roundTripMs of [-10, Number.NaN, Number.NEGATIVE_INFINITY]) expect(halfTripMs(roundTripMs)).toBe(0);
    expect(halfTripMs(3_600_000)).toBe(2_500);
  });
});
