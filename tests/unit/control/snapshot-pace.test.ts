import { describe, expect, it } from "vitest";
import { SnapshotPace } from "../../../control/domain/snapshot-pace.ts";
import { ManualClock } from "../../../lib/clock.ts";
import { limits } from "../../../lib/limits.ts";

const { snapshotDebtMaxMs: debtMs, snapshotRestShare: share, snapshotRestMaxMs: restMaxMs } = limits;

describe("the pace of snapshots", () => {
  it("keeps a few changes waiting for nothing, whatever they cost", () => {
    const pace = new SnapshotPace(new ManualClock());
    expect(pace.rest()).toBeUndefined();
    pace.spent(debtMs);
    expect(pace.rest()).toBeUndefined();
  });

  it("lets work that goes on have one part in so many of the time, and everybody wait for one moment", async () => {
    const clock = new ManualClock();
    const pace = new SnapshotPace(clock);
    pace.spent(debtMs + 100);
    const rest = pace.rest();
    expect(rest).toBeDefined();
    expect(pace.rest()).toBe(rest);
    expect(clock.nextDueInMs()).toBe(100 * share);
    clock.advance(100 * share);
    await rest;
    expect(pace.rest()).toBeUndefined();
    // A long time of work at any rate: what was worked is at most its share of it, and the debt.
    let workedMs = 0;
    const startedMs = clock.monoMs();
    for (let turn = 0; turn < 500; turn += 1) {
      if (pace.rest() === undefined) {
        pace.spent(37);
        workedMs += 37;
      }
      clock.advance(11);
    }
    expect(workedMs).toBeLessThanOrEqual((clock.monoMs() - startedMs) / share + debtMs + 37);
    expect(workedMs).toBeGreaterThan((clock.monoMs() - startedMs) / share / 2);
  });

  it("keeps nobody waiting longer than the bound, and forgives with time", async () => {
    const clock = new ManualClock();
    const pace = new SnapshotPace(clock);
    pace.spent(1_000 * restMaxMs);
    const rest = pace.rest();
    expect(clock.nextDueInMs()).toBe(restMaxMs);
    clock.advance(restMaxMs);
    await rest;
    clock.advance(2_000 * restMaxMs);
    expect(pace.rest()).toBeUndefined();
  });
});
