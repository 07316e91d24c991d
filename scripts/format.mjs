// `npm run format [-- <paths>]`: puts TypeScript, JSON and proto files (or only the given paths) into the one format,
// sorts imports and applies the safe fixes of the linter.

import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { bin, ensureInstalled, main, root, toolEnv } from "./toolchain.mjs";

function run(program, args) {
  const done = spawnSync(join(bin, program), args, { cwd: root, stdio: "inherit", env: toolEnv() });
  if (done.error) throw done.error;
  if (done.status !== 0) process.exitCode = 1;
}

await main(() => {
  ensureInstalled();
  const paths = process.argv.slice(2);
  run("biome", ["check", "--write", ...(paths.length === 0 ? ["."] : paths)]);
  if (paths.length === 0) run("buf", ["format", "--write"]);
});
