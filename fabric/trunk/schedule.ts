/**
 * Whose bytes go into the next batch. Control frames first and always (their number per channel is bounded); then data by
 * deficit round robin, weighted by priority, over the channels that have bytes and credit, so that none waits for another
 * (LAW-T4). Between lanes that share a connection: interactive to bulk 8 : 1 by bytes while both have something to send.
 * What a policy's rate holds back is out of all turns (`shaper.ts`).
 */

import { limits } from "../../lib/limits.ts";
import type { TrunkChannel } from "./channel.ts";
import { frameSize } from "./encode.ts";
import type { Frame } from "./messages.ts";
import { Ring } from "./ring.ts";
import { LaneShaper } from "./shaper.ts";

/** Head of a data frame in a batch, at most: field heads, channel id, lengths. */
const DATA_HEAD_BYTES = 16;
const QUANTUM_MIN_BYTES = 4_096;
/** Control frames of one batch; the rest of the batch is for data. */
const CONTROL_PER_BATCH_BYTES = 16 * 1_024;

/** What happened to channels while a batch was filled; their owners are told afterwards. */
export interface Filled {
  readonly halfClosed: TrunkChannel[];
  readonly room: TrunkChannel[];
  readonly reset: TrunkChannel[];
  /** The batch holds droppable messages. */
  droppable: boolean;
}

export class Outbox {
  readonly shaper = new LaneShaper();
  readonly #control = new Ring<TrunkChannel>();
  readonly #data = new Ring<TrunkChannel>();

  get hasControl(): boolean {
    return this.#control.size > 0;
  }

  get hasData(): boolean {
    return this.#data.size > 0 && !this.shaper.dry;
  }

  /** Channels wait for their turn, whether or not the lane's rate lets anything go now. */
  get hasWaiting(): boolean {
    return this.#data.size > 0;
  }

  /** The channel has a control frame to send. */
  wantControl(channel: TrunkChannel): void {
    if (channel.inControl) return;
    channel.inControl = true;
    this.#control.push(channel);
  }

  /** The channel may have data to send. */
  wantData(channel: TrunkChannel): void {
    if (channel.inData || channel.parked || channel.sendableBytes <= 0) return;
    channel.inData = true;
    channel.deficitBytes = 0;
    this.#data.push(channel);
  }

  /** Appends frames for one batch; `dataRoomBytes` 0 means control only. */
  fill(frames: Frame[], controlRoomBytes: number, dataRoomBytes: number, filled: Filled, nowMs: number): void {
    const used = this.#fillControl(frames, Math.min(controlRoomBytes, CONTROL_PER_BATCH_BYTES), filled);
    if (dataRoomBytes <= 0 || this.#control.size > 0) return;
    const room = Math.min(dataRoomBytes, limits.batchTargetBytes - used, this.shaper.laneRoomBytes(nowMs));
    if (room > 0) this.#fillData(frames, room, filled, nowMs);
  }

  clear(): void {
    this.#control.clear();
    this.#data.clear();
    this.shaper.clear();
  }

  #fillControl(frames: Frame[], roomBytes: number, filled: Filled): number {
    let used = 0;
    while (used < roomBytes && frames.length < limits.framesPerBatchMaxCount - 4) {
      const channel = this.#control.shift();
      if (channel === undefined) break;
      channel.inControl = false;
      const from = frames.length;
      this.#controlOf(channel, frames, filled);
      for (let i = from; i < frames.length; i += 1) used += frameSize(frames[i] as Frame);
      this.wantData(channel);
    }
    return used;
  }

