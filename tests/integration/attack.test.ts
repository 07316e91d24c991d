/**
 * Every class of `weft attack` against a fabric of real processes, two seconds each: nothing dies, grows, moves or waits.
 * `npm run attack` does the same for a minute each, on every port.
 */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { attackFabric } from "../../conformance/attack/attack-fabric.ts";
import { onceEach } from "../../conformance/attack/attack-plan.ts";
import { attackClasses } from "../../conformance/attack/classes.ts";
import { type ClassVerdict, tolerances } from "../../conformance/attack/verdict.ts";
import { isSoak } from "../harness/counts.ts";

const seconds = isSoak ? 30 : 2;
// Gentle enough for processes that are attacked beside each other on two processors, and past every bound within two seconds.
const bounds = {
  seconds,
  connectionsMaxCount: 32,
  connectionsPerSecond: 60,
  unitsPerSecond: 5_000,
  bytesMax: 256 * 1_024 * 1_024,
};

const stopped = new AbortController();
let verdicts: ClassVerdict[] = [];

beforeAll(
  async () => {
    // Below it a stall is what a suite that runs beside this one does to everybody.
    const allowed = { ...tolerances, floorMs: 100, loopDelayMaxMs: 200 };
    verdicts = await attackFabric({ bounds, quietMs: 300, plan: onceEach, allowed, signal: stopped.signal });
  },
  isSoak ? 1_800_000 : 300_000,
);
afterAll(() => stopped.abort());

describe("a fabric withstands", () => {
  it.each(attackClasses.map(({ id, title, seen }) => ({ id, title, seen })))("$id ($seen): $title", ({ id }) => {
    const verdict = verdicts.find((one) => one.class === id);
    expect(verdict?.reasons, JSON.stringify(verdict)).toEqual([]);
    expect(verdict).toMatchObject({ result: "pass", alive: true, failed: 0 });
    expect((verdict?.tally.connections ?? 0) > 0 && (verdict?.asked ?? 0) > 0).toBe(true);
  });
});
