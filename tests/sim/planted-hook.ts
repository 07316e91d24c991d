/** Loads the product with one planted bug: `node --import planted-hook.ts planted-run.ts`, the bug by number in WEFT_PLANTED. */

import { registerHooks } from "node:module";
import { plantedBugs } from "./planted.ts";

const bug = plantedBugs[Number(process.env["WEFT_PLANTED"])];
if (bug === undefined) throw new Error("WEFT_PLANTED names no bug");
const url = new URL(`../../${bug.file}`, import.meta.url).href;

registerHooks({
  load(loading, context, next) {
    const loaded = next(loading, context);
    if (loading !== url) return loaded;
    const text = String(loaded.source);
    if (text.split(bug.from).length !== 2) throw new Error(`${bug.file} has no single place for: ${bug.name}`);
    return { ...loaded, source: text.replace(bug.from, () => bug.to) };
  },
});
