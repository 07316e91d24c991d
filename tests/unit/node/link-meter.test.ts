import { expect, it } from "vitest";
import { LinkMeter } from "../../../node/link-meter.ts";

it("what was not measured is absent, never 0", () => {
  const meter = new LinkMeter();
  expect(meter.observation).toBeUndefined();
  meter.failed(1_000);
  expect(meter.observation).toMatchObject({ lossShare: 1, reliabilityShare: 0, recentFailures: 1 });
  expect(meter.observation).not.toHaveProperty("rttMs");
});

it("answers make the round trip, failures the loss", () => {
  const meter = new LinkMeter();
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
