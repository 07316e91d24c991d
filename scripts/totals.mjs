// Names what failed in the last test run, and what passed only when it was run again (again.mjs), then prints
// `N passed, N failed, N skipped` alone on a line, as the last line. A file that could not even be loaded counts as one
// failure. Without a report nothing passed. The exit code is 1 when anything failed. `node scripts/totals.mjs <report>`
// reads another report.

import { existsSync, readFileSync } from "node:fs";
import { relative } from "node:path";
import { reports } from "./again.mjs";
import { root, say } from "./toolchain.mjs";

const read = (file) => JSON.parse(readFileSync(file, "utf8"));

/** Tests of some files that ended with this status, by file and name, each with the first line of what it said. */
function named(files, status) {
  return files.flatMap(({ name, message, status: whole, assertionResults }) => {
    const file = relative(root, name);
    const tests = assertionResults.filter((one) => one.status === status);
    if (tests.length === 0 && whole === "failed" && status === "failed")
      return [{ test: file, said: firstLine(message) }];
    return tests.map(({ fullName, failureMessages }) => ({
      test: `${file}: ${fullName}`,
      said: firstLine(failureMessages?.[0]),
    }));
  });
}

const firstLine = (text) => (text ?? "").trim().split("\n")[0];

function totals(reportFile, againFile) {
  if (!existsSync(reportFile)) {
    say("weft: the tests left no report: they did not run to their end");
    return { passed: 0, failed: [], failures: 1, skipped: 0, again: [] };
  }
  const first = read(reportFile);
  const second = existsSync(againFile) ? read(againFile) : { testResults: [], success: true };
  const repeated = new Set(second.testResults.map(({ name }) => name));
  const files = [...first.testResults.filter(({ name }) => !repeated.has(name)), ...second.testResults];
  const failed = named(files, "failed");
  const stillFailed = new Set(failed.map(({ test }) => test));
  const success = repeated.size > 0 ? second.success : first.success;
  const count = (...statuses) =>
    files.flatMap(({ assertionResults }) => assertionResults).filter(({ status }) => statuses.includes(status)).length;
  return {
    passed: count("passed"),
    failed,
    // An error outside any test fails the run without a failed test.
    failures: failed.length === 0 && !success ? 1 : failed.length,
    skipped: count("pending", "skipped", "todo", "disabled"),
    again: named(first.testResults, "failed").filter(({ test }) => !stillFailed.has(test)),
  };
}

const [, , report = reports.first, again = report === reports.first ? reports.again : ""] = process.argv;
const { passed, failed, failures, skipped, again: onlyAgain } = totals(report, again);
for (const { test, said } of failed) console.log(`FAILED ${test}\n    ${said}`);
for (const { test, said } of onlyAgain) console.log(`PASSED ONLY WHEN RUN AGAIN, BY ITSELF ${test}\n    ${said}`);
console.log(`${passed} passed, ${failures} failed, ${skipped} skipped`);
process.exitCode = failures > 0 ? 1 : 0;
