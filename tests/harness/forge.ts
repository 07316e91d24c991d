/**
 * Certificates no issuer of ours would make, byte by byte: wrong versions, serials, extensions, names, orders. Independent
 * of the product's own builder and reader.
 */

import { type KeyObject, sign } from "node:crypto";
import { systemClock } from "../../lib/clock.ts";

/** One DER element. */
export function tlv(tag: number, ...parts: Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Buffer.of(tag, length), content]);
  const bytes =
    length < 0x100
      ? [length]
      : length < 0x10000
        ? [length >> 8, length & 255]
        : [length >> 16, (length >> 8) & 255, length & 255];
  return Buffer.concat([Buffer.of(tag, 0x80 | bytes.length, ...bytes), content]);
}

export const hex = (text: string): Buffer => Buffer.from(text.replace(/\s/g, ""), "hex");

/** A Name of one common name. */
export function commonName(text: string): Buffer {
  return tlv(0x30, tlv(0x31, tlv(0x30, hex("0603550403"), tlv(0x13, Buffer.from(text)))));
}

/** An extension by the hex of its OID content. */
export function extension(oidHex: string, critical: boolean, value: Uint8Array): Buffer {
  return tlv(0x30, tlv(0x06, hex(oidHex)), ...(critical ? [hex("0101ff")] : []), tlv(0x04, value));
}

export const uriName = (uri: string | Uint8Array): Buffer => tlv(0x86, Buffer.from(uri as Uint8Array));
export const dnsName = (name: string): Buffer => tlv(0x82, Buffer.from(name));
export const subjectAltName = (...names: Uint8Array[]): Buffer => extension("551d11", false, tlv(0x30, ...names));

export const ext = {
  caFalse: extension("551d13", true, hex("3000")),
  caTrue: extension("551d13", true, hex("30030101ff")),
  keyUsage: extension("551d0f", true, hex("03020780")),
  keyUsageNotCritical: extension("551d0f", false, hex("03020780")),
  keyUsageAgreement: extension("551d0f", true, hex("03020308")),
  keyUsageCertSign: extension("551d0f", true, hex("03020106")),
  both: extension("551d25", false, hex("301406082b0601050507030106082b06010505070302")),
  serverAuth: extension("551d25", false, hex("300a06082b06010505070301")),
  clientAuth: extension("551d25", false, hex("300a06082b06010505070302")),
  unknownCritical: extension("2a0304", true, hex("0500")),
  unknown: extension("2a0304", false, hex("0500")),
} as const;

export interface Forgery {
  readonly signer: KeyObject;
  /** DER Name. */
  readonly issuer: Uint8Array;
  readonly spki: Uint8Array;
  readonly extensions: readonly Uint8Array[];
  readonly subject?: Uint8Array;
  /** INTEGER content. */
  readonly serial?: Uint8Array;
  readonly notBeforeMs?: number;
  readonly notAfterMs?: number;
  /** Omits the version: X.509 v1 with extensions. */
  readonly versionless?: boolean;
}

/** Builds and signs (ECDSA P-256, SHA-256) exactly what it is told. */
export function forge(forgery: Forgery): Buffer {
  const nowMs = systemClock.nowMs();
  const algorithm = hex("300a06082a8648ce3d040302");
  const tbs = tlv(
    0x30,
    ...(forgery.versionless === true ? [] : [hex("a003020102")]),
    tlv(0x02, forgery.serial ?? hex("4142434445464748")),
    algorithm,
    forgery.issuer,
    tlv(0x30, time(forgery.notBeforeMs ?? nowMs - 60_000), time(forgery.notAfterMs ?? nowMs + 3_600_000)),
    forgery.subject ?? commonName("Weft forged"),
    forgery.spki,
    tlv(0xa3, tlv(0x30, ...forgery.extensions)),
  );
  return tlv(0x30, tbs, algorithm, tlv(0x03, Buffer.of(0), sign("sha256", tbs, forgery.signer)));
}

function time(atMs: number): Buffer {
  const digits = new Date(atMs).toISOString().replace(/[-:T]/g, "").slice(2, 14);
  return tlv(0x17, Buffer.from(`${digits}Z`));
}

const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

/** The same certificate with s replaced by n - s: another fingerprint, and still a valid ECDSA signature. */
export function flipSignature(der: Uint8Array): Buffer {
  const bytes = Buffer.from(der);
  const outer = element(bytes, 0);
  const tbs = element(bytes, outer.content);
  const algorithm = element(bytes, tbs.end);
  const bitString = element(bytes, algorithm.end);
  const sequence = element(bytes, bitString.content + 1);
  const r = element(bytes, sequence.content);
  const s = element(bytes, r.end);
  const flipped = P256_ORDER - BigInt(`0x${bytes.subarray(s.content, s.end).toString("hex")}`);
  const digits = flipped.toString(16);
  const magnitude = hex(digits.length % 2 === 0 ? digits : `0${digits}`);
  const integer = tlv(0x02, (magnitude[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), magnitude]) : magnitude);
  const signature = tlv(0x30, bytes.subarray(sequence.content, r.end), integer);
  return tlv(0x30, bytes.subarray(outer.content, algorithm.end), tlv(0x03, Buffer.of(0), signature));
}

function element(bytes: Buffer, at: number): { content: number; end: number } {
  const first = bytes[at + 1] ?? 0;
  if (first < 0x80) return { content: at + 2, end: at + 2 + first };
  const count = first & 0x7f;
  const length = bytes.readUIntBE(at + 2, count);
  return { content: at + 2 + count, end: at + 2 + count + length };
}

/** The subject Name (DER) of a certificate. */
export function subjectOf(der: Uint8Array): Buffer {
  const bytes = Buffer.from(der);
  let at = element(bytes, element(bytes, 0).content).content;
  for (let field = 0; field < 5; field++) at = element(bytes, at).end;
  return bytes.subarray(at, element(bytes, at).end);
}
