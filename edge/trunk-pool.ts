/**
 * The initiator's side: one trunk per far edge and organization, opened when first needed, shared by everybody who asks at
 * the same time. A trunk that ended is forgotten; the next open makes a new one.
 */

import { TRUNK_ID_BYTES } from "../fabric/trunk/attach-proof.ts";
import { laneOfClass } from "../fabric/trunk/channel-ops.ts";
import { CreditPool } from "../fabric/trunk/credit.ts";
import type { LaneName } from "../fabric/trunk/lane-name.ts";
import type { ChannelOpen } from "../fabric/trunk/messages.ts";
import type { TrunkEnd } from "../fabric/trunk/trunk-core.ts";
import { ChannelEnd, ChannelStage } from "../gen/weft/channel/v1/channel_pb.ts";
import type { Clock } from "../lib/clock.ts";
import { WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import type { Log } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import type { EdgeChannel } from "./channel.ts";
import { channelError } from "./channel-error.ts";
import type { EdgePath } from "./edge-path.ts";
import { PathConnection } from "./path-connection.ts";
import { endTrunks } from "./trunk-ending.ts";
import { TrunkRunner } from "./trunk-runner.ts";

/** The other end of a trunk, and for whom it is. */
export interface FarEdge {
  readonly farEdge: string;
  readonly organizationId: string;
}

/** A path the pool needs. */
export interface PathWish extends FarEdge {
  readonly trunkId: Uint8Array;
  readonly lane: LaneName;
  /** `first` makes the trunk, `lane` gives its second lane a connection of its own. */
  readonly purpose: "first" | "lane";
  readonly avoidHops: readonly string[];
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
  /** Client edges: what is shown to the far edge. */
  readonly ask?: (far: FarEdge) => { readonly ask: Uint8Array; readonly askSignature: Uint8Array };
  /** Default true: a bulk lane does not share the connection of an interactive one. */
  readonly bulkOwnConnection?: boolean;
  readonly onTrunk?: (trunk: TrunkRunner) => void;
  readonly onTrunkEnd?: (trunk: TrunkRunner, end: TrunkEnd) => void;
}

interface Entry {
  readonly runner: TrunkRunner;
  readonly trunkId: Uint8Array;
  readonly lanes: Map<LaneName, Promise<void>>;
}

export class TrunkPool {
  readonly #options: TrunkPoolOptions;
  readonly #processPool: CreditPool;
  readonly #entries = new Map<string, Promise<Entry>>();
  readonly #live = new Set<Entry>();
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
      return await this.#open(far, open, signal);
    } catch (cause) {
      throw failure(cause, open, signal?.aborted === true);
    }
  }

  async #open(far: FarEdge, open: ChannelOpen, signal: AbortSignal | undefined): Promise<EdgeChannel> {
    const lane = laneOfClass(open.class);
    for (let attempt = 1; ; attempt += 1) {
      const entry = await abortable(this.#entry(far, lane), signal);
      await abortable(this.#lane(entry, far, lane), signal);
      // It may have ended since; then a new one is tried, once.
      if (entry.runner.takesChannels || attempt === 2) return entry.runner.open(open);
    }
  }

  trunks(): readonly TrunkRunner[] {
    return [...this.#live].map((entry) => entry.runner);
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
  async #entry(far: FarEdge, lane: LaneName): Promise<Entry> {
    if (this.#closing.signal.aborted) throw new WeftError("unavailable", "the trunks are being closed");
    const key = JSON.stringify([far.farEdge, far.organizationId]);
    const known = this.#entries.get(key);
    if (known !== undefined) {
      const entry = await known;
      if (entry.runner.takesChannels) return entry;
      // It ended or drains; whoever comes first makes the next one.
      if (this.#entries.get(key) === known) this.#entries.delete(key);
      return this.#entry(far, lane);
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

  async #make(far: FarEdge, lane: LaneName): Promise<Entry> {
    const { clock, log, random, ask, onTrunk, onTrunkEnd } = this.#options;
    const trunkId = random.bytes(TRUNK_ID_BYTES);
    const connection = await this.#connect({ ...far, trunkId, lane, purpose: "first" });
    const runner = new TrunkRunner({
      clock,
      log,
      side: "initiator",
      trunkId,
      secret: connection.exporter,
      farEdge: far.farEdge,
      organizationId: far.organizationId,
      processPool: this.#processPool,
      holdMs: 0,
      ...ask?.(far),
    });
    const entry: Entry = { runner, trunkId, lanes: new Map() };
    if (!(await runner.attach(connection, lane))) {
      connection.destroy();
      runner.abort("the first attachment was not taken");
      throw new WeftError("unavailable", "the far edge did not take the trunk");
    }
    entry.lanes.set(lane, Promise.resolve());
    this.#live.add(entry);
    onTrunk?.(runner);
    void runner.ended.then((end) => {
      this.#live.delete(entry);
      onTrunkEnd?.(runner, end);
    });
    return entry;
  }

  /** Makes sure that the lane is carried: an idle one may have lost its path. */
  async #lane(entry: Entry, far: FarEdge, lane: LaneName): Promise<void> {
    const known = entry.lanes.get(lane);
    if (known !== undefined) {
      await known;
      if (entry.runner.carries(lane) || !entry.runner.takesChannels) return;
      if (entry.lanes.get(lane) === known) entry.lanes.delete(lane);
      return this.#lane(entry, far, lane);
    }
    const made = this.#carry(entry, far, lane);
    entry.lanes.set(lane, made);
    made.catch(() => entry.lanes.delete(lane));
    return made;
  }

  async #carry(entry: Entry, far: FarEdge, lane: LaneName): Promise<void> {
    const { runner, trunkId } = entry;
    const [shared] = runner.connections();
    const own = this.#options.bulkOwnConnection !== false || shared === undefined;
    const connection = own ? await this.#connect({ ...far, trunkId, lane, purpose: "lane" }) : shared;
    if (await runner.attach(connection, lane)) return;
    if (own) connection.destroy();
    throw new WeftError("unavailable", "the far edge did not take the lane");
  }

  async #connect(wish: Omit<PathWish, "signal" | "avoidHops">): Promise<PathConnection> {
    const { signal } = this.#closing;
    const path = await this.#options.openPath({ ...wish, avoidHops: [], signal });
    if (signal.aborted) {
      path.raw.resetAndDestroy();
      path.close?.();
      throw new WeftError("unavailable", "the trunks are being closed");
    }
    const connection = PathConnection.client(path, this.#options.clock);
    this.#connections.add(connection);
    connection.onClosed(() => this.#connections.delete(connection));
    return connection;
  }
}

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

/** Waits for `promise`, or rejects when the caller gives up; the work itself goes on for the others who wait. */
function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(new WeftError("canceled", "the caller gave up"));
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
