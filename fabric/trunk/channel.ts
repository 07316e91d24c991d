/**
 * One channel at one end of a trunk: counters, queue and what is waiting to be told to the far end. It has no behaviour of
 * its own beyond its state table; lanes send for it and the trunk receives for it.
 */

import type { ChannelEnd, ChannelStage } from "../../gen/weft/channel/v1/channel_pb.ts";
import { ChannelClass } from "../../gen/weft/fabric/v1/role_pb.ts";
import { assert } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { RateBucket } from "../../lib/rate-bucket.ts";
import type { ChannelEvent, ChannelState } from "./channel-state.ts";
import { channelTable } from "./channel-state.ts";
import type { CreditPool } from "./credit.ts";
import { ReceiveCredit } from "./credit.ts";
import { DropQueue } from "./drop-queue.ts";
import type { ChannelOpen, ChannelReset } from "./messages.ts";
import { SendQueue } from "./send-queue.ts";

/** How a channel ended before both sides were done. */
export interface ChannelEnded {
  readonly end: ChannelEnd;
  readonly stage: ChannelStage;
  /** Bytes the target's kernel has taken, at least, as last reported. */
  readonly writtenToTarget: number;
  /** True when the far end said so, false when it was decided here. */
  readonly byPeer: boolean;
}

/** Whoever owns the channel. Called synchronously while the trunk receives or is being pulled; may call the trunk. */
export interface ChannelHandler {
  /** Initiator: the target accepted. */
  opened(): void;
  /** Ordered bytes; a view of a received buffer. */
  data(bytes: Buffer): void;
  /** So many bytes of droppable messages will not come; they count as read. */
  dropped(bytes: number): void;
  /** The far end will send no more. */
  halfClosed(): void;
  /** The queue has room again after `wantsRoom` was set. */
  room(): void;
  /** The own half-close is in a batch. */
  sentHalfClose(): void;
  ended(ended: ChannelEnded): void;
}

export const silentHandler: ChannelHandler = {
  opened: () => {},
  data: () => {},
  dropped: () => {},
  halfClosed: () => {},
  room: () => {},
  sentHalfClose: () => {},
  ended: () => {},
};

export class TrunkChannel {
  readonly id: number;
  readonly open: ChannelOpen;
  readonly initiator: boolean;
  handler: ChannelHandler = silentHandler;
  state: ChannelState;

  readonly queue: SendQueue | DropQueue;
  /** The queue of a droppable channel. */
  readonly drops: DropQueue | undefined;
  sentBytes = 0;
  sendLimitBytes: number = limits.channelCreditStartBytes;
  readonly credit: ReceiveCredit;
  /** Returns of unused credit: own ones, those of the far end, and one that is to be told. */
  returns = 0;
  returnsSeen = 0;
  returnDue = false;
  /** What had been sent when the lane last looked, and since when that is so. */
  idleSentBytes = 0;
  idleSinceMs = 0;
  /** What this end handed to its target, and what the far end says it handed to its own. */
  writtenToTarget = 0;
  peerWrittenToTarget = 0;

  /** Waiting to be put into a batch. */
  openDue: boolean;
  openedDue = false;
  creditDue = false;
  halfCloseDue = false;
  resetDue: ChannelReset | undefined;
  /** The owner asked for more credit frames than it consumed bytes: only `writtenToTarget` is news. */
  reportDue = false;
  wantsRoom = false;

  /** Places in the lane's rings. */
  inControl = false;
  inData = false;
  deficitBytes = 0;

  /** By policy: its share among those that wait in the lane, the bucket it shares, and whether it waits for that one. */
  weight = 1;
  bucket: RateBucket | undefined;
  parked = false;

  constructor(id: number, open: ChannelOpen, initiator: boolean, pool: CreditPool, nowMs: number) {
    this.id = id;
    this.open = open;
    this.initiator = initiator;
    this.drops = open.class === ChannelClass.DROPPABLE ? new DropQueue() : undefined;
    this.queue = this.drops ?? new SendQueue();
    this.state = initiator ? "opening" : "offered";
    this.openDue = initiator;
    this.credit = new ReceiveCredit(pool, nowMs);
  }

  /** Applies an event of the far end. Returns false when the far end broke the protocol, "ignored" when it is old news. */
  step(event: ChannelEvent): boolean | "ignored" {
    const next = channelTable[this.state][event];
    if (next === "violation") return false;
    if (next === "ignore") return "ignored";
    assert(next !== "bug", `channel ${event} in state ${this.state}`);
    this.state = next;
    return true;
  }

  /** Whether both ends are done, one way or another. */
  get over(): boolean {
    return this.state === "closed" || this.state === "reset";
  }

  /** Acceptor: the owner has not answered yet. What it writes before it accepts is kept until then. */
  get offered(): boolean {
    return this.state === "offered" || this.state === "offered_half_remote";
  }

  /** Whether the owner may still write. */
  get writable(): boolean {
    return (
      !this.halfCloseDue &&
      (this.state === "opening" || this.state === "open" || this.state === "half_remote" || this.offered)
    );
  }

  /** Bytes that may go into a batch now. */
  get sendableBytes(): number {
    if (this.openDue || this.openedDue || this.over || this.offered) {
      return 0;
    }
    const creditBytes = this.sendLimitBytes - this.sentBytes;
    if (this.drops === undefined) return Math.min(this.queue.bytes, creditBytes);
    return this.drops.headBytes <= creditBytes ? this.drops.headBytes : 0;
  }

  /** Credit beyond the floor that lies unused. */
  get unusedCreditBytes(): number {
    return this.sendLimitBytes - this.sentBytes - limits.channelCreditStartBytes;
  }
}
