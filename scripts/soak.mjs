// `npm run soak [-- <vitest arguments>]`: the test suite with randomized tests repeated many times.

import { join } from "node:path";
import { become, bin, ensureInstalled, main, root } from "./toolchain.mjs";

await main(() => {
  ensureInstalled();
  become(join(bin, "vitest"), ["run", ...process.argv.slice(2)], { cwd: root, env: { WEFT_SOAK: "1" } });
});
