import { describe, expect, it } from "vitest";
import { ManualClock, sleep, systemClock } from "../../../lib/clock.ts";

describe("a manual clock", () => {
  it("fires in order of due time, ties in order of making, each at its own time", () => {
    const clock = new ManualClock();
    const fired: string[] = [];
    const at = (name: string): void => void fired.push(`${name}@${clock.monoMs()}`);
    clock.after(30, () => at("c"));
    clock.after(10, () => at("a"));
    clock.after(30, () => at("d"));
    clock.after(20, () => at("b"));
    clock.advance(29);
    expect(fired).toEqual(["a@10", "b@20"]);
    clock.advance(1);
    expect(fired).toEqual(["a@10", "b@20", "c@30", "d@30"]);
    expect(clock.monoMs()).toBe(30);
  });

  it("fires timers that timers make, within the same step when they fall into it", () => {
    const clock = new ManualClock();
    const fired: number[] = [];
    clock.after(10, () => clock.after(10, () => fired.push(clock.monoMs())));
    clock.advance(15);
    expect(fired).toEqual([]);
    clock.advance(5);
    expect(fired).toEqual([20]);
  });

  it("repeats until cancelled, and a cancelled timer never fires", () => {
    const clock = new ManualClock();
    let beats = 0;
    const beat = clock.every(10, () => {
      beats += 1;
      if (beats === 3) beat.cancel();
    });
    clock.after(5, () => expect.unreachable()).cancel();
    clock.advance(100);
    expect(beats).toBe(3);
    expect(clock.nextDueInMs()).toBeUndefined();
  });

  it("steps the wall without moving what measures", () => {
    const clock = new ManualClock(1_000);
    clock.advance(50);
    clock.stepWall(-500);
    expect([clock.nowMs(), clock.monoMs()]).toEqual([550, 50]);
  });

  it("tells when the next timer is due", () => {
    const clock = new ManualClock();
    clock.after(40, () => {});
    clock.advance(15);
    expect(clock.nextDueInMs()).toBe(25);
  });
});

describe("sleep", () => {
  const settled = async (promise: Promise<void>): Promise<boolean> => {
    let done = false;
    void promise.then(() => {
      done = true;
    });
    await Promise.resolve();
    await Promise.resolve();
    return done;
  };

  it("ends at its time and not before", async () => {
    const clock = new ManualClock();
    const sleeping = sleep(clock, 100);
    clock.advance(99);
    expect(await settled(sleeping)).toBe(false);
    clock.advance(1);
    expect(await settled(sleeping)).toBe(true);
  });

  it("ends at once on abort, without rejecting, and leaves no timer", async () => {
    const clock = new ManualClock();
    const ending = new AbortController();
    const sleeping = sleep(clock, 100, ending.signal);
    ending.abort();
    expect(await settled(sleeping)).toBe(true);
    expect(clock.nextDueInMs()).toBeUndefined();
    expect(await settled(sleep(clock, 100, ending.signal))).toBe(true);
    expect(clock.nextDueInMs()).toBeUndefined();
  });

  it("works on the host's clock", async () => {
    const startMs = systemClock.monoMs();
    await sleep(systemClock, 5);
    expect(systemClock.monoMs() - startMs).toBeGreaterThanOrEqual(4);
  });
});
