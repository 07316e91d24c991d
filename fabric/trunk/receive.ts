/** What each arriving frame does. Every function returns an empty string, or how the peer broke the protocol. */

import { ChannelEnd, ChannelStage } from "../../gen/weft/channel/v1/channel_pb.ts";
import { limits } from "../../lib/limits.ts";
import { TrunkChannel } from "./channel.ts";
import { resetChannel } from "./channel-ops.ts";
import type { Lane } from "./lane.ts";
import type { ChannelOpen, ChannelReset, Frame } from "./messages.ts";
import { isOpenTooLong } from "./open-size.ts";
import type { TrunkCore } from "./trunk-core.ts";

const OK = "";

/** Applies one frame of a batch that was next in its lane's sequence. */
export function applyFrame(trunk: TrunkCore, lane: Lane, frame: Frame, nowMs: number): string {
  if (frame.kind === "open") return applyOpen(trunk, lane, frame.channelId, frame.open, nowMs);
  const channel = lane.channels.get(frame.channelId);
  if (channel === undefined) {
    // Frames that were under way when the channel ended here.
    return isOwnId(lane, frame.channelId) && frame.channelId <= lane.lastChannelId ? OK : "frame: an unknown channel";
  }
  switch (frame.kind) {
    case "data":
      return applyData(channel, frame.data as Buffer);
    case "opened": {
      const step = channel.step("recv_opened");
      if (step === true) channel.handler.opened();
      return step === false ? "frame: opened out of place" : OK;
    }
    case "half_close":
      return applyHalfClose(trunk, lane, channel, frame.totalBytes);
    case "reset":
      return applyReset(trunk, lane, channel, frame.reset);
    case "credit":
      return applyCredit(trunk, lane, channel, frame);
    case "tombstone":
      return applyTombstone(channel, frame.bytes);
    case "unknown":
      return "frame: an unknown body";
  }
}

const isOwnId = (lane: Lane, id: number): boolean => id > 0 && id % 2 === (lane.name === "interactive" ? 0 : 1);

function applyOpen(trunk: TrunkCore, lane: Lane, id: number, open: ChannelOpen, nowMs: number): string {
  if (trunk.side === "initiator") return "frame: open from the acceptor";
  if (!isOwnId(lane, id) || id <= lane.lastChannelId) return "frame: a channel id that is not new";
  if (isOpenTooLong(open)) return "frame: an open that is too long";
  const count = trunk.lanes.interactive.channels.size + trunk.lanes.bulk.channels.size;
  if (count >= limits.channelsPerTrunkMaxCount + limits.channelsEndingMaxCount) return "frame: too many channels";
  lane.lastChannelId = id;
  const channel = new TrunkChannel(id, open, false, trunk.pool, nowMs);
  lane.channels.set(id, channel);
  lane.outbox.shaper.adopt(channel, nowMs);
  if (trunk.draining) resetChannel(trunk, channel, ChannelEnd.DRAINING, ChannelStage.EGRESS);
  else if (count >= limits.channelsPerTrunkMaxCount) {
    resetChannel(trunk, channel, ChannelEnd.LIMIT, ChannelStage.EGRESS);
  } else trunk.events.offered(channel);
  return OK;
}

function applyData(channel: TrunkChannel, data: Buffer): string {
  const step = channel.step("recv_data");
  if (step !== true) return step === false ? "frame: data out of place" : OK;
  if (!channel.credit.received(data.length)) return "credit: overrun";
  if (data.length > 0) channel.handler.data(data);
  return OK;
}

function applyTombstone(channel: TrunkChannel, bytes: number): string {
  if (channel.drops === undefined) return "frame: a tombstone where nothing may be dropped";
  const step = channel.step("recv_data");
  if (step !== true) return step === false ? "frame: a tombstone out of place" : OK;
  if (!channel.credit.received(bytes)) return "credit: overrun";
  channel.handler.dropped(bytes);
  return OK;
}

function applyHalfClose(trunk: TrunkCore, lane: Lane, channel: TrunkChannel, totalBytes: number): string {
  const step = channel.step("recv_half");
  if (step !== true) return step === false ? "frame: half-close out of place" : OK;
  if (totalBytes !== channel.credit.receivedBytes) return "frame: a half-close with another count";
  channel.credit.finish();
  if (channel.over) trunk.forget(lane, channel);
  channel.handler.halfClosed();
  return OK;
}

function applyReset(trunk: TrunkCore, lane: Lane, channel: TrunkChannel, reset: ChannelReset): string {
  if (channel.step("recv_reset") !== true) return OK;
  channel.queue.clear();
  channel.peerWrittenToTarget = writtenBy(channel, reset.writtenToTarget);
  trunk.forget(lane, channel);
  channel.handler.ended({
    end: reset.end,
    stage: reset.stage,
    writtenToTarget: channel.initiator ? channel.peerWrittenToTarget : channel.writtenToTarget,
    byPeer: true,
  });
  return OK;
}

function applyCredit(
  trunk: TrunkCore,
  lane: Lane,
  channel: TrunkChannel,
  { limitBytes, writtenToTarget, returnsSeen, ownLimitBytes }: Frame & { kind: "credit" },
): string {
  const step = channel.step("recv_credit");
  if (step !== true) return step === false ? "frame: credit out of place" : OK;
  channel.peerWrittenToTarget = writtenBy(channel, writtenToTarget);
  if (ownLimitBytes > 0) {
    channel.returnsSeen += 1;
    if (!channel.credit.returned(ownLimitBytes)) return "credit: returned what it does not have";
  }
  if (returnsSeen > channel.returns) return "credit: saw what was never returned";
  // A limit from before the far end knew that credit went back is no limit any more.
  if (returnsSeen === channel.returns && limitBytes > channel.sendLimitBytes) {
    channel.sendLimitBytes = limitBytes;
    if (channel.unusedCreditBytes > 0) lane.lent.add(channel);
    lane.outbox.wantData(channel);
    trunk.wakeLane(lane);
  }
  return OK;
}

/** Only ever grows, and never beyond what was sent. */
function writtenBy(channel: TrunkChannel, claimed: number): number {
  return Math.max(channel.peerWrittenToTarget, Math.min(claimed, channel.sentBytes));
}
