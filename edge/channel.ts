/**
 * A channel as a Node stream. Writing blocks when the far end's credit, the lane's window and this channel's own queue are
 * used up; reading is what grants the far end credit. Bytes a caller may reuse are copied before its callback is called.
 * The stream ends cleanly only when both ends half-closed; everything else is an error that says stage and how far it got.
 */

import { Duplex } from "node:stream";
import type { ChannelEnded, ChannelHandler, TrunkChannel } from "../fabric/trunk/channel.ts";
import {
  acceptChannel,
  consumedChannel,
  halfCloseChannel,
  reportWritten,
  resetChannel,
  writeChannel,
} from "../fabric/trunk/channel-ops.ts";
import type { LaneName } from "../fabric/trunk/lane-name.ts";
import type { ChannelOpen } from "../fabric/trunk/messages.ts";
import type { Trunk } from "../fabric/trunk/trunk.ts";
import { ChannelEnd, ChannelStage } from "../gen/weft/channel/v1/channel_pb.ts";
import type { Clock } from "../lib/clock.ts";
import { KiB, limits } from "../lib/limits.ts";
import { channelError } from "./channel-error.ts";

/**
 * A producer that writes to a channel whose far end reads nothing is blocked after this many bytes and one more chunk:
 * first credit, own queue, and the stream's high-water mark.
 */
export const stalledProducerMaxBytes =
  limits.channelCreditStartBytes + limits.channelSendQueueBytes + limits.channelStreamHighWaterBytes;

/** A smaller piece that has to wait is copied: it would keep the whole received batch alive. */
const COPY_BELOW_BYTES = 2 * KiB;

export interface ChannelStats {
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly sendLimitBytes: number;
  readonly writtenToTarget: number;
  /** Messages of a droppable channel that were dropped at this end. */
  readonly droppedCount: number;
  readonly state: string;
}

interface PendingWrite {
  readonly chunk: Buffer;
  from: number;
  readonly done: (error?: Error | null) => void;
}

/** Whoever has taken the channel's bytes over. */
export interface ChannelReader {
  take(chunk: Buffer): void;
  over(): void;
}

export class EdgeChannel extends Duplex {
  readonly channelId: number;
  readonly correlationId: string;
  readonly request: ChannelOpen;
  readonly lane: LaneName;
  /** False: every written chunk is given away for good, and kept without a copy. */
  copiesWrites = true;
  /** For the listeners of a reader that shares them among channels. */
  reader: ChannelReader | undefined;

  readonly #trunk: Trunk;
  readonly #channel: TrunkChannel;
  readonly #clock: Clock;
  readonly #onGone: (channelId: number) => void;
  /** Made when somebody asks: most channels are written to and read without waiting for it. */
  #opened: PromiseWithResolvers<void> | undefined;
  #openedState: "waiting" | "open" | "over" = "waiting";
  #pending: PendingWrite | undefined;
  #finalDone: ((error?: Error | null) => void) | undefined;
  #pushedBytes = 0;
  #consumedBytes = 0;
  #endWith: { end: ChannelEnd; stage: ChannelStage } | undefined;

  /** `onGone` is called with the channel's id when it is destroyed. */
  constructor(trunk: Trunk, channel: TrunkChannel, clock: Clock, onGone: (channelId: number) => void) {
    super({
      allowHalfOpen: true,
      decodeStrings: true,
      readableHighWaterMark: limits.channelStreamHighWaterBytes,
      writableHighWaterMark: limits.channelStreamHighWaterBytes,
    });
    this.#trunk = trunk;
    this.#channel = channel;
    this.#clock = clock;
    this.#onGone = onGone;
    this.channelId = channel.id;
    this.correlationId = channel.open.correlationId;
    this.request = channel.open;
    this.lane = channel.id % 2 === 0 ? "interactive" : "bulk";
    channel.handler = new EdgeChannel.#Handler(this);
    // How a channel ends is news for its owner, who may not listen yet, and never the end of the process.
    this.on("error", heard);
  }

