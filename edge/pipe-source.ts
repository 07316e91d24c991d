/**
 * Joins a plain TCP connection with its channel: bytes both ways, half-closes kept, every other end a reset. On a listener of
 * a message resource the connection speaks messages behind their lengths; what it sends is watched before it leaves here.
 */

import type { Socket } from "node:net";
import { MessageGuard } from "../fabric/trunk/message-frames.ts";
import { ChannelEnd, ChannelStage } from "../gen/weft/channel/v1/channel_pb.ts";
import { limits } from "../lib/limits.ts";
import { resetSocket } from "../lib/reset-socket.ts";
import type { EdgeChannel } from "./channel.ts";

/**
 * Carries both directions until both have ended. Takes both over: errors end the other side. `messages`: the resource's kind.
 * By hand instead of with `pipe`: that adds and removes ten listeners per direction, which a short connection pays for.
 */
export function pipeToSource(channel: EdgeChannel, socket: Socket, messages = false): void {
  // Chunks of a socket are fresh buffers nobody writes into again.
  channel.copiesWrites = false;
  const guard = messages ? new MessageGuard(limits.messageMaxBytes) : undefined;
  socket.on("data", (chunk: Buffer) => {
    // Ended with a reason before bytes leave that are no messages: the far edge could only guess which side failed.
    if (guard?.accepts(chunk) === false) channel.abort(ChannelEnd.MESSAGE_TOO_LARGE, ChannelStage.ENTRY);
    else if (!channel.write(chunk)) socket.pause();
  });
  channel.on("drain", () => socket.resume());
  socket.on("end", () => {
    if (guard?.partial === true) channel.abort(ChannelEnd.MESSAGE_TRUNCATED, ChannelStage.ENTRY);
    else channel.end();
  });
  channel.on("data", (chunk: Buffer) => {
    if (!socket.write(chunk)) channel.pause();
  });
  socket.on("drain", () => channel.resume());
  channel.on("end", () => socket.end());

  channel.on("error", () => resetSocket(socket));
  socket.on("error", () => channel.destroy());
  // A connection that vanished without a FIN, or a channel that ended without an error, must not leave the other open.
  socket.on("close", () => {
    // After an orderly close, what the channel has not sent yet still goes out: it ends by itself.
    if (!socket.readableEnded || !socket.writableFinished) channel.destroy();
  });
  channel.on("close", () => {
    if (!socket.destroyed && !(socket.readableEnded && socket.writableFinished)) {
      if (channel.errored === null && channel.readableEnded) socket.destroySoon();
      else resetSocket(socket);
    }
  });
}
