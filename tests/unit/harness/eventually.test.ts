import { describe, expect, it } from "vitest";
import { eventually, throughout } from "../../harness/eventually.ts";

describe("eventually", () => {
  it("returns the first value that is not false, null or undefined", async () => {
    const answers = [undefined, null, false, 0];
    expect(await eventually(() => answers.shift(), { everyMs: 1 })).toBe(0);
    expect(answers).toEqual([]);
  });

  it("fails with what it waited for and what the probe threw last", async () => {
    const never = eventually(
      () => {
        throw new Error("not yet");
      },
      { withinMs: 20, everyMs: 1, what: "the link" },
    );
    await expect(never).rejects.toThrow(/the link did not come true within 20 ms; last seen: Error: not yet/);
  });
});

describe("throughout", () => {
  it("fails the moment the condition stops being true", async () => {
    let seen = 0;
    await expect(throughout(5_000, () => ++seen < 3, "the door")).rejects.toThrow("the door stopped being true");
    expect(seen).toBe(3);
  });

  it("passes when it holds", async () => {
    let seen = 0;
    await throughout(30, () => ++seen > 0);
    expect(seen).toBeGreaterThan(0);
  });
});
