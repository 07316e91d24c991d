/** How much an open frame's text weighs; bounded on both sides, because a channel keeps it for its life. */

import { limits } from "../../lib/limits.ts";
import type { ChannelOpen } from "./messages.ts";

/** Whether the open frame is longer than either side takes: its text, and apart from it its contract. */
export function isOpenTooLong(open: ChannelOpen): boolean {
  return openSizeBytes(open) > limits.channelOpenMaxBytes || (open.contract?.length ?? 0) > limits.contractMaxBytes;
}

/** UTF-8 bytes of every text in the open frame. */
function openSizeBytes(open: ChannelOpen): number {
  let size = Buffer.byteLength(open.resource) + Buffer.byteLength(open.correlationId);
  if (open.flowIsolationId !== undefined) size += Buffer.byteLength(open.flowIsolationId);
  if (open.traceparent !== undefined) size += Buffer.byteLength(open.traceparent);
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
