/**
 * A trunk with its streams, connections and timers. One object per trunk and side; the pure machine decides, this one carries.
 * A lane that has work and no attachment is held for `holdMs`; after that the trunk ends, and every channel with it. Which
 * paths there are is decided next door, in `survival.ts`.
 */

import { applyQos } from "../fabric/trunk/apply-qos.ts";
import type { Side } from "../fabric/trunk/attach-proof.ts";
import { pingSilent } from "../fabric/trunk/calls.ts";
import type { TrunkChannel } from "../fabric/trunk/channel.ts";
import { openChannel, resetChannel, returnIdleCredit } from "../fabric/trunk/channel-ops.ts";
import type { CreditPool } from "../fabric/trunk/credit.ts";
import type { Lane } from "../fabric/trunk/lane.ts";
import type { LaneName } from "../fabric/trunk/lane-name.ts";
import type { Attach, ChannelOpen } from "../fabric/trunk/messages.ts";
import type { TrunkMove } from "../fabric/trunk/move.ts";
import type { TrunkQos } from "../fabric/trunk/shaper.ts";
import { trunkStats } from "../fabric/trunk/stats.ts";
import { Trunk } from "../fabric/trunk/trunk.ts";
import type { TrunkEnd, TrunkEvents } from "../fabric/trunk/trunk-core.ts";
import { ChannelEnd, ChannelStage, NoticeKind } from "../gen/weft/channel/v1/channel_pb.ts";
import type { Clock, Timer } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";
import type { Log } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import type { AttachmentOwner } from "./attachment.ts";
import { AttachmentStream } from "./attachment.ts";
import { EdgeChannel } from "./channel.ts";
import type { ChannelBudget } from "./channel-budget.ts";
import type { PathConnection } from "./path-connection.ts";
import { type OpenConnection, Survival } from "./survival.ts";
import type { TrunkRunnerStats } from "./trunk-runner-stats.ts";

/** A lane went on elsewhere, and bytes flow there. */
export interface TrunkMoved extends TrunkMove {
  /** Node ids, edge to edge; empty when there was no path. */
  readonly from: readonly string[];
  readonly to: readonly string[];
  /** How long the lane heard nothing, milliseconds. */
  readonly gapMs: number;
}

export interface TrunkRunnerOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly side: Side;
  readonly trunkId: Uint8Array;
  /** The exporter of the trunk's first connection. */
  readonly secret: Uint8Array;
  readonly farEdge: string;
  readonly organizationId: string;
  readonly processPool: CreditPool;
  readonly holdMs: number;
  /** Acceptor. */
  readonly onChannel?: (channel: EdgeChannel, trunk: TrunkRunner) => void;
  /** Acceptor: what the channels of this trunk count towards. */
  readonly budget?: ChannelBudget;
  readonly onMove?: (moved: TrunkMoved, trunk: TrunkRunner) => void;
  /** Initiator: how further paths are opened. Without it the trunk lives on those it is given. */
  readonly open?: OpenConnection;
  /** Default true: a second lane does not share the connection of the first while there is a choice. */
  readonly ownConnections?: boolean;
}

interface Carried {
  readonly lane: LaneName;
  readonly stream: AttachmentStream;
  readonly connection: PathConnection;
  readonly deadline: Timer | undefined;
  readonly ready: PromiseWithResolvers<boolean>;
}

export class TrunkRunner {
  readonly trunkIdHex: string;
  readonly farEdge: string;
  readonly organizationId: string;
  /** Never rejects. */
  readonly ended: Promise<TrunkEnd>;
  readonly #options: TrunkRunnerOptions;
  readonly #clock: Clock;
  readonly #trunk: Trunk;
  readonly #ended = Promise.withResolvers<TrunkEnd>();
  readonly #carried = new Map<number, Carried>();
  readonly #channels = new Map<number, EdgeChannel>();
  readonly #channelGone = (channelId: number): void => {
    if (this.#channels.delete(channelId)) this.#options.budget?.give();
  };
  readonly #idle: Timer;
  readonly #survival: Survival;
  /** Where a lane last was when its attachment was lost. */
  readonly #left = new Map<number, readonly string[]>();
  readonly #waiting: (() => void)[] = [];
  #due: { readonly atMs: number; readonly timer: Timer } | undefined;
  #hold: Timer | undefined;
  #lastAttachmentId = 0;

