// Runs one pinned program from the project's root: `node scripts/tool.mjs biome check .`

import { join } from "node:path";
import { become, bin, ensureInstalled, main, root } from "./toolchain.mjs";

await main(() => {
  ensureInstalled();
  const [program, ...args] = process.argv.slice(2);
  if (program === undefined) throw new Error("which program?");
  become(join(bin, program), args, { cwd: root });
});
