/**
 * A certificate chain that leads nowhere and is dear to follow: a leaf with a key of ours, under issuers with RSA keys of
 * 16 384 bits and signatures nobody made. A verifier finds out only by computing them.
 */

import { generateP256, privateKeyPem } from "../../certs/keys.ts";
import { certificatePem } from "../../certs/material.ts";
import type { Random } from "../../lib/random.ts";

const issuersCount = 20;
const modulusBytes = 2_048;

const SHA256_RSA = Buffer.from("300d06092a864886f70d01010b0500", "hex");
const RSA = Buffer.from("300d06092a864886f70d0101010500", "hex");

function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  if (body.length < 0x80) return Buffer.concat([Buffer.from([tag, body.length]), body]);
  const size: number[] = [];
  for (let rest = body.length; rest > 0; rest >>= 8) size.unshift(rest & 0xff);
  return Buffer.concat([Buffer.from([tag, 0x80 | size.length, ...size]), body]);
}

function positive(bytes: Uint8Array): Buffer {
  return der(0x02, (bytes[0] ?? 0) & 0x80 ? Buffer.concat([Buffer.from([0]), bytes]) : bytes);
}

function name(at: number): Buffer {
  const common = der(0x30, Buffer.from("0603550403", "hex"), der(0x0c, Buffer.from(`issuer ${at}`)));
  return der(0x30, der(0x31, common));
}

/** An RSA key of the largest size that is still computed with, by an exponent of 64 bits. */
function dearKey(random: Random): Buffer {
  const modulus = Buffer.from(random.bytes(modulusBytes));
  modulus[0] = 0xc0 | (modulus[0] ?? 0);
  modulus[modulusBytes - 1] = 1 | (modulus[modulusBytes - 1] ?? 0);
  const key = der(0x30, positive(modulus), positive(Buffer.alloc(8, 0xff)));
  return der(0x30, RSA, der(0x03, Buffer.from([0]), key));
}

function certificate(random: Random, subject: number, issuer: number, key: Uint8Array): Buffer {
  const dates = der(0x30, der(0x17, Buffer.from("260101000000Z")), der(0x17, Buffer.from("360101000000Z")));
  const facts = [
    der(0xa0, der(0x02, Buffer.from([2]))),
    positive(Buffer.from([1, ...random.bytes(8)])),
    SHA256_RSA,
    name(issuer),
    dates,
    name(subject),
    key,
  ];
  const signature = Buffer.from(random.bytes(modulusBytes));
  // Below the modulus, or it would be refused unseen.
  signature[0] = 0x3f & (signature[0] ?? 0);
  return der(0x30, der(0x30, ...facts), SHA256_RSA, der(0x03, Buffer.from([0]), signature));
}

/** A key and its chain, leaf first, as PEM. */
export function foreignChain(random: Random): { readonly keyPem: string; readonly chainPem: string } {
  const leaf = generateP256();
  const chain = [certificate(random, 0, 1, leaf.spkiDer)];
  for (let at = 1; at <= issuersCount; at += 1)
    chain.push(certificate(random, at, Math.min(at + 1, issuersCount), dearKey(random)));
  return { keyPem: privateKeyPem(leaf.privateKey), chainPem: chain.map(certificatePem).join("") };
}
