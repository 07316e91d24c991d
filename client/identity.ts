/**
 * Who a client is and whom it trusts: key, certificate, the roots of entries and of pools. What identity, cluster and trust
 * domain are is read from the certificate itself.
 *
 * CI1. A client folder is what `weft identity add client` writes; its key file is refused when others may read it.
 */

import { createPrivateKey, type KeyObject } from "node:crypto";
import { join } from "node:path";
import type { Expectation } from "../certs/judge.ts";
import { certificateDer, type LeafOf, leafOfKind, type RootsOf, rootsOfKind } from "../certs/material.ts";
import { readSecretFile } from "../certs/secret-file.ts";
import { WeftError } from "../lib/errors.ts";
import { readFileIfAny } from "../lib/files.ts";
import { JsonMembers, plainText } from "../lib/json-members.ts";

/** An identity as PEM texts, for programs that keep it elsewhere than in a client folder. */
export interface ClientPems {
  readonly keyPem: string;
  readonly certificatePem: string;
  /** Roots that entries' certificates are verified by, one or more certificates. */
  readonly entryRootsPem: string;
  /** Roots that the far ends, egress pools, are verified by. */
  readonly poolRootsPem: string;
  readonly organizationId: string;
  /** Sent to entries as the server name `client.<slug>...`; without it they are asked by no name, which they also answer. */
  readonly clusterSlug?: string;
  /** SHA-256 of the installation key, hex: with it the client follows rotations of the roots above. */
  readonly installationKeyHash?: string;
  /** Of the trust bundle the roots are from. */
  readonly bundleVersion?: number;
}

/** A parsed identity. */
export interface ClientIdentity {
  readonly trustDomain: string;
  readonly clusterId: string;
  readonly clusterSlug: string | undefined;
  readonly clientId: string;
  readonly organizationId: string;
  readonly leaf: LeafOf<"client">;
  readonly key: KeyObject;
  readonly entryRoots: RootsOf<"node">;
  readonly poolRoots: RootsOf<"pool">;
  readonly installationKeyHash: string | undefined;
  readonly bundleVersion: number;
}

/** What a client folder holds. */
export interface ClientFolder {
  readonly pems: ClientPems;
  /** "host:port" of entries known when the identity was made; may be empty. */
  readonly entries: readonly string[];
  /** What entries and the organization's pools were called then, by id; empty in folders of older versions. */
  readonly names: Readonly<Record<string, string>>;
}

type FolderFacts = Pick<ClientFolder, "entries" | "names"> &
  Pick<ClientPems, "organizationId" | "installationKeyHash"> & {
    readonly clusterSlug: string;
    readonly bundleVersion: number;
  };

/** What `client.json` must say. Throws when it does not. */
function factsOf(text: string): FolderFacts {
  const members = new JsonMembers(JSON.parse(text));
  const organizationId = members.text("organizationId");
  if (organizationId === "") throw new TypeError("organizationId is empty");
  return {
    clusterSlug: members.text("clusterSlug"),
    organizationId,
    entries: members.list("entries", plainText) ?? [],
    names: members.has("names") ? members.entries("names", plainText) : {},
    ...(members.has("installationKeyHash") ? { installationKeyHash: members.text("installationKeyHash") } : {}),
    bundleVersion: members.number("bundleVersion") ?? 0,
  };
}

/** In a client folder while its key and certificate are being replaced: both of the new ones (client/identity-source.ts). */
export const renewedFile = "renewed.pem";
const keyBlock = /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----/;
const certificateBlock = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/;

/**
 * Reads a client folder.
 * @throws WeftError failed_precondition (CLIENT_FOLDER_MISSING, CLIENT_FOLDER_DAMAGED), or what reading a secret file says.
 */
export function readClientFolder(dir: string): ClientFolder {
  const [certificate, entryRoots, poolRoots, facts] = ["client.crt", "servers.pem", "pools.pem", "client.json"].map(
    (name) => readFileIfAny(join(dir, name))?.toString(),
  );
  if (certificate === undefined || entryRoots === undefined || poolRoots === undefined || facts === undefined) {
    const message = `${dir} holds no client identity; make one with "weft identity add client NAME --organization ORG --out DIR"`;
    throw new WeftError("failed_precondition", message, { detail: "CLIENT_FOLDER_MISSING" });
  }
  const renewed =
    readFileIfAny(join(dir, renewedFile)) === undefined ? undefined : readSecretFile(join(dir, renewedFile));
  const keyPem = renewed?.match(keyBlock)?.[0] ?? readSecretFile(join(dir, "client.key"));
  try {
    const { clusterSlug, organizationId, entries, names, ...pinned } = factsOf(facts);
    const { installationKeyHash, bundleVersion } = pinned;
    const roots = {
      ...{ entryRootsPem: entryRoots, poolRootsPem: poolRoots, bundleVersion },
      ...(installationKeyHash === undefined ? {} : { installationKeyHash }),
    };
    const certificatePem = renewed?.match(certificateBlock)?.[0] ?? certificate;
    return { pems: { keyPem, certificatePem, ...roots, organizationId, clusterSlug }, entries, names };
  } catch (cause) {
    const message = `the client identity in ${dir} is damaged or older than this program; make a new one`;
    throw new WeftError("failed_precondition", message, { detail: "CLIENT_FOLDER_DAMAGED", cause });
  }
}

/** An identity from PEM texts. Throws `invalid_argument` (LEAF_*, ROOT_*, CERT_*) when a part is not what it should be. */
export function clientIdentity(pems: ClientPems): ClientIdentity {
  const leaf = leafOfKind("client", pems.keyPem, certificateDer(pems.certificatePem));
  return {
    trustDomain: leaf.id.trustDomain,
    clusterId: leaf.id.clusterId,
    clusterSlug: pems.clusterSlug,
    clientId: leaf.id.id,
    organizationId: pems.organizationId,
    leaf,
    key: createPrivateKey(pems.keyPem),
    entryRoots: rootsOfKind("node", dersOf(pems.entryRootsPem)),
    poolRoots: rootsOfKind("pool", dersOf(pems.poolRootsPem)),
    installationKeyHash: pems.installationKeyHash,
    bundleVersion: pems.bundleVersion ?? 0,
  };
}

/** A node of this client's cluster: what an entry must prove to be. */
export function expectEntry(identity: ClientIdentity, nowMs: () => number): Expectation<"node"> {
  const { trustDomain, clusterId, entryRoots: roots } = identity;
  return { kind: "node", trustDomain, clusterId, roots, nowMs };
}

/** Exactly this pool: what the far end of a path must prove to be. */
export function expectPool(identity: ClientIdentity, poolId: string, nowMs: () => number): Expectation<"pool"> {
  const { trustDomain, clusterId, poolRoots: roots } = identity;
  return { kind: "pool", trustDomain, clusterId, roots, ids: [poolId], nowMs };
}

function dersOf(pem: string): Uint8Array[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.map(certificateDer);
}
