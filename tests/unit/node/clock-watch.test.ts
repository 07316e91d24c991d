/** What a node knows of its own clock, with clocks that are off, set and too fast. */

import { describe, expect, it } from "vitest";
import { ManualClock } from "../../../lib/clock.ts";
import { limits } from "../../../lib/limits.ts";
import { silentLog } from "../../../lib/log.ts";
import { seededRandom } from "../../../lib/random.ts";
import { ClockWatch } from "../../../node/clock-watch.ts";

/** A host whose clocks go `ppm` too fast, and a store whose clock is right: beats every five seconds. */
function host(
  { offsetMs = 0, ppm = 0, tripMs = () => 4 } = {} as { offsetMs?: number; ppm?: number; tripMs?: () => number },
) {
  const clock = new ManualClock(1_800_000_000_000 - offsetMs);
  let storeMs = 1_800_000_000_000;
  const told: Readonly<Record<string, string>>[] = [];
  const watch = new ClockWatch({ log: silentLog, events: { emit: (_kind, facts = {}) => void told.push(facts) } });
  const pass = (realMs: number): void => {
    storeMs += realMs;
    clock.advance(realMs * (1 + ppm / 1e6));
  };
  const beat = (): void => {
    const trip = tripMs();
    const sent = { sentWallMs: clock.nowMs(), sentMonoMs: clock.monoMs() };
    pass(trip / 2);
    const controlMs = Math.floor(storeMs);
    pass(trip / 2);
    watch.read({ ...sent, answeredMonoMs: clock.monoMs(), controlMs });
  };
  const beats = (count: number): void => {
    for (let n = 0; n < count; n += 1) {
      beat();
      pass(limits.beatEveryMs);
    }
  };
  return { clock, watch, told, beats, setStore: (byMs: number) => (storeMs += byMs) };
}

describe("THR-C12 a node's clock", () => {
  it.each([-9_000, -59_000, -600_000, 600_000])("that is %d ms off is measured to milliseconds", (offMs) => {
    const { watch, told, beats } = host({ offsetMs: -offMs });
    beats(3);
    expect(watch.offsetMs()).toBeCloseTo(-offMs, -1);
    expect(told).toHaveLength(1);
    expect(Number(told[0]?.["offset_ms"])).toBeCloseTo(-offMs, -1);
  });

  it.each([-100_000, -200, 0, 37, 5_000, 100_000])(
    "that goes %d ppm too fast is measured, whatever its time",
    (ppm) => {
      const random = seededRandom(7);
      // Now and then an answer takes long, and longer one way than the other.
      const tripMs = (): number => (random.float() < 0.2 ? 900 * random.float() : 2 + 3 * random.float());
      const { watch, beats } = host({ offsetMs: 1_500, ppm, tripMs });
      beats(5);
      expect(watch.driftPpm()).toBeUndefined();
      beats(115);
      // Ten minutes of whole milliseconds.
      expect(Math.abs((watch.driftPpm() ?? Number.NaN) - ppm / (1 + ppm / 1e6))).toBeLessThan(15);
    },
  );

  it("that is set changes how far it is off and not how fast it goes; being far off is said once, and once when it is over", () => {
    const { clock, watch, told, beats } = host({ ppm: 50 });
    beats(40);
    const before = watch.driftPpm() ?? Number.NaN;
    clock.stepWall(3_600_000);
    beats(10);
    expect(watch.offsetMs()).toBeCloseTo(-3_600_000, -3);
    expect(Math.abs((watch.driftPpm() ?? Number.NaN) - before)).toBeLessThan(10);
    clock.stepWall(-3_600_000);
    beats(10);
    expect(told.map(({ state }) => state)).toEqual(["off", "over"]);
  });

  it("is measured anew when it is the store's clock that was set", () => {
    const { watch, beats, setStore } = host({ ppm: 50 });
    beats(40);
    setStore(-7_200_000);
    beats(3);
    expect(watch.driftPpm()).toBeUndefined();
    beats(40);
    expect(Math.abs((watch.driftPpm() ?? Number.NaN) - 50)).toBeLessThan(15);
  });
});
