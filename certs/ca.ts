/**
 * Issuing: roots and leaves. All fields are chosen here; a requester contributes a public key and nothing else.
 *
 * A1. A root signs leaves of its own kind only, path length 0. Every generation has a subject of its own (and SKI/AKI):
 *     two roots of one name make OpenSSL try the wrong key.
 * A2. A leaf never outlives its issuer, starts `leafBackdateMs` early, and has a serial of 16 random bytes.
 * A3. A leaf carries exactly one URI, its SPIFFE id. DNS and IP names are for stock TLS stacks and decide nothing here.
 */

import "reflect-metadata";
import { type KeyObject, webcrypto } from "node:crypto";
import { isIP } from "node:net";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import { type Random, randomLabel } from "../lib/random.ts";
import { generateP256Async, keyHash, keyPairFromPem, p256FromSpki, privateKeyPem, spkiOf } from "./keys.ts";
import { keyIdentifierOf, type LeafFields, signLeaf, subjectNameOf } from "./leaf-der.ts";
import { certificatePem, openRoot, type TrustedRoot } from "./material.ts";
import { leafProfiles, usageOids } from "./profiles.ts";
import { formatSpiffe, type SpiffeId, type SpiffeKind } from "./spiffe.ts";

/** A root and its private key: what can issue leaves of `kind`. */
export interface IssuingCa {
  readonly kind: SpiffeKind;
  readonly root: TrustedRoot;
  readonly privateKey: KeyObject;
}

export interface RootRequest {
  readonly kind: SpiffeKind;
  /** The cluster's slug or id, for people reading the subject; `installation` for the operator root. */
  readonly clusterName: string;
  /** 1 for the first root of this kind, then 2, ... */
  readonly generation: number;
  readonly nowMs: number;
  readonly random: Random;
  /** Default `limits.caLifeMs`. */
  readonly lifeMs?: number;
}

export interface LeafRequest {
  /** Its kind must be the issuer's. */
  readonly id: SpiffeId;
  /** From `judgeCsr`. */
  readonly spkiDer: Uint8Array;
  /** Server-chosen, never taken from a request unapproved. */
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly string[];
  readonly nowMs: number;
  readonly random: Random;
  /** Default: the profile's. */
  readonly lifeMs?: number;
}

export interface IssuedLeaf {
  readonly id: SpiffeId;
  readonly certificateDer: Uint8Array<ArrayBuffer>;
  readonly certificatePem: string;
  readonly serialHex: string;
  /** SHA-256 of the issuer's SPKI, hex. */
  readonly issuerKeyId: string;
  readonly keyHash: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

const ECDSA_P256 = { name: "ECDSA", namedCurve: "P-256" } as const;
const ECDSA_SHA256 = { name: "ECDSA", hash: "SHA-256" } as const;
const SERIAL_BYTES = 16;
const DNS_NAME = /^(?=.{1,253}$)([a-z0-9_]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9_]([a-z0-9-]{0,61}[a-z0-9])?)*$/;

/** Makes a root: a fresh P-256 key and its self-signed certificate. */
export async function createRoot(request: RootRequest): Promise<IssuingCa> {
  const { kind, clusterName, generation, nowMs, random } = request;
  if (!/^[a-z0-9-]{1,63}$/.test(clusterName)) throw refuse("CA_NAME", "not a cluster name");
  const keys = await generateP256Async();
  // A common name holds 64 characters (RFC 5280, A.1); the cluster is there for people, the label makes it unique (A1).
  const subject = `CN=Weft ${kind} root ${clusterName.slice(0, 24)} g${generation} ${randomLabel(random, 8)}`;
  const certificate = await X509CertificateGenerator.create({
    serialNumber: freshSerial(random),
    subject,
    issuer: subject,
    notBefore: atSecond(nowMs - limits.leafBackdateMs),
    notAfter: atSecond(nowMs + (request.lifeMs ?? limits.caLifeMs)),
    publicKey: Buffer.from(keys.spkiDer),
    signingKey: await signingKey(keys.privateKey),
    signingAlgorithm: ECDSA_SHA256,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(Buffer.from(keys.spkiDer)),
      await AuthorityKeyIdentifierExtension.create(Buffer.from(keys.spkiDer)),
    ],
  });
  return { kind, root: openRoot(new Uint8Array(certificate.rawData)), privateKey: keys.privateKey };
}

/** An issuer from its stored parts. Throws `invalid_argument` (ROOT_*, CERT_*, CA_KEY). */
export function openCa(kind: SpiffeKind, rootDer: Uint8Array, keyPem: string): IssuingCa {
  const root = openRoot(rootDer);
  const keys = keyPairFromPem(keyPem);
  if (keys.keyHash !== root.keyId) throw refuse("CA_KEY", "the CA key does not belong to the root");
  return { kind, root, privateKey: keys.privateKey };
}

