/**
 * Certificate requests (RFC 2986). A request carries a key and the proof that its sender holds it, and nothing else:
 * every field of a certificate is chosen by the issuer, so asking for one is refused instead of ignored.
 *
 * Q1. The size is checked before a byte is parsed; parsing is strict DER and linear; RSA never reaches a verifier.
 */

import { type KeyObject, sign, verify } from "node:crypto";
import { WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import { type Der, isExactly, readDer, TAG, writeDer } from "./der.ts";
import { type KeyPair, keyHash, p256FromSpki } from "./keys.ts";

export interface JudgedCsr {
  readonly spkiDer: Uint8Array<ArrayBuffer>;
  /** `keyHash(spkiDer)`. */
  readonly keyHash: string;
}

/** AlgorithmIdentifier ecdsa-with-SHA256 (RFC 5758, 3.2). */
const ECDSA_SHA256_DER = "300a06082a8648ce3d040302";
const EMPTY_SEQUENCE_DER = "3000";
const VERSION_0_DER = "020100";
const NO_ATTRIBUTES_DER = "a000";

/** A certificate request for a P-256 key: no subject, no attributes. DER. */
export function makeCsr(keys: KeyPair): Uint8Array<ArrayBuffer> {
  const hex = (text: string): Uint8Array => Buffer.from(text, "hex");
  const info = writeDer(TAG.sequence, [
    hex(VERSION_0_DER),
    hex(EMPTY_SEQUENCE_DER),
    keys.spkiDer,
    hex(NO_ATTRIBUTES_DER),
  ]);
  const signature = sign("sha256", info, keys.privateKey);
  const noUnusedBits = Uint8Array.of(0);
  return writeDer(TAG.sequence, [info, hex(ECDSA_SHA256_DER), writeDer(TAG.bitString, [noUnusedBits, signature])]);
}

/**
 * The key a request proves possession of. Throws `invalid_argument` with detail CSR_SIZE, CSR_ENCODING, CSR_KEY,
 * CSR_EXTRAS (a subject or any attribute) or CSR_SIGNATURE.
 */
export function judgeCsr(der: Uint8Array): JudgedCsr {
  if (der.length === 0 || der.length > limits.csrMaxBytes) throw refuse("CSR_SIZE", "the request has a wrong size");
  const csr = readDer(der);
  const [info, algorithm, signature] = csr?.children ?? [];
  const [version, subject, spki, attributes] = info?.children ?? [];
  const shaped =
    csr?.tag === TAG.sequence &&
    csr.children.length === 3 &&
    info?.tag === TAG.sequence &&
    info.children.length === 4 &&
    isExactly(version, VERSION_0_DER) &&
    subject?.tag === TAG.sequence &&
    attributes?.tag === 0xa0;
  if (!shaped || spki?.tag !== TAG.sequence) throw refuse("CSR_ENCODING", "the request is not strict DER PKCS#10");
  const publicKey = p256FromSpki(spki.raw);
  if (publicKey === undefined) throw refuse("CSR_KEY", "only P-256 keys are accepted");
  if (!isExactly(subject, EMPTY_SEQUENCE_DER) || attributes.children.length > 0) {
    throw refuse("CSR_EXTRAS", "the request asks for more than a certificate for its key");
  }
  if (!isExactly(algorithm, ECDSA_SHA256_DER) || !signedBy(publicKey, info, signature)) {
    throw refuse("CSR_SIGNATURE", "the request is not signed by its own key");
  }
  const spkiDer = Uint8Array.from(spki.raw);
  return { spkiDer, keyHash: keyHash(spkiDer) };
}

function signedBy(publicKey: KeyObject, info: Der, signature: Der | undefined): boolean {
  if (signature?.tag !== TAG.bitString || signature.content[0] !== 0) return false;
  try {
    return verify("sha256", info.raw, publicKey, signature.content.subarray(1));
  } catch {
    return false;
  }
}

function refuse(detail: string, message: string): WeftError {
  return new WeftError("invalid_argument", message, { detail });
}
