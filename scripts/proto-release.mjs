// `npm run proto:release`: freezes the wire contract. Writes proto/released.binpb, which `buf breaking` compares with;
// it refuses when the present contract breaks the released one, unless --break is given (a decision to write down).

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { bin, ensureInstalled, main, root, toolEnv } from "./toolchain.mjs";

const released = "proto/released.binpb";

function buf(...args) {
  const done = spawnSync(join(bin, "buf"), args, { cwd: root, stdio: ["ignore", 2, 2], env: toolEnv() });
  if (done.error) throw done.error;
  if (done.status !== 0) throw new Error(`buf ${args[0]} failed with exit code ${done.status ?? done.signal}`);
}

await main(() => {
  ensureInstalled();
  buf("lint");
  const compare = existsSync(join(root, released)) && !process.argv.includes("--break");
  if (compare) buf("breaking", "--exclude-imports", "--against", released);
  // Without source info the file changes only when the contract does, not when a comment moves.
  buf("build", "--path", "proto/weft", "--exclude-source-info", "-o", released);
  console.error(`${released} now holds the present contract; commit it`);
});
