/**
 * A leaf certificate as bytes (RFC 5280, 4.1), written directly: hundreds are issued in a second, and every field of every one
 * is chosen here. What it says is `ca.ts`'s business.
 *
 * LD1. Version 3, ecdsa-with-SHA256 twice, extensions in one order: basic constraints (not a CA), key usage (digital
 *      signature), extended key usage, alternative names, subject and authority key identifier. Nothing else, ever.
 */

import { createHash, type KeyObject, sign } from "node:crypto";
import { isIPv4 } from "node:net";
import { readDer, TAG, writeDer } from "./der.ts";

export interface LeafFields {
  /** Lower-case hex of exactly the INTEGER's bytes. */
  readonly serialHex: string;
  /** The issuer's Name, DER, as in its own certificate. */
  readonly issuerName: Uint8Array;
  /** SHA-1 of the issuer's public key bits. */
  readonly issuerKeyIdentifier: Uint8Array;
  /** The subject's common name: letters, digits, spaces. */
  readonly commonName: string;
  /** Whole seconds. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** P-256 SubjectPublicKeyInfo, DER. */
  readonly spkiDer: Uint8Array;
  readonly usageOids: readonly string[];
  readonly uri: string;
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
}

const PRINTABLE_STRING = 0x13;
const alternative = { dns: 0x82, uri: 0x86, ip: 0x87 } as const;
const contextTags = { extensions: 0xa3, keyIdentifier: 0x80 } as const;

const hex = (text: string): Uint8Array => Buffer.from(text, "hex");
const sequence = (...parts: Uint8Array[]): Uint8Array<ArrayBuffer> => writeDer(TAG.sequence, parts);

const VERSION_3 = hex("a003020102");
/** AlgorithmIdentifier ecdsa-with-SHA256 (RFC 5758, 3.2). */
const ECDSA_SHA256 = hex("300a06082a8648ce3d040302");
const COMMON_NAME = hex("0603550403");
const TRUE = hex("0101ff");
const NO_UNUSED_BITS = Uint8Array.of(0);
/** Basic constraints: not a CA. Key usage: digital signature. Both critical. */
const CONSTRAINTS = extension("551d13", hex("3000"), true);
const KEY_USAGE = extension("551d0f", hex("03020780"), true);

/** The certificate with these fields, signed by `issuerKey`. DER. */
export function signLeaf(issuerKey: KeyObject, fields: LeafFields): Uint8Array<ArrayBuffer> {
  const { spkiDer } = fields;
  const extensions = sequence(
    CONSTRAINTS,
    KEY_USAGE,
    extension("551d25", sequence(...fields.usageOids.map(oidDer))),
    extension("551d11", sequence(...alternativeNames(fields))),
    extension("551d0e", writeDer(TAG.octetString, [keyIdentifierOf(spkiDer)])),
    extension("551d23", sequence(writeDer(contextTags.keyIdentifier, [fields.issuerKeyIdentifier]))),
  );
  const info = sequence(
    VERSION_3,
    writeDer(TAG.integer, [hex(fields.serialHex)]),
    ECDSA_SHA256,
    fields.issuerName,
    sequence(timeDer(fields.notBeforeMs), timeDer(fields.notAfterMs)),
    commonNameDer(fields.commonName),
    spkiDer,
    writeDer(contextTags.extensions, [extensions]),
  );
  const signature = sign("sha256", info, issuerKey);
  return sequence(info, ECDSA_SHA256, writeDer(TAG.bitString, [NO_UNUSED_BITS, signature]));
}

/** SHA-1 of the bits of a public key (RFC 5280, 4.2.1.2, method 1): a name for path building, not a proof. */
export function keyIdentifierOf(spkiDer: Uint8Array): Uint8Array {
  const bits = readDer(spkiDer)?.children[1]?.content.subarray(1) ?? new Uint8Array();
  return createHash("sha1").update(bits).digest();
}

/** The subject of a certificate, DER; what its leaves name as their issuer. Undefined for what is no certificate. */
export function subjectNameOf(certificateDer: Uint8Array): Uint8Array | undefined {
  return readDer(certificateDer)?.children[0]?.children[5]?.raw;
}

function commonNameDer(text: string): Uint8Array {
  const value = writeDer(PRINTABLE_STRING, [Buffer.from(text, "latin1")]);
  return sequence(writeDer(TAG.set, [sequence(COMMON_NAME, value)]));
}

function extension(oidHex: string, value: Uint8Array, critical = false): Uint8Array {
  const parts = [writeDer(TAG.oid, [hex(oidHex)]), ...(critical ? [TRUE] : []), writeDer(TAG.octetString, [value])];
  return sequence(...parts);
}

function alternativeNames({ uri, dnsNames, ipAddresses }: LeafFields): Uint8Array[] {
  const text = (tag: number, value: string): Uint8Array => writeDer(tag, [Buffer.from(value, "latin1")]);
  return [
    text(alternative.uri, uri),
    ...dnsNames.map((name) => text(alternative.dns, name)),
    ...ipAddresses.map((address) => writeDer(alternative.ip, [ipBytes(address)])),
  ];
}

/** The 4 or 16 bytes of an address. */
function ipBytes(address: string): Uint8Array {
  if (isIPv4(address)) return Uint8Array.from(address.split("."), Number);
  // Normal form: no dotted end, at most one gap.
  const [before = "", after] = new URL(`http://[${address}]`).hostname.slice(1, -1).split("::");
  const groups = (part: string): string[] => (part === "" ? [] : part.split(":"));
  const [head, tail] = [groups(before), groups(after ?? "")];
  const all = [...head, ...Array.from({ length: 8 - head.length - tail.length }, () => "0"), ...tail];
  return hex(all.map((group) => group.padStart(4, "0")).join(""));
}

/** UTCTime until 2049, GeneralizedTime from 2050 on (RFC 5280, 4.1.2.5). */
function timeDer(atMs: number): Uint8Array {
  const digits = new Date(atMs)
    .toISOString()
    .replace(/\.\d+Z$/, "")
    .replace(/\D/g, "");
  return digits < "2050"
    ? writeDer(TAG.utcTime, [Buffer.from(`${digits.slice(2)}Z`, "latin1")])
    : writeDer(TAG.generalizedTime, [Buffer.from(`${digits}Z`, "latin1")]);
}

/** Base 128 of every arc but the first two, which share a byte (X.690, 8.19). */
function oidDer(dotted: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const bytes = [first * 40 + second];
  for (const arc of rest) {
    const groups = [arc & 0x7f];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128))
      groups.unshift((left & 0x7f) | 0x80);
    bytes.push(...groups);
  }
  return writeDer(TAG.oid, [Uint8Array.from(bytes)]);
}
