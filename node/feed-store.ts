/**
 * The revocation feed on this node: verified, grow-only, persisted, handed to neighbours. What was once revoked stays
 * revoked until its certificate's end, whatever a later feed leaves out.
 *
 * FS1. Every verified statement's revocations count: of an older one, of one dated too far ahead, and of both branches of
 *      a feed that forked (the own position with other content), which is kept as evidence and said as an alarm.
 * FS2. A date too far ahead of own time counts for nothing: it neither raises the time floor (node/time-floor.ts) nor
 *      keeps the offline clock from starting.
 */

import { join } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
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
  /** `issued_at_ms` of the newest verified feed; 0 before the first. */
  newestIssuedMs(): number;
  /** Everything this node could show of control's own statements: the newest of each epoch, oldest first. */
  kept(): readonly SignedFeed[];
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
  readonly #listeners: Listeners<void>;
  #signed: SignedFeed | undefined;
  #known: KnownRevocations | undefined;
  #index: RevocationIndex = indexRevocations([]);

  constructor(deps: FeedStoreDeps) {
    this.#deps = deps;
    this.#disk = new FeedDisk(deps);
    this.#kept = new KeptFeeds(deps.stateDir, deps.log);
    this.#listeners = new Listeners((thrown) => deps.log.error("feed listener failed", { error: messageOf(thrown) }));
    // Each by itself: one damaged file must not take the other's revocations away.
    for (const restore of [() => this.#restoreUnion(), () => this.#restoreStatement()]) {
      try {
        restore();
      } catch (thrown) {
        deps.log.warn("the stored revocation feed is not usable; waiting for a fresh one", {
          error: messageOf(thrown),
        });
      }
    }
  }

  current(): SignedFeed | undefined {
    return this.#signed;
  }

  position(): { readonly epoch: bigint; readonly seq: bigint } {
    return { epoch: this.#known?.epoch ?? 0n, seq: this.#known?.seq ?? 0n };
  }

  newestIssuedMs(): number {
    return Number(this.#known?.issuedAtMs ?? 0n);
  }

  kept(): readonly SignedFeed[] {
    return this.#signed === undefined ? this.#kept.list() : [...this.#kept.list(), this.#signed];
  }

  isRevoked(subject: RevocationSubject): boolean {
    return isRevoked(this.#index, subject);
  }

  onChange(listener: () => void): Unsubscribe {
    return this.#listeners.add(listener);
  }

  offer(feed: SignedFeed): "applied" | "known" | "forked" | "refused" {
    try {
      return this.#take(feed, this.#merge(feed));
    } catch (thrown) {
      this.#deps.log.warn("revocation feed refused", { error: messageOf(thrown) });
      this.#deps.events.emit("feed_refused", { reason: "not verified" });
      return "refused";
    }
  }

  #take(feed: SignedFeed, { outcome, grown, known: merged }: MergedFeed): "applied" | "known" | "forked" {
    const { events } = this.#deps;
    if (outcome === "fork") return this.#alarm(feed, merged);
    if (outcome === "known") {
      if (grown) this.#onlyRevoke(merged);
      return "known";
    }
    const before = this.#known?.epoch;
    if (this.#signed !== undefined && before !== undefined && merged.epoch > before)
      this.#kept.keep(before, this.#signed);
    if (outcome === "newer" || this.#disk.isStale(merged)) this.#disk.write(feed, merged);
    this.#signed = feed;
    this.#revoke(merged);
    if (outcome === "newer") events.emit("feed_applied", { epoch: String(merged.epoch), seq: String(merged.seq) });
    this.#listeners.notify();
    return "applied";
  }

  #revoke(merged: KnownRevocations): void {
    this.#known = merged;
    this.#index = indexRevocations(merged.revocations);
  }

  /** More is revoked by a statement that is not adopted (FS1). */
  #onlyRevoke(merged: KnownRevocations): void {
    this.#disk.writeUnion(merged);
    this.#revoke(merged);
    this.#listeners.notify();
  }

  #alarm(feed: SignedFeed, merged: KnownRevocations): "forked" {
    const { log, events, stateDir } = this.#deps;
    this.#onlyRevoke(merged);
    log.error("the revocation feed forked: one position, two contents; both count");
    events.emit("feed_forked", { epoch: String(merged.epoch), seq: String(merged.seq) });
    try {
      keepForkEvidence(stateDir, "feed", feed.payload, toBinary(SignedFeedSchema, feed));
    } catch (thrown) {
      log.error("the evidence cannot be kept on disk", { error: messageOf(thrown) });
    }
    return "forked";
  }

  /** Merges a statement, its date only if that counts (FS2). */
  #merge(feed: SignedFeed): MergedFeed {
    const stated = verifyFeed(feed, expectation(this.#deps));
    const counts = this.#deps.snapshot.sawSignedMs(Number(stated.issuedAtMs));
    const heard: RevocationFeed = counts ? stated : { ...stated, issuedAtMs: this.#known?.issuedAtMs ?? 0n };
    return mergeFeed(this.#known, heard, nowMs(this.#deps));
  }

  #restoreUnion(): void {
    const union = readFileIfAny(unionPath(this.#deps));
    if (union !== undefined) this.#revoke(fromBinary(RevocationFeedSchema, union));
  }

  #restoreStatement(): void {
    const statement = readFileIfAny(signedPath(this.#deps));
    if (statement === undefined) return;
    const feed = fromBinary(SignedFeedSchema, statement);
    const { known: merged } = this.#merge(feed);
    this.#signed = feed;
    this.#revoke(merged);
  }
}

/** Opens the store with what the state folder keeps. */
export function openFeedStore(deps: FeedStoreDeps): OwnFeedStore {
  return new DiskFeedStore(deps);
}
