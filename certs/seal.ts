/**
 * Secrets at rest. One 32-byte sealing key lives in a file outside the store; what the store holds is sealed under keys
 * derived from it, and trust rows carry a MAC by a key derived from it, so that writing the database creates no trust.
 *
 * E1. A blob opens only in its place: cluster, purpose, id and version are authenticated with it, so rows cannot be swapped
 *     or rolled back onto one another.
 * E2. A wrong key is told apart from a forged blob: each blob names its key.
 * E3. A sealing key file is created once and never overwritten.
 */

import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from "node:crypto";
import { WeftError } from "../lib/errors.ts";
import { sameBytes } from "./keys.ts";
import { createSecretFile, readHandedSecret } from "./secret-file.ts";

/** Where a blob belongs. */
export interface SealedPlace {
  readonly cluster: string;
  /** What it is, e.g. `ca/node`. Also chooses the derived key. */
  readonly purpose: string;
  readonly id: string;
  readonly version: number;
}

/** A value of a trust row. */
export type RowValue = string | number | bigint | boolean | null | Uint8Array;

const FORMAT = 1;
const KEY_BYTES = 32;
const KEY_ID_BYTES = 8;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEADER_BYTES = 1 + KEY_ID_BYTES + NONCE_BYTES;
const FILE_PREFIX = "weft-sealing-key-v1:";
const MAC_PURPOSE = "row-mac";

export class SealingKey {
  readonly #key: Buffer;
  /** By purpose, of which there are a handful: a row is authenticated with every read of it. */
  readonly #subkeys = new Map<string, Uint8Array>();
  /** Names the key without telling anything about it, hex. */
  readonly keyId: string;

  constructor(key: Uint8Array) {
    if (key.length !== KEY_BYTES) throw malformedFile();
    this.#key = Buffer.from(key);
    this.keyId = Buffer.from(this.#derive("key-id")).subarray(0, KEY_ID_BYTES).toString("hex");
  }

  /** A 32-byte key for one purpose (HKDF-SHA256, RFC 5869). */
  subkey(purpose: string): Uint8Array {
    const known = this.#subkeys.get(purpose);
    if (known !== undefined) return known;
    const made = this.#derive(`subkey\0${purpose}`);
    this.#subkeys.set(purpose, made);
    return made;
  }

  #derive(info: string): Uint8Array {
    return new Uint8Array(hkdfSync("sha256", this.#key, "weft/seal/v1", info, KEY_BYTES));
  }
}

/** Creates the sealing key file, mode 0600. Throws `already_exists` (KEY_FILE_EXISTS) when there is one (E3). */
export function createSealingKeyFile(path: string): SealingKey {
  const key = randomBytes(KEY_BYTES);
  createSecretFile(path, `${FILE_PREFIX}${key.toString("base64url")}\n`);
  return new SealingKey(key);
}

/** Opens the sealing key file. Errors of `readHandedSecret`, or `failed_precondition` (SEALING_KEY_MALFORMED). */
export function openSealingKeyFile(path: string): SealingKey {
  const match = /^weft-sealing-key-v1:([A-Za-z0-9_-]{43})\n?$/.exec(readHandedSecret(path));
  if (match === null) throw malformedFile();
  return new SealingKey(Buffer.from(match[1] ?? "", "base64url"));
}

/** Seals `plaintext` for one place (AES-256-GCM, fresh nonce). */
export function seal(key: SealingKey, place: SealedPlace, plaintext: Uint8Array): Uint8Array<ArrayBuffer> {
  const header = Buffer.concat([Buffer.of(FORMAT), Buffer.from(key.keyId, "hex"), randomBytes(NONCE_BYTES)]);
  const nonce = header.subarray(1 + KEY_ID_BYTES);
  const cipher = createCipheriv("aes-256-gcm", sealKeyOf(key, place), nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(Buffer.concat([header, encodePlace(place)]));
  const body = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  return new Uint8Array(Buffer.concat([header, body, cipher.getAuthTag()]));
}

/**
 * Opens a blob sealed for `place`. Throws `failed_precondition` (SEALING_KEY_WRONG) when it was sealed under another key,
 * `data_loss` (SEALED_FORGED) when it was altered, truncated or sealed for another place (E1, E2).
 */
export function unseal(key: SealingKey, place: SealedPlace, blob: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = Buffer.from(blob);
  if (bytes.length < HEADER_BYTES + TAG_BYTES || bytes[0] !== FORMAT) throw forged();
  if (bytes.subarray(1, 1 + KEY_ID_BYTES).toString("hex") !== key.keyId) {
    throw new WeftError("failed_precondition", "the data was sealed under another sealing key", {
      detail: "SEALING_KEY_WRONG",
    });
  }
  const header = bytes.subarray(0, HEADER_BYTES);
  const nonce = header.subarray(1 + KEY_ID_BYTES);
  const decipher = createDecipheriv("aes-256-gcm", sealKeyOf(key, place), nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.concat([header, encodePlace(place)]));
  decipher.setAuthTag(bytes.subarray(bytes.length - TAG_BYTES));
  try {
    const body = bytes.subarray(HEADER_BYTES, bytes.length - TAG_BYTES);
    return new Uint8Array(Buffer.concat([decipher.update(body), decipher.final()]));
  } catch (cause) {
    throw forged(cause);
  }
}

/** The MAC of a trust row: HMAC-SHA256 over its table and all its values, in order. */
export function macRow(key: SealingKey, table: string, values: readonly RowValue[]): Uint8Array<ArrayBuffer> {
  const mac = createHmac("sha256", key.subkey(MAC_PURPOSE));
  for (const part of [table, values.length, ...values]) mac.update(encodeValue(part));
  return new Uint8Array(mac.digest());
}

/** Whether `mac` is the MAC of this row. False for any length or content; never throws. */
export function isRowAuthentic(
  key: SealingKey,
  table: string,
  values: readonly RowValue[],
  mac: Uint8Array | null | undefined,
): boolean {
  return mac != null && sameBytes(macRow(key, table, values), mac);
}

function sealKeyOf(key: SealingKey, place: SealedPlace): Uint8Array {
  return key.subkey(`seal\0${place.purpose}`);
}

function encodePlace(place: SealedPlace): Buffer {
  return Buffer.concat([place.cluster, place.purpose, place.id, place.version].map(encodeValue));
}

/** Type, length, bytes: no two sequences of values share an encoding. */
function encodeValue(value: RowValue): Buffer {
  let type: string;
  let bytes: Uint8Array;
  if (value === null) [type, bytes] = ["n", Buffer.alloc(0)];
  else if (value instanceof Uint8Array) [type, bytes] = ["b", value];
  else if (typeof value === "string") [type, bytes] = ["s", Buffer.from(value, "utf8")];
  else if (typeof value === "boolean") [type, bytes] = ["t", Buffer.of(value ? 1 : 0)];
  // A driver may hand the same integer back as number or bigint: one spelling.
  else [type, bytes] = ["i", Buffer.from(String(value), "latin1")];
  const header = Buffer.alloc(5, type, "latin1");
  header.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([header, bytes]);
}

function malformedFile(): WeftError {
  return new WeftError("failed_precondition", "the sealing key file is malformed", { detail: "SEALING_KEY_MALFORMED" });
}

function forged(cause?: unknown): WeftError {
  return new WeftError("data_loss", "sealed data is not what was written here", { detail: "SEALED_FORGED", cause });
}
