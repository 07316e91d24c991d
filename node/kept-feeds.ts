/**
 * The last revocation feed of each epoch before the current one, as signed: what a control that was restored from a backup
 * has to be told, for the first thing it says after that takes the place of the feed this node held.
 */

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type SignedFeed, SignedFeedSchema } from "../gen/weft/fabric/v1/feed_pb.ts";
import { messageOf } from "../lib/errors.ts";
import { readFileIfAny, removeFile, replaceFile } from "../lib/files.ts";
import { limits } from "../lib/limits.ts";
import type { Log } from "../lib/log.ts";

const NAME = /^feed-epoch-(\d{1,20})\.bin$/;

export class KeptFeeds {
  readonly #stateDir: string;
  readonly #log: Log;
  /** By epoch, oldest first. */
  #feeds: readonly { readonly epoch: bigint; readonly feed: SignedFeed }[] = [];

  /** Reads what the state folder keeps; a damaged file counts as none. */
  constructor(stateDir: string, log: Log) {
    this.#stateDir = stateDir;
    this.#log = log;
    this.#quietly(() => {
      for (const name of readdirSync(stateDir)) {
        const epoch = NAME.exec(name)?.[1];
        const bytes = epoch === undefined ? undefined : readFileIfAny(join(stateDir, name));
        if (epoch === undefined || bytes === undefined) continue;
        this.#quietly(() => this.#add(BigInt(epoch), fromBinary(SignedFeedSchema, bytes)));
      }
    });
  }

  /** Oldest epoch first; one less than `limits.keptFeedsMaxCount`, for the current one belongs to them. */
  list(): readonly SignedFeed[] {
    return this.#feeds.map(({ feed }) => feed);
  }

  /** Keeps the last feed of an epoch that is over. */
  keep(epoch: bigint, feed: SignedFeed): void {
    this.#quietly(() => replaceFile(this.#path(epoch), toBinary(SignedFeedSchema, feed)));
    const before = this.#feeds;
    this.#add(epoch, feed);
    for (const old of before)
      if (!this.#feeds.some((each) => each.epoch === old.epoch)) this.#quietly(() => removeFile(this.#path(old.epoch)));
  }

  #add(epoch: bigint, feed: SignedFeed): void {
    this.#feeds = [...this.#feeds.filter((each) => each.epoch !== epoch), { epoch, feed }]
      .sort((a, b) => (a.epoch < b.epoch ? -1 : 1))
      .slice(-(limits.keptFeedsMaxCount - 1));
  }

  #path(epoch: bigint): string {
    return join(this.#stateDir, `feed-epoch-${epoch}.bin`);
  }

  #quietly(fn: () => void): void {
    try {
      fn();
    } catch (thrown) {
      this.#log.warn("a kept revocation feed cannot be read or written", { error: messageOf(thrown) });
    }
  }
}
