/**
 * Runs once before and after the whole suite: makes sure the outside programs were looked for, names at the end what was
 * skipped for the lack of one, gives the suite a folder for temporary files that goes with it, and answers tests that ask for
 * a store.
 */

import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { memoryFolder } from "./memory-folder.ts";
import type { SkippedForPeer } from "./peers.ts";
import { peerNames, peersFile, skippedFile } from "./peers.ts";
import { RUN_STORES, serveRunStores } from "./run-stores.ts";

let temporary: string | undefined;
let stores: Awaited<ReturnType<typeof serveRunStores>> | undefined;

export async function setup(): Promise<void> {
  // Compiled code is worth keeping between runs; everything else that tests put into the temporary folder is not.
  process.env["NODE_COMPILE_CACHE"] ??= join(tmpdir(), "weft-compile-cache");
  // Short: paths of sockets in folders below it have to stay within their bound.
  temporary = mkdtempSync(join(memoryFolder() ?? tmpdir(), "wt-"));
  // Also when the run is broken off: memory is not given back by itself.
  process.once("exit", removeTemporary);
  // A PostgreSQL started by root runs as another user and must get through to its own folder.
  chmodSync(temporary, 0o711);
  process.env["TMPDIR"] = temporary;
  rmSync(skippedFile, { force: true });
  if (!lookedForAll()) {
    const script = fileURLToPath(new URL("../../scripts/peers.mjs", import.meta.url));
    execFileSync(process.execPath, [script, "--find"], { stdio: ["ignore", "ignore", "inherit"] });
  }
  stores = await serveRunStores(temporary);
  process.env[RUN_STORES] = stores.socket;
}

/** Whether somebody has looked for every program that is wanted now. */
function lookedForAll(): boolean {
  if (!existsSync(peersFile)) return false;
  const found = JSON.parse(readFileSync(peersFile, "utf8")) as Record<string, unknown>;
  return peerNames.every((name) => name in found);
}

function removeTemporary(): void {
  if (temporary !== undefined) rmSync(temporary, { recursive: true, force: true });
}

export async function teardown(): Promise<void> {
  await stores?.stop();
  removeTemporary();
  if (!existsSync(skippedFile)) return;
  const lines = readFileSync(skippedFile, "utf8").trim().split("\n");
  console.error(`\n${lines.length} suite(s) SKIPPED for the lack of an outside program:`);
  for (const line of lines) {
    const { peer, suite, why } = JSON.parse(line) as SkippedForPeer;
    console.error(`  ${peer}: ${suite} (${why})`);
  }
}
