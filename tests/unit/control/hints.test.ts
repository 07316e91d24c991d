import { expect, it } from "vitest";
import { isTopic } from "../../../control/hints/hints.ts";
import { HintTable, memoryHints } from "../../../control/hints/memory.ts";
import { ManualClock } from "../../../lib/clock.ts";
import { limits } from "../../../lib/limits.ts";

const settled = async (): Promise<void> => await new Promise((resolve) => queueMicrotask(resolve));

it("LAW-C4 tells subscribers of this process at once, each of them, until they leave", async () => {
  const hints = memoryHints(new ManualClock());
  let told = 0;
  const fn = (): void => {
    told += 1;
  };
  const leave = hints.subscribe("feed:a", fn);
  hints.subscribe("feed:a", fn);
  hints.subscribe("feed:b", fn);
  hints.publish("feed:a");
  expect(told).toBe(0);
  await settled();
  expect(told).toBe(2);
  leave();
  leave();
  hints.publish("feed:a");
  await settled();
  expect(told).toBe(3);
});

it("REVIEW-22 turns a flood from outside into one call now and one at the end of each period, and loses no last one", async () => {
  const clock = new ManualClock();
  const table = new HintTable(clock);
  let told = 0;
  table.subscribe("feed:a", () => {
    told += 1;
  });
  for (let at = 0; at < 100_000; at += 1) table.fire("feed:a");
  await settled();
  expect(told).toBe(1);
  clock.advance(limits.hintTopicEveryMs);
  await settled();
  expect(told).toBe(2);
  clock.advance(10 * limits.hintTopicEveryMs);
  await settled();
  expect(told).toBe(2);
  table.fire("feed:a");
  await settled();
  expect(told).toBe(3);
  for (let at = 0; at < 1_000; at += 1) table.fire(`feed:unknown-${at}`);
  expect(clock.nextDueInMs()).toBe(limits.hintTopicEveryMs);
});

it("knows a topic by its form", () => {
  for (const text of ["snapshot:cl-abc", "certificates:all"]) expect(isTopic(text)).toBe(true);
  for (const text of ["", "x", "Snapshot:a", "a:", ":a", "a:b c", `a:${"b".repeat(81)}`, "a:b\n"])
    expect(isTopic(text)).toBe(false);
});
