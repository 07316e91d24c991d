import { describe, expect, test } from "vitest";
import { ManualClock } from "../../../lib/clock.ts";
import { TokenBuckets } from "../../../lib/rate.ts";

const shape = { perSecond: 10, burstCount: 20, keysMaxCount: 3 };

describe("token buckets", () => {
  test("a burst, then the rate, never more than the burst", () => {
    const clock = new ManualClock();
    const buckets = new TokenBuckets(clock, shape);
    const taken = (): number => Array.from({ length: 100 }, () => buckets.take("a")).filter(Boolean).length;
    expect(taken()).toBe(20);
    clock.advance(1_000);
    expect(taken()).toBe(10);
    clock.advance(3_600_000);
    expect(taken()).toBe(20);
  });

  test("one key's excess is not another's, and a wall clock step changes nothing", () => {
    const clock = new ManualClock();
    const buckets = new TokenBuckets(clock, shape);
    expect(buckets.take("a", 20)).toBe(true);
    expect(buckets.take("a")).toBe(false);
    expect(buckets.take("b")).toBe(true);
    clock.stepWall(3_600_000);
    expect(buckets.take("a")).toBe(false);
  });

  test("what cannot be taken whole is not taken in part", () => {
    const buckets = new TokenBuckets(new ManualClock(), shape);
    expect(buckets.take("a", 21)).toBe(false);
    expect(buckets.take("a", 20)).toBe(true);
  });

  test("what is spent beyond what is there is owed, up to a bound, and paid for by time", () => {
    const clock = new ManualClock();
    const buckets = new TokenBuckets(clock, shape);
    buckets.spend("a", 50);
    expect([buckets.left("a"), buckets.left("b")]).toEqual([-30, 20]);
    clock.advance(3_500);
    expect([buckets.left("a"), buckets.take("a", 5), buckets.take("a")]).toEqual([5, true, false]);
    buckets.spend("a", 1_000, 10);
    expect(buckets.left("a")).toBe(-10);
  });

  test("holds a bounded number of keys, the longest unused goes", () => {
    const clock = new ManualClock();
    const buckets = new TokenBuckets(clock, shape);
    for (const key of ["a", "b", "c"]) buckets.take(key, 20);
    expect(buckets.take("a")).toBe(false);
    buckets.take("d");
    expect(buckets.keyCount()).toBe(3);
    expect(buckets.take("a")).toBe(false);
    expect(buckets.take("b")).toBe(true);
  });
});
