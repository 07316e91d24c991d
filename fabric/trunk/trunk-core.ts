/** What a trunk is made from, what it tells its shell, and what its own parts see of it. */

import type { NoticeKind } from "../../gen/weft/channel/v1/channel_pb.ts";
import type { SignedAsk } from "../path/ask.ts";
import type { Side } from "./attach-proof.ts";
import type { TrunkChannel } from "./channel.ts";
import type { CreditPool } from "./credit.ts";
import type { Lane } from "./lane.ts";
import type { LaneName } from "./lane-name.ts";
import type { TrunkMove } from "./move.ts";

export type TrunkEndCause =
  | "closed"
  | "peer_closed"
  | "protocol"
  | "peer_protocol"
  | "unknown_trunk"
  | "lost"
  | "aborted";

export interface TrunkEnd {
  readonly cause: TrunkEndCause;
  /** A constant string for logs. */
  readonly detail: string;
}

/** The shell's side. Called synchronously; may call the trunk. */
export interface TrunkEvents {
  /** There is something to pull for this attachment. */
  wake(attachmentId: number): void;
  attachmentReady(attachmentId: number): void;
  /** The peer did not prove itself on this attachment: close it, the trunk lives. */
  attachmentRefused(attachmentId: number, detail: string): void;
  /** Acceptor: a channel was opened; set its handler, then accept or reset it. */
  offered(channel: TrunkChannel): void;
  moved(move: TrunkMove): void;
  /** The first news on the new attachment after a move. `gapMs`: how long the lane heard nothing. */
  resumed(move: TrunkMove, gapMs: number): void;
  /** Draining or want-path, from the far end. */
  noticed(kind: NoticeKind, attachmentId: number): void;
  ended(end: TrunkEnd): void;
}

export interface TrunkOptions {
  readonly trunkId: Uint8Array;
  readonly side: Side;
  /** The TLS exporter of the trunk's first connection. */
  readonly secret: Uint8Array;
  readonly processPool: CreditPool;
  readonly events: TrunkEvents;
}

export interface NewAttachment {
  /** Client edges: what is shown to the far edge. */
  readonly ask?: SignedAsk;
  readonly id: number;
  readonly lane: LaneName;
  readonly connectionId: number;
  /** The TLS exporter of the connection it runs on. */
  readonly exporter: Uint8Array;
}

/** The trunk as its receiving side and the operations on channels see it. */
export interface TrunkCore {
  readonly side: Side;
  readonly lanes: Readonly<Record<LaneName, Lane>>;
  readonly pool: CreditPool;
  readonly events: TrunkEvents;
  readonly end: TrunkEnd | undefined;
  readonly draining: boolean;
  /** Wakes the attachment a lane sends on. */
  wakeLane(lane: Lane): void;
  /** A channel is over. */
  forget(lane: Lane, channel: TrunkChannel): void;
  /** Closes a draining trunk that has nothing left to do. */
  settle(): void;
}
