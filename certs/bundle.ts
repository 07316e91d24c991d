/**
 * Trust bundles: everything a node must trust in one cluster, signed by the installation key. The first bundle a node
 * sees comes over an unverified connection and is believed because its signer's hash is in the join token.
 */

import { createHash, type KeyObject } from "node:crypto";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { RootKind, RootStatus, type TrustBundle, TrustBundleSchema } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import { WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import { readCertificate } from "./certificate.ts";
import { ed25519FromSpki, keyHash } from "./keys.ts";
import { openRoot, type RootsOf, rootsOfKind } from "./material.ts";
import { decodeSigned, signDomain, verifyDomain } from "./signed.ts";
import { type SpiffeKind, spiffeKinds } from "./spiffe.ts";

const DOMAIN = "weft/trust-bundle/v1\0";

/** The wire name of each kind of root. */
export const rootKinds = {
  node: RootKind.NODE,
  control: RootKind.CONTROL,
  client: RootKind.CLIENT,
  pool: RootKind.POOL,
  operator: RootKind.OPERATOR,
} as const satisfies Record<SpiffeKind, RootKind>;

export interface SignedBundle {
  /** The exact bytes of a TrustBundle. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Ed25519 by the installation key. */
  readonly signature: Uint8Array<ArrayBuffer>;
}

/** Encodes and signs a bundle with the installation key. */
export function signTrustBundle(
  installationKey: KeyObject,
  bundle: MessageInitShape<typeof TrustBundleSchema>,
): SignedBundle {
  const bytes = toBinary(TrustBundleSchema, create(TrustBundleSchema, bundle));
  return { bytes, signature: signDomain(installationKey, DOMAIN, bytes) };
}

/**
 * The bundle, if the installation key whose hash is pinned signed exactly these bytes. Throws `unauthenticated`
 * (INSTALLATION_KEY_MISMATCH, BUNDLE_SIGNATURE) or `invalid_argument` (BUNDLE_SIZE, SIGNED_MALFORMED, ROOT_*).
 */
export function verifyTrustBundle(
  signed: { readonly bytes: Uint8Array; readonly signature: Uint8Array },
  installationSpki: Uint8Array,
  pinnedKeyHash: string,
): TrustBundle {
  if (signed.bytes.length > limits.trustBundleMaxBytes) {
    throw new WeftError("invalid_argument", "the trust bundle is too large", { detail: "BUNDLE_SIZE" });
  }
  const publicKey = ed25519FromSpki(installationSpki);
  if (publicKey === undefined || keyHash(installationSpki) !== pinnedKeyHash) {
    throw new WeftError("unauthenticated", "another installation answered", { detail: "INSTALLATION_KEY_MISMATCH" });
  }
  if (!verifyDomain(publicKey, signed.signature, DOMAIN, signed.bytes)) {
    throw new WeftError("unauthenticated", "the trust bundle is not signed", { detail: "BUNDLE_SIGNATURE" });
  }
  const bundle = decodeSigned(TrustBundleSchema, signed.bytes);
  for (const kind of spiffeKinds) if (hasRoots(bundle, kind)) rootsOf(bundle, kind);
  return bundle;
}

/** Whether a bundle lists any root of `kind`: a client's bundle may lack kinds it never meets. */
export function hasRoots(bundle: TrustBundle, kind: SpiffeKind): boolean {
  return bundle.roots.some((root) => root.kind === rootKinds[kind]);
}

/** The roots of exactly one kind. Throws `invalid_argument` (ROOT_MISSING, ROOT_PROFILE, ...). */
export function rootsOf<K extends SpiffeKind>(bundle: TrustBundle, kind: K): RootsOf<K> {
  const ders = bundle.roots.filter((root) => root.kind === rootKinds[kind]).map((root) => root.certificateDer);
  return rootsOfKind(kind, ders);
}

/** What names the content of a bundle: SHA-256 of its exact bytes. */
export function bundleHash(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHash("sha256").update(bytes).digest());
}

/** Key id of the root in the bundle that made a certificate's signature; undefined when none did. */
export function issuerIn(bundle: TrustBundle, certificateDer: Uint8Array): string | undefined {
  const facts = readCertificate(certificateDer);
  if (typeof facts === "string") return undefined;
  return bundle.roots.map((root) => openRoot(root.certificateDer)).find(({ publicKey }) => facts.signedBy(publicKey))
    ?.keyId;
}

const taintedByBundle = new WeakMap<TrustBundle, ReadonlySet<string>>();

/** Key ids (hex) of the roots that are about to go: whoever holds a leaf of one asks for another now. */
export function taintedIssuers(bundle: TrustBundle): ReadonlySet<string> {
  const known = taintedByBundle.get(bundle);
  if (known !== undefined) return known;
  const tainted = bundle.roots.filter((root) => root.status === RootStatus.TAINTED);
  const ids = new Set(tainted.map((root) => openRoot(root.certificateDer).keyId));
  taintedByBundle.set(bundle, ids);
  return ids;
}

/** The moment from which each retired signing key counts no more, by key id; milliseconds since the epoch. */
export function retiredSigningKeys(bundle: TrustBundle): ReadonlyMap<string, number> {
  return new Map(bundle.retiredSigningKeys.map(({ keyId, refusedFromMs }) => [keyId, Number(refusedFromMs)]));
}
