/**
 * The revocation feed: a small signed list that travels from peer to peer.
 *
 * RF1. Verified as received, by a key certified for feeds in this cluster, then parsed; unknown fields are refused.
 * RF2. Grow-only: merging never drops an entry whose certificates could still be valid, whatever the feed says.
 * RF3. (epoch, seq) orders feeds; an equal position may only renew `issued_at_ms`.
 * RF4. Bounded by `limits.feedMaxBytes` on the wire and `limits.revocationsMaxCount` in memory.
 */

import { create, toBinary } from "@bufbuild/protobuf";
import { verifySigningKey } from "../certs/installation.ts";
import { decodeSigned, signDomain, verifyDomain } from "../certs/signed.ts";
import {
  type Revocation,
  type RevocationFeed,
  RevocationFeedSchema,
  type SignedFeed,
  SignedFeedSchema,
} from "../gen/weft/fabric/v1/feed_pb.ts";
import { WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import { dateMs, normalSerialHex, serialHexOf } from "./signed-bytes.ts";
import type { OnlineSigner } from "./snapshot/sign.ts";

const DOMAIN = "weft/feed/v1\0";
const HASH_BYTES = 32;
const SERIAL_MAX_BYTES = 20;
const SPIFFE_MAX_CHARS = 512;

/** Where a feed stands. */
export interface FeedPosition {
  readonly epoch: bigint;
  readonly seq: bigint;
}

/** Negative, zero or positive: a before, at or after b (RF3). */
export function compareFeeds(a: FeedPosition, b: FeedPosition): number {
  if (a.epoch !== b.epoch) return a.epoch < b.epoch ? -1 : 1;
  return a.seq === b.seq ? 0 : a.seq < b.seq ? -1 : 1;
}

/** Encodes and signs a feed. Throws `resource_exhausted` (FEED_SIZE). */
export function signFeed(signer: OnlineSigner, feed: RevocationFeed): SignedFeed {
  const payload = toBinary(RevocationFeedSchema, feed);
  if (payload.length > limits.feedMaxBytes || feed.revocations.length > limits.revocationsMaxCount) {
    throw new WeftError("resource_exhausted", "the revocation feed is too large", {
      detail: "FEED_SIZE",
      retry: "never",
    });
  }
  return create(SignedFeedSchema, {
    payload,
    keyId: signer.keyId,
    signature: signDomain(signer.privateKey, DOMAIN, payload),
    signingKey: signer.statement,
  });
}

/**
 * The feed of a signed message (RF1, RF4). Throws `unauthenticated` (FEED_UNSIGNED, FEED_SIGNATURE, STATEMENT_*),
 * `invalid_argument` (FEED_SIZE, FEED_DATES, FEED_ENTRY, SIGNED_MALFORMED) or `permission_denied` (FEED_NOT_OURS).
 */
export function verifyFeed(
  signed: SignedFeed,
  expect: { readonly installationSpki: Uint8Array; readonly clusterId: string; readonly nowMs: number },
): RevocationFeed {
  if (signed.payload.length > limits.feedMaxBytes) throw refuse("invalid_argument", "FEED_SIZE");
  if (signed.signingKey === undefined) throw refuse("unauthenticated", "FEED_UNSIGNED");
  const signer = verifySigningKey(signed.signingKey, { ...expect, use: "feed" });
  if (signer.keyId !== signed.keyId || !verifyDomain(signer.publicKey, signed.signature, DOMAIN, signed.payload)) {
    throw refuse("unauthenticated", "FEED_SIGNATURE");
  }
  const feed = decodeSigned(RevocationFeedSchema, signed.payload);
  if (feed.clusterId !== expect.clusterId) throw refuse("permission_denied", "FEED_NOT_OURS");
  const issuedMs = dateMs(feed.issuedAtMs);
  // A key signs nothing beyond its own end.
  if (issuedMs === undefined || issuedMs >= signer.notAfterMs) throw refuse("invalid_argument", "FEED_DATES");
  if (feed.revocations.length > limits.revocationsMaxCount) throw refuse("invalid_argument", "FEED_SIZE");
  if (!feed.revocations.every(isWellFormed)) throw refuse("invalid_argument", "FEED_ENTRY");
  return feed;
}

function refuse(reason: "invalid_argument" | "unauthenticated" | "permission_denied", detail: string): WeftError {
  return new WeftError(reason, "the revocation feed is refused", { detail });
}

/** An entry names a leaf (issuer and serial), a key, or an identity: at least one, each complete. */
function isWellFormed(entry: Revocation): boolean {
  const leaf = entry.issuerKeyId.length === HASH_BYTES && entry.serial.length > 0;
  const noLeaf = entry.issuerKeyId.length === 0 && entry.serial.length === 0;
  const key = entry.keyHash.length === HASH_BYTES;
  if (!(leaf || noLeaf) || !(key || entry.keyHash.length === 0)) return false;
  if (entry.serial.length > SERIAL_MAX_BYTES || entry.spiffeId.length > SPIFFE_MAX_CHARS) return false;
  return (leaf || key || entry.spiffeId !== "") && dateMs(entry.notAfterMs) !== undefined;
}

/** Everything revoked that a node knows of, and the newest statement it has seen. */
export interface KnownRevocations {
  readonly epoch: bigint;
  readonly seq: bigint;
  readonly issuedAtMs: bigint;
  readonly revocations: readonly Revocation[];
}

/**
 * `newer`: a later position; `renewed`: the same one, stated again later; `known`: nothing new in position and date;
 * `fork`: the held position with other revocations, which is evidence and an alarm. In every case revocations only grow.
 */
export type FeedOutcome = "newer" | "renewed" | "known" | "fork";

export interface MergedFeed {
  readonly outcome: FeedOutcome;
  /** Whether it revokes something that was not held: possible with every outcome, and it counts with every outcome. */
  readonly grown: boolean;
  readonly known: KnownRevocations;
}

/**
 * Merges a verified feed into what is held (RF2, RF3). Entries past their not-after at `nowMs` (newest signed time) are
 * forgotten. Throws `resource_exhausted` (FEED_SIZE) when the union would pass its bound: what was held stays.
 */
export function mergeFeed(held: KnownRevocations | undefined, incoming: RevocationFeed, nowMs: number): MergedFeed {
  const union = new Map<string, Revocation>();
  for (const entry of [...(held?.revocations ?? []), ...incoming.revocations]) {
    const key = entryKey(entry);
    const before = union.get(key);
    if (before === undefined || before.notAfterMs < entry.notAfterMs) union.set(key, entry);
  }
  const revocations = [...union.values()].filter((entry) => Number(entry.notAfterMs) > nowMs);
  if (revocations.length > limits.revocationsMaxCount) {
    throw new WeftError("resource_exhausted", "too many live revocations", { detail: "FEED_SIZE" });
  }
  const grown = addsTo(held, incoming, nowMs);
  const outcome = outcomeOf(held, incoming, grown);
  const newest = held === undefined || outcome === "newer" || outcome === "renewed" ? incoming : held;
  const { epoch, seq, issuedAtMs } = newest;
  return { outcome, grown, known: { epoch, seq, issuedAtMs, revocations } };
}

function addsTo(held: KnownRevocations | undefined, incoming: RevocationFeed, nowMs: number): boolean {
  const keys = new Set(held?.revocations.map(entryKey));
  return incoming.revocations.some((entry) => Number(entry.notAfterMs) > nowMs && !keys.has(entryKey(entry)));
}

function outcomeOf(held: KnownRevocations | undefined, incoming: RevocationFeed, grown: boolean): FeedOutcome {
  if (held === undefined) return "newer";
  const order = compareFeeds(incoming, held);
  if (order !== 0) return order > 0 ? "newer" : "known";
  // What is held may be more than its position says (RF2), so only an entry that is new here is a contradiction.
  if (grown) return "fork";
  return incoming.issuedAtMs > held.issuedAtMs ? "renewed" : "known";
}

function entryKey(entry: Revocation): string {
  const leaf = entry.serial.length === 0 ? "" : leafKey(hex(entry.issuerKeyId), serialHexOf(entry.serial));
  return `${leaf}|${hex(entry.keyHash)}|${entry.spiffeId}`;
}

function leafKey(issuerKeyIdHex: string, serialHex: string): string {
  return `${issuerKeyIdHex}/${normalSerialHex(serialHex)}`;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

/** Revocations arranged for looking up. */
export interface RevocationIndex {
  readonly leaves: ReadonlySet<string>;
  readonly keys: ReadonlySet<string>;
  readonly identities: ReadonlySet<string>;
}

/** What is looked up of a certificate. All hex is lower case. */
export interface RevocationSubject {
  readonly issuerKeyIdHex: string;
  readonly serialHex: string;
  readonly keyHashHex: string;
  readonly spiffe: string;
}

/** Builds the index. An entry that names a leaf or a key revokes just those; its SPIFFE id is then only information. */
export function indexRevocations(revocations: readonly Revocation[]): RevocationIndex {
  const leaves = new Set<string>();
  const keys = new Set<string>();
  const identities = new Set<string>();
  for (const entry of revocations) {
    if (entry.serial.length > 0) leaves.add(leafKey(hex(entry.issuerKeyId), serialHexOf(entry.serial)));
    if (entry.keyHash.length > 0) keys.add(hex(entry.keyHash));
    if (entry.serial.length === 0 && entry.keyHash.length === 0) identities.add(entry.spiffeId);
  }
  return { leaves, keys, identities };
}

/** Whether a certificate, its key or its identity is revoked. */
export function isRevoked(index: RevocationIndex, subject: RevocationSubject): boolean {
  return (
    index.leaves.has(leafKey(subject.issuerKeyIdHex, subject.serialHex)) ||
    index.keys.has(subject.keyHashHex) ||
    index.identities.has(subject.spiffe)
  );
}
