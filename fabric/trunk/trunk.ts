/**
 * The trunk's state machine: lanes, channels and attachments, without sockets, clocks or timers. A shell feeds it what
 * arrived (`receive`), asks it what to write (`pullControl`, `pullBatch`) and tells it the time. Laws kept here:
 *
 * - LAW-T1: what goes out after a move is a consecutive run from the first unacknowledged batch; arriving numbers below the
 *   expected one are discarded, the expected one is delivered, higher ones end the trunk.
 * - LAW-T3: replay, queues, credit and unsequenced messages are bounded; nothing grows with what a peer sends.
 * - A peer that breaks the protocol ends the trunk with a reason, never an exception, never a mere path failure.
 */

import { NoticeKind } from "../../gen/weft/channel/v1/channel_pb.ts";
import { limits } from "../../lib/limits.ts";
import type { Side } from "./attach-proof.ts";
import { AttachSigner, GENERATION_MAX } from "./attach-signer.ts";
import { Attachment } from "./attachments.ts";
import type { TrunkChannel } from "./channel.ts";
import { CreditPool } from "./credit.ts";
import { decodeMessage } from "./decode.ts";
import { endChannels } from "./ending.ts";
import { Lane } from "./lane.ts";
import type { LaneName } from "./lane-name.ts";
import type { Attach, Frame, Message } from "./messages.ts";
import type { MoveCause } from "./move.ts";
import { applyFrame } from "./receive.ts";
import { LaneShare } from "./schedule.ts";
import { moveTarget } from "./targets.ts";
import type { NewAttachment, TrunkCore, TrunkEnd, TrunkEvents, TrunkOptions } from "./trunk-core.ts";

export class Trunk implements TrunkCore {
  readonly side: Side;
  readonly trunkId: Uint8Array;
  readonly lanes: Readonly<Record<LaneName, Lane>>;
  readonly pool: CreditPool;
  readonly events: TrunkEvents;
  end: TrunkEnd | undefined;
  moves = 0;
  bytesSent = 0;
  bytesReceived = 0;
  draining = false;
  readonly #signer: AttachSigner;
  readonly #attachments = new Map<number, Attachment>();
  readonly #share = new LaneShare();

  constructor(options: TrunkOptions) {
    this.side = options.side;
    this.trunkId = options.trunkId;
    this.events = options.events;
    this.#signer = new AttachSigner(options);
    this.lanes = { interactive: new Lane("interactive"), bulk: new Lane("bulk") };
    this.pool = new CreditPool(limits.trunkReceivePoolBytes, options.processPool);
  }

  // --- Attachments ---

  /** Initiator: adds a stream; the Attach is the first thing to pull. It is ready when the peer's Attach is verified. */
  offerAttachment(added: NewAttachment, nowMs: number): void {
    const attachment = this.#add(added, nowMs);
    attachment.attachDue = this.#signer.sign(this.lanes[attachment.lane], attachment.exporter, added.ask);
    this.events.wake(attachment.id);
  }

  /** Acceptor: adds a stream whose first message is `attach`. Returns false, and adds nothing, when the proof is wrong. */
  acceptAttachment(added: NewAttachment, attach: Attach, nowMs: number): boolean {
    if (this.end !== undefined || this.#attachments.size >= limits.attachmentsPerTrunkMaxCount) return false;
    if (!this.#signer.verifies(attach, this.lanes[added.lane], added.exporter)) return false;
    const attachment = this.#add(added, nowMs);
    attachment.attachDue = this.#signer.sign(this.lanes[attachment.lane], attachment.exporter);
    this.#ready(attachment, attach, nowMs);
    return true;
  }

  #add(added: NewAttachment, nowMs: number): Attachment {
    const attachment = new Attachment(added.id, added.lane, added.connectionId, added.exporter, nowMs);
    this.#attachments.set(attachment.id, attachment);
    return attachment;
  }

  #ready(attachment: Attachment, attach: Attach, nowMs: number): void {
    const lane = this.lanes[attachment.lane];
    attachment.phase = "ready";
    attachment.ping();
    // With an active attachment the initiator keeps its own count: a move of the acceptor may be under way elsewhere.
    if (this.side === "acceptor" || lane.active === undefined) {
      lane.generation = Math.max(lane.generation, attach.generation);
    }
    // The peer's position may be old; it only ever trims.
    if (!lane.acked(attach.nextExpectedSeq, nowMs, true)) {
      this.violated("attach: beyond what was sent");
      return;
    }
    // Without a move of our own the acceptor may already send here; the initiator's move decides.
    if (lane.active === undefined) {
      const initiator = this.side === "initiator";
      const cause = lane.movedAtMs === Number.NEGATIVE_INFINITY ? "first" : "resumed";
      this.#moveTo(lane, attachment, initiator ? lane.generation + 1 : lane.generation, cause, initiator, nowMs);
    }
    this.events.attachmentReady(attachment.id);
    this.events.wake(attachment.id);
  }

