/** Small durable files: written whole, renamed into place, so a crash leaves the old or the new content and nothing else. */

import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { errnoOf } from "./errors.ts";

/** Replaces `path` atomically and durably. `mode` applies to the new file. */
export function replaceFile(path: string, content: Uint8Array | string, mode = 0o600): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.new`;
  rmSync(temporary, { force: true });
  const descriptor = openSync(temporary, "wx", mode);
  try {
    const bytes = typeof content === "string" ? Buffer.from(content) : content;
    for (let at = 0; at < bytes.length; ) at += writeSync(descriptor, bytes, at);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  renameSync(temporary, path);
  syncFolder(dirname(path));
}

/** A rename lasts when its folder is on disk. Where folders cannot be opened or synced, the system sees to it or nobody can. */
function syncFolder(folder: string): void {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(folder, "r");
    fsyncSync(descriptor);
  } catch (thrown) {
    if (!["EISDIR", "EPERM", "EACCES", "EINVAL"].includes(errnoOf(thrown) ?? "")) throw thrown;
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** The file's bytes, or undefined when there is no such file. Other failures are thrown. */
export function readFileIfAny(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return undefined;
    throw thrown;
  }
}

/** Removes a file if it is there. */
export function removeFile(path: string): void {
  rmSync(path, { force: true });
}
