/**
 * One attachment as the trunk knows it, and its unsequenced messages. At most one of each kind waits, newest wins, so that a
 * stuck path holds a fixed number of bytes whatever the far end asks for.
 */

import type { NoticeKind } from "../../gen/weft/channel/v1/channel_pb.ts";
import { limits } from "../../lib/limits.ts";
import { encodeMessage } from "./encode.ts";
import type { LaneName } from "./lane-name.ts";

export type AttachmentPhase =
  /** The peer's Attach has not been verified. */
  | "attaching"
  /** May carry data. */
  | "ready"
  | "gone";

/** The lane of an attachment, as far as unsequenced messages speak of it. */
export interface SendingLane {
  readonly active: Attachment | undefined;
  readonly generation: number;
  readonly expectedSeq: number;
  readonly ackOwed: boolean;
  readonly sendable: boolean;
  readonly replay: { readonly oldestSentAtMs: number | undefined };
  ackDue(nowMs: number): boolean;
  ackSent(): void;
}

export interface AttachmentStats {
  readonly id: number;
  readonly lane: LaneName;
  readonly connectionId: number;
  readonly active: boolean;
  readonly ready: boolean;
  readonly rttMs: number | undefined;
}

export class Attachment {
  readonly id: number;
  readonly lane: LaneName;
  /** Attachments with the same number share a connection. */
  readonly connectionId: number;
  readonly exporter: Uint8Array;
  phase: AttachmentPhase = "attaching";
  /** Encoded and waiting to be the first thing written. */
  attachDue: Buffer | undefined;
  moveDue = false;
  /** Batches handed out and not yet reported as written. */
  batchesInFlight = 0;
  lastHeardMs: number;
  rttMs: number | undefined;
  /** An ack came this way since the lane moved here: the path works in both directions. */
  carriedAck = false;
  /** When the newest ping that was answered had been sent. */
  answeredPingSentMs: number | undefined;
  /** Its path is being left: nothing moves here while there is another. */
  retired = false;

  #pingId = 0;
  #pingDue = false;
  #pingSentAtMs: number | undefined;
  #pongDue: number | undefined;
  readonly #notices: { kind: NoticeKind; detail: string }[] = [];

  constructor(id: number, lane: LaneName, connectionId: number, exporter: Uint8Array, nowMs: number) {
    this.id = id;
    this.lane = lane;
    this.connectionId = connectionId;
    this.exporter = exporter;
    this.lastHeardMs = nowMs;
  }

  /** Asks for a ping unless one is under way. */
  ping(): void {
    if (this.#pingSentAtMs === undefined) this.#pingDue = true;
  }

  pinged(id: number): void {
    this.#pongDue = id;
  }

  ponged(id: number, nowMs: number): void {
    if (id !== this.#pingId || this.#pingSentAtMs === undefined) return;
    this.rttMs = nowMs - this.#pingSentAtMs;
    this.answeredPingSentMs = this.#pingSentAtMs;
    this.#pingSentAtMs = undefined;
  }

  /** When the unanswered ping went out, or undefined. */
  get pingSentAtMs(): number | undefined {
    return this.#pingSentAtMs;
  }

  notice(kind: NoticeKind, detail: string): void {
    const waiting = this.#notices.find((notice) => notice.kind === kind);
    if (waiting === undefined) this.#notices.push({ kind, detail });
  }

  /** The unsequenced messages to write now, in one buffer; undefined when there are none. Attach goes alone and first. */
  pullControl(lane: SendingLane | undefined, nowMs: number): Buffer | undefined {
    if (this.attachDue !== undefined) {
      const attach = this.attachDue;
      this.attachDue = undefined;
      return attach;
    }
    if (this.phase !== "ready") return undefined;
    const out: Buffer[] = [];
    while (this.#notices.length > 0) {
      const { kind, detail } = this.#notices.shift() as { kind: NoticeKind; detail: string };
      out.push(encodeMessage({ kind: "notice", notice: kind, detail }));
    }
    if (lane !== undefined && lane.active === this) {
      if (this.moveDue) out.push(encodeMessage({ kind: "move", generation: lane.generation }));
      this.moveDue = false;
      if (lane.ackDue(nowMs) || (lane.ackOwed && lane.sendable)) {
        lane.ackSent();
        out.push(encodeMessage({ kind: "ack", nextExpectedSeq: lane.expectedSeq }));
      }
    }
    if (this.#pongDue !== undefined) {
      out.push(encodeMessage({ kind: "pong", id: this.#pongDue }));
      this.#pongDue = undefined;
    }
    if (this.#pingDue) {
      this.#pingDue = false;
      this.#pingId += 1;
      this.#pingSentAtMs = nowMs;
      // What was sent a moment ago is on its way: only what waited says that an answer is missing.
      const sentAtMs = lane?.replay.oldestSentAtMs ?? Number.POSITIVE_INFINITY;
      out.push(encodeMessage({ kind: "ping", id: this.#pingId, owing: nowMs - sentAtMs >= limits.silencePingMs }));
    }
    if (out.length === 0) return undefined;
    return out.length === 1 ? out[0] : Buffer.concat(out);
  }

  /** A move or Attach must go before any batch. */
  get controlFirst(): boolean {
    return this.attachDue !== undefined || this.moveDue;
  }
}
