import { describe, expect, it } from "vitest";
import { type MoveReport, MoveReports } from "../../../edge/move-reports.ts";
import type { TrunkMoved } from "../../../edge/trunk-runner.ts";
import { ManualClock } from "../../../lib/clock.ts";
import { limits } from "../../../lib/limits.ts";

function stage() {
  const clock = new ManualClock();
  const told: (MoveReport & { readonly trunk: string })[] = [];
  const reports = new MoveReports<{ readonly trunkIdHex: string }>(clock, (report, trunk) =>
    told.push({ ...report, trunk: trunk.trunkIdHex }),
  );
  let generation = 0;
  const move = (trunk: string, over: Partial<TrunkMoved> = {}): void => {
    generation += 1;
    const ways = { from: ["e", `r${generation}`, "x"], to: ["e", `r${generation + 1}`, "x"] };
    const facts = { lane: "bulk", cause: "silent", attachmentId: 1, fromId: 2, gapMs: 1, replayedBytes: 10 } as const;
    reports.moved({ ...facts, ...ways, generation, ...over }, { trunkIdHex: trunk });
  };
  const count = (): number => told.reduce((sum, { moves }) => sum + moves, 0);
  return { clock, told, reports, move, count };
}

describe("moves as they are told", () => {
  it("are each told by itself while there are few", () => {
    const { told, move } = stage();
    for (let n = 0; n < 3; n += 1) move("aa");
    expect(told.map(({ moves, replayedBytes }) => [moves, replayedBytes])).toEqual([
      [1, 10],
      [1, 10],
      [1, 10],
    ]);
  });

  it("of a trunk that flaps 400 times a second are a few reports, and none is left uncounted", () => {
    const { clock, told, move, count } = stage();
    for (let n = 0; n < 1_200; n += 1) {
      move("aa", n === 700 ? { gapMs: 300 } : {});
      clock.advance(2.5);
    }
    expect(told.length).toBeLessThanOrEqual(limits.moveReportsBurstCount + 6);
    clock.advance(2_000);
    expect(count()).toBe(1_200);
    expect(told.reduce((sum, { replayedBytes }) => sum + replayedBytes, 0)).toBe(12_000);
    expect(Math.max(...told.map(({ gapMs }) => gapMs))).toBe(300);
    // From where the first of them began to where the last one went.
    expect(told.at(-1)).toMatchObject({ to: ["e", "r1201", "x"] });
    for (const [at, { from }] of told.entries()) if (at > 0) expect(from).toEqual(told[at - 1]?.to);
    expect(clock.nextDueInMs()).toBeUndefined();
  });

  it("of one trunk do not keep those of another from being told at once", () => {
    const { told, move } = stage();
    for (let n = 0; n < 500; n += 1) move("aa");
    move("bb");
    expect(told.at(-1)).toMatchObject({ trunk: "bb", moves: 1 });
  });

  it("of very many trunks at once are bounded too, and all told in the end", () => {
    const { clock, told, move, count } = stage();
    for (let n = 0; n < 5_000; n += 1) move(`t${n}`);
    expect(told.length).toBe(limits.moveReportsInAllBurstCount);
    clock.advance(60_000);
    expect(count()).toBe(5_000);
  });

  it("that wait are told when their trunk ends", () => {
    const { clock, told, reports, move, count } = stage();
    for (let n = 0; n < 50; n += 1) move("aa", { lane: n % 2 === 0 ? "bulk" : "interactive" });
    reports.ended({ trunkIdHex: "aa" });
    expect(count()).toBe(50);
    expect(told.length).toBe(limits.moveReportsBurstCount + 2);
    expect(clock.nextDueInMs()).toBeUndefined();
  });
});
