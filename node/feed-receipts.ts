/**
 * Receipts of this node: what it has applied of the revocation feed, signed with the key of its leaf, for its beats.
 *
 * RC1. A receipt is made after whatever the feed revokes has been cut: sessions are judged again within
 *      `limits.rejudgeRestMs`, and the beat that carries it waits for longer than that.
 * RC2. A new one goes with the next beat and every beat until one was answered, an old one again now and then.
 */

import { createPrivateKey, type KeyObject } from "node:crypto";
import type { LeafOf } from "../certs/material.ts";
import { signReceipt } from "../fabric/feed-receipt.ts";
import type { FeedReceipt } from "../gen/weft/fabric/v1/feed_pb.ts";
import { limits } from "../lib/limits.ts";
import type { FeedStanding } from "./feed-store.ts";
import type { IdentityHolder } from "./ports.ts";

export interface FeedReceiptsDeps {
  readonly bootId: string;
  readonly identity: IdentityHolder;
  readonly standing: () => FeedStanding;
}

export class FeedReceipts {
  readonly #deps: FeedReceiptsDeps;
  #made: { readonly about: string; readonly receipt: FeedReceipt } | undefined;
  #answered: FeedReceipt | undefined;
  #sinceSaid = 0;
  #key: { readonly leaf: LeafOf<"node">; readonly key: KeyObject } | undefined;

  constructor(deps: FeedReceiptsDeps) {
    this.#deps = deps;
  }

  /** The receipt the next beat carries, if any. */
  next(): FeedReceipt | undefined {
    const receipt = this.#current();
    this.#sinceSaid += 1;
    if (receipt === this.#answered && this.#sinceSaid < limits.receiptRepeatBeatsCount) return undefined;
    return receipt;
  }

  /** A beat with this receipt was answered. */
  answered(receipt: FeedReceipt): void {
    this.#answered = receipt;
    this.#sinceSaid = 0;
  }

  /** Whether control has not heard yet how things are. */
  isNews(): boolean {
    return this.#current() !== this.#answered;
  }

  #current(): FeedReceipt | undefined {
    const { clusterId, nodeId, leaf } = this.#deps.identity.current();
    const { forks, ...standing } = this.#deps.standing();
    // Before the first statement, or only the union of what was revoked is known.
    if (standing.contentHash.length === 0) return undefined;
    const { count = 0, epoch = 0n, seq = 0n, hash = new Uint8Array() } = forks() ?? {};
    const facts = {
      ...{ clusterId, nodeId, bootId: this.#deps.bootId },
      ...{ epoch: standing.epoch, seq: standing.seq, appliedAtMs: BigInt(Math.floor(standing.appliedAtMs)) },
      ...{ revocations: standing.revocations, contentHash: standing.contentHash, overflowing: standing.overflowing },
      ...{ forks: count, forkedEpoch: epoch, forkedSeq: seq, forkedHash: hash },
    };
    const about = [leaf.keyHash, ...Object.values(facts).map(String)].join(" ");
    if (this.#made?.about !== about)
      this.#made = { about, receipt: signReceipt(this.#keyOf(leaf), leaf.keyHash, facts) };
    return this.#made.receipt;
  }

  #keyOf(leaf: LeafOf<"node">): KeyObject {
    if (this.#key?.leaf !== leaf) this.#key = { leaf, key: createPrivateKey(leaf.keyPem) };
    return this.#key.key;
  }
}