  /** The stream ended or failed. The lane goes on at once on another ready attachment, if there is one. */
  attachmentLost(attachmentId: number, nowMs: number): void {
    const attachment = this.#attachments.get(attachmentId);
    if (attachment === undefined) return;
    this.#attachments.delete(attachmentId);
    attachment.phase = "gone";
    const lane = this.lanes[attachment.lane];
    if (lane.active !== attachment) return;
    const next = this.end === undefined ? moveTarget(this.#attachments.values(), { lane: lane.name }) : undefined;
    if (next === undefined) lane.falls(nowMs);
    else this.#moveTo(lane, next, lane.generation + 1, "lost", true, nowMs);
  }

  /** Moves a lane to a ready attachment. Returns false when there is no such one or the lane is there already. */
  move(attachmentId: number, nowMs: number, cause: MoveCause = "asked"): boolean {
    const attachment = this.#attachments.get(attachmentId);
    if (attachment === undefined || attachment.phase !== "ready" || this.end !== undefined) return false;
    const lane = this.lanes[attachment.lane];
    if (lane.active === attachment) return false;
    this.#moveTo(lane, attachment, lane.generation + 1, cause, true, nowMs);
    return true;
  }

  #moveTo(
    lane: Lane,
    attachment: Attachment,
    generation: number,
    cause: MoveCause,
    announce: boolean,
    nowMs: number,
  ): void {
    const fromId = lane.active?.id ?? lane.fellFromId;
    for (const other of this.#attachments.values()) if (other.lane === lane.name) other.moveDue = false;
    attachment.moveDue = announce;
    attachment.carriedAck = false;
    const replayedBytes = lane.moveTo(attachment, generation, nowMs);
    if (replayedBytes === undefined) {
      this.violated("moves without progress");
      return;
    }
    const move = { lane: lane.name, attachmentId: attachment.id, fromId, generation, cause, replayedBytes };
    if (cause !== "first") {
      this.moves += 1;
      attachment.ping();
      lane.resumes(move, nowMs);
    }
    this.events.moved(move);
    this.events.wake(attachment.id);
  }

  attachment(id: number): Attachment | undefined {
    return this.#attachments.get(id);
  }

  attachments(): IterableIterator<Attachment> {
    return this.#attachments.values();
  }

  // --- Writing ---

  /** Unsequenced messages for this attachment, encoded; undefined when there are none. Ask before `pullBatch`. */
  pullControl(attachmentId: number, nowMs: number): Buffer | undefined {
    const attachment = this.#attachments.get(attachmentId);
    return attachment?.pullControl(this.end === undefined ? this.lanes[attachment.lane] : undefined, nowMs);
  }

  /**
   * The next batch for this attachment, encoded, or undefined when there is none to write now. At most two are handed out
   * before `batchWritten` says that one left the process.
   */
  pullBatch(attachmentId: number, nowMs: number): Buffer | undefined {
    const attachment = this.#attachments.get(attachmentId);
    if (attachment === undefined || this.end !== undefined || attachment.controlFirst) return undefined;
    const lane = this.lanes[attachment.lane];
    if (lane.active !== attachment || attachment.batchesInFlight >= limits.batchesInFlightMaxCount) return undefined;
    const other = this.lanes[lane.name === "bulk" ? "interactive" : "bulk"];
    const contended = other.active?.connectionId === attachment.connectionId && other.sendable;
    if (contended && lane.name === "bulk" && !this.#share.bulkMaySend()) return undefined;
    const batch = lane.nextBatch(nowMs);
    if (batch !== undefined) {
      attachment.batchesInFlight += 1;
      this.bytesSent += batch.length;
      this.#share.sent(lane.name, batch.length, contended);
    }
    this.#afterFill(lane);
    // Bulk may have waited for this.
    if (contended && lane.name === "interactive" && other.active !== undefined) this.events.wake(other.active.id);
    return batch;
  }

  batchWritten(attachmentId: number): void {
    const attachment = this.#attachments.get(attachmentId);
    if (attachment !== undefined) attachment.batchesInFlight -= 1;
  }

  #afterFill(lane: Lane): void {
    const { halfClosed, room, reset } = lane.filled;
    for (const channel of reset.splice(0)) lane.channels.delete(channel.id);
    for (const channel of halfClosed.splice(0)) {
      channel.step("send_half");
      if (channel.over) this.forget(lane, channel);
      channel.handler.sentHalfClose();
    }
    for (const channel of room.splice(0)) channel.handler.room();
  }

  /** Wakes the attachment a lane sends on. */
  wakeLane(lane: Lane): void {
    if (lane.active !== undefined) this.events.wake(lane.active.id);
  }

  // --- Receiving ---

  /** Takes one message that arrived on an attachment, without its gRPC prefix. Views of `bytes` are handed to owners. */
  receive(attachmentId: number, bytes: Buffer, nowMs: number): void {
    const attachment = this.#attachments.get(attachmentId);
    if (attachment === undefined || this.end !== undefined) return;
    attachment.lastHeardMs = nowMs;
    this.bytesReceived += bytes.length;
    const message = decodeMessage(bytes);
    if (attachment.phase === "attaching") {
      this.#receiveAttach(attachment, message, nowMs);
      return;
    }
    if (message.kind === "malformed") {
      this.violated(`decode: ${message.detail}`);
      return;
    }
    this.#receiveReady(attachment, message, bytes.length, nowMs);
  }

  #receiveAttach(attachment: Attachment, message: ReturnType<typeof decodeMessage>, nowMs: number): void {
    const { attach } = message as { attach?: Attach };
    if (message.kind === "notice" && message.notice === NoticeKind.UNKNOWN_TRUNK) {
      this.finish({ cause: "unknown_trunk", detail: "the far edge does not know this trunk" });
      return;
    }
    const lane = this.lanes[attachment.lane];
    if (message.kind === "attach" && attach !== undefined && this.#signer.verifies(attach, lane, attachment.exporter)) {
      this.#ready(attachment, attach, nowMs);
      return;
    }
    // Nobody proved to be the peer yet, so this cannot be held against it.
    this.#attachments.delete(attachment.id);
    this.events.attachmentRefused(attachment.id, "the peer's attach was not valid");
  }

