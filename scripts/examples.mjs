// `npm run examples -- go|python [--json]`: installs what is missing, the tools of that language included, then shows a client
// in it on a fabric of its own.

import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { become, ensureInstalled, main, pinnedNode, root, toolEnv } from "./toolchain.mjs";

await main(() => {
  ensureInstalled();
  spawnSync(pinnedNode, [join(root, "scripts", "peers.mjs")], { stdio: ["ignore", 2, 2], env: toolEnv() });
  become(pinnedNode, [join(root, "examples", "bin.ts"), ...process.argv.slice(2)], { cwd: root });
});
