/** How much an open frame's text weighs; bounded on both sides, because a channel keeps it for its life. */

import type { ChannelOpen } from "./messages.ts";

/** UTF-8 bytes of every text in the open frame. */
export function openSizeBytes(open: ChannelOpen): number {
  let size = Buffer.byteLength(open.resource) + Buffer.byteLength(open.correlationId);
  const { origin } = open;
  if (origin !== undefined) {
    for (const text of [
      origin.clientId,
      origin.organizationId,
      origin.entryNodeId,
      origin.listenerId,
      origin.sourceAddress,
    ]) {
      size += Buffer.byteLength(text);
    }
  }
  return size;
}