  #receiveReady(attachment: Attachment, message: Message, sizeBytes: number, nowMs: number): void {
    const lane = this.lanes[attachment.lane];
    if (message.kind === "batch" || message.kind === "ack") this.#heard(lane, attachment, nowMs);
    switch (message.kind) {
      case "batch":
        this.#receiveBatch(lane, message.seq, message.frames, sizeBytes, nowMs);
        return;
      case "ack":
        attachment.carriedAck = true;
        if (!lane.acked(message.nextExpectedSeq, nowMs)) {
          this.violated("ack: beyond what was sent");
          return;
        }
        this.wakeLane(lane);
        this.settle();
        return;
      case "ping":
        attachment.pinged(message.id);
        lane.peerOwes(message.owing, nowMs);
        this.events.wake(attachment.id);
        return;
      case "pong":
        attachment.ponged(message.id, nowMs);
        return;
      case "move":
        this.#receiveMove(lane, attachment, message.generation, nowMs);
        return;
      case "notice":
        this.#receiveNotice(attachment, message.notice);
        return;
      case "attach":
        this.violated("attach: a second one");
        return;
      case "unknown":
        return;
    }
  }

  /** News of a lane: the first after a move says how long there was none. */
  #heard(lane: Lane, attachment: Attachment, nowMs: number): void {
    const again = lane.active === attachment ? lane.heardAgain(nowMs) : undefined;
    lane.heardAtMs = nowMs;
    if (again !== undefined) this.events.resumed(again.move, again.gapMs);
  }

  #receiveBatch(lane: Lane, seq: number, frames: readonly Frame[], sizeBytes: number, nowMs: number): void {
    const verdict = lane.arrived(seq, sizeBytes, nowMs);
    if (verdict === "gap") {
      this.violated("sequence: a gap");
      return;
    }
    if (seq === 0) {
      this.violated("sequence: no number");
      return;
    }
    if (verdict === "deliver") {
      for (const frame of frames) {
        const broken = applyFrame(this, lane, frame, nowMs);
        if (broken !== "") {
          this.violated(broken);
          return;
        }
        if (this.end !== undefined) return;
      }
    }
    if (lane.ackDue(nowMs)) this.wakeLane(lane);
  }

  #receiveMove(lane: Lane, attachment: Attachment, generation: number, nowMs: number): void {
    if (generation > GENERATION_MAX) {
      this.violated("move: a generation nobody reaches");
      return;
    }
    const wins = generation > lane.generation || (generation === lane.generation && this.side === "acceptor");
    if (!wins) return;
    if (lane.active === attachment) {
      lane.generation = generation;
      return;
    }
    this.#moveTo(lane, attachment, generation, "peer", false, nowMs);
  }

  #receiveNotice(attachment: Attachment, kind: NoticeKind): void {
    if (kind === NoticeKind.TRUNK_CLOSED)
      this.finish({ cause: "peer_closed", detail: "the far edge closed the trunk" });
    else if (kind === NoticeKind.TRUNK_PROTOCOL_ERROR) {
      this.finish({ cause: "peer_protocol", detail: "the far edge saw a protocol violation" });
    } else if (kind === NoticeKind.UNKNOWN_TRUNK) {
      this.finish({ cause: "unknown_trunk", detail: "the far edge does not know this trunk" });
    } else this.events.noticed(kind, attachment.id);
  }

  // --- Time and the end ---

  /** When `tick` has something to do (acks, reports), in the time of `nowMs`; undefined when nothing waits. */
  nextDueMs(): number | undefined {
    const a = this.lanes.interactive.nextDueMs();
    const b = this.lanes.bulk.nextDueMs();
    return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);
  }

  tick(nowMs: number): void {
    for (const lane of [this.lanes.interactive, this.lanes.bulk]) if (lane.tick(nowMs)) this.wakeLane(lane);
  }

  /** Refuses new channels; the trunk closes by itself when the last channel is done and everything is acknowledged. */
  drain(): void {
    this.draining = true;
    this.settle();
  }

  /** Closes a draining trunk that has nothing left to do. */
  settle(): void {
    if (!this.draining || this.end !== undefined) return;
    for (const lane of [this.lanes.interactive, this.lanes.bulk]) {
      if (lane.channels.size > 0 || lane.replay.count > 0) return;
    }
    this.finish({ cause: "closed", detail: "closed" });
  }

  /** A channel is over: its credit goes back when its owner has read what is here. */
  forget(lane: Lane, channel: TrunkChannel): void {
    lane.channels.delete(channel.id);
    channel.credit.finish();
    this.settle();
  }

  /** The peer broke the protocol. */
  violated(detail: string): void {
    this.finish({ cause: "protocol", detail });
  }

  /** Ends the trunk and every channel on it. What is left to pull is the notice that tells the far end. Idempotent. */
  finish(end: TrunkEnd): void {
    if (this.end !== undefined) return;
    this.end = end;
    const kind = end.cause === "protocol" ? NoticeKind.TRUNK_PROTOCOL_ERROR : NoticeKind.TRUNK_CLOSED;
    for (const attachment of this.#attachments.values()) {
      attachment.attachDue = undefined;
      attachment.moveDue = false;
      if (attachment.phase === "ready") attachment.notice(kind, end.cause === "protocol" ? end.detail : "");
      this.events.wake(attachment.id);
    }
    endChannels([this.lanes.interactive, this.lanes.bulk]);
    this.events.ended(end);
  }
}
