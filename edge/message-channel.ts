/**
 * A channel to a message resource, message by message. What is sent is copied behind its length into a block, side by side
 * with its neighbours, and the block is written once per turn of the loop or when it is full: small messages cost a copy
 * each, not a write each. What arrives is handed out whole, or the channel ends with an error that says why not.
 */

import {
  MESSAGE_HEAD_BYTES,
  MessageDeframer,
  messageTooLarge,
  writeMessageHead,
} from "../fabric/trunk/message-frames.ts";
import { ChannelEnd, ChannelStage } from "../gen/weft/channel/v1/channel_pb.ts";
import { ChannelClass } from "../gen/weft/fabric/v1/role_pb.ts";
import { KiB, limits } from "../lib/limits.ts";
import type { ChannelReader, EdgeChannel } from "./channel.ts";

const BLOCK_FIRST_BYTES = 1 * KiB;

export class MessageChannel implements ChannelReader {
  readonly channel: EdgeChannel;
  readonly #deframer: MessageDeframer;
  /** The longest message that may be sent. */
  readonly maxBytes: number;
  #block: Buffer | undefined;
  #used = 0;
  #blockBytes = BLOCK_FIRST_BYTES;
  #scheduled = false;

  /**
   * Takes the channel over; its events (`drain`, `end`, `error`, `close`, `finish`) and its `opened` stay of use, and so do
   * `pause` and `resume`. `onMessage` gets views that the caller may keep but not write to.
   */
  constructor(channel: EdgeChannel, onMessage: (message: Buffer) => void) {
    this.channel = channel;
    channel.copiesWrites = false;
    const isDroppable = channel.request.class === ChannelClass.DROPPABLE;
    this.maxBytes = isDroppable ? limits.droppableMessageMaxBytes : limits.messageMaxBytes;
    this.#deframer = new MessageDeframer(limits.messageMaxBytes, onMessage);
    channel.reader = this;
    channel.on("data", taken);
    // Before the owner's own listener, which finds the channel destroyed: an end inside a message is an error.
    channel.prependListener("end", over);
  }

  /** The channel's bytes. */
  take(chunk: Buffer): void {
    if (!this.#deframer.push(chunk)) this.#abort(ChannelEnd.MESSAGE_TOO_LARGE);
  }

  /** The channel's bytes are over. */
  over(): void {
    if (this.#deframer.partial) this.#abort(ChannelEnd.MESSAGE_TRUNCATED);
  }

  #abort(end: ChannelEnd): void {
    this.channel.abort(end, this.channel.initiated ? ChannelStage.EGRESS : ChannelStage.ENTRY);
  }

  /**
   * Sends one message, of any length up to the bound, none included; the caller may reuse `message` at once. Returns false
   * when the channel's `drain` should be waited for before the next.
   * @throws WeftError `resource_exhausted`, detail MESSAGE_TOO_LARGE; the channel lives.
   */
  send(message: Uint8Array): boolean {
    const { length } = message;
    if (length > this.maxBytes) throw messageTooLarge(this.maxBytes);
    const needBytes = MESSAGE_HEAD_BYTES + length;
    if (this.#block === undefined || this.#block.length - this.#used < needBytes) this.#nextBlock(needBytes);
    const block = this.#block as Buffer;
    const at = writeMessageHead(block, this.#used, length);
    block.set(message, at);
    this.#used = at + length;
    if (!this.#scheduled) {
      this.#scheduled = true;
      process.nextTick(MessageChannel.#turn, this);
    }
    return !this.channel.writableNeedDrain;
  }

  /** No more messages after those that were sent. */
  end(): void {
    this.#flush();
    this.channel.end();
  }

  static #turn(of: MessageChannel): void {
    of.#scheduled = false;
    // A channel that sends little keeps small blocks.
    if (of.#used < of.#blockBytes / 4) of.#blockBytes = Math.max(BLOCK_FIRST_BYTES, of.#blockBytes / 2);
    of.#flush();
  }

  #nextBlock(needBytes: number): void {
    if (this.#block !== undefined) this.#blockBytes = Math.min(limits.messageBlockBytes, this.#blockBytes * 2);
    this.#flush();
    this.#block = Buffer.allocUnsafe(Math.max(this.#blockBytes, needBytes));
  }

  #flush(): void {
    const block = this.#block;
    if (block === undefined) return;
    this.#block = undefined;
    const used = this.#used;
    this.#used = 0;
    const { channel } = this;
    if (used > 0 && !channel.destroyed && !channel.writableEnded) channel.write(block.subarray(0, used));
  }
}

// Two functions for all channels instead of two for each: a trunk may have ten thousand.

function taken(this: EdgeChannel, chunk: Buffer): void {
  this.reader?.take(chunk);
}

function over(this: EdgeChannel): void {
  this.reader?.over();
}
