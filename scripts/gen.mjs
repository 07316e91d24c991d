// `npm run gen`: regenerates gen/ from proto/. Only what differs is written, so that watchers and running tests see no
// gap; what no proto makes any more is deleted. `node scripts/gen.mjs --check` changes nothing and fails on a difference.
//
// gen/go and gen/python need programs that a desk may lack: then they are left as they are, loudly, and never with CI=true.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { clientLanguages, peerFound } from "./client-code.mjs";
import { bin, cache, ensureInstalled, main, root, say, toolEnv } from "./toolchain.mjs";

const kept = join(root, "gen");

function filesIn(folder) {
  if (!existsSync(folder)) return [];
  return (
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
      // What Python keeps beside what it runs.
      .filter((file) => !file.includes("__pycache__"))
      .sort()
  );
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

/** Generates every language whose tools are here into `out`; the folders of gen/ that were left out. */
function generateAll(out) {
  generate(out);
  return clientLanguages.flatMap(({ folder, tool, generate: make }) => {
    const { path, missing } = peerFound(tool);
    if (path !== undefined) {
      make(join(out, "gen"), path);
      return [];
    }
    if (process.env.CI === "true") throw new Error(`gen/${folder} cannot be made without ${tool}: ${missing}`);
    say(`weft: gen/${folder} is left as it is: there is no ${tool} (${missing})`);
    return [folder];
  });
}

/** What must change in gen/ to become `fresh`, leaving alone some of its folders. */
function difference(fresh, leftOut) {
  const isLeftOut = (file) => leftOut.includes(file.split(/[\\/]/)[0]);
  const wanted = filesIn(fresh);
  const stale = filesIn(kept).filter((file) => !wanted.includes(file) && !isLeftOut(file));
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
    const leftOut = generateAll(draft);
    const fresh = join(draft, "gen");
    const { changed, stale } = difference(fresh, leftOut);
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
