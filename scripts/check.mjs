// `npm run check`: everything that can say no, as one command, the same on a desk and in CI.
//
// The quick checks run one at a time beside the tests, which begin with what mostly waits: a line each, with the output of
// those that fail. Everything runs even when something fails; a few test files that failed run once more by themselves
// (again.mjs). The exit code is 0 only when everything passed.
// `--no-tests` leaves the tests out.

import { spawn } from "node:child_process";
import { join } from "node:path";
import { forgetReports, triedAgain } from "./again.mjs";
import { bin, ensureInstalled, main, root, say, toolEnv } from "./toolchain.mjs";

const script = (name, ...args) => ["node", join(root, "scripts", name), ...args];

const checks = [
  { name: "types", command: ["tsc", "--noEmit"] },
  { name: "lint and format", command: ["biome", "check", "--error-on-warnings", "."] },
  { name: "proto lint", command: ["buf", "lint"] },
  { name: "proto format", command: ["buf", "format", "--diff", "--exit-code"] },
  {
    name: "proto compatibility",
    command: ["buf", "breaking", "--exclude-imports", "--against", "proto/released.binpb"],
  },
  { name: "generated code", command: script("gen.mjs", "--check") },
  { name: "dead code", command: ["knip"] },
];

/** Without the tests there is nothing else to do. */
const atOnce = (tests) => (tests ? 1 : 2);
const checkMaxMs = 180_000;

function seconds(startedMs) {
  return `${((performance.now() - startedMs) / 1000).toFixed(1)} s`.padStart(8);
}

/** Runs one check with its output kept; resolves to whether it passed. */
function run({ name, command }) {
  const startedMs = performance.now();
  const [program, ...args] = command;
  return new Promise((resolve) => {
    const child = spawn(join(bin, program), args, {
      cwd: root,
      env: toolEnv(),
      timeout: checkMaxMs,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    const end = (passed, why) => {
      console.log(`${passed ? "ok  " : "FAIL"} ${seconds(startedMs)}  ${name}${why}`);
      if (!passed) console.log(output.trimEnd().replace(/^/gm, "    "));
      resolve(passed);
    };
    child.stdout.on("data", (chunk) => (output += chunk));
    child.stderr.on("data", (chunk) => (output += chunk));
    child.on("error", (error) => end(false, ` (could not be run: ${error.message})`));
    child.on("close", (code, signal) => end(code === 0, code === 0 ? "" : ` (exit ${code ?? signal})`));
  });
}

async function runAll(tests) {
  const waiting = [...checks];
  const failed = [];
  const worker = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      if (!(await run(next))) failed.push(next.name);
    }
  };
  await Promise.all(Array.from({ length: atOnce(tests) }, worker));
  return failed;
}

/** The tests, talking to this terminal; resolves to their exit code. */
function runTests(args, variables = {}) {
  return new Promise((resolve) => {
    const child = spawn(join(bin, "vitest"), ["run", ...args], {
      cwd: root,
      env: { ...toolEnv(), ...variables },
      stdio: "inherit",
    });
    for (const signal of ["SIGTERM", "SIGHUP"]) process.once(signal, () => child.kill(signal));
    child.on("error", (error) => {
      say(`vitest could not be run: ${error.message}`);
      resolve(127);
    });
    child.on("exit", (code) => resolve(code ?? 1));
  });
}

await main(async () => {
  ensureInstalled();
  const args = process.argv.slice(2);
  const tests = !args.includes("--no-tests");
  if (tests) forgetReports();
  const [failed, first] = await Promise.all([runAll(tests), tests ? runTests(args) : 0]);
  if ((await triedAgain(first, runTests)) !== 0) failed.push("tests");
  if (failed.length === 0) return;
  say(`\nweft: failed: ${failed.join(", ")}`);
  process.exitCode = 1;
});
