import { expect, it } from "vitest";
import { ManualClock } from "../../../lib/clock.ts";
import { type Admission, type BudgetLimits, PathBudget } from "../../../relay/budget.ts";

const bounds: BudgetLimits = {
  pathsMaxCount: 10,
  pendingPerInitiatorMaxCount: 3,
  pendingPerCallerMaxCount: 5,
  livePerInitiatorMaxCount: 6,
  offersPerInitiatorPerSecond: 20,
  offersPerCallerPerSecond: 200,
  offerBurstCount: 20,
};

function admitted(budget: PathBudget, initiator: string, caller = "nd-c"): Admission {
  const answer = budget.admit({ initiator, caller });
  if (typeof answer === "string") throw new Error(answer);
  return answer;
}

it("one initiator at its bound never takes room from another", () => {
  const budget = new PathBudget(new ManualClock(), bounds);
  for (let i = 0; i < 3; i++) admitted(budget, "nd-1");
  expect(budget.admit({ initiator: "nd-1", caller: "nd-c" })).toBe("INITIATOR_PENDING");
  expect(admitted(budget, "nd-2")).toBeDefined();
});

it("a path that carries bytes is not pending, and is counted until it is released, once", () => {
  const budget = new PathBudget(new ManualClock(), bounds);
  const paths = Array.from({ length: 6 }, () => {
    const path = admitted(budget, "nd-1");
    path.established();
    path.established();
    return path;
  });
  expect(budget.admit({ initiator: "nd-1", caller: "nd-c" })).toBe("INITIATOR_PATHS");
  expect(budget.count).toBe(6);
  paths[0]?.release();
  paths[0]?.release();
  expect(budget.count).toBe(5);
  expect(budget.load).toBe(0.5);
  expect(admitted(budget, "nd-1")).toBeDefined();
});

it("the asking neighbour is charged as well", () => {
  const budget = new PathBudget(new ManualClock(), bounds);
  for (const initiator of ["a", "b", "c", "d", "e"]) admitted(budget, initiator, "nd-c");
  expect(budget.admit({ initiator: "f", caller: "nd-c" })).toBe("CALLER_PENDING");
  expect(admitted(budget, "f", "nd-d")).toBeDefined();
});

it("offers per second are bounded for each initiator, refused ones included", () => {
  const clock = new ManualClock();
  const budget = new PathBudget(clock, bounds);
  for (let i = 0; i < 20; i++) budget.admit({ initiator: "nd-1", caller: "nd-c" });
  expect(budget.admit({ initiator: "nd-1", caller: "nd-c" })).toBe("INITIATOR_RATE");
  expect(admitted(budget, "nd-2")).toBeDefined();
  clock.advance(50);
  expect(budget.admit({ initiator: "nd-1", caller: "nd-c" })).toBe("INITIATOR_PENDING");
});

it("the table has a size", () => {
  const budget = new PathBudget(new ManualClock(), bounds);
  for (let i = 0; i < 10; i++) admitted(budget, `nd-${i}`, `nd-c${i}`);
  expect(budget.admit({ initiator: "nd-x", caller: "nd-cx" })).toBe("PATHS_MAX");
});
