/**
 * Runs once before and after the whole suite: makes sure the outside programs were looked for, names at the end what was
 * skipped for the lack of one, gives the suite a folder for temporary files that goes with it, answers tests that ask for
 * a store, and fails the run when anything it left holds a secret.
 */

import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { noteFailureElsewhere } from "./failures.ts";
import { anySecret, type Leak, leaksIn } from "./leak-search.ts";
import { leaksBelow, notedIn } from "./left-behind.ts";
import { memoryFolder } from "./memory-folder.ts";
import type { SkippedForPeer } from "./peers.ts";
import { peerNames, peersFile, skippedFile } from "./peers.ts";
import { ProcessSampler } from "./process-sampler.ts";
import { reportPath } from "./report-path.ts";
import { RUN_STORES, serveRunStores } from "./run-stores.ts";

/** Written by now (vitest.config.ts). */
const reportFile = fileURLToPath(new URL(`../../${reportPath}`, import.meta.url));

let temporary: string | undefined;
let sampler: ProcessSampler | undefined;
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
  sampler = new ProcessSampler(temporary);
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

/** What the run left is searched for what it must not hold: its folder, what was noted on the way, its processes, its report. */
function searchedRun(): { readonly leaks: readonly Leak[]; readonly said: string } {
  if (temporary === undefined || sampler === undefined) return { leaks: [], said: "" };
  const before = process.cpuUsage();
  const { leaks, secrets, searches, cpuMs } = notedIn(temporary);
  const all = [...anySecret, ...secrets];
  const seen = sampler.stop();
  const report = existsSync(reportFile) ? readFileSync(reportFile) : Buffer.alloc(0);
  const found = [
    ...leaks,
    ...leaksBelow(temporary),
    ...leaksIn("arguments or environment of a process", seen, all),
    ...leaksIn(reportFile, report, all),
  ];
  const { user, system } = process.cpuUsage(before);
  const own = Math.round((user + system) / 1_000);
  return {
    leaks: [...new Map(found.map((leak) => [JSON.stringify(leak), leak])).values()],
    said: `searched for ${all.length} secrets: ${searches} folders in ${cpuMs} ms on the way, ${sampler.count} processes and the rest in ${own} ms`,
  };
}

export async function teardown(): Promise<void> {
  await stores?.stop();
  const { leaks, said } = searchedRun();
  console.error(`\n${said}`);
  removeTemporary();
  tellSkipped();
  if (leaks.length === 0) return;
  const lines = leaks.map(({ secret, where }) => `  ${secret}: ${where}`);
  noteFailureElsewhere("the run left secrets where none may be");
  throw new Error(`the run left secrets where none may be:\n${lines.join("\n")}`);
}

function tellSkipped(): void {
  if (!existsSync(skippedFile)) return;
  const lines = readFileSync(skippedFile, "utf8").trim().split("\n");
  console.error(`\n${lines.length} suite(s) SKIPPED for the lack of an outside program:`);
  for (const line of lines) {
    const { peer, suite, why } = JSON.parse(line) as SkippedForPeer;
    console.error(`  ${peer}: ${suite} (${why})`);
  }
}
