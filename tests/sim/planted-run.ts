/** Plays seeds until one finds the planted bug; prints one line of JSON: the seed, or 0, and what was broken. */

import { runSeed } from "./run.ts";

const most = Number(process.argv[2] ?? "1000");
let found = { seed: 0, broken: "" };
for (let seed = 1; seed <= most && found.seed === 0; seed += 1) {
  const { broken } = await runSeed(seed);
  if (broken !== "") found = { seed, broken: broken.split("\n")[0] ?? "" };
}
console.info(JSON.stringify(found));
