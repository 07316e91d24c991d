import { describe, expect, it } from "vitest";
import { type LinkObservation, type LinkSample, observe, toRouteLink } from "../../../../fabric/routing/observe.ts";
import { chooseRoute } from "../../../../fabric/routing/pick.ts";
import { scorePath } from "../../../../fabric/routing/scored-path.ts";
import { limits } from "../../../../lib/limits.ts";
import { randomInt, seededRandom } from "../../../../lib/random.ts";
import { graphOfMesh, mesh, need, withLink, withLinksOf } from "./stage.ts";

const ok = (atMs: number, rttMs = 10): LinkSample => ({ kind: "ok", atMs, rttMs });
const failed = (atMs: number): LinkSample => ({ kind: "failed", atMs, timeoutMs: 2_000 });

/** Samples every second from `fromMs` on. */
function sampled(
  before: LinkObservation | undefined,
  fromMs: number,
  count: number,
  make: (atMs: number) => LinkSample,
): LinkObservation {
  let now = before;
  for (let i = 0; i < count; i++) now = observe(now, make(fromMs + i * 1_000));
  if (now === undefined) throw new Error("no samples");
  return now;
}

/** Two minutes of good answers, then `seconds` without any. */
function outage(seconds: number): LinkObservation {
  return sampled(sampled(undefined, 0, 120, ok), 120_000, seconds, failed);
}

describe("A11 samples decay", () => {
  const bad = outage(30);
  const goodFor = (seconds: number): LinkObservation => sampled(bad, 150_000, seconds, ok);

  it.each([
    ["loss", (seen: LinkObservation) => seen.lossShare, limits.observationHalfLifeMs],
    ["reliability", (seen: LinkObservation) => 1 - seen.reliabilityShare, limits.reliabilityHalfLifeMs],
    ["failures", (seen: LinkObservation) => seen.recentFailures, limits.failureHalfLifeMs],
    ["the penalty on the round trip", (seen: LinkObservation) => (seen.rttMs ?? 0) - 10, limits.observationHalfLifeMs],
  ])("%s is half gone after its half-life of good answers, and three quarters after two", (_name, of, halfLifeMs) => {
    const start = of(bad);
    expect(start).toBeGreaterThan(0);
    expect(of(goodFor(halfLifeMs / 1_000)) / start).toBeCloseTo(0.5, 1);
    expect(of(goodFor((2 * halfLifeMs) / 1_000)) / start).toBeCloseTo(0.25, 1);
    for (let seconds = 1; seconds < 60; seconds++)
      expect(of(goodFor(seconds))).toBeLessThan(of(goodFor(seconds - 1 || 1)) + 1e-9);
  });

  it("whatever happened, every number stays in its range, on 200 random histories", () => {
    for (let seed = 0; seed < 200; seed++) {
      const random = seededRandom(seed);
      let seen: LinkObservation | undefined;
      let atMs = 0;
      for (let i = 0; i < 100; i++) {
        atMs += randomInt(random, 5_000);
        seen = observe(seen, random.float() < 0.4 ? failed(atMs) : ok(atMs, random.float() * 100));
        const link = toRouteLink("a", "b", seen, atMs);
        for (const share of [link.lossShare, link.reliabilityShare]) {
          expect(share, `seed ${seed}`).toBeGreaterThanOrEqual(0);
          expect(share, `seed ${seed}`).toBeLessThanOrEqual(1);
        }
        expect(link.recentFailures, `seed ${seed}`).toBeGreaterThanOrEqual(0);
      }
    }
  });

  it("a link that was out for half a minute is worth as much as any other again within ten", () => {
    const given = mesh({ relays: 2, egresses: 1 });
    const start = chooseRoute(graphOfMesh(given), need);
    const primary = start.primary?.nodeIds[1] ?? "";
    const other = primary === "r1" ? "r2" : "r1";
    const worth = (seconds: number) => {
      const seen = seconds === 0 ? bad : goodFor(seconds);
      const { fromNodeId: _f, toNodeId: _t, measuredAtMs: _m, ...numbers } = toRouteLink("e", primary, seen, 0);
      const mended = Object.fromEntries(Object.entries(numbers).filter(([key]) => !key.startsWith("$")));
      const scored = scorePath(graphOfMesh(withLink(given, "e", primary, mended)), need, ["e", primary, "x1"]);
      if (typeof scored === "string") throw new Error(scored);
      return scored.total - (start.ranked.find((path) => path.nodeIds[1] === other)?.total ?? 0);
    };
    expect(worth(0)).toBeGreaterThan(100);
    expect(worth(600)).toBeLessThan(3);
  });
});

describe("A11 reliability", () => {
  it("one early failure is one, not a link that was never up", () => {
    expect(observe(undefined, failed(0)).reliabilityShare).toBeGreaterThan(0.99);
    expect(sampled(undefined, 0, 10, failed).reliabilityShare).toBeGreaterThan(0.9);
  });

  it("is bounded: a path over links that were never up costs at most its weight, in all", () => {
    const given = mesh({ relays: 4, egresses: 1 });
    const never = ["r1", "r2", "r3", "r4"].reduce(
      (now, relay) => withLinksOf(now, relay, { reliabilityShare: 0 }),
      given,
    );
    const longest = ["e", "r1", "r2", "r3", "r4", "x1"];
    const scored = scorePath(graphOfMesh(never), need, longest);
    if (typeof scored === "string") throw new Error(scored);
    const part = scored.parts.find(({ input }) => input === "reliability");
    expect(part?.value).toBeCloseTo(1, 9);
    expect(part?.cost).toBeCloseTo(part?.weight ?? 0, 9);
  });
});
