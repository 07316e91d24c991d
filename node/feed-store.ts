/**
 * The revocation feed on this node: verified, grow-only, persisted, handed to neighbours. What was once revoked stays
 * revoked until its certificate's end, whatever a later feed leaves out.
 */

import { join } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  indexRevocations,
  isRevoked,
  type KnownRevocations,
  mergeFeed,
  type RevocationIndex,
  verifyFeed,
} from "../fabric/feed.ts";
import { RevocationFeedSchema, type SignedFeed, SignedFeedSchema } from "../gen/weft/fabric/v1/feed_pb.ts";
import type { Clock } from "../lib/clock.ts";
import { messageOf } from "../lib/errors.ts";
import { readFileIfAny, replaceFile } from "../lib/files.ts";
import { limits } from "../lib/limits.ts";
import type { Log } from "../lib/log.ts";
import { Listeners } from "./events.ts";
import type { FeedStore, IdentityHolder, NodeEvents } from "./ports.ts";
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
function persist(deps: FeedStoreDeps, feed: SignedFeed, merged: KnownRevocations): void {
  const union = create(RevocationFeedSchema, {
    clusterId: deps.identity.current().clusterId,
    epoch: merged.epoch,
    seq: merged.seq,
    issuedAtMs: merged.issuedAtMs,
    revocations: [...merged.revocations],
  });
  replaceFile(unionPath(deps), toBinary(RevocationFeedSchema, union));
  replaceFile(signedPath(deps), toBinary(SignedFeedSchema, feed));
}

/**
 * What a restart finds. A renewed statement changes dates only: it is worth a write every few minutes, not every ten
 * seconds, because its date is where the offline clock starts when the node restarts in an outage.
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
    persist(this.#deps, feed, merged);
    this.#issuedAtMs = Number(merged.issuedAtMs);
  }
}

export function openFeedStore(deps: FeedStoreDeps): OwnFeedStore {
  const listeners = new Listeners<void>((thrown) =>
    deps.log.error("feed listener failed", { error: messageOf(thrown) }),
  );
  let signed: SignedFeed | undefined;
  let known: KnownRevocations | undefined;
  let index: RevocationIndex = indexRevocations([]);
  const disk = new FeedDisk(deps);

  function keep(feed: SignedFeed, merged: KnownRevocations): void {
    signed = feed;
    known = merged;
    index = indexRevocations(merged.revocations);
    deps.snapshot.sawSignedMs(Number(merged.issuedAtMs));
  }

  function restoreUnion(): void {
    const union = readFileIfAny(unionPath(deps));
    if (union === undefined) return;
    const stored = fromBinary(RevocationFeedSchema, union);
    known = stored;
    index = indexRevocations(stored.revocations);
  }

  function restoreStatement(): void {
    const statement = readFileIfAny(signedPath(deps));
    if (statement === undefined) return;
    const feed = fromBinary(SignedFeedSchema, statement);
    keep(feed, mergeFeed(known, verifyFeed(feed, expectation(deps)), nowMs(deps)).known);
  }

  // Each by itself: one damaged file must not take the other's revocations away.
  for (const restore of [restoreUnion, restoreStatement]) {
    try {
      restore();
    } catch (thrown) {
      deps.log.warn("the stored revocation feed is not usable; waiting for a fresh one", { error: messageOf(thrown) });
    }
  }

  return {
    current: () => signed,
    position: () => ({ epoch: known?.epoch ?? 0n, seq: known?.seq ?? 0n }),
    newestIssuedMs: () => Number(known?.issuedAtMs ?? 0n),
    isRevoked: (subject) => isRevoked(index, subject),
    onChange: (listener) => listeners.add(listener),
    offer(feed) {
      try {
        const { outcome, known: merged } = mergeFeed(known, verifyFeed(feed, expectation(deps)), nowMs(deps));
        if (outcome === "known") return "known";
        if (outcome === "fork") {
          deps.events.emit("feed_refused", { reason: "an equal position with other content" });
          return "refused";
        }
        if (outcome === "newer" || disk.isStale(merged)) disk.write(feed, merged);
        keep(feed, merged);
        if (outcome === "newer")
          deps.events.emit("feed_applied", { epoch: String(merged.epoch), seq: String(merged.seq) });
        listeners.notify();
        return "applied";
      } catch (thrown) {
        deps.log.warn("revocation feed refused", { error: messageOf(thrown) });
        deps.events.emit("feed_refused", { reason: "not verified" });
        return "refused";
      }
    },
  };
}
