/**
 * What travels on an attachment, as the trunk sees it: the messages of `weft.channel.v1` with numbers checked to be below
 * 2^53 and payloads as views of the received buffer. `encode.ts` and `decode.ts` translate; both directions are alike.
 */

import type { ChannelEnd, ChannelStage, Lane, NoticeKind } from "../../gen/weft/channel/v1/channel_pb.ts";
import type { ChannelClass, OriginAssurance } from "../../gen/weft/fabric/v1/role_pb.ts";

export interface Attach {
  readonly trunkId: Uint8Array;
  readonly lane: Lane;
  readonly generation: number;
  readonly nextExpectedSeq: number;
  readonly proof: Uint8Array;
  /** Client edges only; empty otherwise. */
  readonly ask: Uint8Array;
  readonly askSignature: Uint8Array;
}

export interface ChannelOrigin {
  readonly assurance: OriginAssurance;
  readonly clientId: string;
  readonly organizationId: string;
  readonly entryNodeId: string;
  readonly listenerId: string;
  readonly sourceAddress: string;
}

export interface ChannelOpen {
  readonly resource: string;
  readonly class: ChannelClass;
  readonly origin: ChannelOrigin | undefined;
  readonly correlationId: string;
  /** A signed contract as its holder got it; absent where no lease covers the channel. Never a view: it outlives its batch. */
  readonly contract?: Uint8Array;
  /** Absent: none. */
  readonly flowIsolationId?: string;
  /** The opener's part of a sampled trace, as it was sent: nobody has looked at it. Absent: none. */
  readonly traceparent?: string;
}

export interface ChannelReset {
  readonly end: ChannelEnd;
  readonly stage: ChannelStage;
  /** Bytes handed to the target's kernel, at least. */
  readonly writtenToTarget: number;
  readonly correlationId: string;
}

export type Frame =
  | { readonly kind: "data"; readonly channelId: number; readonly data: Uint8Array }
  | { readonly kind: "open"; readonly channelId: number; readonly open: ChannelOpen }
  | { readonly kind: "opened"; readonly channelId: number }
  | { readonly kind: "half_close"; readonly channelId: number; readonly totalBytes: number }
  | { readonly kind: "reset"; readonly channelId: number; readonly reset: ChannelReset }
  | {
      readonly kind: "credit";
      readonly channelId: number;
      readonly limitBytes: number;
      readonly writtenToTarget: number;
      /** How many returns of credit the sender has seen on this channel. */
      readonly returnsSeen: number;
      /** Not 0: the sender hands back credit and will not have sent more than this. */
      readonly ownLimitBytes: number;
    }
  /** Stands for a droppable message of so many bytes, its length included. */
  | { readonly kind: "tombstone"; readonly channelId: number; readonly bytes: number }
  /** A body from a later version of the contract. */
  | { readonly kind: "unknown"; readonly channelId: number };

export type Message =
  | { readonly kind: "attach"; readonly attach: Attach }
  | { readonly kind: "batch"; readonly seq: number; readonly frames: readonly Frame[] }
  | { readonly kind: "ack"; readonly nextExpectedSeq: number }
  | { readonly kind: "ping"; readonly id: number; readonly owing: boolean }
  | { readonly kind: "pong"; readonly id: number }
  | { readonly kind: "notice"; readonly notice: NoticeKind; readonly detail: string }
  | { readonly kind: "move"; readonly generation: number }
  /** A message from a later version of the contract: ignored. */
  | { readonly kind: "unknown" };

/** Why bytes were not a message. `detail` is a constant string, fit for logs. */
export interface Malformed {
  readonly kind: "malformed";
  readonly detail: string;
}

export const malformed = (detail: string): Malformed => ({ kind: "malformed", detail });
