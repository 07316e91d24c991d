/**
 * Runs once before and after the whole suite: makes sure the outside programs were looked for, and names at the end
 * what was skipped for the lack of one.
 */

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { SkippedForPeer } from "./peers.ts";
import { peersFile, skippedFile } from "./peers.ts";

export function setup(): void {
  rmSync(skippedFile, { force: true });
  if (!existsSync(peersFile)) {
    const script = fileURLToPath(new URL("../../scripts/peers.mjs", import.meta.url));
    execFileSync(process.execPath, [script, "--find"], { stdio: ["ignore", "ignore", "inherit"] });
  }
}

export function teardown(): void {
  if (!existsSync(skippedFile)) return;
  const lines = readFileSync(skippedFile, "utf8").trim().split("\n");
  console.error(`\n${lines.length} suite(s) SKIPPED for the lack of an outside program:`);
  for (const line of lines) {
    const { peer, suite, why } = JSON.parse(line) as SkippedForPeer;
    console.error(`  ${peer}: ${suite} (${why})`);
  }
}
