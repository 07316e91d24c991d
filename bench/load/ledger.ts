/**
 * What a receiver knows about one channel: every byte hashed, every message checked against the one that had to come.
 *
 * A message counts as good when it is whole and next in sequence; as duplicated when its number came before; what follows
 * bytes that are no message is not good any more.
 */

import { createHash, type Hash } from "node:crypto";
import { headerBytes, type Message, readHeader } from "./message.ts";

export interface LedgerTotals {
  readonly bytes: number;
  readonly goodBytes: number;
  readonly duplicatedBytes: number;
  readonly sha256: string;
}

export class ChannelLedger {
  /** Known from the first message on. */
  channel: number | undefined;
  bytes = 0;
  goodBytes = 0;
  duplicatedBytes = 0;
  readonly #hash: Hash = createHash("sha256");
  readonly #head = Buffer.alloc(headerBytes);
  #headBytes = 0;
  #current: Message | undefined;
  #leftBytes = 0;
  #nextSeq = 0;
  #broken = false;

  /** Takes what arrived; calls `onMessage` for every whole message. */
  take(chunk: Buffer, onMessage: (message: Message) => void): void {
    this.#hash.update(chunk);
    this.bytes += chunk.length;
    let at = 0;
    while (at < chunk.length && !this.#broken) {
      if (this.#current === undefined) at = this.#takeHead(chunk, at);
      else at = this.#takeBody(chunk, at, this.#current, onMessage);
    }
  }

  totals(): LedgerTotals {
    const { bytes, goodBytes, duplicatedBytes } = this;
    return { bytes, goodBytes, duplicatedBytes, sha256: this.#hash.copy().digest("hex") };
  }

  #takeHead(chunk: Buffer, at: number): number {
    const count = Math.min(headerBytes - this.#headBytes, chunk.length - at);
    chunk.copy(this.#head, this.#headBytes, at, at + count);
    this.#headBytes += count;
    if (this.#headBytes < headerBytes) return at + count;
    this.#headBytes = 0;
    const message = readHeader(this.#head, 0);
    this.channel ??= message?.channel;
    if (message === undefined || message.channel !== this.channel) this.#broken = true;
    else {
      this.#current = message;
      this.#leftBytes = message.sizeBytes - headerBytes;
    }
    return at + count;
  }

  #takeBody(chunk: Buffer, at: number, message: Message, onMessage: (message: Message) => void): number {
    const count = Math.min(this.#leftBytes, chunk.length - at);
    this.#leftBytes -= count;
    if (this.#leftBytes > 0) return at + count;
    this.#current = undefined;
    if (message.seq < this.#nextSeq) this.duplicatedBytes += message.sizeBytes;
    else {
      this.goodBytes += message.sizeBytes;
      this.#nextSeq = message.seq + 1;
    }
    onMessage(message);
    return at + count;
  }
}

/** What was sent on a channel. */
export interface SentTotals {
  readonly channel: number;
  readonly bytes: number;
  readonly sha256: string;
}

export interface Verdict {
  readonly bytesVerified: number;
  readonly bytesLost: number;
  readonly bytesDuplicated: number;
  /** Channels whose bytes are not exactly those sent. */
  readonly badChannels: readonly number[];
}

/** Holds what arrived against what was sent. A channel with the right length and another hash counts as lost as a whole. */
export function verdictOf(sent: readonly SentTotals[], arrived: ReadonlyMap<number, LedgerTotals>): Verdict {
  let bytesVerified = 0;
  let bytesLost = 0;
  let bytesDuplicated = 0;
  const badChannels: number[] = [];
  for (const { channel, bytes, sha256 } of sent) {
    const got = arrived.get(channel) ?? { bytes: 0, goodBytes: 0, duplicatedBytes: 0, sha256: "" };
    bytesDuplicated += got.duplicatedBytes;
    if (bytes === 0 && got.bytes === 0) continue;
    if (got.sha256 === sha256 && got.bytes === bytes) {
      bytesVerified += bytes;
      continue;
    }
    badChannels.push(channel);
    const missing = Math.max(0, bytes - got.goodBytes);
    bytesLost += missing === 0 && got.duplicatedBytes === 0 ? bytes : missing;
  }
  return { bytesVerified, bytesLost, bytesDuplicated, badChannels };
}
