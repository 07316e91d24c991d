import { expect, it } from "vitest";
import { limits } from "../../../lib/limits.ts";
import { LinkMeter } from "../../../node/link-meter.ts";

const grace = limits.linkStartGraceMs;

it("what was not measured is absent, never 0", () => {
  const meter = new LinkMeter(0);
  expect(meter.observation).toBeUndefined();
  meter.failed(grace);
  expect(meter.observation).toMatchObject({ lossShare: 1, recentFailures: 1 });
  expect(meter.observation).not.toHaveProperty("rttMs");
});

it("a link's first seconds are no evidence: what starts late is as good as what started at once", () => {
  const meter = new LinkMeter(0);
  for (let atMs = 0; atMs < grace; atMs += 1_000) meter.failed(atMs);
  expect(meter.observation).toBeUndefined();
  meter.answered(10, grace);
  expect(meter.observation).toMatchObject({ rttMs: 10, lossShare: 0, reliabilityShare: 1, recentFailures: 0 });
  meter.failed(grace + 1);
  expect(meter.observation?.recentFailures).toBe(1);
});

it("a link that never comes up is told apart from one nobody looked at", () => {
  const meter = new LinkMeter(0);
  for (let atMs = 0; atMs < grace + 5_000; atMs += 1_000) meter.failed(atMs);
  expect(meter.observation).toMatchObject({ lossShare: 1 });
  expect(meter.observation?.recentFailures).toBeGreaterThan(4);
});

it("answers make the round trip, failures the loss", () => {
  const meter = new LinkMeter(0);
  meter.answered(10, 1_000);
  expect(meter.observation).toMatchObject({ rttMs: 10, lossShare: 0, reliabilityShare: 1, recentFailures: 0 });
  expect(meter.observation).not.toHaveProperty("jitterMs");
  meter.answered(14, 2_000);
  meter.failed(3_000);
  const after = meter.observation;
  expect(after?.jitterMs).toBe(4);
  expect(after?.lossShare).toBeGreaterThan(0);
  expect(after?.reliabilityShare).toBeLessThan(1);
  expect(after?.recentFailures).toBe(1);
});
