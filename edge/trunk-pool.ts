/**
 * The initiator's side: one trunk per far edge, organization and isolated flow, opened when first needed, shared by
 * everybody who asks at the same time. A trunk that ended is forgotten; the next open makes a new one.
 */

import { TRUNK_ID_BYTES } from "../fabric/trunk/attach-proof.ts";
import { laneOfClass } from "../fabric/trunk/channel-ops.ts";
import { CreditPool } from "../fabric/trunk/credit.ts";
import type { PathWanted } from "../fabric/trunk/keeper.ts";
import type { LaneName } from "../fabric/trunk/lane-name.ts";
import type { ChannelOpen } from "../fabric/trunk/messages.ts";
import type { TrunkEnd } from "../fabric/trunk/trunk-core.ts";
import { ChannelEnd, ChannelStage } from "../gen/weft/channel/v1/channel_pb.ts";
import { abortable } from "../lib/abortable.ts";
import { type Clock, sleep } from "../lib/clock.ts";
import { WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import type { Log } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import { resetSocket } from "../lib/reset-socket.ts";
import type { EdgeChannel } from "./channel.ts";
import { channelError } from "./channel-error.ts";
import type { EdgePath } from "./edge-path.ts";
import { PathConnection } from "./path-connection.ts";
import { endTrunks } from "./trunk-ending.ts";
import { type TrunkMoved, TrunkRunner } from "./trunk-runner.ts";

/** The other end of a trunk, and for whom it is. */
export interface FarEdge {
  readonly farEdge: string;
  readonly organizationId: string;
  /** Channels of one id have trunks of their own. Absent: those of nobody in particular. */
  readonly flowIsolationId?: string;
}

/** A path the pool needs. */
export interface PathWish extends FarEdge, Omit<PathWanted, "purpose"> {
  readonly trunkId: Uint8Array;
  /** `first` makes the trunk, `lane` gives a lane a connection of its own, `standby` is a spare, `resume` replaces what died. */
  readonly purpose: "first" | PathWanted["purpose"];
  readonly signal: AbortSignal;
}

export interface TrunkPoolOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Opens an end-to-end connection and judges its peer. Throws WeftError. */
  readonly openPath: (wish: PathWish) => Promise<EdgePath>;
  /** One per process, shared with the acceptor. */
  readonly processPool?: CreditPool;
  /** Default true: a second lane does not share the connection of the first while there is a choice. */
  readonly ownConnections?: boolean;
  /** How long a trunk without any path keeps its channels, milliseconds. */
  readonly holdMs?: number;
  readonly onMove?: (moved: TrunkMoved, trunk: TrunkRunner) => void;
  readonly onTrunk?: (trunk: TrunkRunner) => void;
  readonly onTrunkEnd?: (trunk: TrunkRunner, end: TrunkEnd) => void;
}

export class TrunkPool {
  readonly #options: TrunkPoolOptions;
  readonly #processPool: CreditPool;
  readonly #entries = new Map<string, Promise<TrunkRunner>>();
  /** By lane and far edge: the trunk that has carried a channel there. */
  readonly #carrying = new Map<string, TrunkRunner>();
  readonly #live = new Set<TrunkRunner>();
  readonly #connections = new Set<PathConnection>();
  readonly #closing = new AbortController();

  constructor(options: TrunkPoolOptions) {
    this.#options = options;
    this.#processPool = options.processPool ?? new CreditPool(limits.processReceivePoolBytes);
  }

  /**
   * Opens a channel. Resolves when its open frame is queued on a ready trunk: data may be written, the target has not
   * answered yet (`channel.opened`).
   * @throws WeftError with metadata end, stage, correlationId: NO_PATH when no path could be opened, CANCELED.
   */
  async open(far: FarEdge, open: ChannelOpen, signal?: AbortSignal): Promise<EdgeChannel> {
    try {
      const carried = signal?.aborted === true ? undefined : this.#openAtOnce(far, open);
      return carried ?? (await this.#open(far, open, signal));
    } catch (cause) {
      throw failure(cause, open, signal?.aborted === true);
    }
  }

  /** On the trunk that is there, as nearly always: without waiting for anything. */
  #openAtOnce(far: FarEdge, open: ChannelOpen): EdgeChannel | undefined {
    const runner = this.#carrying.get(carryingKey(far, laneOfClass(open.class)));
    return runner === undefined || runner.held || !runner.takesChannels ? undefined : runner.open(open);
  }

