import { describe, expect, it } from "vitest";
import { createLoadMeter } from "../../../lib/load.ts";
import { randomInt, randomLabel, seededRandom, systemRandom } from "../../../lib/random.ts";

const alphabet = "abcdefghijklmnopqrstuvwxyz234567";

describe("random labels", () => {
  it("have the asked length and only letters a DNS label and a SPIFFE path may have", () => {
    for (const length of [1, 16, 26])
      expect(randomLabel(systemRandom, length)).toMatch(new RegExp(`^[a-z2-7]{${length}}$`));
  });

  it("use every letter equally often at every place: chi squared over 31 degrees of freedom", () => {
    const places = 16;
    const rounds = 8_000;
    const counts = Array.from({ length: places }, () => new Map<string, number>());
    for (let round = 0; round < rounds; round++) {
      for (const [at, letter] of [...randomLabel(systemRandom, places)].entries()) {
        counts[at]?.set(letter, (counts[at]?.get(letter) ?? 0) + 1);
      }
    }
    const expected = rounds / alphabet.length;
    const chiSquared = counts.map((count) =>
      [...alphabet].reduce((sum, letter) => sum + ((count.get(letter) ?? 0) - expected) ** 2 / expected, 0),
    );
    // 31 degrees of freedom pass 90 by chance less than once in a million.
    expect(Math.max(...chiSquared)).toBeLessThan(90);
  });

  it("do not repeat", () => {
    expect(new Set(Array.from({ length: 5_000 }, () => randomLabel(systemRandom, 16))).size).toBe(5_000);
  });

  it("spend one byte for each letter: five bits of it each, all of them", () => {
    const bytes = (count: number): Uint8Array => Uint8Array.from({ length: count }, (_, at) => at + 96);
    expect(randomLabel({ bytes, float: () => 0 }, 32)).toBe(alphabet);
  });
});

describe("seeded randomness", () => {
  it("repeats for a seed and differs between seeds", () => {
    const take = (seed: number): number[] => {
      const random = seededRandom(seed);
      return [random.float(), ...random.bytes(4), randomInt(random, 10)];
    };
    expect(take(1)).toEqual(take(1));
    expect(take(1)).not.toEqual(take(2));
  });

  it("stays within its bounds", () => {
    const random = seededRandom(9);
    const ints = Array.from({ length: 1_000 }, () => randomInt(random, 3));
    expect(new Set(ints)).toEqual(new Set([0, 1, 2]));
    expect(Array.from({ length: 1_000 }, () => random.float()).every((value) => value >= 0 && value < 1)).toBe(true);
  });
});

describe("the load of a process", () => {
  it("is the share of time it worked since it was last asked", async () => {
    const load = createLoadMeter();
    const untilMs = performance.now() + 60;
    await new Promise((resolve) => setImmediate(resolve));
    load();
    while (performance.now() < untilMs);
    await new Promise((resolve) => setImmediate(resolve));
    const busy = load();
    await new Promise((resolve) => setTimeout(resolve, 60));
    const idle = load();
    expect(busy).toBeGreaterThan(0.5);
    expect(idle).toBeLessThan(busy);
    expect(idle).toBeGreaterThanOrEqual(0);
    expect(busy).toBeLessThanOrEqual(1);
  });
});
