/** What an owner does with a channel. All of it only marks what is to be sent; the writer's next pull sends it. */

import type { ChannelEnd, ChannelStage } from "../../gen/weft/channel/v1/channel_pb.ts";
import { ChannelClass } from "../../gen/weft/fabric/v1/role_pb.ts";
import { assert, WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { TrunkChannel } from "./channel.ts";
import type { Lane } from "./lane.ts";
import type { LaneName } from "./lane-name.ts";
import type { ChannelOpen } from "./messages.ts";
import { isOpenTooLong } from "./open-size.ts";
import type { TrunkCore } from "./trunk-core.ts";

const CHANNEL_ID_MAX = 0xffff_fff0;

/** The lane a class travels on, for life. */
export function laneOfClass(channelClass: ChannelClass): LaneName {
  return channelClass === ChannelClass.INTERACTIVE || channelClass === ChannelClass.DROPPABLE ? "interactive" : "bulk";
}

/** The lane of a channel: ids are even on interactive, odd on bulk. */
export function laneOfChannel(trunk: TrunkCore, channel: TrunkChannel): Lane {
  return channel.id % 2 === 0 ? trunk.lanes.interactive : trunk.lanes.bulk;
}

/**
 * Initiator: opens a channel. Data may be written at once.
 * @throws WeftError `unavailable` when the trunk is over or draining, `resource_exhausted` when it is full,
 * `invalid_argument` when the open frame is too long.
 */
export function openChannel(trunk: TrunkCore, open: ChannelOpen, nowMs: number): TrunkChannel {
  assert(trunk.side === "initiator", "only the initiator opens channels");
  if (trunk.end !== undefined || trunk.draining) throw new WeftError("unavailable", "the trunk takes no new channels");
  if (isOpenTooLong(open)) {
    throw new WeftError("invalid_argument", "the channel's open message is too long");
  }
  const lane = trunk.lanes[laneOfClass(open.class)];
  const count = trunk.lanes.interactive.channels.size + trunk.lanes.bulk.channels.size;
  if (count >= limits.channelsPerTrunkMaxCount || lane.lastChannelId >= CHANNEL_ID_MAX) {
    throw new WeftError("resource_exhausted", "the trunk has no room for another channel");
  }
  lane.lastChannelId += 2;
  const channel = new TrunkChannel(lane.lastChannelId, open, true, trunk.pool, nowMs);
  lane.channels.set(channel.id, channel);
  lane.outbox.shaper.adopt(channel, nowMs);
  lane.outbox.wantControl(channel);
  trunk.wakeLane(lane);
  return channel;
}

function control(trunk: TrunkCore, channel: TrunkChannel): void {
  const lane = laneOfChannel(trunk, channel);
  lane.outbox.wantControl(channel);
  trunk.wakeLane(lane);
}

/** Acceptor: the target is connected. */
export function acceptChannel(trunk: TrunkCore, channel: TrunkChannel): void {
  if (channel.step("accept") !== true) return;
  channel.openedDue = true;
  control(trunk, channel);
}

/** Queues bytes. `given` buffers are kept by reference and must never be touched again; others are copied. */
export function writeChannel(trunk: TrunkCore, channel: TrunkChannel, chunk: Buffer, given: boolean): void {
  if (!channel.writable) return;
  if (given) channel.queue.give(chunk);
  else channel.queue.copy(chunk);
  const lane = laneOfChannel(trunk, channel);
  lane.outbox.wantData(channel);
  trunk.wakeLane(lane);
}

/** No more data after what is queued. */
export function halfCloseChannel(trunk: TrunkCore, channel: TrunkChannel): void {
  if (!channel.writable) return;
  channel.halfCloseDue = true;
  if (channel.queue.bytes === 0) control(trunk, channel);
}

/** Ends the channel at once, both directions; queued bytes are dropped. The handler is not called. */
export function resetChannel(trunk: TrunkCore, channel: TrunkChannel, end: ChannelEnd, stage: ChannelStage): void {
  if (channel.step("send_reset") !== true) return;
  channel.queue.clear();
  channel.credit.release();
  const lane = laneOfChannel(trunk, channel);
  if (channel.openDue) {
    // The far end never heard of it.
    channel.openDue = false;
    lane.channels.delete(channel.id);
    trunk.settle();
    return;
  }
  channel.resetDue = {
    end,
    stage,
    writtenToTarget: channel.writtenToTarget,
    correlationId: channel.open.correlationId,
  };
  control(trunk, channel);
}

/**
 * To be called every second or so: credit that a channel has not used for a while goes back to the far end's pools, by this
 * end lowering its own limit. There is no race: limits from before the far end heard of it are ignored.
 */
export function returnIdleCredit(trunk: TrunkCore, nowMs: number): void {
  for (const lane of [trunk.lanes.interactive, trunk.lanes.bulk]) {
    for (const channel of lane.lent) returnIfIdle(trunk, lane, channel, nowMs);
  }
}

function returnIfIdle(trunk: TrunkCore, lane: Lane, channel: TrunkChannel, nowMs: number): void {
  const maySend = channel.state === "open" || channel.state === "half_remote";
  if (!maySend || channel.halfCloseDue || channel.unusedCreditBytes <= 0) {
    lane.lent.delete(channel);
    return;
  }
  if (channel.sentBytes !== channel.idleSentBytes || channel.queue.bytes > 0) {
    channel.idleSentBytes = channel.sentBytes;
    channel.idleSinceMs = nowMs;
    return;
  }
  if (nowMs - channel.idleSinceMs < limits.creditIdleMs) return;
  lane.lent.delete(channel);
  channel.sendLimitBytes = channel.sentBytes + limits.channelCreditStartBytes;
  channel.returns += 1;
  channel.returnDue = true;
  channel.creditDue = true;
  control(trunk, channel);
}

/** The owner has taken `totalBytes` of what arrived, in all. This is what gives the far end credit. */
export function consumedChannel(trunk: TrunkCore, channel: TrunkChannel, totalBytes: number, nowMs: number): void {
  if (!channel.credit.consumed(totalBytes, nowMs) || channel.state === "half_remote") return;
  channel.creditDue = true;
  control(trunk, channel);
}

/** The target's kernel has taken `totalBytes` in all. Told to the far end with the next credit or a little later. */
export function reportWritten(trunk: TrunkCore, channel: TrunkChannel, totalBytes: number, nowMs: number): void {
  channel.writtenToTarget = totalBytes;
  laneOfChannel(trunk, channel).report(channel, nowMs);
}