  async #open(far: FarEdge, open: ChannelOpen, signal: AbortSignal | undefined): Promise<EdgeChannel> {
    const lane = laneOfClass(open.class);
    for (let attempt = 1; ; attempt += 1) {
      const runner = await abortable(this.#runner(far, lane), signal);
      await abortable(this.#carried(runner, lane), signal);
      // It may have ended since; then a new one is tried, once.
      if (runner.takesChannels || attempt === 2) {
        const channel = runner.open(open);
        this.#carrying.set(carryingKey(far, lane), runner);
        return channel;
      }
    }
  }

  /** Waits until the lane is carried. A trunk that lost every path is given a moment, then others are better asked. */
  async #carried(runner: TrunkRunner, lane: LaneName): Promise<void> {
    await runner.carry(lane);
    if (!runner.held || !runner.takesChannels) return;
    const moment = new AbortController();
    await Promise.race([runner.changed(), sleep(this.#options.clock, limits.heldOpenWaitMs, moment.signal)]);
    moment.abort();
    if (runner.held && runner.takesChannels) throw new WeftError("unavailable", "no path to the far edge is left");
  }

  trunks(): readonly TrunkRunner[] {
    return [...this.#live];
  }

  find(trunkIdHex: string): TrunkRunner | undefined {
    return this.trunks().find((runner) => runner.trunkIdHex === trunkIdHex);
  }

  /** Drains within the grace, then cuts. Every socket is gone when it resolves. */
  async close(): Promise<void> {
    this.#closing.abort();
    for (const runner of this.trunks()) runner.drain();
    await endTrunks(this.trunks(), [...this.#connections], this.#options.clock);
  }

  /** The live trunk to a far edge, or the one being made. */
  async #runner(far: FarEdge, lane: LaneName): Promise<TrunkRunner> {
    if (this.#closing.signal.aborted) throw new WeftError("unavailable", "the trunks are being closed");
    const key = JSON.stringify([far.farEdge, far.organizationId, far.flowIsolationId ?? ""]);
    const known = this.#entries.get(key);
    if (known !== undefined) {
      const runner = await known;
      if (runner.takesChannels) return runner;
      // It ended or drains; whoever comes first makes the next one.
      if (this.#entries.get(key) === known) this.#entries.delete(key);
      return this.#runner(far, lane);
    }
    const made = this.#make(far, lane);
    this.#entries.set(key, made);
    try {
      return await made;
    } catch (error) {
      if (this.#entries.get(key) === made) this.#entries.delete(key);
      throw error;
    }
  }

  async #make(far: FarEdge, lane: LaneName): Promise<TrunkRunner> {
    const { clock, log, random, onTrunk, onTrunkEnd, onMove, ownConnections } = this.#options;
    const trunkId = random.bytes(TRUNK_ID_BYTES);
    const { signal } = this.#closing;
    const wish = { lane, beside: [], shun: [], urgent: true, purpose: "first" as const };
    const connection = await this.#connect({ ...far, ...wish, trunkId, signal });
    const runner = new TrunkRunner({
      clock,
      random,
      log,
      side: "initiator",
      trunkId,
      secret: connection.exporter,
      farEdge: far.farEdge,
      organizationId: far.organizationId,
      processPool: this.#processPool,
      holdMs: this.#options.holdMs ?? limits.holdInitiatorMs,
      open: (wanted, over) => this.#connect({ ...far, ...wanted, trunkId, signal: AbortSignal.any([signal, over]) }),
      ...(ownConnections === undefined ? {} : { ownConnections }),
      ...(onMove === undefined ? {} : { onMove }),
    });
    if (!(await runner.attach(connection, lane))) {
      connection.destroy();
      runner.abort("the first attachment was not taken");
      throw new WeftError("unavailable", "the far edge did not take the trunk");
    }
    this.#live.add(runner);
    onTrunk?.(runner);
    void runner.ended.then((end) => {
      this.#live.delete(runner);
      for (const [key, one] of this.#carrying) if (one === runner) this.#carrying.delete(key);
      onTrunkEnd?.(runner, end);
    });
    return runner;
  }

  async #connect(wish: PathWish): Promise<PathConnection> {
    const path = await this.#options.openPath(wish);
    if (wish.signal.aborted) {
      resetSocket(path.raw, path.tls);
      path.close?.();
      throw new WeftError("unavailable", "the trunk is being closed");
    }
    const connection = PathConnection.client(path, this.#options.clock);
    this.#connections.add(connection);
    connection.onClosed(() => this.#connections.delete(connection));
    return connection;
  }
}

/** Ids hold no blanks. */
const carryingKey = (far: FarEdge, lane: LaneName): string =>
  `${lane} ${far.farEdge} ${far.organizationId}${far.flowIsolationId === undefined ? "" : ` ${far.flowIsolationId}`}`;

/** What an opener is told. The cause stays in this process. */
function failure(cause: unknown, open: ChannelOpen, canceled: boolean): WeftError {
  if (cause instanceof WeftError && cause.metadata["end"] !== undefined) return cause;
  const facts = { writtenToTarget: 0, correlationId: open.correlationId, cause };
  if (canceled) return channelError({ ...facts, end: ChannelEnd.CANCELED, stage: ChannelStage.ENTRY });
  if (!(cause instanceof WeftError) || cause.reason === "invalid_argument") {
    return channelError({ ...facts, end: ChannelEnd.INTERNAL, stage: ChannelStage.ENTRY });
  }
  const end = cause.reason === "resource_exhausted" ? ChannelEnd.LIMIT : ChannelEnd.NO_PATH;
  return channelError({ ...facts, end, stage: ChannelStage.FABRIC });
}