  constructor(options: TrunkRunnerOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.farEdge = options.farEdge;
    this.organizationId = options.organizationId;
    this.trunkIdHex = Buffer.from(options.trunkId).toString("hex");
    this.ended = this.#ended.promise;
    this.#trunk = new Trunk({ ...options, events: this.#events() });
    this.#survival = new Survival({
      clock: options.clock,
      random: options.random,
      trunk: this.#trunk,
      holdMs: options.holdMs,
      ownConnections: options.ownConnections !== false,
      attach: (connection, lane) => void this.attach(connection, lane),
      ...(options.open === undefined ? {} : { open: options.open }),
    });
    this.#idle = options.clock.every(limits.creditSweepMs, () => {
      const nowMs = this.#clock.monoMs();
      pingSilent(this.#trunk, nowMs - limits.idleTrunkPingMs / 2);
      returnIdleCredit(this.#trunk, nowMs);
    });
  }

  // --- Attachments ---

  /** Initiator: carries a lane on a new stream of this connection. Resolves false when the far end did not take it. */
  attach(connection: PathConnection, lane: LaneName): Promise<boolean> {
    const id = this.#nextAttachmentId();
    const stream = new AttachmentStream(connection.openStream(), this.#owner(id));
    const deadline = this.#clock.after(limits.attachDeadlineMs, () => this.#lost(id, ""));
    const ready = Promise.withResolvers<boolean>();
    this.#carried.set(id, { lane, stream, connection, deadline, ready });
    this.#survival.attached(connection, lane);
    const { exporter, path } = connection;
    const shown = path.ask === undefined ? {} : { ask: path.ask };
    this.#trunk.offerAttachment({ id, lane, connectionId: connection.id, exporter, ...shown }, this.#clock.monoMs());
    return ready.promise;
  }

  /** Acceptor: takes over a stream whose first message was `attach`. False when the proof is wrong. */
  adopt(connection: PathConnection, stream: AttachmentStream, lane: LaneName, attach: Attach): boolean {
    const id = this.#nextAttachmentId();
    const ready = Promise.withResolvers<boolean>();
    this.#carried.set(id, { lane, stream, connection, deadline: undefined, ready });
    const added = { id, lane, connectionId: connection.id, exporter: connection.exporter };
    if (!this.#trunk.acceptAttachment(added, attach, this.#clock.monoMs())) {
      this.#carried.delete(id);
      return false;
    }
    this.#survival.attached(connection, lane);
    stream.owner = this.#owner(id);
    stream.wake();
    return true;
  }

  /**
   * Initiator: makes sure that a lane is carried. Resolves when it is, or at once when it was before: what is opened then waits
   * for a path like everything else. Rejects never; the trunk may be over when it resolves.
   */
  async carry(lane: LaneName): Promise<void> {
    const wasCarried = this.#trunk.lanes[lane].movedAtMs !== Number.NEGATIVE_INFINITY;
    if (wasCarried || this.#trunk.end !== undefined) return;
    this.#survival.need(lane);
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return this.carry(lane);
  }

  /** Whether no path is left right now. */
  get held(): boolean {
    const { interactive, bulk } = this.#trunk.lanes;
    return interactive.active === undefined && bulk.active === undefined;
  }

  /** Whether there are paths and none has answered for so long that what is new had better go elsewhere. */
  get silent(): boolean {
    return this.#trunk.end === undefined && this.#survival.silentMs() >= limits.silentTrunkMs;
  }

  /** Resolves at the next change of what is carried, or when the trunk ends. */
  changed(): Promise<void> {
    if (this.#trunk.end !== undefined) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #carries(lane: LaneName): boolean {
    for (const carried of this.#carried.values()) if (carried.lane === lane) return true;
    return false;
  }

  /** The connections in use. */
  connections(): PathConnection[] {
    return [...new Set([...this.#carried.values()].map((carried) => carried.connection))];
  }

  #nextAttachmentId(): number {
    this.#lastAttachmentId += 1;
    return this.#lastAttachmentId;
  }

  #owner(id: number): AttachmentOwner {
    const trunk = this.#trunk;
    const clock = this.#clock;
    return {
      pullControl: () => trunk.pullControl(id, clock.monoMs()),
      pullBatch: () => {
        const batch = trunk.pullBatch(id, clock.monoMs());
        // Nothing now: a rate may be why, and only time brings more.
        if (batch === undefined) this.#arm();
        return batch;
      },
      batchWritten: () => trunk.batchWritten(id),
      message: (bytes) => {
        trunk.receive(id, bytes, clock.monoMs());
        this.#arm();
      },
      lost: (violation) => this.#lost(id, violation),
    };
  }

  #lost(id: number, violation: string): void {
    const carried = this.#carried.get(id);
    if (carried === undefined) return;
    this.#carried.delete(id);
    this.#left.set(id, carried.connection.path.hops);
    if (this.#left.size > limits.attachmentsPerTrunkMaxCount) this.#left.delete(this.#left.keys().next().value ?? 0);
    carried.deadline?.cancel();
    carried.stream.destroy();
    carried.ready.resolve(false);
    const ready = this.#trunk.attachment(id)?.phase === "ready";
    this.#trunk.attachmentLost(id, this.#clock.monoMs());
    if (!this.connections().includes(carried.connection)) {
      if (this.#trunk.end === undefined) carried.connection.destroy();
      else carried.connection.close();
    }
    // Only a peer that proved itself can break the trunk's protocol.
    if (violation !== "" && ready) this.#trunk.violated(violation);
    this.#survival.changed();
    this.#holdIfNeeded();
  }

  #holdIfNeeded(): void {
    if (this.#trunk.end !== undefined || this.#hold !== undefined) return;
    // An initiator with nothing to lose does not wait for anything.
    if (this.#carried.size === 0 && this.#options.side === "initiator" && !this.#hasWork()) this.#giveUp();
    else if (this.#held()) this.#hold = this.#clock.after(this.#options.holdMs, () => this.#giveUp());
  }

  /** A lane has work and nothing to carry it, or nothing is carried at all. */
  #held(): boolean {
    if (this.#carried.size === 0) return true;
    const { interactive, bulk } = this.#trunk.lanes;
    return [interactive, bulk].some((lane) => hasWork(lane) && !this.#carries(lane.name));
  }

  #hasWork(): boolean {
    const { interactive, bulk } = this.#trunk.lanes;
    return hasWork(interactive) || hasWork(bulk);
  }

  #giveUp(): void {
    this.#hold = undefined;
    if (this.#held()) this.#trunk.finish({ cause: "lost", detail: "no path is left" });
  }

  // --- Channels ---

  /** Initiator: opens a channel; see `openChannel` for what it throws. */
  open(open: ChannelOpen): EdgeChannel {
    return this.#track(openChannel(this.#trunk, open, this.#clock.monoMs()));
  }

  channel(id: number | string): EdgeChannel | undefined {
    return this.#channels.get(Number(id)) ?? this.#channels.values().find((one) => one.correlationId === id);
  }

  #track(channel: TrunkChannel): EdgeChannel {
    const stream = new EdgeChannel(this.#trunk, channel, this.#clock, this.#channelGone);
    this.#channels.set(channel.id, stream);
    return stream;
  }

  // --- Life ---

  /** Whether new channels are taken. */
  get takesChannels(): boolean {
    return this.#trunk.end === undefined && !this.#trunk.draining;
  }

  /** What policy allows this trunk from now on: rates of lanes and channels, and whose turn is longer. */
  setQos(qos: TrunkQos): void {
    if (this.#trunk.end === undefined) applyQos(this.#trunk, qos, this.#clock.monoMs());
    this.#arm();
  }

  /** Takes no new channels; ends by itself when the last one is done. */
  drain(): void {
    this.#trunk.drain();
  }

  /** Ends the trunk now; channels get TRUNK_LOST. `detail` is a constant string for logs. */
  abort(detail: string): void {
    this.#trunk.finish({ cause: "aborted", detail });
  }

  stats(): TrunkRunnerStats {
    const { attachments, ...numbers } = trunkStats(this.#trunk);
    return {
      ...numbers,
      farEdge: this.farEdge,
      organizationId: this.organizationId,
      attachments: attachments.map(({ id, lane, active, ready, connectionId, rttMs }) => ({
        lane,
        connectionId,
        active,
        ready,
        rttMs,
        hops: this.#carried.get(id)?.connection.path.hops ?? [],
      })),
    };
  }

  /** One timer for what waits a few milliseconds; an earlier need takes its place: an ack waits for no report. */
  #arm(): void {
    const dueMs = this.#trunk.nextDueMs();
    if (dueMs === undefined || (this.#due !== undefined && this.#due.atMs <= dueMs)) return;
    this.#due?.timer.cancel();
    this.#due = { atMs: dueMs, timer: this.#clock.after(Math.max(0, dueMs - this.#clock.monoMs()), this.#tick) };
  }

  readonly #tick = (): void => {
    this.#due = undefined;
    this.#trunk.tick(this.#clock.monoMs());
    this.#arm();
  };

  #events(): TrunkEvents {
    return {
      wake: (id) => {
        this.#carried.get(id)?.stream.wake();
        this.#survival.woke();
        this.#arm();
      },
      attachmentReady: (id) => {
        const carried = this.#carried.get(id);
        carried?.deadline?.cancel();
        carried?.ready.resolve(true);
        this.#hold?.cancel();
        this.#hold = undefined;
        this.#holdIfNeeded();
        this.#survival.changed();
        this.#tellWaiting();
      },
      attachmentRefused: (id) => this.#lost(id, ""),
      offered: (channel) => {
        if (this.#options.budget?.take() === false) {
          resetChannel(this.#trunk, channel, ChannelEnd.LIMIT, ChannelStage.EGRESS);
          return;
        }
        const stream = this.#track(channel);
        this.#options.onChannel?.(stream, this);
      },
      moved: () => this.#survival.changed(),
      resumed: (move, gapMs) => this.#moved(move, gapMs),
      noticed: (kind) => {
        if (kind === NoticeKind.WANT_PATH) this.#survival.wanted();
      },
      ended: (end) => this.#over(end),
    };
  }

  #moved(move: TrunkMove, gapMs: number): void {
    const from = move.fromId === undefined ? [] : this.#hopsOf(move.fromId);
    this.#options.onMove?.({ ...move, from, to: this.#hopsOf(move.attachmentId), gapMs }, this);
  }

  #hopsOf(id: number): readonly string[] {
    return this.#carried.get(id)?.connection.path.hops ?? this.#left.get(id) ?? [];
  }

  #tellWaiting(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #over(end: TrunkEnd): void {
    this.#survival.close();
    this.#tellWaiting();
    this.#idle.cancel();
    this.#due?.timer.cancel();
    this.#hold?.cancel();
    this.#options.log.info("trunk ended", { trunk: this.trunkIdHex, reason: end.cause, detail: end.detail });
    // The last notice goes out, then the streams end; whatever does not leave in time is cut.
    for (const carried of this.#carried.values()) {
      carried.deadline?.cancel();
      carried.ready.resolve(false);
      carried.stream.end();
    }
    for (const connection of this.connections()) connection.close();
    this.#ended.resolve(end);
  }
}

const hasWork = (lane: Lane): boolean => lane.channels.size > 0 || lane.replay.count > 0;
