/**
 * The revocation feed on this node: verified, grow-only, persisted, handed to neighbours. What was once revoked stays
 * revoked until its certificate's end, whatever a later feed leaves out.
 *
 * FS1. Every verified statement's revocations count: of an older one, of one dated too far ahead, and of both branches of
 *      a feed that forked (the own position with other content), which is kept as evidence and said as an alarm.
 *      They are handed on beside the own statement (node/feed-branches.ts).
 * FS2. A date too far ahead of own time counts for nothing: it neither raises the time floor (node/time-floor.ts) nor
 *      keeps the offline clock from starting.
 * FS3. What is told counts and cuts before it is written; a disk that takes nothing keeps no revocation from counting.
 */

import { join } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { retiredSigningKeys } from "../certs/bundle.ts";
import {
  feedContentHash,
  indexRevocations,
  isRevoked,
  type KnownRevocations,
  type MergedFeed,
  mergeFeed,
  type RevocationIndex,
  verifyFeed,
} from "../fabric/feed.ts";
import {
  type RevocationFeed,
  RevocationFeedSchema,
  type SignedFeed,
  SignedFeedSchema,
} from "../gen/weft/fabric/v1/feed_pb.ts";
import type { Clock } from "../lib/clock.ts";
import { messageOf } from "../lib/errors.ts";
import { readFileIfAny, replaceFile } from "../lib/files.ts";
import { limits } from "../lib/limits.ts";
import type { Log } from "../lib/log.ts";
import { Listeners } from "./events.ts";
import { keepForkEvidence } from "./evidence.ts";
import { FeedBranches, type Forks } from "./feed-branches.ts";
import { KeptFeeds } from "./kept-feeds.ts";
import type { FeedStore, IdentityHolder, NodeEvents, RevocationSubject, Unsubscribe } from "./ports.ts";
import type { OwnSnapshotHolder } from "./snapshot-holder.ts";

export interface FeedStoreDeps {
  readonly stateDir: string;
  readonly identity: IdentityHolder;
  readonly snapshot: OwnSnapshotHolder;
  readonly installationKeySpki: Uint8Array;
  readonly clock: Clock;
  readonly log: Log;
  readonly events: NodeEvents;
}

export interface OwnFeedStore extends FeedStore {
  /** Everything this node could show of control's own statements: the newest of each epoch, oldest first. */
  kept(): readonly SignedFeed[];
  others(): readonly SignedFeed[];
  /** What this node can sign about it. */
  standing(): FeedStanding;
}

/** Where a node is with the feed: what its receipts say (node/feed-receipts.ts). */
export interface FeedStanding {
  readonly epoch: bigint;
  readonly seq: bigint;
  /** When that position was taken up, by the wall clock; the start of the process for one it came with. */
  readonly appliedAtMs: number;
  readonly revocations: number;
  /** Of the statement at that position; empty while none was seen. */
  readonly contentHash: Uint8Array<ArrayBuffer>;
  readonly overflowing: boolean;
  /** As on disk now. */
  forks(): Forks | undefined;
}

const signedPath = (deps: FeedStoreDeps): string => join(deps.stateDir, "feed.bin");
/** The union of everything ever revoked and still alive: more than the newest signed statement may say. */
const unionPath = (deps: FeedStoreDeps): string => join(deps.stateDir, "revoked.bin");

function nowMs(deps: FeedStoreDeps): number {
  return Math.max(deps.clock.nowMs(), deps.snapshot.newestSignedMs());
}

function expectation(deps: FeedStoreDeps): Parameters<typeof verifyFeed>[1] {
  return {
    installationSpki: deps.installationKeySpki,
    clusterId: deps.identity.current().clusterId,
    nowMs: nowMs(deps),
    retired: retiredSigningKeys(deps.identity.current().bundle),
  };
}

/** The union first: a crash between the two leaves more revoked, never less. */
function persist(deps: FeedStoreDeps, feed: SignedFeed | undefined, merged: KnownRevocations): void {
  const union = create(RevocationFeedSchema, {
    clusterId: deps.identity.current().clusterId,
    epoch: merged.epoch,
    seq: merged.seq,
    issuedAtMs: merged.issuedAtMs,
    revocations: [...merged.revocations],
  });
  replaceFile(unionPath(deps), toBinary(RevocationFeedSchema, union));
  if (feed !== undefined) replaceFile(signedPath(deps), toBinary(SignedFeedSchema, feed));
}

/**
 * What a restart finds. A renewed statement changes dates only: it is worth a write every few minutes, not every ten
 * seconds, because its date is where the offline clock starts when the node restarts in an outage. A disk that takes nothing
 * is said, and keeps no revocation from counting.
 */
class FeedDisk {
  readonly #deps: FeedStoreDeps;
  #issuedAtMs = 0;

  constructor(deps: FeedStoreDeps) {
    this.#deps = deps;
  }

