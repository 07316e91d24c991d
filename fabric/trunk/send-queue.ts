/**
 * Bytes a channel has accepted and not yet put into a batch. Buffers the caller gave away are kept as they are; all others
 * are copied, small ones side by side into one block. Nothing a caller may still write to is ever kept.
 */

import { KiB } from "../../lib/limits.ts";

const BLOCK_FIRST_BYTES = 1 * KiB;
const BLOCK_MAX_BYTES = 16 * KiB;

export class SendQueue {
  #chunks: Buffer[] = [];
  #head = 0;
  #headOffset = 0;
  /** The last chunk, while it is an own block with room. */
  #block: Buffer | undefined;
  #blockUsed = 0;
  #blockNextBytes = BLOCK_FIRST_BYTES;
  bytes = 0;

  /** Takes a buffer that the caller will never touch again. */
  give(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#sealBlock();
    this.#chunks.push(chunk);
    this.bytes += chunk.length;
  }

  /** Takes a copy. */
  copy(chunk: Uint8Array): void {
    let from = 0;
    while (from < chunk.length) {
      if (this.#block === undefined || this.#blockUsed === this.#block.length) this.#newBlock(chunk.length - from);
      const block = this.#block as Buffer;
      const count = Math.min(chunk.length - from, block.length - this.#blockUsed);
      block.set(from === 0 && count === chunk.length ? chunk : chunk.subarray(from, from + count), this.#blockUsed);
      this.#blockUsed += count;
      this.bytes += count;
      from += count;
    }
  }

  /** Removes and returns at most `maxBytes` in one piece; undefined when empty. */
  take(maxBytes: number): Buffer | undefined {
    if (this.bytes === 0 || maxBytes <= 0) return undefined;
    const chunk = this.#chunks[this.#head] as Buffer;
    const end = chunk === this.#block ? this.#blockUsed : chunk.length;
    const count = Math.min(maxBytes, end - this.#headOffset);
    const piece = chunk.subarray(this.#headOffset, this.#headOffset + count);
    this.bytes -= count;
    if (this.#headOffset + count < end) this.#headOffset += count;
    else this.#dropHead();
    return piece;
  }

  clear(): void {
    this.#chunks = [];
    this.#head = 0;
    this.#headOffset = 0;
    this.#block = undefined;
    this.bytes = 0;
  }

  #dropHead(): void {
    this.#headOffset = 0;
    if (this.bytes === 0) {
      // Pieces taken from the block are copied into a batch at once, but a fresh block keeps that from being a rule.
      this.clear();
      return;
    }
    this.#chunks[this.#head] = undefined as unknown as Buffer;
    this.#head += 1;
    if (this.#head > 64 && this.#head * 2 > this.#chunks.length) {
      this.#chunks = this.#chunks.slice(this.#head);
      this.#head = 0;
    }
  }

  #newBlock(needBytes: number): void {
    this.#sealBlock();
    const size = needBytes >= BLOCK_MAX_BYTES ? needBytes : Math.max(this.#blockNextBytes, needBytes);
    // A channel that writes little keeps small blocks.
    this.#blockNextBytes = this.bytes === 0 ? BLOCK_FIRST_BYTES : Math.min(BLOCK_MAX_BYTES, this.#blockNextBytes * 2);
    this.#block = Buffer.allocUnsafe(size);
    this.#blockUsed = 0;
    this.#chunks.push(this.#block);
  }

  #sealBlock(): void {
    if (this.#block !== undefined && this.#blockUsed < this.#block.length) {
      const last = this.#chunks.length - 1;
      this.#chunks[last] = this.#block.subarray(0, this.#blockUsed);
    }
    this.#block = undefined;
  }
}
