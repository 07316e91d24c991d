/** Resetting a TCP connection whatever state it is in. */

import type { Duplex } from "node:stream";

/** A `net.Socket`, as far as this is concerned. */
export interface Resettable extends Duplex {
  resetAndDestroy(): unknown;
}

/** Its FIN is on the way to the kernel: all it was given is there already. */
const ends = (stream: Duplex): boolean =>
  stream.writableEnded && !stream.writableFinished && stream.writableLength === 0;

/**
 * Closes a connection at once, with a reset unless its FIN is just on the way: a reset fails then (EINVAL), and Node 26.10
 * forgets the handle without closing it, so that the descriptor stays open and `close` never comes. `over`: what runs on the
 * socket and may have ended it unseen, such as TLS.
 */
export function resetSocket(socket: Resettable, over?: Duplex): void {
  if (ends(socket) || (over !== undefined && ends(over))) socket.destroy();
  else socket.resetAndDestroy();
}
