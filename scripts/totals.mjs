// Prints `N passed, N failed, N skipped` from the report of the last test run, alone on a line, as the last line.
// A file that could not even be loaded counts as one failure. Without a report nothing passed. The exit code is 1 when
// anything failed. `node scripts/totals.mjs <report>` reads another report.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { cache, say } from "./toolchain.mjs";

function totals() {
  const file = process.argv[2] ?? join(cache, "vitest.json");
  if (!existsSync(file)) {
    say("weft: the tests left no report: they did not run to their end");
    return { passed: 0, failed: 1, skipped: 0 };
  }
  const report = JSON.parse(readFileSync(file, "utf8"));
  const unloadable = report.testResults.filter(
    ({ status, assertionResults }) => status === "failed" && !assertionResults.some((one) => one.status === "failed"),
  );
  const failed = report.numFailedTests + unloadable.length;
  return {
    passed: report.numPassedTests,
    // An error outside any test fails the run without a failed test.
    failed: failed === 0 && !report.success ? 1 : failed,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

const { passed, failed, skipped } = totals();
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exitCode = failed > 0 ? 1 : 0;
