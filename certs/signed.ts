/**
 * Signed messages: Ed25519 over a domain string and the exact bytes. The bytes are verified as received and only then
 * parsed; there is no canonical protobuf, so nothing is ever re-encoded to check a signature.
 *
 * G1. A signature made for one domain means nothing in another.
 * G2. A signed message with a field this version does not know is refused: it may say something that matters.
 */

import type { KeyObject } from "node:crypto";
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { fromBinary } from "@bufbuild/protobuf";
import { WeftError } from "../lib/errors.ts";
import { signEd25519, verifyEd25519 } from "./keys.ts";

/** A domain string; every one ends with a NUL, so none is the beginning of another's message. */
export type SigningDomain = `weft/${string}/v1\0`;

function covered(domain: SigningDomain, parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat([Buffer.from(domain, "utf8"), ...parts]);
}

/** Signs `parts` (concatenated) under a domain. */
export function signDomain(
  privateKey: KeyObject,
  domain: SigningDomain,
  ...parts: Uint8Array[]
): Uint8Array<ArrayBuffer> {
  return signEd25519(privateKey, covered(domain, parts));
}

/** Whether `signature` is `publicKey`'s over `parts` under `domain`. Never throws. */
export function verifyDomain(
  publicKey: KeyObject,
  signature: Uint8Array,
  domain: SigningDomain,
  ...parts: Uint8Array[]
): boolean {
  return verifyEd25519(publicKey, covered(domain, parts), signature);
}

/** Parses the bytes of a verified message. Throws `invalid_argument` (SIGNED_MALFORMED), also for unknown fields (G2). */
export function decodeSigned<D extends DescMessage>(schema: D, bytes: Uint8Array): MessageShape<D> {
  let message: MessageShape<D>;
  try {
    message = fromBinary(schema, bytes);
  } catch (cause) {
    throw malformed("a signed message cannot be parsed", cause);
  }
  if (hasUnknownFields(message)) throw malformed("a signed message has unknown fields");
  return message;
}

function hasUnknownFields(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(hasUnknownFields);
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return false;
  const fields = value as Record<string, unknown>;
  const unknown = fields["$unknown"];
  if (Array.isArray(unknown) && unknown.length > 0) return true;
  return Object.entries(fields).some(([name, field]) => name !== "$unknown" && hasUnknownFields(field));
}

function malformed(message: string, cause?: unknown): WeftError {
  return new WeftError("invalid_argument", message, { detail: "SIGNED_MALFORMED", cause });
}
