/**
 * Join tokens: `weft1.<cluster slug>.<token id>.<secret>.<installation key hash>`, the last two base64url of 32 bytes.
 * The hash lets a new node recognise the installation before the secret leaves it; only the secret's SHA-256 is stored.
 */

import { createHash } from "node:crypto";
import { WeftError } from "../lib/errors.ts";
import type { Random } from "../lib/random.ts";
import { sameBytes } from "./keys.ts";

export interface JoinToken {
  readonly clusterSlug: string;
  readonly tokenId: string;
  /** 32 bytes. Sent once, to a verified installation; never stored or logged. */
  readonly secret: Uint8Array;
  /** Lower-case hex, as `installationKeyHash` gives it. */
  readonly installationKeyHash: string;
}

const SECRET_BYTES = 32;
const TOKEN = /^weft1\.([a-z0-9-]{1,63})\.([a-z0-9-]{1,63})\.([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]{43})$/;

/** A fresh token and its text. `random` must be the system's outside tests. Throws `invalid_argument` (JOIN_TOKEN). */
export function makeJoinToken(
  random: Random,
  about: { readonly clusterSlug: string; readonly tokenId: string; readonly installationKeyHash: string },
): { readonly token: JoinToken; readonly text: string; readonly secretHash: Uint8Array<ArrayBuffer> } {
  const token: JoinToken = { ...about, secret: random.bytes(SECRET_BYTES) };
  const text = formatJoinToken(token);
  if (parseJoinToken(text) === undefined) {
    throw new WeftError("invalid_argument", "these do not make a join token", { detail: "JOIN_TOKEN" });
  }
  return { token, text, secretHash: hashJoinSecret(token.secret) };
}

/** The text of a token. */
export function formatJoinToken(token: JoinToken): string {
  const secret = Buffer.from(token.secret).toString("base64url");
  const hash = Buffer.from(token.installationKeyHash, "hex").toString("base64url");
  return `weft1.${token.clusterSlug}.${token.tokenId}.${secret}.${hash}`;
}

/** The token in exactly this text (one trailing newline aside), or undefined. Never throws. */
export function parseJoinToken(text: string): JoinToken | undefined {
  const match = TOKEN.exec(text.replace(/\r?\n$/, ""));
  if (match === null) return undefined;
  const [, clusterSlug = "", tokenId = "", secretText = "", hashText = ""] = match;
  const secret = Buffer.from(secretText, "base64url");
  const hash = Buffer.from(hashText, "base64url");
  // 43 characters hold 258 bits: the two spare ones must be zero, or one token would have several texts.
  if (secret.toString("base64url") !== secretText || hash.toString("base64url") !== hashText) return undefined;
  return { clusterSlug, tokenId, secret: new Uint8Array(secret), installationKeyHash: hash.toString("hex") };
}

/** SHA-256 of a token's secret: what is stored. */
export function hashJoinSecret(secret: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHash("sha256").update(secret).digest());
}

/** Whether `secret` is the one whose hash is stored, in constant time; false for any odd length. */
export function isJoinSecret(secret: Uint8Array, storedHash: Uint8Array): boolean {
  return sameBytes(hashJoinSecret(secret), storedHash);
}
