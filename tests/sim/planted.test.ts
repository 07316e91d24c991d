/** What the seeded worlds are worth: bugs planted by hand are found, each within a thousand seeds. */

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { plantedBugs } from "./planted.ts";

const run = promisify(execFile);
const within = 1_000;
const here = (file: string): string => new URL(file, import.meta.url).pathname;

describe(`planted bugs are found within ${within} seeds`, () => {
  it.each(plantedBugs.map(({ name }, at) => ({ name, at })))("$name", { timeout: 180_000 }, async ({ name, at }) => {
    const { stdout } = await run(
      process.execPath,
      ["--import", here("planted-hook.ts"), here("planted-run.ts"), String(within)],
      { env: { ...process.env, WEFT_PLANTED: String(at) } },
    );
    const found = JSON.parse(stdout.trim().split("\n").at(-1) ?? "{}") as { seed: number; broken: string };
    console.info(`${name}: seed ${found.seed}: ${found.broken}`);
    expect(found.seed).toBeGreaterThan(0);
  });
});