  /** Initiator: settled when the target accepted or the channel ended. Acceptor: resolved by `accept`. */
  get opened(): Promise<void> {
    if (this.#opened === undefined) {
      this.#opened = Promise.withResolvers<void>();
      this.#opened.promise.catch(heard);
      if (this.#openedState === "open") this.#opened.resolve();
      if (this.#openedState === "over") this.#opened.reject(this.errored ?? this.#endedError());
    }
    return this.#opened.promise;
  }

  #open(): void {
    if (this.#openedState !== "waiting") return;
    this.#openedState = "open";
    this.#opened?.resolve();
  }

  /** Whether this edge opened it. */
  get initiated(): boolean {
    return this.#channel.initiator;
  }

  get writtenToTarget(): number {
    return this.#channel.initiator ? this.#channel.peerWrittenToTarget : this.#channel.writtenToTarget;
  }

  /** Acceptor: the target is connected; what was read from it may be written from now on. */
  accept(): void {
    acceptChannel(this.#trunk, this.#channel);
    this.#open();
  }

  /** Acceptor: ends the channel instead of accepting it. */
  refuse(end: ChannelEnd, stage: ChannelStage): void {
    this.abort(end, stage);
  }

  /** Ends the channel at once, both directions, with a reason for both ends. */
  abort(end: ChannelEnd, stage: ChannelStage): void {
    if (this.destroyed) return;
    this.#endWith = { end, stage };
    this.destroy(this.#error({ end, stage, writtenToTarget: this.writtenToTarget }));
  }

  /** Acceptor: the target's kernel has taken this many more bytes. */
  noteWritten(bytes: number): void {
    const channel = this.#channel;
    reportWritten(this.#trunk, channel, channel.writtenToTarget + bytes, this.#clock.monoMs());
  }

  stats(): ChannelStats {
    const channel = this.#channel;
    return {
      bytesSent: channel.sentBytes,
      bytesReceived: channel.credit.receivedBytes,
      sendLimitBytes: channel.sendLimitBytes,
      writtenToTarget: this.writtenToTarget,
      droppedCount: channel.drops?.droppedCount ?? 0,
      state: channel.state,
    };
  }

  // --- Stream ---

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#pending = { chunk, from: 0, done };
    this.#writeOn();
  }

  #writeOn(): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    const channel = this.#channel;
    const { chunk } = pending;
    // Who may drop never waits.
    const room = channel.drops === undefined ? limits.channelSendQueueBytes - channel.queue.bytes : chunk.length;
    const count = Math.min(room, chunk.length - pending.from);
    if (count > 0) {
      const piece = count === chunk.length ? chunk : chunk.subarray(pending.from, pending.from + count);
      writeChannel(this.#trunk, channel, piece, !this.copiesWrites);
      pending.from += count;
    }
    if (pending.from < chunk.length) {
      channel.wantsRoom = true;
      return;
    }
    this.#pending = undefined;
    if (channel.drops?.tooLarge === true) this.abort(ChannelEnd.MESSAGE_TOO_LARGE, this.#ownStage);
    pending.done();
  }

  get #ownStage(): ChannelStage {
    return this.initiated ? ChannelStage.ENTRY : ChannelStage.TARGET;
  }

  override _final(done: (error?: Error | null) => void): void {
    if (!this.#channel.writable) {
      done();
      return;
    }
    if (this.#channel.drops?.partial === true) {
      this.abort(ChannelEnd.MESSAGE_TRUNCATED, this.#ownStage);
      done();
      return;
    }
    this.#finalDone = done;
    halfCloseChannel(this.#trunk, this.#channel);
  }

  override _read(): void {
    this.#account();
  }

  override read(size?: number): unknown {
    const chunk: unknown = super.read(size);
    this.#account();
    return chunk;
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const channel = this.#channel;
    const { end, stage } = this.#ending();
    resetChannel(this.#trunk, channel, end, stage);
    channel.credit.release();
    const pending = this.#pending?.done;
    this.#pending = undefined;
    if (this.#openedState === "waiting") {
      this.#openedState = "over";
      this.#opened?.reject(error ?? this.#endedError());
    }
    pending?.(error);
    this.#finalDone?.(error);
    this.#finalDone = undefined;
    this.#onGone(this.channelId);
    done(error);
  }

  /** What has been read out of the stream is what the far end may send again. */
  #account(): void {
    const consumed = this.#pushedBytes - this.readableLength;
    if (consumed === this.#consumedBytes) return;
    this.#consumedBytes = consumed;
    consumedChannel(this.#trunk, this.#channel, consumed, this.#clock.monoMs());
  }

  #ending(): { end: ChannelEnd; stage: ChannelStage } {
    return this.#endWith ?? { end: ChannelEnd.CANCELED, stage: this.#ownStage };
  }

  #endedError(): Error {
    return this.#error({ ...this.#ending(), writtenToTarget: this.writtenToTarget });
  }

  #error(ended: Pick<ChannelEnded, "end" | "stage" | "writtenToTarget">): Error {
    return channelError({ ...ended, correlationId: this.correlationId });
  }

  /** What the trunk calls. One small object, not a function per event: a trunk may have ten thousand channels. */
  static readonly #Handler = class implements ChannelHandler {
    readonly #of: EdgeChannel;

    constructor(of: EdgeChannel) {
      this.#of = of;
    }

    opened(): void {
      this.#of.#open();
    }

    data(bytes: Buffer): void {
      const of = this.#of;
      if (of.destroyed) return;
      of.#pushedBytes += bytes.length;
      const waits = of.readableFlowing !== true || of.readableLength > 0;
      of.push(waits && bytes.length < COPY_BELOW_BYTES ? copyOut(bytes) : bytes);
      of.#account();
    }

    dropped(bytes: number): void {
      this.#of.#pushedBytes += bytes;
      this.#of.#account();
    }

    halfClosed(): void {
      if (!this.#of.destroyed) this.#of.push(null);
    }

    room(): void {
      this.#of.#writeOn();
    }

    sentHalfClose(): void {
      const done = this.#of.#finalDone;
      this.#of.#finalDone = undefined;
      done?.();
    }

    ended(ended: ChannelEnded): void {
      this.#of.destroy(this.#of.#error(ended));
    }
  };
}

function heard(): void {}

/** A copy in memory of its own: a slice of Node's pool would keep that alive instead. */
function copyOut(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  copy.set(bytes);
  return copy;
}
