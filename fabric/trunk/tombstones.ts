/**
 * Droppable messages that already have a sequence number: in a batch that would be repeated, tombstones take their place.
 * Each says how many bytes it stands for, so that counts and credit stay the same whether or not the first copy arrived.
 */

import type { TrunkChannel } from "./channel.ts";
import { decodeMessage } from "./decode.ts";
import { encodeMessage, GRPC_PREFIX_BYTES } from "./encode.ts";
import type { Frame } from "./messages.ts";

/** The batch, encoded, without the messages of droppable channels. Never longer than it was. */
export function withTombstones(encoded: Buffer, channels: ReadonlyMap<number, TrunkChannel>): Buffer {
  const batch = decodeMessage(encoded.subarray(GRPC_PREFIX_BYTES));
  if (batch.kind !== "batch") return encoded;
  const frames = batch.frames.map((frame): Frame => {
    const drops = frame.kind === "data" ? channels.get(frame.channelId)?.drops : undefined;
    if (frame.kind !== "data" || drops === undefined) return frame;
    drops.droppedCount += 1;
    return { kind: "tombstone", channelId: frame.channelId, bytes: frame.data.length };
  });
  return encodeMessage({ kind: "batch", seq: batch.seq, frames });
}
