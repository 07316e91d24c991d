#!/usr/bin/env node
// The `weft` command (`npx weft`, or linked into a PATH). Runs on any Node >= 20 and hands over to the pinned one.

import { existsSync } from "node:fs";

if (existsSync(new URL("../scripts/toolchain.mjs", import.meta.url))) {
  const { becomeWeft, ensureInstalled, main } = await import("../scripts/toolchain.mjs");
  await main(() => {
    ensureInstalled();
    becomeWeft(process.argv.slice(2));
  });
} else {
  process.stderr.write(
    "weft: this package is the client library (weft/client); the command comes with a checkout of Weft\n",
  );
  process.exitCode = 1;
}
