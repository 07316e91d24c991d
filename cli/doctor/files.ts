/** Secret files and the disks of data folders, as they are. */

import { closeSync, fsyncSync, lstatSync, openSync, rmSync, statfsSync, writeSync } from "node:fs";
import { join } from "node:path";
import { handedProblem } from "../../certs/secret-file.ts";
import { errnoOf } from "../../lib/errors.ts";
import { KiB } from "../../lib/limits.ts";
import type { DiskFact, SecretFact } from "./facts.ts";

/**
 * What `readSecretFile` (certs/secret-file.ts) would say, or for one that may be `handed` to the process `readHandedSecret`,
 * without reading a byte of it.
 */
export function lookAtSecret(what: string, path: string, handed = false): SecretFact {
  try {
    const stat = lstatSync(path);
    const mode = `0${(stat.mode & 0o777).toString(8)}`;
    if (!stat.isFile()) return { what, path, state: "no-file" };
    if (handed && handedProblem(stat, process.getuid?.()) === undefined) return { what, path, state: "fine", mode };
    if ((stat.mode & 0o777) !== 0o600) return { what, path, state: "mode", mode };
    if (process.getuid !== undefined && stat.uid !== process.getuid()) return { what, path, state: "owner", mode };
    return { what, path, state: "fine", mode };
  } catch (thrown) {
    return { what, path, state: errnoOf(thrown) === "ENOENT" ? "missing" : "unreadable" };
  }
}

/** As much as an identity or a small snapshot takes. */
const writtenBytes = 64 * KiB;

/** Writes a file, makes it durable and takes it away again; the error's code when that fails. */
function writeError(folder: string): string | undefined {
  const path = join(folder, `.weft-doctor-${process.pid}`);
  try {
    const fd = openSync(path, "wx", 0o600);
    try {
      const bytes = Buffer.alloc(writtenBytes, "weft");
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    return undefined;
  } catch (thrown) {
    return errnoOf(thrown) ?? "EIO";
  } finally {
    rmSync(path, { force: true });
  }
}

/** The disk of a folder; undefined when there is no such folder. */
export function lookAtDisk(what: string, path: string): DiskFact | undefined {
  try {
    const { bavail, bsize, ffree, files } = statfsSync(path);
    const writeCode = writeError(path);
    return {
      ...{ what, path, freeBytes: bavail * bsize },
      ...(files === 0 ? {} : { freeFiles: ffree }),
      ...(writeCode === undefined ? {} : { writeCode }),
    };
  } catch {
    return undefined;
  }
}
