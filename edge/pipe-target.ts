/**
 * Joins a channel and its target's socket: bytes, half-closes, errors and the count of bytes the target's kernel took. For a
 * message resource both directions are watched as they pass: whole messages within the bound, or an error that says so.
 */

import type { Socket } from "node:net";
import { MessageGuard } from "../fabric/trunk/message-frames.ts";
import { ChannelEnd, ChannelStage } from "../gen/weft/channel/v1/channel_pb.ts";
import { limits } from "../lib/limits.ts";
import { resetSocket } from "../lib/reset-socket.ts";
import type { EdgeChannel } from "./channel.ts";

/**
 * Carries both directions until both are done. The socket must have been opened with `allowHalfOpen`. An error of the target
 * ends the channel with TARGET_RESET; the channel's end by an error resets the target. `messages`: the resource's kind.
 * `mayPass` is asked for every piece, in either direction: one it does not let through is dropped, and it has ended the
 * channel.
 */
export function pipeToTarget(channel: EdgeChannel, target: Socket, messages = false, mayPass?: () => boolean): void {
  channel.copiesWrites = false;
  const fromOpener = messages ? new MessageGuard(limits.messageMaxBytes) : undefined;
  const fromTarget = messages ? new MessageGuard(limits.messageMaxBytes) : undefined;
  // A Unix socket knows no reset, and asking it for one throws.
  const isTcp = target.remoteFamily !== undefined;
  const cut = (): void => void (isTcp ? resetSocket(target) : target.destroy());
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
    if (mayPass?.() === false) return;
    if (fromOpener?.accepts(chunk) === false) {
      channel.abort(ChannelEnd.MESSAGE_TOO_LARGE, ChannelStage.EGRESS);
      return;
    }
    handedBytes += chunk.length;
    if (!target.write(chunk, written)) channel.pause();
  });
  target.on("drain", () => channel.resume());
  channel.on("end", () => {
    if (fromOpener?.partial === true) channel.abort(ChannelEnd.MESSAGE_TRUNCATED, ChannelStage.EGRESS);
    else target.end();
  });
  target.on("data", (chunk: Buffer) => {
    if (mayPass?.() === false) return;
    if (fromTarget?.accepts(chunk) === false) {
      channel.abort(ChannelEnd.MESSAGE_TOO_LARGE, ChannelStage.TARGET);
      return;
    }
    if (!channel.write(chunk)) target.pause();
  });
  channel.on("drain", () => target.resume());
  target.on("end", () => {
    if (fromTarget?.partial === true) channel.abort(ChannelEnd.MESSAGE_TRUNCATED, ChannelStage.TARGET);
    else channel.end();
  });

  target.on("error", () => channel.abort(ChannelEnd.TARGET_RESET, ChannelStage.TARGET));
  target.on("close", () => {
    // Without an end in both directions before it, this was no orderly close.
    if (!target.readableEnded || !target.writableFinished) channel.abort(ChannelEnd.TARGET_RESET, ChannelStage.TARGET);
  });
  channel.on("error", () => {});
  channel.on("close", () => {
    if (!target.destroyed && !(channel.readableEnded && channel.writableFinished)) cut();
  });
}
