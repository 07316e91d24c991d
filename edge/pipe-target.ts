/** Joins a channel and its target's socket: bytes, half-closes, errors and the count of bytes the target's kernel took. */

import type { Socket } from "node:net";
import { ChannelEnd, ChannelStage } from "../gen/weft/channel/v1/channel_pb.ts";
import type { EdgeChannel } from "./channel.ts";

/**
 * Carries both directions until both are done. The socket must have been opened with `allowHalfOpen`. An error of the target
 * ends the channel with TARGET_RESET; the channel's end by an error resets the target.
 */
export function pipeToTarget(channel: EdgeChannel, target: Socket): void {
  channel.copiesWrites = false;
  let handedBytes = 0;
  let reportedBytes = 0;
  // Called in order, so what is still queued is what the kernel has not taken.
  const written = (error?: Error | null): void => {
    if (error !== undefined && error !== null) return;
    const doneBytes = handedBytes - target.writableLength;
    channel.noteWritten(doneBytes - reportedBytes);
    reportedBytes = doneBytes;
  };
  channel.on("data", (chunk: Buffer) => {
    handedBytes += chunk.length;
    if (!target.write(chunk, written)) channel.pause();
  });
  target.on("drain", () => channel.resume());
  channel.once("end", () => target.end());
  target.on("data", (chunk: Buffer) => {
    if (!channel.write(chunk)) target.pause();
  });
  channel.on("drain", () => target.resume());
  target.once("end", () => channel.end());

  target.on("error", () => channel.abort(ChannelEnd.TARGET_RESET, ChannelStage.TARGET));
  target.once("close", () => {
    // Without an end in both directions before it, this was no orderly close.
    if (!target.readableEnded || !target.writableFinished) channel.abort(ChannelEnd.TARGET_RESET, ChannelStage.TARGET);
  });
  channel.on("error", () => {});
  channel.once("close", () => {
    if (!target.destroyed && !(channel.readableEnded && channel.writableFinished)) target.resetAndDestroy();
  });
}
