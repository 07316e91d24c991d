/**
 * Statements of the revocation feed besides the one this node goes by, that revoke somebody whom that one does not: branches
 * of a feed that forked, and older ones. They are handed on with it, so that what one node heard every node hears.
 *
 * FB1. At most `limits.feedBranchesMaxCount`, the newest; one that says nothing more than the own statement is let go.
 * FB2. Evidence of forks is found again after a restart (node/evidence.ts), and stands until somebody takes the files away.
 */

import { createHash } from "node:crypto";
import { fromBinary } from "@bufbuild/protobuf";
import { type Named, namesMore } from "../fabric/feed.ts";
import { RevocationFeedSchema, type SignedFeed, SignedFeedSchema } from "../gen/weft/fabric/v1/feed_pb.ts";
import { limits } from "../lib/limits.ts";
import type { Log } from "../lib/log.ts";
import { forkEvidence, forkEvidenceNames } from "./evidence.ts";

/** What contradicts: how many statements are kept of it, and the newest. */
export interface Forks {
  readonly count: number;
  readonly epoch: bigint;
  readonly seq: bigint;
  /** SHA-256 of its payload. */
  readonly hash: Uint8Array<ArrayBuffer>;
}

interface Branch {
  readonly feed: SignedFeed;
  readonly told: Named;
}

export class FeedBranches {
  readonly #stateDir: string;
  readonly #log: Log;
  #branches: readonly Branch[] = [];
  /** Looked at with every beat, read when the names of the files change. */
  #forks: { readonly names: string; readonly said: Forks | undefined } = { names: "", said: undefined };

  constructor(stateDir: string, log: Log) {
    this.#stateDir = stateDir;
    this.#log = log;
  }

  /** What is to be handed on besides the own statement, oldest first. */
  list(): readonly SignedFeed[] {
    return this.#branches.map(({ feed }) => feed);
  }

  /** Whether these very bytes are kept already. */
  has({ payload }: SignedFeed): boolean {
    return this.#branches.some(({ feed }) => Buffer.compare(feed.payload, payload) === 0);
  }

  add(feed: SignedFeed, told: Named): void {
    if (this.has(feed)) return;
    this.#branches = [...this.#branches, { feed, told }].slice(-limits.feedBranchesMaxCount);
  }

  /** Lets go of what the own statement says by now, and of what concerns nobody any more (FB1). */
  settle(own: Named | undefined, nowMs: number): void {
    this.#branches = this.#branches.filter(({ told }) => namesMore(told, own, nowMs));
  }

  /** Statements kept as evidence, to be merged again at start. */
  evidence(): readonly SignedFeed[] {
    return forkEvidence(this.#stateDir, "feed", SignedFeedSchema, this.#log);
  }

  /** Undefined while nothing contradicts. */
  forks(): Forks | undefined {
    const names = forkEvidenceNames(this.#stateDir, "feed").join();
    if (names !== this.#forks.names) this.#forks = { names, said: this.#readForks() };
    return this.#forks.said;
  }

  #readForks(): Forks | undefined {
    const kept = this.evidence();
    const newest = kept.at(-1);
    if (newest === undefined) return undefined;
    const { epoch, seq } = fromBinary(RevocationFeedSchema, newest.payload);
    const hash = Uint8Array.from(createHash("sha256").update(newest.payload).digest());
    return { count: kept.length, epoch, seq, hash };
  }
}
