/**
 * Secrets in files: private keys and the sealing key.
 *
 * H1. A secret file is written whole or not at all, mode 0600, durable when the call returns.
 * H2. It is read only while it still is a plain file, 0600 and ours; what is checked is the descriptor that is read.
 * H3. What a service manager hands to a process may also be read-only: ours and 0400, or root's own (0400, or 0440 of group
 *     root, which is how the mode of a file shows that an access list lets one more user read).
 */

import { type KeyObject, randomBytes } from "node:crypto";
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  linkSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { errnoOf, WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import { type KeyPair, keyPairFromPem, privateKeyPem } from "./keys.ts";

/** Writes (or atomically replaces) a secret file, mode 0600, durable when the call returns (H1). */
export function writeSecretFile(path: string, content: string): void {
  const temporary = writeTemporary(path, content);
  try {
    renameSync(temporary, path);
  } catch (cause) {
    rmSync(temporary, { force: true });
    throw cause;
  }
  syncDirectory(dirname(path));
}

/** Creates a secret file that must not exist yet. Throws `already_exists` (KEY_FILE_EXISTS), leaving the old one alone. */
export function createSecretFile(path: string, content: string): void {
  const temporary = writeTemporary(path, content);
  try {
    // A hard link is the create-once operation that also appears with its full content.
    linkSync(temporary, path);
  } catch (cause) {
    if (errnoOf(cause) !== "EEXIST") throw cause;
    throw new WeftError("already_exists", "the key file already exists", { detail: "KEY_FILE_EXISTS", cause });
  } finally {
    rmSync(temporary, { force: true });
  }
  syncDirectory(dirname(path));
}

function writeTemporary(path: string, content: string): string {
  const temporary = `${path}.${randomBytes(8).toString("hex")}.tmp`;
  const fd = openSync(temporary, "wx", 0o600);
  try {
    writeSync(fd, content);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  return temporary;
}

function syncDirectory(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Who owns a file and who may do what with it. */
export interface FileMode {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** Why a file is no place for a secret of ours (H2); undefined: it is one. */
function ownProblem({ mode, uid }: FileMode, ownUid: number | undefined): string | undefined {
  if ((mode & 0o777) !== 0o600) return "its mode is not 0600";
  return ownUid === undefined || uid === ownUid ? undefined : "another user owns it";
}

/** The same for a secret that may have been handed to this process (H3). */
export function handedProblem(file: FileMode, ownUid: number | undefined): string | undefined {
  const bits = file.mode & 0o777;
  if (bits === 0o400 && (file.uid === ownUid || file.uid === 0)) return undefined;
  if (bits === 0o440 && file.uid === 0 && file.gid === 0) return undefined;
  return ownProblem(file, ownUid);
}

/**
 * The content of a secret file. Throws `not_found` (KEY_FILE_MISSING), or `failed_precondition` (KEY_FILE_UNSAFE) when it
 * is a link, not a file, larger than `maxBytes`, not mode 0600 or not owned by this process's user.
 */
export function readSecretFile(path: string, maxBytes: number = limits.keyFileMaxBytes): string {
  return readChecked(path, maxBytes, ownProblem);
}

/** The same of a file that a service manager may have handed to this process (H3). */
export function readHandedSecret(path: string, maxBytes: number = limits.keyFileMaxBytes): string {
  return readChecked(path, maxBytes, handedProblem);
}

function readChecked(path: string, maxBytes: number, problemOf: typeof handedProblem): string {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (cause) {
    if (errnoOf(cause) === "ENOENT") {
      throw new WeftError("not_found", "the key file does not exist", { detail: "KEY_FILE_MISSING", cause });
    }
    throw unsafeFile("it cannot be opened as a plain file", cause);
  }
  try {
    // H2, H3
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw unsafeFile("it is not a plain file");
    const problem = problemOf(stat, process.getuid?.());
    if (problem !== undefined) throw unsafeFile(problem);
    if (stat.size > maxBytes) throw unsafeFile("it is too large");
    const content = Buffer.alloc(stat.size);
    const read = readSync(fd, content, 0, content.length, 0);
    return content.subarray(0, read).toString("utf8");
  } finally {
    closeSync(fd);
  }
}

function unsafeFile(why: string, cause?: unknown): WeftError {
  return new WeftError("failed_precondition", `the key file is refused: ${why}`, { detail: "KEY_FILE_UNSAFE", cause });
}

/** Writes a private key as PKCS#8 PEM into a secret file. */
export function writePrivateKeyFile(path: string, privateKey: KeyObject): void {
  writeSecretFile(path, privateKeyPem(privateKey));
}

/** Reads a key pair from a secret file; errors of `readSecretFile` and `keyPairFromPem`. */
export function readPrivateKeyFile(path: string): KeyPair {
  return keyPairFromPem(readSecretFile(path));
}
