/**
 * What failed in a run, left behind for scripts/again.mjs: which files, and whether anything failed that no file answers for
 * (an error outside every test, a secret that the run left, files that never had their turn). Only the former may be tried again.
 */

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import type { Reporter, SerializedError, TestModule, TestRunEndReason } from "vitest/node";

const failuresFile = fileURLToPath(new URL("../../node_modules/.cache/weft/failures.json", import.meta.url));

interface Failures {
  /** Paths of the test files of which something failed. */
  readonly files: readonly string[];
  /** What failed outside the files, in words. */
  readonly elsewhere: readonly string[];
}

function write(failures: Failures): void {
  mkdirSync(dirname(failuresFile), { recursive: true });
  writeFileSync(failuresFile, JSON.stringify(failures));
}

/** What failed in a run that ended so. One that was broken off has not seen the rest: trying again what failed until then says nothing. */
export function failuresOf(
  modules: readonly Pick<TestModule, "moduleId" | "state">[],
  unhandled: readonly Pick<SerializedError, "message">[],
  reason: TestRunEndReason,
): Failures {
  const unseen = modules.filter((one) => one.state() === "queued" || one.state() === "pending");
  return {
    files: modules.filter((one) => one.state() === "failed").map((one) => one.moduleId),
    elsewhere: [
      ...unhandled.map(({ message }) => message),
      ...unseen.map((one) => `${one.moduleId} did not run to its end`),
      ...(reason === "interrupted" ? ["the run was interrupted"] : []),
    ],
  };
}

export class FailureReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[], reason: TestRunEndReason): void {
    write(failuresOf(modules, unhandled, reason));
  }
}

/** Says after the end of the tests that something failed that none of them answers for. */
export function noteFailureElsewhere(what: string): void {
  const { files, elsewhere } = JSON.parse(readFileSync(failuresFile, "utf8")) as Failures;
  write({ files, elsewhere: [...elsewhere, what] });
}
