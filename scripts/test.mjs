// `npm test`: installs what is missing, the outside programs of the tests included, then checks everything.
// `npm test -- <vitest arguments>` hands them to vitest.

import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { become, ensureInstalled, main, pinnedNode, root, say, toolEnv } from "./toolchain.mjs";

await main(() => {
  ensureInstalled();
  const peers = spawnSync(pinnedNode, [join(root, "scripts", "peers.mjs")], {
    stdio: ["ignore", 2, 2],
    env: toolEnv(),
  });
  if (peers.status !== 0) say("weft: looking for outside programs failed; the tests that need them will say so");
  become(pinnedNode, [join(root, "scripts", "check.mjs"), ...process.argv.slice(2)], { cwd: root });
});
