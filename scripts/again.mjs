// A few test files that failed are run once more, one at a time and with nothing beside them. Files that start whole fabrics
// share two cores with others while the suite runs; what fails by itself as well is broken, what passes then is named in the
// totals (scripts/totals.mjs) so that it is looked at, and the run counts as passed.

import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { cache, say } from "./toolchain.mjs";

/** More than this many failing files is not bad luck. */
const filesMax = 3;

const failures = join(cache, "failures.json");

/** Report of the run, and of what was run again. */
export const reports = { first: join(cache, "vitest.json"), again: join(cache, "vitest-again.json") };

/** Forgets the runs before this one. */
export function forgetReports() {
  for (const file of [failures, ...Object.values(reports)]) rmSync(file, { force: true });
}

/** The files worth another try after a run that failed: none when there are many, or when something else failed as well. */
function worthAnotherTry() {
  if (!existsSync(failures)) return [];
  const { files, elsewhere } = JSON.parse(readFileSync(failures, "utf8"));
  return elsewhere.length === 0 && files.length <= filesMax ? files : [];
}

/** Runs what failed again through `run(args, env)`, which resolves to an exit code; resolves to the code that counts. */
export async function triedAgain(code, run) {
  const files = code === 0 ? [] : worthAnotherTry();
  if (files.length === 0) return code;
  say(`\nweft: ${files.length} file(s) failed; now again, with nothing beside them`);
  return run([...files, "--maxWorkers=1"], { WEFT_AGAIN: "1" });
}
