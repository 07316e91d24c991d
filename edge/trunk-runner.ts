/**
 * A trunk with its streams, connections and timers. One object per trunk and side; the pure machine decides, this one carries.
 * A lane that has work and no attachment is held for `holdMs`; after that the trunk ends, and every channel with it.
 */

import type { Side } from "../fabric/trunk/attach-proof.ts";
import type { TrunkChannel } from "../fabric/trunk/channel.ts";
import { openChannel } from "../fabric/trunk/channel-ops.ts";
import type { CreditPool } from "../fabric/trunk/credit.ts";
import type { LaneName } from "../fabric/trunk/lane-name.ts";
import type { Attach, ChannelOpen } from "../fabric/trunk/messages.ts";
import type { TrunkStats } from "../fabric/trunk/stats.ts";
import { trunkStats } from "../fabric/trunk/stats.ts";
import { Trunk } from "../fabric/trunk/trunk.ts";
import type { TrunkEnd, TrunkEvents, TrunkMove } from "../fabric/trunk/trunk-core.ts";
import type { NoticeKind } from "../gen/weft/channel/v1/channel_pb.ts";
import type { Clock, Timer } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";
import type { Log } from "../lib/log.ts";
import type { AttachmentOwner } from "./attachment.ts";
import { AttachmentStream } from "./attachment.ts";
import { EdgeChannel } from "./channel.ts";
import type { PathConnection } from "./path-connection.ts";

export interface TrunkRunnerOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly side: Side;
  readonly trunkId: Uint8Array;
  /** The exporter of the trunk's first connection. */
  readonly secret: Uint8Array;
  readonly farEdge: string;
  readonly organizationId: string;
  readonly processPool: CreditPool;
  readonly holdMs: number;
  readonly ask?: Uint8Array;
  readonly askSignature?: Uint8Array;
  /** Acceptor. */
  readonly onChannel?: (channel: EdgeChannel, trunk: TrunkRunner) => void;
  readonly onNotice?: (kind: NoticeKind, trunk: TrunkRunner) => void;
  readonly onMove?: (move: TrunkMove, trunk: TrunkRunner) => void;
}

export interface TrunkRunnerStats extends Omit<TrunkStats, "attachments"> {
  readonly farEdge: string;
  readonly organizationId: string;
  readonly attachments: readonly {
    readonly lane: LaneName;
    readonly active: boolean;
    readonly ready: boolean;
    readonly hops: readonly string[];
    readonly rttMs: number | undefined;
  }[];
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
  readonly #idle: Timer;
  #due: Timer | undefined;
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
    this.#idle = options.clock.every(limits.idleTrunkPingMs / 2, () => {
      this.#trunk.pingSilent(this.#clock.monoMs() - limits.idleTrunkPingMs / 2);
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
    this.#trunk.offerAttachment(
      { id, lane, connectionId: connection.id, exporter: connection.exporter },
      this.#clock.monoMs(),
    );
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
    stream.owner = this.#owner(id);
    stream.wake();
    return true;
  }

  /** Whether a lane has an attachment, ready or on its way. */
  carries(lane: LaneName): boolean {
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
      pullBatch: () => trunk.pullBatch(id, clock.monoMs()),
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
    this.#holdIfNeeded();
  }

  #holdIfNeeded(): void {
    if (this.#trunk.end !== undefined || this.#hold !== undefined) return;
    if (this.#held()) this.#hold = this.#clock.after(this.#options.holdMs, () => this.#giveUp());
  }

  /** A lane has work and nothing to carry it, or nothing is carried at all. */
  #held(): boolean {
    if (this.#carried.size === 0) return true;
    for (const lane of [this.#trunk.lanes.interactive, this.#trunk.lanes.bulk]) {
      if ((lane.channels.size > 0 || lane.replay.count > 0) && !this.carries(lane.name)) return true;
    }
    return false;
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

  channel(id: number): EdgeChannel | undefined {
    return this.#channels.get(id);
  }

  #track(channel: TrunkChannel): EdgeChannel {
    const stream = new EdgeChannel(this.#trunk, channel, this.#clock);
    this.#channels.set(channel.id, stream);
    stream.once("close", () => this.#channels.delete(channel.id));
    return stream;
  }

  // --- Life ---

  /** Whether new channels are taken. */
  get takesChannels(): boolean {
    return this.#trunk.end === undefined && !this.#trunk.draining;
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
      attachments: attachments.map(({ id, lane, active, ready, rttMs }) => ({
        lane,
        active,
        ready,
        rttMs,
        hops: this.#carried.get(id)?.connection.path.hops ?? [],
      })),
    };
  }

  /** One timer for everything that waits a few milliseconds; armed only while something does. */
  #arm(): void {
    if (this.#due !== undefined) return;
    const dueMs = this.#trunk.nextDueMs();
    if (dueMs === undefined) return;
    this.#due = this.#clock.after(Math.max(0, dueMs - this.#clock.monoMs()), this.#tick);
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
        this.#arm();
      },
      attachmentReady: (id) => {
        const carried = this.#carried.get(id);
        carried?.deadline?.cancel();
        carried?.ready.resolve(true);
        this.#hold?.cancel();
        this.#hold = undefined;
        this.#holdIfNeeded();
      },
      attachmentRefused: (id) => this.#lost(id, ""),
      offered: (channel) => {
        const stream = this.#track(channel);
        this.#options.onChannel?.(stream, this);
      },
      moved: (move) => this.#options.onMove?.(move, this),
      noticed: (kind) => this.#options.onNotice?.(kind, this),
      ended: (end) => this.#over(end),
    };
  }

  #over(end: TrunkEnd): void {
    this.#idle.cancel();
    this.#due?.cancel();
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
