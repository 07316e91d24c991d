/** One writer at a time for an operator's context folder: commands run side by side, and each may want to renew or to add. */

import { closeSync, openSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../lib/errors.ts";

/** A lock older than this was left by a command that was killed. */
const staleAfterMs = 60_000;

function take(path: string): boolean {
  try {
    closeSync(openSync(path, "wx", 0o600));
    return true;
  } catch (thrown) {
    if (errnoOf(thrown) === "EEXIST") return false;
    throw thrown;
  }
}

function isStale(path: string): boolean {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat !== undefined && Date.now() - stat.mtimeMs > staleAfterMs;
}

/** Runs `work` as the only writer of the folder; undefined, without running it, while another command writes. */
export async function asOnlyWriter<T>(dir: string, work: () => Promise<T>): Promise<T | undefined> {
  const path = join(dir, "writing.lock");
  if (isStale(path)) rmSync(path, { force: true });
  if (!take(path)) return undefined;
  try {
    return await work();
  } finally {
    rmSync(path, { force: true });
  }
}
