import { describe, expect, it } from "vitest";
import type { TrunkRunner } from "../../../../edge/trunk-runner.ts";
import { TrunkWays } from "../../../../node/roles/trunk-ways.ts";

const trunk = (): TrunkRunner => ({}) as TrunkRunner;

describe("the ways of a trunk", () => {
  it("lead by one entry while all its paths came by it", () => {
    const ways = new TrunkWays();
    const [one, other] = [trunk(), trunk()];
    expect(ways.entryOf(one)).toBe("");
    expect(ways.came(one, "nd-e1")).toBe(false);
    expect(ways.came(one, "nd-e1")).toBe(false);
    expect([ways.entryOf(one), ways.entryOf(other)]).toEqual(["nd-e1", ""]);
  });

  it("lead by none in particular once a path came by another, for good", () => {
    const ways = new TrunkWays();
    const one = trunk();
    ways.came(one, "nd-e1");
    expect(ways.came(one, "nd-e2")).toBe(true);
    expect(ways.came(one, "nd-e1")).toBe(false);
    expect(ways.entryOf(one)).toBe("");
  });
});

describe("the flow of a trunk", () => {
  it("is that of its first channel", () => {
    const ways = new TrunkWays();
    const [isolated, shared] = [trunk(), trunk()];
    expect([ways.takesFlow(isolated, "f-1"), ways.takesFlow(isolated, "f-1")]).toEqual([true, true]);
    expect([ways.takesFlow(isolated, "f-2"), ways.takesFlow(isolated, "")]).toEqual([false, false]);
    expect([ways.takesFlow(shared, ""), ways.takesFlow(shared, "f-1"), ways.takesFlow(shared, "")]).toEqual([
      true,
      false,
      true,
    ]);
  });
});
