import { expect, it } from "vitest";
import { limits } from "../../../lib/limits.ts";
import { LinkMeter } from "../../../node/link-meter.ts";

it("what was not measured is absent, never 0", () => {
  expect(new LinkMeter().measurement(0)).toEqual({});
});

it("the first round trip stands alone; jitter needs two", () => {
  const meter = new LinkMeter();
  meter.answered(10);
  expect(meter.measurement(0)).toEqual({ rttMs: 10, lossShare: 0, reliabilityShare: 1, recentFailures: 0 });
  meter.answered(18);
  expect(meter.measurement(0)).toMatchObject({ rttMs: 11, jitterMs: 8 });
});

it("a lost probe is loss and a failure, and leaves the round trip alone", () => {
  const meter = new LinkMeter();
  for (let i = 0; i < 3; i++) meter.answered(5);
  meter.lost(1_000);
  expect(meter.measurement(1_000)).toMatchObject({ rttMs: 5, lossShare: 0.25, recentFailures: 1 });
});

it("a failure halves in weight every minute", () => {
  const meter = new LinkMeter();
  meter.answered(5);
  meter.broke(0);
  meter.broke(0);
  expect(meter.measurement(60_000).recentFailures).toBeCloseTo(1);
  expect(meter.measurement(120_000).recentFailures).toBeCloseTo(0.5);
  expect(meter.measurement(3_600_000).recentFailures).toBe(0);
});

it("reliability is the share of periods in which the link was up, over a bounded window", () => {
  const meter = new LinkMeter();
  for (let i = 0; i < limits.probeWindowCount; i++) meter.down();
  expect(meter.measurement(0)).toEqual({ reliabilityShare: 0, recentFailures: 0 });
  for (let i = 0; i < limits.probeWindowCount / 2; i++) meter.answered(1);
  expect(meter.measurement(0).reliabilityShare).toBe(0.5);
});
