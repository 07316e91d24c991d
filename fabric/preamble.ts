/**
 * The first bytes of a connection to a node's public port.
 *
 * P1. Decoding is total and looks at 37 bytes at most; a wrong byte is refused as soon as it is seen.
 * P2. Bytes after the preamble are not part of it: `restOffset` says where they start.
 */

import { WeftError } from "../lib/errors.ts";

export const LEG_TOKEN_BYTES = 32;

const MAGIC = Uint8Array.of(0x57, 0x45, 0x46, 0x54); // "WEFT"
const LEG = 0x01;
const REVERSE = 0x02;
const TAG_BYTES = MAGIC.length + 1;
/** A TLS record of type handshake (RFC 8446, 5.1) has this first byte and 0x03 as its second. */
const TLS_HANDSHAKE = 0x16;
const TLS_MAJOR = 0x03;

/** What a connection's first bytes say. `more`: not decided yet. `token` is a copy. */
export type FirstBytes =
  | { readonly kind: "more" }
  | { readonly kind: "leg"; readonly token: Uint8Array; readonly restOffset: number }
  | { readonly kind: "reverse"; readonly restOffset: number }
  | { readonly kind: "tls" }
  | { readonly kind: "garbage" };

/** `WEFT` 0x01 and a leg token: 37 bytes. Throws `invalid_argument` (LEG_TOKEN) unless the token has 32 bytes. */
export function encodeLegPreamble(token: Uint8Array): Uint8Array {
  if (token.length !== LEG_TOKEN_BYTES) {
    throw new WeftError("invalid_argument", "a leg token has 32 bytes", { detail: "LEG_TOKEN" });
  }
  const out = new Uint8Array(TAG_BYTES + LEG_TOKEN_BYTES);
  out.set(MAGIC);
  out[MAGIC.length] = LEG;
  out.set(token, TAG_BYTES);
  return out;
}

/** `WEFT` 0x02: 5 bytes that open a reverse link. */
export function encodeReversePreamble(): Uint8Array {
  return Uint8Array.of(...MAGIC, REVERSE);
}

/** Judges everything received so far on a connection, from its first byte on (P1). */
export function decodeFirstBytes(bytes: Uint8Array): FirstBytes {
  const first = bytes[0];
  if (first === undefined) return { kind: "more" };
  if (first === TLS_HANDSHAKE) {
    if (bytes.length === 1) return { kind: "more" };
    return bytes[1] === TLS_MAJOR ? { kind: "tls" } : { kind: "garbage" };
  }
  for (let i = 0; i < MAGIC.length && i < bytes.length; i++) {
    if (bytes[i] !== MAGIC[i]) return { kind: "garbage" };
  }
  const tag = bytes[MAGIC.length];
  if (tag === undefined) return { kind: "more" };
  if (tag === REVERSE) return { kind: "reverse", restOffset: TAG_BYTES };
  if (tag !== LEG) return { kind: "garbage" };
  const restOffset = TAG_BYTES + LEG_TOKEN_BYTES;
  if (bytes.length < restOffset) return { kind: "more" };
  return { kind: "leg", token: Uint8Array.from(bytes.subarray(TAG_BYTES, restOffset)), restOffset };
}
