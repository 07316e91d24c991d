/**
 * The revocation feed: a small signed list that travels from peer to peer.
 *
 * RF1. Verified as received, by a key certified for feeds in this cluster, then parsed; unknown fields are refused.
 * RF2. Grow-only: merging never drops an entry whose certificates could still be valid, whatever the feed says. What does
 *      not fit any more is left out and said, and the statement it came with is not taken up.
 * RF3. (epoch, seq) orders feeds; an equal position may only renew `issued_at_ms`.
 * RF4. Bounded by `limits.feedMaxBytes` and `limits.revocationsMaxCount` on the wire, and `limits.revocationsKeptMaxCount`
 *      in memory.
 */

import { createHash } from "node:crypto";
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
  expect: {
    readonly installationSpki: Uint8Array;
    readonly clusterId: string;
    readonly nowMs: number;
    /** Signing keys that were replaced (certs/bundle.ts). */
    readonly retired?: ReadonlyMap<string, number>;
  },
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
  /** The newest date of any statement. */
  readonly issuedAtMs: bigint;
  readonly revocations: readonly Revocation[];
  /** What the statement at that position names; absent where only the union is known. */
  readonly stated?: Named;
}

/** Entries of a statement by their key, with their ends, ms. */
export type Named = ReadonlyMap<string, number>;

/** Whether `told` names somebody whom `other` does not, and whose certificates may still be valid. */
export function namesMore(told: Named, other: Named | undefined, nowMs: number): boolean {
  for (const [key, notAfterMs] of told) if (notAfterMs > nowMs && other?.has(key) !== true) return true;
  return false;
}

/**
 * `newer`: a later position; `renewed`: the same one, stated again later; `known`: nothing new in position and date;
 * `fork`: the held position with another content, which is evidence and an alarm; `overflow`: more revocations than can be
 * kept, which is an alarm too, and neither position nor date count. In every case revocations only grow.
 */
export type FeedOutcome = "newer" | "renewed" | "known" | "fork" | "overflow";

export interface MergedFeed {
  readonly outcome: FeedOutcome;
  /** Whether it revokes something that was not held: possible with every outcome, and it counts with every outcome. */
  readonly grown: boolean;
  readonly known: KnownRevocations;
  /** What the incoming statement names. */
  readonly told: Named;
}

/**
 * Merges a verified feed into what is held (RF2, RF3, RF4). Entries past their not-after at `nowMs` (newest signed time) are
 * forgotten. The date of a statement counts whatever its position: what control said until then has been heard.
 */
export function mergeFeed(held: KnownRevocations | undefined, incoming: RevocationFeed, nowMs: number): MergedFeed {
  const union = liveByKey(held?.revocations ?? [], nowMs);
  const incomingByKey = liveByKey(incoming.revocations, nowMs);
  const told: Named = new Map([...incomingByKey].map(([key, { notAfterMs }]) => [key, Number(notAfterMs)]));
  const more: Revocation[] = [];
  for (const [key, entry] of incomingByKey) {
    const before = union.get(key);
    if (before === undefined) more.push(entry);
    else if (before.notAfterMs < entry.notAfterMs) union.set(key, entry);
  }
  const grown = more.length > 0;
  const kept = [...union.values()];
  const room = limits.revocationsKeptMaxCount - kept.length;
  if (held !== undefined && more.length > room) {
    // Those that say most in one entry first: an identity is all of its keys and leaves.
    const fitting = more.sort((a, b) => Number(!isWhole(a)) - Number(!isWhole(b))).slice(0, Math.max(0, room));
    const known = { ...held, revocations: [...kept, ...fitting] };
    return { outcome: "overflow", grown: fitting.length > 0, known, told };
  }
  const outcome = outcomeOf(held, incoming, { grown, told, nowMs });
  return {
    outcome,
    grown,
    known: { ...placeOf(held, incoming, outcome, told), revocations: [...kept, ...more] },
    told,
  };
}

/** Where a merge leaves the position, its statement and the newest date. */
function placeOf(
  held: KnownRevocations | undefined,
  incoming: RevocationFeed,
  outcome: FeedOutcome,
  told: Named,
): Omit<KnownRevocations, "revocations"> {
  const { epoch, seq, issuedAtMs } = incoming;
  const latestMs = held !== undefined && held.issuedAtMs > issuedAtMs ? held.issuedAtMs : issuedAtMs;
  if (held === undefined || outcome === "newer" || outcome === "renewed")
    return { epoch, seq, issuedAtMs: latestMs, stated: told };
  // A branch proves nothing about how fresh the other is.
  const place = { epoch: held.epoch, seq: held.seq, issuedAtMs: outcome === "fork" ? held.issuedAtMs : latestMs };
  // Restored from the union alone, a position learns its content from the first statement that says it.
  const stated = held.stated ?? (compareFeeds(incoming, held) === 0 && outcome === "known" ? told : undefined);
  return stated === undefined ? place : { ...place, stated };
}

/** Entries that still concern somebody, each once, with its latest end. */
function liveByKey(entries: readonly Revocation[], nowMs: number): Map<string, Revocation> {
  const byKey = new Map<string, Revocation>();
  for (const entry of entries) {
    if (Number(entry.notAfterMs) <= nowMs) continue;
    const key = entryKey(entry);
    const before = byKey.get(key);
    if (before === undefined || before.notAfterMs < entry.notAfterMs) byKey.set(key, entry);
  }
  return byKey;
}

/** Whether an entry revokes an identity as a whole. */
function isWhole(entry: Revocation): boolean {
  return entry.serial.length === 0 && entry.keyHash.length === 0;
}

/** What one position says, whenever it is said: SHA-256 over its entries in one order. */
export function feedContentHash(revocations: readonly Revocation[]): Uint8Array<ArrayBuffer> {
  const hash = createHash("sha256");
  for (const key of revocations.map(entryKey).sort()) hash.update(`${key}\n`);
  return Uint8Array.from(hash.digest());
}

function outcomeOf(
  held: KnownRevocations | undefined,
  incoming: RevocationFeed,
  { grown, told, nowMs }: { readonly grown: boolean; readonly told: Named; readonly nowMs: number },
): FeedOutcome {
  if (held === undefined) return "newer";
  const order = compareFeeds(incoming, held);
  if (order !== 0) return order > 0 ? "newer" : "known";
  // What is held may be more than its position says (RF2): a contradiction is what is new here, or what the position said
  // before and does not say now.
  if (grown || (held.stated !== undefined && namesMore(held.stated, told, nowMs))) return "fork";
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
    if (isWhole(entry)) identities.add(entry.spiffeId);
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
