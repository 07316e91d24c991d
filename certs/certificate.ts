/**
 * Reads a certificate into plain facts. Nothing here trusts anything: who signed it and whether it may act is for the judge.
 *
 * X1. Every field is read from strict DER, and compared as exact bytes where only one value is right; nothing goes through
 *     a name formatter or a URL parser.
 * X2. `readCertificate` is total: it returns facts or the reason why there are none.
 */

import { type KeyObject, X509Certificate } from "node:crypto";
import { limits } from "../lib/limits.ts";
import { type Der, isExactly, readDer, readPositiveIntegerHex, readTimeMs, TAG } from "./der.ts";
import { keyHash, p256FromSpki } from "./keys.ts";

export interface CertificateExtension {
  readonly critical: boolean;
  /** The extension's own DER, lower-case hex. */
  readonly valueHex: string;
}

export interface CertificateFacts {
  readonly der: Uint8Array<ArrayBuffer>;
  /** The magnitude, minimal big-endian, lower-case hex. */
  readonly serialHex: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly spkiDer: Uint8Array<ArrayBuffer>;
  readonly keyHash: string;
  /** By OID, hex of its DER content. Each at most once. */
  readonly extensions: ReadonlyMap<string, CertificateExtension>;
  /** URI names of the SubjectAltName, in order. */
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
  /** Raw addresses (4 or 16 bytes), hex. */
  readonly addressesHex: readonly string[];
  /** Whether `publicKey` made the signature. No dates, no usages. */
  signedBy(publicKey: KeyObject): boolean;
}

export type CertificateFault =
  | "CERT_SIZE"
  | "CERT_ENCODING"
  | "CERT_VERSION"
  | "CERT_SERIAL"
  | "CERT_ALGORITHM"
  | "CERT_DATES"
  | "CERT_KEY"
  | "CERT_EXTENSIONS"
  | "CERT_NAMES";

/** OIDs of the extensions of a Weft certificate, hex of the DER content (RFC 5280, 4.2.1). */
export const EXTENSION = {
  subjectKeyId: "551d0e",
  keyUsage: "551d0f",
  subjectAltName: "551d11",
  basicConstraints: "551d13",
  authorityKeyId: "551d23",
  extendedKeyUsage: "551d25",
} as const;

const VERSION_3_DER = "a003020102";
const ECDSA_SHA256_DER = "300a06082a8648ce3d040302";
const SERIAL_MAX_BYTES = 20;
const CRITICAL_TRUE_DER = "0101ff";
const NAME_DNS = 0x82;
const NAME_URI = 0x86;
const NAME_ADDRESS = 0x87;

/** The facts of one DER certificate, or why it has none. */
export function readCertificate(der: Uint8Array): CertificateFacts | CertificateFault {
  if (der.length === 0 || der.length > limits.certificateMaxBytes) return "CERT_SIZE";
  const certificate = readDer(der);
  const [tbs, algorithm] = certificate?.children ?? [];
  if (certificate?.tag !== TAG.sequence || certificate.children.length !== 3) return "CERT_ENCODING";
  if (tbs?.tag !== TAG.sequence) return "CERT_ENCODING";
  // Version is optional in X.509 but not here: without it the other fields shift and the shape check fails.
  const [version, serial, tbsAlgorithm, issuer, validity, subject, spki, extensions] = tbs.children;
  if (!isExactly(version, VERSION_3_DER)) return "CERT_VERSION";
  const shaped =
    tbs.children.length === 8 &&
    issuer?.tag === TAG.sequence &&
    validity?.tag === TAG.sequence &&
    validity.children.length === 2 &&
    subject?.tag === TAG.sequence &&
    extensions?.tag === 0xa3;
  if (!shaped) return "CERT_ENCODING";
  const serialHex = readPositiveIntegerHex(serial, SERIAL_MAX_BYTES);
  if (serialHex === undefined) return "CERT_SERIAL";
  if (!isExactly(algorithm, ECDSA_SHA256_DER) || !isExactly(tbsAlgorithm, ECDSA_SHA256_DER)) return "CERT_ALGORITHM";
  const notBeforeMs = readTimeMs(validity.children[0]);
  const notAfterMs = readTimeMs(validity.children[1]);
  if (notBeforeMs === undefined || notAfterMs === undefined || notAfterMs < notBeforeMs) return "CERT_DATES";
  if (spki === undefined || p256FromSpki(spki.raw) === undefined) return "CERT_KEY";
  const found = readExtensions(extensions);
  if (found === undefined) return "CERT_EXTENSIONS";
  const names = readNames(found.get(EXTENSION.subjectAltName));
  if (names === undefined) return "CERT_NAMES";
  const spkiDer = Uint8Array.from(spki.raw);
  const facts = { serialHex, notBeforeMs, notAfterMs, spkiDer, keyHash: keyHash(spkiDer), extensions: found, ...names };
  return withSignature(der, facts);
}

function withSignature(
  der: Uint8Array,
  facts: Omit<CertificateFacts, "der" | "signedBy">,
): CertificateFacts | CertificateFault {
  try {
    const parsed = new X509Certificate(der);
    return { der: Uint8Array.from(der), ...facts, signedBy: (publicKey) => verifies(parsed, publicKey) };
  } catch {
    return "CERT_ENCODING";
  }
}

function verifies(certificate: X509Certificate, publicKey: KeyObject): boolean {
  try {
    return certificate.verify(publicKey);
  } catch {
    return false;
  }
}

function readExtensions(wrapper: Der): Map<string, CertificateExtension> | undefined {
  const [list] = wrapper.children;
  if (wrapper.children.length !== 1 || list?.tag !== TAG.sequence) return undefined;
  const found = new Map<string, CertificateExtension>();
  for (const extension of list.children) {
    const [oid, ...rest] = extension.children;
    const value = rest.at(-1);
    const critical = rest.length === 2;
    if (extension.tag !== TAG.sequence || oid?.tag !== TAG.oid || value?.tag !== TAG.octetString) return undefined;
    if (rest.length > 2 || (critical && !isExactly(rest[0], CRITICAL_TRUE_DER))) return undefined;
    const key = Buffer.from(oid.content).toString("hex");
    if (found.has(key)) return undefined;
    found.set(key, { critical, valueHex: Buffer.from(value.content).toString("hex") });
  }
  return found;
}

type Names = Pick<CertificateFacts, "uris" | "dnsNames" | "addressesHex">;

function readNames(extension: CertificateExtension | undefined): Names | undefined {
  const names = { uris: [] as string[], dnsNames: [] as string[], addressesHex: [] as string[] };
  if (extension === undefined) return names;
  const list = readDer(Buffer.from(extension.valueHex, "hex"));
  if (list?.tag !== TAG.sequence) return undefined;
  for (const name of list.children) {
    const text = Buffer.from(name.content).toString("latin1");
    if (name.tag === NAME_URI) names.uris.push(text);
    else if (name.tag === NAME_DNS) names.dnsNames.push(text);
    else if (name.tag === NAME_ADDRESS) names.addressesHex.push(Buffer.from(name.content).toString("hex"));
    else return undefined;
  }
  return names;
}
