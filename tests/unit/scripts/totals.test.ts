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

  /** What is printed for a report, and for one of what was run again, and the exit code. */
  function totals(report: object | undefined, again?: object): [string, number | null] {
    const files = [report, again].map((one, index) => {
      const file = join(folder, `report-${index}.json`);
      rmSync(file, { force: true });
      if (one !== undefined) writeFileSync(file, JSON.stringify(one));
      return file;
    });
    const done = spawnSync(process.execPath, [script, ...files], { encoding: "utf8" });
    return [done.stdout, done.status];
  }

  const test = (status: string, fullName = status) => ({
    status,
    fullName,
    failureMessages: status === "failed" ? [`Error: ${fullName} did not work\n    at somewhere`] : [],
  });
  const file = (name: string, ...assertionResults: object[]) => ({
    name: fileURLToPath(new URL(`../../${name}`, import.meta.url)),
    status: JSON.stringify(assertionResults).includes(`"failed"`) ? "failed" : "passed",
    assertionResults,
  });
  const clean = { success: true, testResults: [file("a.test.ts", test("passed"), test("pending"), test("todo"))] };
  const flaky = file("b.test.ts", test("passed"), test("failed", "moves"));

  it("are one line, and pass", () => {
    expect(totals(clean)).toEqual(["1 passed, 0 failed, 2 skipped\n", 0]);
  });

  it("fail with a failed test, counted once and named", () => {
    expect(totals({ success: false, testResults: [flaky] })).toEqual([
      "FAILED tests/b.test.ts: moves\n    Error: moves did not work\n1 passed, 1 failed, 0 skipped\n",
      1,
    ]);
  });

  it("count a file that could not be loaded", () => {
    const broken = { ...file("c.test.ts"), status: "failed", message: "no such module\nat c" };
    expect(totals({ success: false, testResults: [...clean.testResults, broken] })).toEqual([
      "FAILED tests/c.test.ts\n    no such module\n1 passed, 1 failed, 2 skipped\n",
      1,
    ]);
  });

  it("fail with an error outside any test", () => {
    expect(totals({ ...clean, success: false })).toEqual(["1 passed, 1 failed, 2 skipped\n", 1]);
  });

  it("pass when what failed passes by itself, and name it", () => {
    const again = { success: true, testResults: [file("b.test.ts", test("passed"), test("passed", "moves"))] };
    expect(totals({ success: false, testResults: [...clean.testResults, flaky] }, again)).toEqual([
      "PASSED ONLY WHEN RUN AGAIN, BY ITSELF tests/b.test.ts: moves\n    Error: moves did not work\n3 passed, 0 failed, 2 skipped\n",
      0,
    ]);
  });

  it("fail when what failed fails by itself as well", () => {
    const again = { success: false, testResults: [flaky] };
    const [printed, code] = totals({ success: false, testResults: [...clean.testResults, flaky] }, again);
    expect(printed).toBe(
      "FAILED tests/b.test.ts: moves\n    Error: moves did not work\n2 passed, 1 failed, 2 skipped\n",
    );
    expect(code).toBe(1);
  });

  it("fail without a report", () => {
    expect(totals(undefined)).toEqual(["0 passed, 1 failed, 0 skipped\n", 1]);
  });
});
