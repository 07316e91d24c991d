#!/usr/bin/env node
// The `weft` command (`npx weft`, or linked into a PATH). Runs on any Node >= 20 and hands over to the pinned one.

import { becomeWeft, ensureInstalled, main } from "../scripts/toolchain.mjs";

await main(() => {
  ensureInstalled();
  becomeWeft(process.argv.slice(2));
});
