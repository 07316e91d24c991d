import { describe, expect, it } from "vitest";
import { Backoff, type BackoffShape, linkBackoff } from "../../../lib/backoff.ts";
import { type Random, seededRandom } from "../../../lib/random.ts";

const shape: BackoffShape = { firstMs: 100, maxMs: 1_000, factor: 2, jitter: 0.2, resetAfterUpMs: 10_000 };
const fixed = (value: number): Random => ({ bytes: (count) => new Uint8Array(count), float: () => value });
const take = (backoff: Backoff, count: number): number[] => Array.from({ length: count }, () => backoff.nextMs());

describe("backoff", () => {
  it("grows by its factor up to its maximum", () => {
    expect(take(new Backoff(shape, fixed(0.5)), 6)).toEqual([100, 200, 400, 800, 1_000, 1_000]);
  });

  it("spreads by its jitter to both sides", () => {
    expect(new Backoff(shape, fixed(0)).nextMs()).toBeCloseTo(80);
    expect(new Backoff(shape, fixed(1)).nextMs()).toBeCloseTo(120);
    const first = Array.from({ length: 500 }, (_, seed) => new Backoff(shape, seededRandom(seed)).nextMs());
    expect(Math.min(...first)).toBeGreaterThanOrEqual(80);
    expect(Math.max(...first)).toBeLessThanOrEqual(120);
    expect(new Set(first.map(Math.round)).size).toBeGreaterThan(20);
  });

  it("starts over only after something stayed up long enough: accept-then-drop is not hammered", () => {
    const backoff = new Backoff(shape, fixed(0.5));
    take(backoff, 4);
    backoff.wasUpForMs(shape.resetAfterUpMs - 1);
    expect(backoff.nextMs()).toBe(1_000);
    backoff.wasUpForMs(shape.resetAfterUpMs);
    expect(take(backoff, 2)).toEqual([100, 200]);
  });

  it("of links never waits longer than its maximum and its jitter, however often it failed", () => {
    const delays = take(new Backoff(linkBackoff, seededRandom(3)), 2_000);
    expect(delays.every(Number.isFinite)).toBe(true);
    expect(Math.max(...delays)).toBeLessThanOrEqual(linkBackoff.maxMs * (1 + linkBackoff.jitter));
    expect(Math.min(...delays.slice(100))).toBeGreaterThanOrEqual(linkBackoff.maxMs * (1 - linkBackoff.jitter));
  });
});