/** PKCS#8 PEM of an issuer's private key, to be sealed. */
export function caPrivateKeyPem(ca: IssuingCa): string {
  return privateKeyPem(ca.privateKey);
}

/**
 * Issues a leaf (A2, A3). Throws `invalid_argument` (LEAF_KIND, LEAF_KEY, LEAF_NAME, SPIFFE_ID) for what cannot be
 * certified and `failed_precondition` (CA_EXPIRED) when the issuer's own dates do not hold now.
 */
export async function issueLeaf(ca: IssuingCa, request: LeafRequest): Promise<IssuedLeaf> {
  const { id, nowMs, random } = request;
  if (id.kind !== ca.kind) throw refuse("LEAF_KIND", `a ${ca.kind} root does not issue ${id.kind} certificates`);
  if (p256FromSpki(request.spkiDer) === undefined) throw refuse("LEAF_KEY", "not a P-256 key");
  if (nowMs < ca.root.notBeforeMs || nowMs >= ca.root.notAfterMs) {
    throw new WeftError("failed_precondition", "the issuing root is not valid now", { detail: "CA_EXPIRED" });
  }
  const profile = leafProfiles[id.kind];
  const notBefore = atSecond(Math.max(nowMs - limits.leafBackdateMs, ca.root.notBeforeMs));
  const notAfter = atSecond(Math.min(nowMs + (request.lifeMs ?? profile.lifeMs), ca.root.notAfterMs));
  const serialHex = freshSerial(random);
  const issuer = issuerOf(ca.root);
  const der = signLeaf(ca.privateKey, {
    ...leafNames(request),
    ...issuer,
    serialHex,
    // Not an identity: constant, so that no stack can take a name out of it.
    commonName: `Weft ${id.kind}`,
    notBeforeMs: notBefore.getTime(),
    notAfterMs: notAfter.getTime(),
    spkiDer: request.spkiDer,
    usageOids: profile.usages.map((usage) => usageOids[usage]),
  });
  return {
    id,
    certificateDer: der,
    certificatePem: certificatePem(der),
    serialHex,
    issuerKeyId: ca.root.keyId,
    keyHash: keyHash(request.spkiDer),
    notBeforeMs: notBefore.getTime(),
    notAfterMs: notAfter.getTime(),
  };
}

/** The names of a leaf, as far as its profile has any. */
function leafNames({ id, dnsNames = [], ipAddresses = [] }: LeafRequest) {
  const named = dnsNames.length + ipAddresses.length;
  if (named > 0 && !leafProfiles[id.kind].hostNames) {
    throw refuse("LEAF_NAME", `${id.kind} certificates carry no host names`);
  }
  if (named > limits.leafNamesMaxCount) throw refuse("LEAF_NAME", "too many host names");
  if (!dnsNames.every((name) => DNS_NAME.test(name))) throw refuse("LEAF_NAME", "not a DNS name");
  if (!ipAddresses.every((address) => isIP(address) !== 0 && !address.includes("%"))) {
    throw refuse("LEAF_NAME", "not an IP address");
  }
  return { uri: formatSpiffe(id), dnsNames, ipAddresses };
}

/** 126 random bits, positive, and always exactly 16 bytes long: one serial has one spelling. */
function freshSerial(random: Random): string {
  const bytes = Buffer.from(random.bytes(SERIAL_BYTES));
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString("hex");
}

/** What the leaves of a root say of it. */
function issuerOf(root: TrustedRoot): Pick<LeafFields, "issuerName" | "issuerKeyIdentifier"> {
  const known = issuers.get(root);
  if (known !== undefined) return known;
  const issuerName = subjectNameOf(root.der);
  if (issuerName === undefined) throw refuse("CA_NAME", "the root has no subject");
  const made = { issuerName, issuerKeyIdentifier: keyIdentifierOf(spkiOf(root.publicKey)) };
  issuers.set(root, made);
  return made;
}

const issuers = new WeakMap<TrustedRoot, Pick<LeafFields, "issuerName" | "issuerKeyIdentifier">>();

async function signingKey(privateKey: KeyObject): Promise<webcrypto.CryptoKey> {
  const der = privateKey.export({ type: "pkcs8", format: "der" });
  return await webcrypto.subtle.importKey("pkcs8", der, ECDSA_P256, false, ["sign"]);
}

/** Certificates count whole seconds. */
function atSecond(atMs: number): Date {
  return new Date(Math.floor(atMs / 1_000) * 1_000);
}

function refuse(detail: string, message: string): WeftError {
  return new WeftError("invalid_argument", message, { detail });
}
