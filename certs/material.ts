/**
 * Trust roots and leaves, typed by the kind of peer they belong to, so that a client root can never be passed where a node
 * root is demanded: that mistake would make a stolen client CA an issuer of nodes.
 *
 * M1. A `RootsOf<K>` holds roots of exactly one kind, at least one (an empty list would mean the host's web roots), each
 *     self-signed under the root profile, no key twice.
 * M2. A `LeafOf<K>` is a certificate of kind K and the private key that belongs to it.
 */

import type { KeyObject } from "node:crypto";
import { WeftError } from "../lib/errors.ts";
import { type CertificateFacts, EXTENSION, readCertificate } from "./certificate.ts";
import { keyPairFromPem, p256FromSpki } from "./keys.ts";
import { parseSpiffe, type SpiffeId, type SpiffeKind } from "./spiffe.ts";

declare const checked: unique symbol;

export interface TrustedRoot {
  readonly der: Uint8Array<ArrayBuffer>;
  readonly pem: string;
  readonly publicKey: KeyObject;
  /** SHA-256 of the SPKI, hex: the issuer key id of everything it signs. */
  readonly keyId: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** The roots of one kind of peer (M1). Only `rootsOfKind` makes one. */
export interface RootsOf<K extends SpiffeKind> {
  readonly kind: K;
  readonly roots: readonly TrustedRoot[];
  readonly [checked]: K;
}

/** A leaf of one kind with its private key (M2). Only `leafOfKind` makes one. */
export interface LeafOf<K extends SpiffeKind> {
  readonly kind: K;
  readonly id: SpiffeId;
  readonly keyPem: string;
  readonly certificatePem: string;
  readonly certificateDer: Uint8Array<ArrayBuffer>;
  readonly serialHex: string;
  readonly keyHash: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly [checked]: K;
}

const ROOT_BASIC_CONSTRAINTS = "30060101ff020100";
const ROOT_KEY_USAGE = "03020106";

/** PEM of a DER certificate. */
export function certificatePem(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

/** DER of exactly one PEM certificate. Throws `invalid_argument` (CERT_ENCODING). */
export function certificateDer(pem: string): Uint8Array<ArrayBuffer> {
  const match = /^-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*$/.exec(pem);
  if (match === null) throw new WeftError("invalid_argument", "not one PEM certificate", { detail: "CERT_ENCODING" });
  return new Uint8Array(Buffer.from(match[1] ?? "", "base64"));
}

/** The roots of `kind` from DER certificates. Throws `invalid_argument` (ROOT_*) unless each keeps the root profile. */
export function rootsOfKind<K extends SpiffeKind>(kind: K, ders: readonly Uint8Array[]): RootsOf<K> {
  if (ders.length === 0) throw refuse("ROOT_MISSING", `no ${kind} root`);
  const roots = ders.map(openRoot);
  if (new Set(roots.map((root) => root.keyId)).size !== roots.length) {
    throw refuse("ROOT_REPEATED", `a ${kind} root is listed twice`);
  }
  return { kind, roots } as unknown as RootsOf<K>;
}

/** One self-signed root under the root profile. Throws `invalid_argument` (ROOT_PROFILE or CERT_*). */
export function openRoot(der: Uint8Array): TrustedRoot {
  const facts = readCertificate(der);
  if (typeof facts === "string") throw refuse(facts, "a root certificate is malformed");
  const constraints = facts.extensions.get(EXTENSION.basicConstraints);
  const usage = facts.extensions.get(EXTENSION.keyUsage);
  const publicKey = p256FromSpki(facts.spkiDer);
  const asProfiled =
    publicKey !== undefined &&
    constraints?.critical === true &&
    constraints.valueHex === ROOT_BASIC_CONSTRAINTS &&
    usage?.critical === true &&
    usage.valueHex === ROOT_KEY_USAGE &&
    facts.uris.length === 0 &&
    facts.signedBy(publicKey);
  if (!asProfiled) throw refuse("ROOT_PROFILE", "a root certificate does not keep the root profile");
  const { notBeforeMs, notAfterMs, keyHash: keyId } = facts;
  return { der: facts.der, pem: certificatePem(der), publicKey, keyId, notBeforeMs, notAfterMs };
}

/** A leaf of `kind` with its key. Throws `invalid_argument` (LEAF_KIND, LEAF_KEY or CERT_*). Does not judge issuer or dates. */
export function leafOfKind<K extends SpiffeKind>(kind: K, keyPem: string, der: Uint8Array): LeafOf<K> {
  const facts = readCertificate(der);
  if (typeof facts === "string") throw refuse(facts, "the certificate is malformed");
  const id = soleIdentity(facts);
  if (id?.kind !== kind) throw refuse("LEAF_KIND", `the certificate is not one of a ${kind}`);
  if (keyPairFromPem(keyPem).keyHash !== facts.keyHash) throw refuse("LEAF_KEY", "key and certificate do not match");
  const { serialHex, keyHash, notBeforeMs, notAfterMs } = facts;
  const leaf = { kind, id, keyPem, certificatePem: certificatePem(der), certificateDer: facts.der };
  return { ...leaf, serialHex, keyHash, notBeforeMs, notAfterMs } as unknown as LeafOf<K>;
}

/** The one SPIFFE id of a certificate, or undefined when it has none, several URIs, or an inexact one. */
export function soleIdentity(facts: CertificateFacts): SpiffeId | undefined {
  const [uri, ...more] = facts.uris;
  return uri === undefined || more.length > 0 ? undefined : parseSpiffe(uri);
}

function refuse(detail: string, message: string): WeftError {
  return new WeftError("invalid_argument", message, { detail });
}
