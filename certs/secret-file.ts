/**
 * Secrets in files: private keys and the sealing key.
 *
 * H1. A secret file is written whole or not at all, mode 0600, durable when the call returns.
 * H2. It is read only while it still is a plain file, 0600 and ours; what is checked is the descriptor that is read.
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

/**
 * The content of a secret file. Throws `not_found` (KEY_FILE_MISSING), or `failed_precondition` (KEY_FILE_UNSAFE) when it
 * is a link, not a file, larger than `maxBytes`, not mode 0600 or not owned by this process's user.
 */
export function readSecretFile(path: string, maxBytes: number = limits.keyFileMaxBytes): string {
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
    // H2
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw unsafeFile("it is not a plain file");
    if ((stat.mode & 0o777) !== 0o600) throw unsafeFile("its mode is not 0600");
    if (process.getuid !== undefined && stat.uid !== process.getuid()) throw unsafeFile("another user owns it");
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
