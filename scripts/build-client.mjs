// `npm pack` runs this first: the SDK (client/) and what it is made of, as JavaScript with types, into dist/. Node runs no
// TypeScript out of node_modules, so a package has to bring JavaScript.

import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { bin, ensureInstalled, main, root, toolEnv } from "./toolchain.mjs";

await main(() => {
  ensureInstalled();
  rmSync(join(root, "dist"), { recursive: true, force: true });
  const done = spawnSync(join(bin, "tsc"), ["--project", "tsconfig.client.json"], {
    cwd: root,
    // The list of what was packed is npm's, on standard output.
    stdio: ["ignore", 2, 2],
    env: toolEnv(),
  });
  if (done.error) throw done.error;
  if (done.status !== 0) throw new Error(`tsc failed with exit code ${done.status ?? done.signal}`);
});
