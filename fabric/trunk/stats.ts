/** A trunk's numbers, for operators. */

import type { AttachmentStats } from "./attachments.ts";
import type { Trunk } from "./trunk.ts";

export interface TrunkStats {
  readonly trunkIdHex: string;
  readonly initiator: boolean;
  readonly channelCount: number;
  /** Batches written and messages received, repeated ones included. */
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Sent and not acknowledged. */
  readonly replayBytes: number;
  readonly windowBytes: { readonly interactive: number; readonly bulk: number };
  readonly rttMs: number | undefined;
  readonly moves: number;
  readonly attachments: readonly AttachmentStats[];
}

export function trunkStats(trunk: Trunk): TrunkStats {
  const { interactive, bulk } = trunk.lanes;
  const attachments: AttachmentStats[] = [];
  for (const attachment of trunk.attachments()) {
    const lane = trunk.lanes[attachment.lane];
    attachments.push({
      id: attachment.id,
      lane: attachment.lane,
      connectionId: attachment.connectionId,
      active: lane.active === attachment,
      ready: attachment.phase === "ready",
      rttMs: attachment.rttMs,
    });
  }
  return {
    trunkIdHex: Buffer.from(trunk.trunkId).toString("hex"),
    initiator: trunk.side === "initiator",
    channelCount: interactive.channels.size + bulk.channels.size,
    bytesSent: trunk.bytesSent,
    bytesReceived: trunk.bytesReceived,
    replayBytes: interactive.replay.costBytes + bulk.replay.costBytes,
    windowBytes: { interactive: interactive.window.sizeBytes, bulk: bulk.window.sizeBytes },
    rttMs: attachments.find((attachment) => attachment.active && attachment.rttMs !== undefined)?.rttMs,
    moves: trunk.moves,
    attachments,
  };
}