  #controlOf(channel: TrunkChannel, frames: Frame[], filled: Filled): void {
    const channelId = channel.id;
    if (channel.openDue) {
      channel.openDue = false;
      frames.push({ kind: "open", channelId, open: channel.open });
    }
    if (channel.resetDue !== undefined) {
      frames.push({ kind: "reset", channelId, reset: channel.resetDue });
      channel.resetDue = undefined;
      filled.reset.push(channel);
      return;
    }
    if (channel.state === "reset" || channel.state === "closed") return;
    if (channel.openedDue) {
      channel.openedDue = false;
      frames.push({ kind: "opened", channelId });
    }
    if (channel.offered) return;
    if (channel.creditDue) {
      channel.creditDue = false;
      channel.reportDue = false;
      const { writtenToTarget, returnsSeen } = channel;
      const ownLimitBytes = channel.returnDue ? channel.sendLimitBytes : 0;
      channel.returnDue = false;
      const { limitBytes } = channel.credit;
      frames.push({ kind: "credit", channelId, limitBytes, writtenToTarget, returnsSeen, ownLimitBytes });
    }
    if (channel.halfCloseDue && channel.queue.bytes === 0) this.#halfClose(channel, frames, filled);
  }

  #halfClose(channel: TrunkChannel, frames: Frame[], filled: Filled): void {
    channel.halfCloseDue = false;
    frames.push({ kind: "half_close", channelId: channel.id, totalBytes: channel.sentBytes });
    filled.halfClosed.push(channel);
  }

  #fillData(frames: Frame[], roomBytes: number, filled: Filled, nowMs: number): void {
    let room = roomBytes;
    const quantum = Math.max(QUANTUM_MIN_BYTES, Math.floor(limits.batchTargetBytes / Math.max(1, this.#data.size)));
    while (room > 0 && frames.length < limits.framesPerBatchMaxCount - 1) {
      const channel = this.#data.peek();
      if (channel === undefined) return;
      const sendable = channel.sendableBytes;
      const granted = sendable <= 0 ? 0 : this.shaper.grant(channel, sendable, nowMs);
      if (granted <= 0) {
        this.#leave(channel);
        continue;
      }
      if (channel.deficitBytes <= 0) channel.deficitBytes += Math.ceil(quantum * channel.weight);
      // A whole message may have been more than a turn is worth.
      if (channel.deficitBytes <= 0) {
        this.#data.shift();
        this.#data.push(channel);
        continue;
      }
      const piece = channel.queue.take(Math.min(granted, channel.deficitBytes, room)) as Buffer;
      channel.bucket?.take(piece.length, nowMs);
      frames.push({ kind: "data", channelId: channel.id, data: piece });
      if (channel.drops !== undefined) filled.droppable = true;
      channel.sentBytes += piece.length;
      channel.deficitBytes -= piece.length;
      room -= piece.length + DATA_HEAD_BYTES;
      if (channel.wantsRoom && channel.queue.bytes <= limits.channelSendQueueBytes / 2) {
        channel.wantsRoom = false;
        filled.room.push(channel);
      }
      if (channel.queue.bytes === 0 && channel.halfCloseDue) this.#halfClose(channel, frames, filled);
      if (channel.sendableBytes <= 0) this.#leave(channel);
      else if (channel.deficitBytes <= 0) {
        this.#data.shift();
        this.#data.push(channel);
      }
    }
  }

  #leave(channel: TrunkChannel): void {
    this.#data.shift();
    channel.inData = false;
    channel.deficitBytes = 0;
  }
}

/** How many interactive bytes go for one bulk byte on a shared connection. */
export const INTERACTIVE_SHARE = 8;

/** The 8 : 1 rule. Bulk may owe at most one batch and interactive's unused turns are not saved up. */
export class LaneShare {
  #bulkDebtBytes = 0;

  /** Whether bulk may send although interactive wants to. */
  bulkMaySend(): boolean {
    return this.#bulkDebtBytes <= 0;
  }

  /** `contended`: the other lane had something to send on the same connection. */
  sent(lane: "interactive" | "bulk", bytes: number, contended: boolean): void {
    if (lane === "interactive") this.#bulkDebtBytes = Math.max(0, this.#bulkDebtBytes - bytes / INTERACTIVE_SHARE);
    else if (contended) this.#bulkDebtBytes += bytes;
  }
}
