/**
 * Joins a plain TCP connection with its channel: bytes both ways, half-closes kept, every other end a reset. On a listener of
 * a message resource the connection speaks messages behind their lengths; what it sends is watched before it leaves here.
 */

import type { Socket } from "node:net";
import { MessageGuard } from "../fabric/trunk/message-frames.ts";
import { ChannelEnd, ChannelStage } from "../gen/weft/channel/v1/channel_pb.ts";
import { limits } from "../lib/limits.ts";
import type { EdgeChannel } from "./channel.ts";

/** Ends the channel with a reason before bytes leave that are no messages: the far edge could only guess which side failed. */
function watchMessages(channel: EdgeChannel, socket: Socket): void {
  const guard = new MessageGuard(limits.messageMaxBytes);
  socket.on("data", (chunk: Buffer) => {
    if (!guard.accepts(chunk)) channel.abort(ChannelEnd.MESSAGE_TOO_LARGE, ChannelStage.ENTRY);
  });
  socket.once("end", () => {
    if (guard.partial) channel.abort(ChannelEnd.MESSAGE_TRUNCATED, ChannelStage.ENTRY);
  });
}

/** Pipes until both directions have ended. Takes both over: errors end the other side. `messages`: the resource's kind. */
export function pipeToSource(channel: EdgeChannel, socket: Socket, messages = false): void {
  // Chunks of a socket are fresh buffers nobody writes into again.
  channel.copiesWrites = false;
  channel.on("error", () => socket.resetAndDestroy());
  socket.on("error", () => channel.destroy());
  // A connection that vanished without a FIN, or a channel that ended without an error, must not leave the other open.
  socket.once("close", () => {
    // After an orderly close, what the channel has not sent yet still goes out: it ends by itself.
    if (!socket.readableEnded || !socket.writableFinished) channel.destroy();
  });
  channel.once("close", () => {
    if (!socket.destroyed && !(socket.readableEnded && socket.writableFinished)) {
      if (channel.errored === null && channel.readableEnded) socket.destroySoon();
      else socket.resetAndDestroy();
    }
  });
  // Before the pipe's own listeners.
  if (messages) watchMessages(channel, socket);
  socket.pipe(channel);
  channel.pipe(socket);
}
