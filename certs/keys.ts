/**
 * Key pairs, key hashes and signatures.
 *
 * K1. A key is named by the SHA-256 of its SPKI, never by a certificate hash: ECDSA signatures are malleable, so one
 *     certificate has several fingerprints.
 * K2. Verification is total: bad keys and bad signatures return false.
 */

import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  generateKeyPairSync,
  type KeyObject,
  sign,
  timingSafeEqual,
  verify,
} from "node:crypto";
import { promisify } from "node:util";
import { WeftError } from "../lib/errors.ts";

export interface KeyPair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  /** SubjectPublicKeyInfo, DER. */
  readonly spkiDer: Uint8Array<ArrayBuffer>;
  /** `keyHash(spkiDer)`. */
  readonly keyHash: string;
}

/** An uncompressed P-256 SPKI (RFC 5480) is this prefix, 04, x and y: 91 bytes. Nothing else is a P-256 key here. */
const P256_SPKI_PREFIX = Buffer.from("3059301306072a8648ce3d020106082a8648ce3d03010703420004", "hex");
const P256_SPKI_BYTES = 91;
const ED25519_SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");
const ED25519_SPKI_BYTES = 44;

const generateAsync = promisify(generateKeyPair);

function pairOf(privateKey: KeyObject): KeyPair {
  const publicKey = createPublicKey(privateKey);
  const spkiDer = spkiOf(publicKey);
  return { privateKey, publicKey, spkiDer, keyHash: keyHash(spkiDer) };
}

/** A fresh P-256 key pair. */
export function generateP256(): KeyPair {
  return pairOf(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey);
}

/** A fresh P-256 key pair, made off the event loop. */
export async function generateP256Async(): Promise<KeyPair> {
  return pairOf((await generateAsync("ec", { namedCurve: "P-256" })).privateKey);
}

/** A fresh Ed25519 key pair. */
export function generateEd25519(): KeyPair {
  return pairOf(generateKeyPairSync("ed25519").privateKey);
}

/** The key pair of a private key in PKCS#8 PEM. Throws `invalid_argument` (KEY_MALFORMED). */
export function keyPairFromPem(pem: string): KeyPair {
  try {
    return pairOf(createPrivateKey(pem));
  } catch (cause) {
    throw new WeftError("invalid_argument", "not a private key", { detail: "KEY_MALFORMED", cause });
  }
}

/** PKCS#8 PEM of a private key. */
export function privateKeyPem(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }).toString();
}

/** SubjectPublicKeyInfo, DER, of a public key. */
export function spkiOf(publicKey: KeyObject): Uint8Array<ArrayBuffer> {
  return publicKey.export({ type: "spki", format: "der" });
}

/** SHA-256 of a SubjectPublicKeyInfo (DER), lower-case hex: the name of a key (K1). */
export function keyHash(spkiDer: Uint8Array): string {
  return createHash("sha256").update(spkiDer).digest("hex");
}

/** The P-256 public key of exactly the 91 bytes of an uncompressed SPKI whose point is on the curve, or undefined. */
export function p256FromSpki(spkiDer: Uint8Array): KeyObject | undefined {
  return fromSpki(spkiDer, P256_SPKI_PREFIX, P256_SPKI_BYTES);
}

/** The Ed25519 public key of exactly the 44 bytes of its SPKI, or undefined. */
export function ed25519FromSpki(spkiDer: Uint8Array): KeyObject | undefined {
  return fromSpki(spkiDer, ED25519_SPKI_PREFIX, ED25519_SPKI_BYTES);
}

function fromSpki(spkiDer: Uint8Array, prefix: Buffer, sizeBytes: number): KeyObject | undefined {
  if (spkiDer.length !== sizeBytes || !prefix.equals(spkiDer.subarray(0, prefix.length))) return undefined;
  try {
    return createPublicKey({ key: Buffer.from(spkiDer), format: "der", type: "spki" });
  } catch {
    return undefined;
  }
}

/** ES256 (RFC 7518, 3.4): ECDSA P-256 with SHA-256, signature as 64 bytes r || s. */
export function signEs256(privateKey: KeyObject, data: Uint8Array): Uint8Array<ArrayBuffer> {
  return sign("sha256", data, { key: privateKey, dsaEncoding: "ieee-p1363" });
}

/** Whether `signature` is an ES256 signature of `data` by `publicKey`. Never throws (K2). */
export function verifyEs256(publicKey: KeyObject, data: Uint8Array, signature: Uint8Array): boolean {
  if (signature.length !== 64 || publicKey.asymmetricKeyType !== "ec") return false;
  if (publicKey.asymmetricKeyDetails?.namedCurve !== "prime256v1") return false;
  try {
    return verify("sha256", data, { key: publicKey, dsaEncoding: "ieee-p1363" }, signature);
  } catch {
    return false;
  }
}

/** Ed25519 (RFC 8032), 64 bytes. */
export function signEd25519(privateKey: KeyObject, data: Uint8Array): Uint8Array<ArrayBuffer> {
  return sign(null, data, privateKey);
}

/** Whether `signature` is an Ed25519 signature of `data` by `publicKey`. Never throws (K2). */
export function verifyEd25519(publicKey: KeyObject, data: Uint8Array, signature: Uint8Array): boolean {
  if (signature.length !== 64 || publicKey.asymmetricKeyType !== "ed25519") return false;
  try {
    return verify(null, data, publicKey, signature);
  } catch {
    return false;
  }
}

/** Constant-time equality of two byte strings; false when lengths differ (`timingSafeEqual` alone would throw). */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
