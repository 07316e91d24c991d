/**
 * One of a trunk's two sequence spaces. Sending: batches are built when a writer asks, kept until acknowledged, and bounded
 * by the window plus a headroom for control frames. Receiving: below the expected number discard, equal deliver, above end
 * the trunk. A lane sends on one attachment at a time; any number may deliver.
 */

import { Lane as WireLane } from "../../gen/weft/channel/v1/channel_pb.ts";
import { limits } from "../../lib/limits.ts";
import type { Attachment, SendingLane } from "./attachments.ts";
import type { TrunkChannel } from "./channel.ts";
import { encodeMessage } from "./encode.ts";
import type { LaneName } from "./lane-name.ts";
import type { Frame } from "./messages.ts";
import type { TrunkMove } from "./move.ts";
import { Replay } from "./replay.ts";
import type { Filled } from "./schedule.ts";
import { Outbox } from "./schedule.ts";
import { withTombstones } from "./tombstones.ts";
import { SendWindow } from "./window.ts";

/** What a batch costs beside its frames, at most: prefix, field heads, bookkeeping. */
const BATCH_HEAD_MAX_BYTES = 192;

const shapes = {
  interactive: {
    wire: WireLane.INTERACTIVE,
    windowStartBytes: limits.interactiveWindowStartBytes,
    windowMaxBytes: limits.interactiveWindowMaxBytes,
    ackEveryBytes: limits.ackEveryInteractiveBytes,
    firstChannelId: 2,
  },
  bulk: {
    wire: WireLane.BULK,
    windowStartBytes: limits.bulkWindowStartBytes,
    windowMaxBytes: limits.bulkWindowMaxBytes,
    ackEveryBytes: limits.ackEveryBulkBytes,
    firstChannelId: 1,
  },
} as const;

export class Lane implements SendingLane {
  readonly name: LaneName;
  readonly wire: WireLane;
  readonly channels = new Map<number, TrunkChannel>();
  readonly outbox = new Outbox();
  readonly replay = new Replay();
  readonly window: SendWindow;

  /** The attachment this lane sends on. */
  active: Attachment | undefined;
  /** The attachment it used when it lost everything. */
  fellFromId: number | undefined;
  generation = 0;
  /** When this lane last moved, heard a batch or an ack, and had something acknowledged. */
  movedAtMs = Number.NEGATIVE_INFINITY;
  heardAtMs = Number.NEGATIVE_INFINITY;
  progressAtMs = Number.NEGATIVE_INFINITY;
  /** A move after which nothing was heard yet, and when the silence around it began. */
  #resuming: TrunkMove | undefined;
  #silentSinceMs: number | undefined;
  #peerOwesAtMs = Number.NEGATIVE_INFINITY;
  /** Times of moves since the last ack that took something out of the replay. */
  #movesAtMs: number[] = [];
  /** Moves of bytes since the far end last acknowledged some while it was attached: an Attach alone says little. */
  #movesUnanswered = 0;

  /** Ids: odd on bulk, even on interactive, counted up; the last one used by the opener. */
  lastChannelId: number;
  expectedSeq = 1;
  #owedBytes = 0;
  #owedSinceMs: number | undefined;
  #ackNow = false;
  readonly #ackEveryBytes: number;

  /** Channels whose only news is `writtenToTarget`: told a little later, together. */
  readonly #reports = new Set<TrunkChannel>();
  #reportsSinceMs: number | undefined;

  readonly filled: Filled = { halfClosed: [], room: [], reset: [], droppable: false };
  /** Channels that were given more than the floor of credit. */
  readonly lent = new Set<TrunkChannel>();
  readonly #frames: Frame[] = [];

  constructor(name: LaneName) {
    const shape = shapes[name];
    this.name = name;
    this.wire = shape.wire;
    this.window = new SendWindow(shape.windowStartBytes, shape.windowMaxBytes);
    this.#ackEveryBytes = shape.ackEveryBytes;
    this.lastChannelId = shape.firstChannelId - 2;
  }

  // --- Sending ---

  /** The most this lane ever keeps: what LAW-T3 promises for the replay. */
  static replayMaxBytes(name: LaneName): number {
    return shapes[name].windowMaxBytes + limits.controlHeadroomBytes + limits.batchMaxBytes;
  }

