import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const script = fileURLToPath(new URL("../../../scripts/totals.mjs", import.meta.url));

describe("the totals of a CI run", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "weft-totals-"));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function totals(report: object | undefined): [string, number | null] {
    const file = join(folder, "report.json");
    rmSync(file, { force: true });
    if (report !== undefined) writeFileSync(file, JSON.stringify(report));
    const done = spawnSync(process.execPath, [script, file], { encoding: "utf8" });
    return [done.stdout, done.status];
  }

  const clean = {
    success: true,
    numPassedTests: 7,
    numFailedTests: 0,
    numPendingTests: 1,
    numTodoTests: 1,
    testResults: [],
  };

  it("are one line, and pass", () => {
    expect(totals(clean)).toEqual(["7 passed, 0 failed, 2 skipped\n", 0]);
  });

  it("fail with a failed test, counted once", () => {
    const testResults = [{ status: "failed", assertionResults: [{ status: "failed" }, { status: "passed" }] }];
    expect(totals({ ...clean, success: false, numFailedTests: 1, testResults })).toEqual([
      "7 passed, 1 failed, 2 skipped\n",
      1,
    ]);
  });

  it("count a file that could not be loaded", () => {
    const testResults = [{ status: "failed", assertionResults: [] }];
    expect(totals({ ...clean, success: false, testResults })).toEqual(["7 passed, 1 failed, 2 skipped\n", 1]);
  });

  it("fail with an error outside any test", () => {
    expect(totals({ ...clean, success: false })).toEqual(["7 passed, 1 failed, 2 skipped\n", 1]);
  });

  it("fail without a report", () => {
    expect(totals(undefined)).toEqual(["0 passed, 1 failed, 0 skipped\n", 1]);
  });
});
