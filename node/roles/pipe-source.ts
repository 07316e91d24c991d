/** Joins a plain TCP connection with its channel: bytes both ways, half-closes kept, every other end a reset. */

import type { Socket } from "node:net";
import type { EdgeChannel } from "../../edge/channel.ts";

/** Pipes until both directions have ended. Takes both over: errors end the other side. */
export function pipeToSource(channel: EdgeChannel, socket: Socket): void {
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
  socket.pipe(channel);
  channel.pipe(socket);
}