  get #dataRoomBytes(): number {
    const room = this.window.sizeBytes - this.replay.costBytes - BATCH_HEAD_MAX_BYTES;
    // Half-full batches are worth waiting for an ack, unless there is none to wait for.
    return room < limits.batchTargetBytes / 2 && this.replay.count > 0 ? 0 : room;
  }

  get #controlRoomBytes(): number {
    return this.window.sizeBytes + limits.controlHeadroomBytes - this.replay.costBytes;
  }

  /** Whether `nextBatch` would return something. */
  get sendable(): boolean {
    if (this.replay.waiting) return !this.outbox.shaper.dry;
    if (this.outbox.hasControl && this.#controlRoomBytes > 0) return true;
    return this.outbox.hasData && this.#dataRoomBytes > 0;
  }

  /**
   * The next batch to write on the active attachment: one to be repeated, or a new one. Channels that the new one touched
   * are left in `filled` for the trunk to tell.
   */
  nextBatch(nowMs: number): Buffer | undefined {
    const { outbox } = this;
    const laneRoom = outbox.shaper.laneRoomBytes(nowMs);
    if (this.replay.waiting) return laneRoom > 0 ? this.#nextKept(nowMs) : undefined;
    if (!outbox.hasControl && !outbox.hasData) return undefined;
    const controlRoom = this.#controlRoomBytes;
    const dataRoom = this.#dataRoomBytes;
    if (dataRoom <= 0 && outbox.hasData) this.window.heldBack();
    if (controlRoom <= 0) return undefined;
    const frames = this.#frames;
    outbox.fill(frames, controlRoom, dataRoom, this.filled, nowMs);
    if (frames.length === 0) return undefined;
    const batch = encodeMessage({ kind: "batch", seq: this.replay.nextSeq, frames });
    this.replay.push(batch, this.filled.droppable ? nowMs : undefined);
    this.filled.droppable = false;
    frames.length = 0;
    return this.#nextKept(nowMs);
  }

  /** A kept batch, new or repeated: both count towards the lane's rate. */
  #nextKept(nowMs: number): Buffer | undefined {
    const batch = this.replay.next(nowMs);
    if (batch !== undefined) this.outbox.shaper.sent(batch.length, nowMs);
    return batch;
  }

  /** Applies an absolute ack, of an Attach or by itself. Returns false when it acknowledges what was never sent. */
  acked(nextExpectedSeq: number, nowMs: number, attaching = false): boolean {
    const acked = this.replay.ack(nextExpectedSeq, nowMs);
    if (acked === "beyond") return false;
    if (acked === undefined) return true;
    this.progressAtMs = nowMs;
    if (!attaching) this.#movesUnanswered = 0;
    this.#movesAtMs.length = 0;
    this.window.acked(nowMs, acked.bytes, acked.delayMs, acked.seq, this.replay.nextSeq);
    return true;
  }

  /**
   * Sends on `attachment` from now on, starting at the first unacknowledged batch. Returns the bytes that go out again, or
   * undefined when there were too many moves without progress: something in the replay kills whatever carries it.
   */
  moveTo(attachment: Attachment, generation: number, nowMs: number): number | undefined {
    this.active = attachment;
    this.generation = generation;
    this.movedAtMs = nowMs;
    this.#ackNow = this.expectedSeq > 1;
    this.window.moved(nowMs, this.replay.nextSeq);
    this.replay.thin(nowMs - limits.droppableReplayMaxAgeMs, (batch) => withTombstones(batch, this.channels));
    const again = this.replay.rewind();
    if (again === 0) return 0;
    this.#movesUnanswered += 1;
    if (this.#movesUnanswered >= limits.movesUnansweredMaxCount) return undefined;
    const moves = this.#movesAtMs;
    moves.push(nowMs);
    while (moves.length > 0 && (moves[0] as number) < nowMs - limits.movesWithoutAckSpanMs) moves.shift();
    return moves.length >= limits.movesWithoutAckMaxCount ? undefined : again;
  }

  /**
   * Since when the far end owes this lane an answer: it was sent something it has not acknowledged, or it said that it has
   * something of its own under way. Undefined when all is quiet.
   */
  owedSinceMs(nowMs: number): number | undefined {
    const sentAtMs = this.replay.oldestSentAtMs;
    if (sentAtMs !== undefined) return Math.max(sentAtMs, this.movedAtMs);
    return nowMs - this.#peerOwesAtMs < limits.peerOwesLifeMs
      ? Math.max(this.#peerOwesAtMs - limits.silencePingMs, this.movedAtMs)
      : undefined;
  }

  /** The far end says that it waits for an ack: it does so when it has heard nothing for a while already. */
  peerOwes(owing: boolean, nowMs: number): void {
    if (!owing) this.#peerOwesAtMs = Number.NEGATIVE_INFINITY;
    else if (nowMs - this.#peerOwesAtMs >= limits.peerOwesLifeMs) this.#peerOwesAtMs = nowMs;
  }

  /** The lane loses what carried it: the gap counts from when it was last heard, if it was busy, else from now. */
  falls(nowMs: number): void {
    this.fellFromId = this.active?.id ?? this.fellFromId;
    this.active = undefined;
    this.#silenceBegan(nowMs);
  }

  #silenceBegan(nowMs: number): void {
    const busy = nowMs - this.heardAtMs < limits.peerOwesLifeMs;
    this.#silentSinceMs ??= busy ? this.heardAtMs : nowMs;
  }

  /** Measures the gap around a move until there is news on the new attachment. */
  resumes(move: TrunkMove, nowMs: number): void {
    this.#silenceBegan(nowMs);
    this.#resuming = move;
  }

  /** News on the active attachment: the move that it completes and how long there was none, milliseconds. */
  heardAgain(nowMs: number): { readonly move: TrunkMove; readonly gapMs: number } | undefined {
    const move = this.#resuming;
    if (move === undefined) return undefined;
    const gapMs = nowMs - (this.#silentSinceMs ?? nowMs);
    this.#resuming = undefined;
    this.#silentSinceMs = undefined;
    return { move, gapMs };
  }

  // --- Receiving ---

  /** Judges an arrived batch by its number. A repeated one still asks for an ack: ours may have been lost. */
  arrived(seq: number, bytes: number, nowMs: number): "deliver" | "discard" | "gap" {
    if (seq > this.expectedSeq) return "gap";
    this.#owedSinceMs ??= nowMs;
    this.#owedBytes += bytes;
    if (seq < this.expectedSeq) {
      this.#ackNow ||= this.#owedBytes >= this.#ackEveryBytes;
      return "discard";
    }
    this.expectedSeq += 1;
    this.#peerOwesAtMs = Number.NEGATIVE_INFINITY;
    if (this.#owedBytes >= this.#ackEveryBytes) this.#ackNow = true;
    return "deliver";
  }

  get ackOwed(): boolean {
    return this.#owedSinceMs !== undefined || this.#ackNow;
  }

  ackDue(nowMs: number): boolean {
    return this.#ackNow || (this.#owedSinceMs !== undefined && nowMs - this.#owedSinceMs >= limits.ackDelayMs);
  }

  ackSent(): void {
    this.#ackNow = false;
    this.#owedSinceMs = undefined;
    this.#owedBytes = 0;
  }

  // --- Reports and timers ---

  /** `writtenToTarget` moved on; it rides with the next credit, or goes alone a little later. */
  report(channel: TrunkChannel, nowMs: number): void {
    if (channel.reportDue || channel.over) return;
    channel.reportDue = true;
    this.#reports.add(channel);
    this.#reportsSinceMs ??= nowMs;
  }

  /** When `tick` has something to do, or undefined. */
  nextDueMs(): number | undefined {
    // Once it is due it goes with the next pull: whoever can write was woken, and a move wakes whoever comes next.
    const waits = this.#owedSinceMs === undefined || this.#ackNow ? undefined : this.#owedSinceMs;
    const ack = waits === undefined ? undefined : waits + limits.ackDelayMs;
    const report = this.#reportsSinceMs === undefined ? undefined : this.#reportsSinceMs + limits.writtenReportDelayMs;
    const laneWaits = this.replay.waiting || this.outbox.hasWaiting;
    return earliest(earliest(ack, report), this.outbox.shaper.nextDueMs(laneWaits));
  }

  /** Lets due things go. Returns true when there is something to write now. */
  tick(nowMs: number): boolean {
    if (this.#reportsSinceMs !== undefined && nowMs - this.#reportsSinceMs >= limits.writtenReportDelayMs) {
      for (const channel of this.#reports) {
        if (channel.reportDue && !channel.over) {
          channel.creditDue = true;
          this.outbox.wantControl(channel);
        }
      }
      this.#reports.clear();
      this.#reportsSinceMs = undefined;
    }
    const mayGoOn = this.outbox.shaper.tick(nowMs, (channel) => this.outbox.wantData(channel));
    this.#ackNow ||= this.ackDue(nowMs);
    return mayGoOn || this.#ackNow || this.outbox.hasControl;
  }

  /** Drops everything: the trunk is over. */
  clear(): void {
    this.channels.clear();
    this.lent.clear();
    this.outbox.clear();
    this.replay.clear();
    this.#reports.clear();
    this.#reportsSinceMs = undefined;
    this.ackSent();
    this.active = undefined;
  }
}

function earliest(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);
}
