/** What a trunk's end means for the channels on it. */

import { ChannelEnd, ChannelStage } from "../../gen/weft/channel/v1/channel_pb.ts";
import type { Lane } from "./lane.ts";

/** Ends every channel of these lanes and tells its owner how far it got; everything kept for sending is dropped. */
export function endChannels(lanes: readonly Lane[]): void {
  const orphans = lanes.flatMap((lane) => [...lane.channels.values()]);
  for (const lane of lanes) lane.clear();
  for (const channel of orphans) {
    const over = channel.over;
    channel.state = "reset";
    channel.queue.clear();
    channel.credit.release();
    if (over) continue;
    channel.handler.ended({
      end: ChannelEnd.TRUNK_LOST,
      stage: ChannelStage.FABRIC,
      writtenToTarget: channel.initiator ? channel.peerWrittenToTarget : channel.writtenToTarget,
      byPeer: false,
    });
  }
}