  isStale(merged: KnownRevocations): boolean {
    return Number(merged.issuedAtMs) - this.#issuedAtMs >= limits.feedPersistEveryMs;
  }

  write(feed: SignedFeed, merged: KnownRevocations): void {
    if (this.#persisted(feed, merged)) this.#issuedAtMs = Number(merged.issuedAtMs);
  }

  /** More is revoked, by a statement that does not become the own one. */
  writeUnion(merged: KnownRevocations): void {
    this.#persisted(undefined, merged);
  }

  #persisted(feed: SignedFeed | undefined, merged: KnownRevocations): boolean {
    try {
      persist(this.#deps, feed, merged);
      return true;
    } catch (thrown) {
      this.#deps.log.error("the revocation feed cannot be kept on disk", { error: messageOf(thrown) });
      return false;
    }
  }
}

class DiskFeedStore implements OwnFeedStore {
  readonly #deps: FeedStoreDeps;
  readonly #disk: FeedDisk;
  readonly #kept: KeptFeeds;
  readonly #branches: FeedBranches;
  readonly #listeners: Listeners<void>;
  #signed: SignedFeed | undefined;
  #known: KnownRevocations | undefined;
  #index: RevocationIndex = indexRevocations([]);
  #appliedAtMs: number;
  #contentHash = new Uint8Array();
  #overflowing = false;
  #forksSeen = 0;

