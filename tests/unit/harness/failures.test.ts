import { describe, expect, it } from "vitest";
import { failuresOf } from "../../harness/failures.ts";

const module = (moduleId: string, state: "passed" | "failed" | "queued") => ({ moduleId, state: () => state });
const [good, bad, unseen] = [module("a", "passed"), module("b", "failed"), module("c", "queued")] as const;

describe("what is left behind of a run that failed", () => {
  it("is the files that failed, which may be tried again", () => {
    expect(failuresOf([good, bad], [], "failed")).toEqual({ files: ["b"], elsewhere: [] });
  });

  it("is more than files when something failed outside of them, or when others never had their turn", () => {
    expect(failuresOf([good, bad], [{ message: "a worker is gone" }], "failed").elsewhere).toEqual([
      "a worker is gone",
    ]);
    expect(failuresOf([good, bad, unseen], [], "failed").elsewhere).toEqual(["c did not run to its end"]);
    expect(failuresOf([good, bad], [], "interrupted").elsewhere).toEqual(["the run was interrupted"]);
  });
});
