#!/usr/bin/env node
// The `weft` command (`npx weft`, or linked into a PATH). Runs on any Node >= 20 and hands over to the pinned one.

import { become, ensureInstalled, main, pinnedNode, root } from "../scripts/toolchain.mjs";

await main(() => {
  ensureInstalled();
  become(pinnedNode, [`${root}/cli/bin.ts`, ...process.argv.slice(2)]);
});