  constructor(deps: FeedStoreDeps) {
    this.#deps = deps;
    this.#disk = new FeedDisk(deps);
    this.#kept = new KeptFeeds(deps.stateDir, deps.log);
    this.#branches = new FeedBranches(deps.stateDir, deps.log);
    this.#listeners = new Listeners((thrown) => deps.log.error("feed listener failed", { error: messageOf(thrown) }));
    this.#appliedAtMs = deps.clock.nowMs();
    // Each by itself: one damaged file must not take the other's revocations away.
    for (const restore of [() => this.#restoreUnion(), () => this.#restoreStatement(), () => this.#restoreBranches()])
      this.#attempt(restore);
  }

  current(): SignedFeed | undefined {
    return this.#signed;
  }

  others(): readonly SignedFeed[] {
    return this.#branches.list();
  }

  position(): { readonly epoch: bigint; readonly seq: bigint } {
    return { epoch: this.#known?.epoch ?? 0n, seq: this.#known?.seq ?? 0n };
  }

  newestIssuedMs(): number {
    return Number(this.#known?.issuedAtMs ?? 0n);
  }

  kept(): readonly SignedFeed[] {
    const own = this.#signed === undefined ? [] : [this.#signed];
    // Nobody takes more at once: branches go first.
    return [...this.others(), ...this.#kept.list(), ...own].slice(-limits.keptFeedsMaxCount);
  }

  standing(): FeedStanding {
    return {
      ...this.position(),
      appliedAtMs: this.#appliedAtMs,
      revocations: this.#known?.revocations.length ?? 0,
      contentHash: this.#contentHash,
      overflowing: this.#overflowing,
      forks: () => this.#branches.forks(),
    };
  }

  isRevoked(subject: RevocationSubject): boolean {
    return isRevoked(this.#index, subject);
  }

  onChange(listener: () => void): Unsubscribe {
    return this.#listeners.add(listener);
  }

  offer(feed: SignedFeed): "applied" | "known" | "forked" | "refused" {
    // Every neighbour shows the same bytes every few seconds.
    if (this.#isOwn(feed) || this.#branches.has(feed)) return "known";
    try {
      return this.#take(feed, this.#merge(feed));
    } catch (thrown) {
      this.#deps.log.warn("revocation feed refused", { error: messageOf(thrown) });
      this.#deps.events.emit("feed_refused", { reason: "not verified" });
      return "refused";
    }
  }

  #isOwn({ payload }: SignedFeed): boolean {
    return this.#signed !== undefined && Buffer.compare(this.#signed.payload, payload) === 0;
  }

  #take(feed: SignedFeed, merged: MergedFeed): "applied" | "known" | "forked" | "refused" {
    if (merged.outcome === "fork") return this.#alarm(feed, merged);
    if (merged.outcome === "overflow") return this.#overflow(merged);
    if (merged.outcome === "known") {
      if (merged.grown) this.#onlyRevoke(feed, merged);
      else this.#known = merged.known;
      return "known";
    }
    this.#adopt(feed, merged);
    return "applied";
  }

  /** The own statement from now on: what it replaces may have said more. */
  #adopt(feed: SignedFeed, { outcome, grown, known }: MergedFeed): void {
    const { events, clock } = this.#deps;
    const before = this.#known;
    const said = this.#signed;
    if (said !== undefined && before !== undefined && outcome === "newer") {
      if (known.epoch > before.epoch) this.#kept.keep(before.epoch, said);
      if (before.stated !== undefined) this.#branches.add(said, before.stated);
    }
    this.#signed = feed;
    // What fills it is told of until it has run out: a statement that adds nothing comes every few seconds.
    this.#overflowing &&= known.revocations.length >= limits.revocationsKeptMaxCount;
    if (outcome === "newer" || this.#contentHash.length === 0) this.#placed(feed, clock.nowMs());
    this.#revoke(known, grown);
    this.#branches.settle(known.stated, nowMs(this.#deps));
    if (outcome === "newer") events.emit("feed_applied", { epoch: String(known.epoch), seq: String(known.seq) });
    this.#listeners.notify();
    if (outcome === "newer" || this.#disk.isStale(known)) this.#disk.write(feed, known);
  }

  #placed(feed: SignedFeed, appliedAtMs: number): void {
    this.#appliedAtMs = appliedAtMs;
    this.#contentHash = feedContentHash(fromBinary(RevocationFeedSchema, feed.payload).revocations);
  }

  #revoke(known: KnownRevocations, grown: boolean): void {
    const before = this.#known;
    this.#known = known;
    // Most statements only renew a date.
    if (grown || before?.revocations.length !== known.revocations.length)
      this.#index = indexRevocations(known.revocations);
  }

  /** More is revoked by a statement that is not adopted (FS1). */
  #onlyRevoke(feed: SignedFeed, { known, grown, told }: MergedFeed): void {
    this.#branches.add(feed, told);
    this.#revoke(known, grown);
    this.#listeners.notify();
    this.#disk.writeUnion(known);
  }

  #alarm(feed: SignedFeed, merged: MergedFeed): "forked" {
    const { log, events, stateDir } = this.#deps;
    const { epoch, seq } = merged.known;
    this.#forksSeen += 1;
    // Whoever can sign one contradiction can sign any number.
    if (this.#forksSeen <= limits.forkEvidenceMaxCount) {
      log.error("the revocation feed forked: one position, two contents; both count");
      events.emit("feed_forked", { epoch: String(epoch), seq: String(seq) });
    } else if (!merged.grown) return "forked";
    try {
      keepForkEvidence(stateDir, "feed", feed.payload, toBinary(SignedFeedSchema, feed));
    } catch (thrown) {
      log.error("the evidence cannot be kept on disk", { error: messageOf(thrown) });
    }
    this.#onlyRevoke(feed, merged);
    return "forked";
  }

  /** As much as fits counts; the statement does not become the own one, so that its date keeps nothing open (RF4). */
  #overflow({ known, grown }: MergedFeed): "refused" {
    const { log, events } = this.#deps;
    const first = !this.#overflowing;
    this.#overflowing = true;
    if (first) log.error("there are more revocations than can be kept; what does not fit does not count");
    if (first) events.emit("feed_refused", { reason: "too many revocations" });
    if (!grown && !first) return "refused";
    this.#revoke(known, grown);
    this.#listeners.notify();
    this.#disk.writeUnion(known);
    return "refused";
  }

  /** Merges a statement, its date only if that counts (FS2). */
  #merge(feed: SignedFeed): MergedFeed {
    const stated = verifyFeed(feed, expectation(this.#deps));
    const counts = this.#deps.snapshot.sawSignedMs(Number(stated.issuedAtMs));
    const heard: RevocationFeed = counts ? stated : { ...stated, issuedAtMs: this.#known?.issuedAtMs ?? 0n };
    return mergeFeed(this.#known, heard, nowMs(this.#deps));
  }

  #attempt(restore: () => void): void {
    try {
      restore();
    } catch (thrown) {
      const error = messageOf(thrown);
      this.#deps.log.warn("the stored revocation feed is not usable; waiting for a fresh one", { error });
    }
  }

  #restoreUnion(): void {
    const union = readFileIfAny(unionPath(this.#deps));
    if (union !== undefined) this.#revoke(fromBinary(RevocationFeedSchema, union), true);
  }

  #restoreStatement(): void {
    const statement = readFileIfAny(signedPath(this.#deps));
    if (statement === undefined) return;
    const feed = fromBinary(SignedFeedSchema, statement);
    const { known } = this.#merge(feed);
    this.#signed = feed;
    // The union may be further (persist): what its position says is told by the next statement.
    if (known.stated !== undefined) this.#placed(feed, this.#appliedAtMs);
    this.#revoke(known, true);
  }

  /** Of statements that contradict, both count again, and are handed on again: each by itself, as its signer's time ends. */
  #restoreBranches(): void {
    for (const feed of this.#branches.evidence()) {
      this.#attempt(() => {
        const { known, grown, told } = this.#merge(feed);
        this.#branches.add(feed, told);
        if (grown) this.#revoke(known, grown);
      });
    }
    this.#branches.settle(this.#known?.stated, nowMs(this.#deps));
  }
}

/** Opens the store with what the state folder keeps. */
export function openFeedStore(deps: FeedStoreDeps): OwnFeedStore {
  return new DiskFeedStore(deps);
}
