// `npm run gen`: regenerates gen/ from proto/. Only what differs is written, so that watchers and running tests see no
// gap; what no proto makes any more is deleted. `node scripts/gen.mjs --check` changes nothing and fails on a difference.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { bin, cache, ensureInstalled, main, root, toolEnv } from "./toolchain.mjs";

function filesIn(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();
}

function generate(out) {
  const done = spawnSync(join(bin, "buf"), ["generate", "--output", out], {
    cwd: root,
    stdio: ["ignore", 2, 2],
    env: toolEnv(),
  });
  if (done.error) throw done.error;
  if (done.status !== 0) throw new Error(`buf generate failed with exit code ${done.status ?? done.signal}`);
}

/** What must change in `kept` to become `fresh`. */
function difference(fresh, kept) {
  const wanted = filesIn(fresh);
  const stale = filesIn(kept).filter((file) => !wanted.includes(file));
  const changed = wanted.filter((file) => {
    const old = join(kept, file);
    return !existsSync(old) || !readFileSync(old).equals(readFileSync(join(fresh, file)));
  });
  return { changed, stale };
}

await main(() => {
  ensureInstalled();
  mkdirSync(cache, { recursive: true });
  const draft = mkdtempSync(join(cache, "gen-"));
  try {
    generate(draft);
    const fresh = join(draft, "gen");
    const kept = join(root, "gen");
    const { changed, stale } = difference(fresh, kept);
    if (process.argv.includes("--check")) {
      for (const file of changed) console.error(`gen/${file} is not what proto/ says`);
      for (const file of stale) console.error(`gen/${file} belongs to no proto`);
      if (changed.length + stale.length > 0) throw new Error("gen/ is out of date: npm run gen");
      return;
    }
    for (const file of changed) {
      mkdirSync(dirname(join(kept, file)), { recursive: true });
      writeFileSync(join(kept, file), readFileSync(join(fresh, file)));
    }
    for (const file of stale) rmSync(join(kept, file));
    console.error(`gen/: ${changed.length} written, ${stale.length} deleted`);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
});
