import { describe, expect, it } from "vitest";
import { EventGaps } from "../../../cli/event-gaps.ts";

const at = (seq: number, bootId = "a") => ({ seq: BigInt(seq), bootId });

describe("events that were not heard", () => {
  it("are none before the first one, nor between two that follow", () => {
    const gaps = new EventGaps();
    expect([gaps.before(at(40)), gaps.before(at(41)), gaps.before(at(42))]).toEqual([0, 0, 0]);
  });

  it("are counted where numbers are missing", () => {
    const gaps = new EventGaps();
    gaps.before(at(5));
    expect([gaps.before(at(9)), gaps.before(at(10))]).toEqual([3, 0]);
  });

  it("are those before the first one heard of a process that was started since", () => {
    const gaps = new EventGaps();
    gaps.before(at(500));
    expect([gaps.before(at(3, "b")), gaps.before(at(4, "b"))]).toEqual([2, 0]);
    const again = new EventGaps();
    again.before(at(5));
    expect(again.before(at(600, "b"))).toBe(599);
  });

  it("are not guessed of a node that numbers nothing", () => {
    const gaps = new EventGaps();
    expect([gaps.before(at(0, "")), gaps.before(at(0, ""))]).toEqual([0, 0]);
  });
});
