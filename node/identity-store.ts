/**
 * This membership's identity at rest and in memory. Key, leaf and trust anchors are one file (0600), replaced as a
 * whole: a crash can never leave a key beside another key's certificate. The private key never leaves this host (LAW-I1).
 */

import { join } from "node:path";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { z } from "zod";
import { type LeafOf, leafOfKind } from "../certs/material.ts";
import { readSecretFile, writeSecretFile } from "../certs/secret-file.ts";
import type { SpiffeKind } from "../certs/spiffe.ts";
import { TrustBundleSchema } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import { WeftError } from "../lib/errors.ts";
import { readFileIfAny, removeFile } from "../lib/files.ts";
import { limits } from "../lib/limits.ts";
import { Listeners } from "./events.ts";
import type { IdentityHolder, NodeIdentity } from "./ports.ts";

const base64 = z.base64();
const storedLeaf = z.object({ certificate: base64, keyPem: z.string() });
const storedIdentity = z.object({
  trustDomain: z.string(),
  clusterId: z.string(),
  clusterSlug: z.string(),
  nodeId: z.string(),
  name: z.string(),
  controlName: z.string(),
  leaf: storedLeaf,
  poolLeaves: z.record(z.string(), storedLeaf),
  bundle: base64,
  // Of the installation key over the bundle's bytes.
  bundleSignature: base64.optional(),
  installationKey: base64,
});

/** An identity and the installation key that was pinned when it was enrolled. */
export interface StoredIdentity {
  readonly identity: NodeIdentity;
  /** Ed25519 public key, SPKI DER. */
  readonly installationKeySpki: Uint8Array;
}

function identityPath(stateDir: string): string {
  return join(stateDir, "identity.json");
}

function packLeaf(leaf: LeafOf<SpiffeKind>): z.input<typeof storedLeaf> {
  return { certificate: Buffer.from(leaf.certificateDer).toString("base64"), keyPem: leaf.keyPem };
}

function unpackLeaf<K extends SpiffeKind>(kind: K, stored: z.output<typeof storedLeaf>): LeafOf<K> {
  return leafOfKind(kind, stored.keyPem, Buffer.from(stored.certificate, "base64"));
}

/** The trust bundle's bytes: as they were signed, where they came signed. */
export function bundleBytes({ bundle, signedBundle }: Pick<NodeIdentity, "bundle" | "signedBundle">): Uint8Array {
  return signedBundle?.bytes ?? toBinary(TrustBundleSchema, bundle);
}

function unpackBundle(stored: z.output<typeof storedIdentity>): Pick<NodeIdentity, "bundle" | "signedBundle"> {
  const bytes = Uint8Array.from(Buffer.from(stored.bundle, "base64"));
  const bundle = fromBinary(TrustBundleSchema, bytes);
  if (stored.bundleSignature === undefined) return { bundle };
  return { bundle, signedBundle: { bytes, signature: Uint8Array.from(Buffer.from(stored.bundleSignature, "base64")) } };
}

/** Writes the identity durably, mode 0600. */
export function saveIdentity(stateDir: string, { identity, installationKeySpki }: StoredIdentity): void {
  const stored: z.input<typeof storedIdentity> = {
    trustDomain: identity.trustDomain,
    clusterId: identity.clusterId,
    clusterSlug: identity.clusterSlug,
    nodeId: identity.nodeId,
    name: identity.name,
    controlName: identity.controlName,
    leaf: packLeaf(identity.leaf),
    poolLeaves: Object.fromEntries([...identity.poolLeaves].map(([id, leaf]) => [id, packLeaf(leaf)])),
    bundle: Buffer.from(bundleBytes(identity)).toString("base64"),
    ...(identity.signedBundle === undefined
      ? {}
      : { bundleSignature: Buffer.from(identity.signedBundle.signature).toString("base64") }),
    installationKey: Buffer.from(installationKeySpki).toString("base64"),
  };
  writeSecretFile(identityPath(stateDir), JSON.stringify(stored));
}

/**
 * The identity kept in a state folder, or undefined when the folder holds none.
 * @throws WeftError failed_precondition when the file is damaged or readable by others: it is left as it is.
 */
export function loadIdentity(stateDir: string): StoredIdentity | undefined {
  const path = identityPath(stateDir);
  if (readFileIfAny(path) === undefined) return undefined;
  const text = readSecretFile(path, limits.identityFileMaxBytes);
  try {
    const stored = storedIdentity.parse(JSON.parse(text));
    return {
      installationKeySpki: Buffer.from(stored.installationKey, "base64"),
      identity: {
        trustDomain: stored.trustDomain,
        clusterId: stored.clusterId,
        clusterSlug: stored.clusterSlug,
        nodeId: stored.nodeId,
        name: stored.name,
        controlName: stored.controlName,
        leaf: unpackLeaf("node", stored.leaf),
        poolLeaves: new Map(Object.entries(stored.poolLeaves).map(([id, leaf]) => [id, unpackLeaf("pool", leaf)])),
        ...unpackBundle(stored),
      },
    };
  } catch (cause) {
    throw new WeftError(
      "failed_precondition",
      `${path} is damaged; restore it from a backup or join again in an empty state folder`,
      {
        detail: "IDENTITY_DAMAGED",
        cause,
      },
    );
  }
}

export interface ReplaceableIdentityHolder extends IdentityHolder {
  /**
   * Persists, then shows the new identity to everybody. The trust bundle never goes back: an identity that comes with an
   * older one gets the one held.
   */
  replace(identity: NodeIdentity): void;
  /** The key a renewal was asked for with that has not been answered yet, also by an earlier run. */
  pendingKey(): string | undefined;
  /** Keeps such a key, durably, until there is another leaf. */
  keepPendingKey(keyPem: string): void;
}

/** A key without a certificate yet. Its answer may be on its way, and control gives it to no other key. */
function pendingPath(stateDir: string): string {
  return join(stateDir, "renewal.key");
}

export function createIdentityHolder(
  stateDir: string,
  stored: StoredIdentity,
  onThrow: (thrown: unknown) => void,
): ReplaceableIdentityHolder {
  let identity = stored.identity;
  const listeners = new Listeners<NodeIdentity>(onThrow);
  return {
    current: () => identity,
    onChange: (listener) => listeners.add(listener),
    pendingKey() {
      const path = pendingPath(stateDir);
      return readFileIfAny(path) === undefined ? undefined : readSecretFile(path);
    },
    keepPendingKey: (keyPem) => writeSecretFile(pendingPath(stateDir), keyPem),
    replace(given) {
      const next = withNewestBundle(given, identity);
      saveIdentity(stateDir, { identity: next, installationKeySpki: stored.installationKeySpki });
      if (next.leaf.serialHex !== identity.leaf.serialHex) removeFile(pendingPath(stateDir));
      identity = next;
      listeners.notify(next);
    },
  };
}

function withNewestBundle(given: NodeIdentity, held: NodeIdentity): NodeIdentity {
  if (given.bundle.version > held.bundle.version) return given;
  const { bundle: _bundle, signedBundle: _signed, ...rest } = given;
  // The same version may have come with its signature, or without it.
  const signed =
    given.bundle.version === held.bundle.version ? (given.signedBundle ?? held.signedBundle) : held.signedBundle;
  return { ...rest, bundle: held.bundle, ...(signed === undefined ? {} : { signedBundle: signed }) };
}
