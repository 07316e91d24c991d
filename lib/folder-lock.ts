/** One writer at a time for a folder that several processes share: programs run side by side, and each may want to renew what is in it. */

import { closeSync, openSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "./errors.ts";

/** A lock older than this was left by a process that was killed. */
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

function isStale(path: string, nowMs: number): boolean {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat !== undefined && nowMs - stat.mtimeMs > staleAfterMs;
}

/**
 * Runs `work` as the only writer of the folder, under a lock of that name; undefined, without running it, while another process
 * writes. Throws what the file system says when the folder cannot be written, and what `work` throws.
 */
export async function asOnlyWriterOf<T>(
  dir: string,
  lock: string,
  nowMs: number,
  work: () => Promise<T>,
): Promise<T | undefined> {
  const path = join(dir, lock);
  if (isStale(path, nowMs)) rmSync(path, { force: true });
  if (!take(path)) return undefined;
  try {
    return await work();
  } finally {
    rmSync(path, { force: true });
  }
}
