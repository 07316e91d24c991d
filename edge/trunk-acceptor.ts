/**
 * The far edge's side: takes paths over, reads the first message of every stream on them, and finds or makes the trunk it
 * belongs to. A trunk is made by an Attach that proves the secret of this very connection and that `accept` agrees to;
 * everything later has to prove the secret of the trunk's first connection and come from the same peer.
 */

import type { Http2Stream } from "node:http2";
import { provesAttach } from "../fabric/trunk/attach-proof.ts";
import { CreditPool } from "../fabric/trunk/credit.ts";
import { decodeMessage } from "../fabric/trunk/decode.ts";
import { encodeMessage } from "../fabric/trunk/encode.ts";
import type { LaneName } from "../fabric/trunk/lane-name.ts";
import { laneOfWire } from "../fabric/trunk/lane-name.ts";
import type { Attach, ChannelOpen } from "../fabric/trunk/messages.ts";
import type { TrunkEnd } from "../fabric/trunk/trunk-core.ts";
import { NoticeKind } from "../gen/weft/channel/v1/channel_pb.ts";
import type { Clock } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";
import type { Log } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import { AttachmentStream } from "./attachment.ts";
import type { EdgeChannel } from "./channel.ts";
import { ChannelBudget } from "./channel-budget.ts";
import type { AcceptedPath } from "./edge-path.ts";
import { PathConnection } from "./path-connection.ts";
import { endTrunks } from "./trunk-ending.ts";
import { type TrunkMoved, TrunkRunner } from "./trunk-runner.ts";

/** What `accept` decides about. */
export interface TrunkInfo<C> {
  readonly trunkId: Uint8Array;
  readonly peerKey: string;
  readonly organizationId: string;
  readonly hops: readonly string[];
  /** Client edges; empty otherwise. */
  readonly ask: Uint8Array;
  readonly askSignature: Uint8Array;
  readonly context: C;
}

export interface TrunkAcceptorOptions<C> {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Whether this peer may have a trunk here. Synchronous: own snapshot only. */
  readonly accept: (info: TrunkInfo<C>) => boolean;
  /** Whether an Attach may come by its path at all: asked for each, of new trunks and of known ones. Default: yes. */
  readonly vouches?: (info: TrunkInfo<C>) => boolean;
  /** Answer with `channel.accept()` or `channel.refuse(end, stage)`, now or later. */
  readonly onChannel: (channel: EdgeChannel, open: ChannelOpen, trunk: TrunkRunner, context: C) => void;
  /** An Attach was not taken: of an unknown trunk, with a wrong proof, by the wrong path or peer, or one too many. */
  readonly onRefused?: () => void;
  readonly onTrunk?: (trunk: TrunkRunner, context: C) => void;
  /** A path was attached to a trunk: its first, or one more. */
  readonly onPath?: (trunk: TrunkRunner, context: C) => void;
  readonly onTrunkEnd?: (trunk: TrunkRunner, end: TrunkEnd) => void;
  readonly onMove?: (moved: TrunkMoved, trunk: TrunkRunner) => void;
  /** One per process, shared with the pool. */
  readonly processPool?: CreditPool;
  /** How long a trunk that lost every attachment waits for its initiator, milliseconds. */
  readonly holdMs?: number;
  readonly bounds?: AcceptorBounds;
}

/** What initiators may keep here. */
export interface AcceptorBounds {
  readonly trunksMaxCount: number;
  readonly trunksPerPeerMaxCount: number;
  readonly channelsMaxCount: number;
  readonly channelsPerPeerMaxCount: number;
}

export const acceptorBounds: AcceptorBounds = {
  trunksMaxCount: limits.acceptedTrunksMaxCount,
  trunksPerPeerMaxCount: limits.acceptedTrunksPerPeerMaxCount,
  channelsMaxCount: limits.acceptedChannelsMaxCount,
  channelsPerPeerMaxCount: limits.acceptedChannelsPerPeerMaxCount,
};

interface Held<C> {
  readonly runner: TrunkRunner;
  readonly peerKey: string;
  readonly budget: ChannelBudget;
  /** Of the newest path that was attached. */
  context: C;
}

export class TrunkAcceptor<C> {
  readonly #options: TrunkAcceptorOptions<C>;
  readonly #processPool: CreditPool;
  readonly #trunks = new Map<string, Held<C>>();
  readonly #connections = new Set<PathConnection>();
  readonly #bounds: AcceptorBounds;
  readonly #channels: ChannelBudget;
  #draining = false;

  constructor(options: TrunkAcceptorOptions<C>) {
    this.#options = options;
    this.#processPool = options.processPool ?? new CreditPool(limits.processReceivePoolBytes);
    this.#bounds = options.bounds ?? acceptorBounds;
    this.#channels = new ChannelBudget(this.#bounds.channelsMaxCount);
  }

  /** Takes over a path whose peer was judged. */
  add(path: AcceptedPath<C>): void {
    const { clock } = this.#options;
    const connection = PathConnection.server(path, clock, (stream) => this.#newStream(path, connection, stream));
    // A path that carries nothing in time is not kept.
    const deadline = clock.after(limits.attachDeadlineMs, () => {
      if (!this.#carries(connection)) connection.destroy();
    });
    this.#connections.add(connection);
    connection.onClosed(() => {
      deadline.cancel();
      this.#connections.delete(connection);
    });
  }

  trunks(): readonly TrunkRunner[] {
    return [...this.#trunks.values()].map(({ runner }) => runner);
  }

  find(trunkIdHex: string): TrunkRunner | undefined {
    return this.#trunks.get(trunkIdHex)?.runner;
  }

  /** Ends the trunks whose peer lost its right, whether a path is left or not: nobody waits for who may not come back. */
  cut(lost: (context: C) => boolean): void {
    for (const { runner, context } of [...this.#trunks.values()]) {
      if (lost(context)) runner.abort("the peer lost its right");
    }
  }

  /** Refuses new trunks and new channels; trunks end when their last channel does. */
  drain(): void {
    this.#draining = true;
    for (const runner of this.trunks()) runner.drain();
  }

  /** Drains within the grace, then cuts. Every socket is gone when it resolves. */
  async close(): Promise<void> {
    this.drain();
    await endTrunks(this.trunks(), [...this.#connections], this.#options.clock);
  }

  #carries(connection: PathConnection): boolean {
    return this.trunks().some((runner) => runner.connections().includes(connection));
  }

  #newStream(path: AcceptedPath<C>, connection: PathConnection, http2Stream: Http2Stream): void {
    const deadline = this.#options.clock.after(limits.attachDeadlineMs, () => stream.destroy());
    const refuse = (): void => {
      deadline.cancel();
      if (!this.#carries(connection)) connection.destroy();
    };
    const stream = new AttachmentStream(http2Stream, {
      pullControl: () => undefined,
      pullBatch: () => undefined,
      batchWritten: () => {},
      lost: refuse,
      message: (bytes) => {
        deadline.cancel();
        const message = decodeMessage(bytes);
        const lane = message.kind === "attach" ? laneOfWire(message.attach.lane) : undefined;
        if (message.kind !== "attach" || lane === undefined) stream.destroy();
        else this.#attach(path, connection, stream, lane, message.attach);
      },
    });
  }

  #attach(
    path: AcceptedPath<C>,
    connection: PathConnection,
    stream: AttachmentStream,
    lane: LaneName,
    attach: Attach,
  ): void {
    const expected = path.trunkId;
    const named =
      (expected === undefined || Buffer.compare(expected, attach.trunkId) === 0) &&
      this.#options.vouches?.({ ...path, ...attach }) !== false;
    const held = this.#trunks.get(Buffer.from(attach.trunkId).toString("hex"));
    if (held !== undefined) {
      const taken = named && held.peerKey === path.peerKey && held.runner.adopt(connection, stream, lane, attach);
      if (taken) {
        held.context = path.context;
        this.#options.onPath?.(held.runner, path.context);
      } else this.#refuse(connection, stream);
    } else if (!provesAttach(connection.exporter, "initiator", connection.exporter, attach)) {
      this.#unknown(stream);
    } else if (!named || this.#draining || !this.#options.accept({ ...path, ...attach }) || !this.#room(path)) {
      this.#refuse(connection, stream);
    } else {
      const runner = this.#make(path, connection, attach);
      if (runner.adopt(connection, stream, lane, attach)) this.#options.onPath?.(runner, path.context);
      else this.#refuse(connection, stream);
    }
  }

  /** Whether this peer may have one more trunk. A held one makes room: what its initiator left behind, as far as anybody knows. */
  #room({ peerKey }: AcceptedPath<C>): boolean {
    const own = [...this.#trunks.values()].filter((held) => held.peerKey === peerKey);
    if (own.length < this.#bounds.trunksPerPeerMaxCount) return this.#trunks.size < this.#bounds.trunksMaxCount;
    const left = own.find(({ runner }) => runner.connections().length === 0);
    left?.runner.abort("its initiator has too many trunks");
    return left !== undefined;
  }

  #refuse(connection: PathConnection, stream: AttachmentStream): void {
    this.#options.onRefused?.();
    stream.destroy();
    if (!this.#carries(connection)) connection.destroy();
  }

  /** The trunk it names is over: the initiator must not go on trying. */
  #unknown(stream: AttachmentStream): void {
    this.#options.onRefused?.();
    let notice: Buffer | undefined = encodeMessage({ kind: "notice", notice: NoticeKind.UNKNOWN_TRUNK, detail: "" });
    stream.owner = {
      pullControl: () => {
        const bytes = notice;
        notice = undefined;
        return bytes;
      },
      pullBatch: () => undefined,
      batchWritten: () => {},
      message: () => {},
      lost: () => {},
    };
    stream.end();
  }

  #make(path: AcceptedPath<C>, connection: PathConnection, attach: Attach): TrunkRunner {
    const { clock, random, log, onChannel, onTrunk, onTrunkEnd, onMove, holdMs } = this.#options;
    const budget = this.#budgetOf(path.peerKey);
    const runner = new TrunkRunner({
      clock,
      random,
      log,
      side: "acceptor",
      trunkId: Buffer.from(attach.trunkId),
      secret: connection.exporter,
      farEdge: path.peerKey,
      organizationId: path.organizationId,
      processPool: this.#processPool,
      holdMs: holdMs ?? limits.holdAcceptorMs,
      budget,
      ...(onMove === undefined ? {} : { onMove }),
      onChannel: (channel, trunk) => onChannel(channel, channel.request, trunk, path.context),
    });
    this.#trunks.set(runner.trunkIdHex, { runner, peerKey: path.peerKey, budget, context: path.context });
    onTrunk?.(runner, path.context);
    void runner.ended.then((end) => {
      this.#trunks.delete(runner.trunkIdHex);
      onTrunkEnd?.(runner, end);
    });
    return runner;
  }

  /** One per peer: what its other trunks count towards already. */
  #budgetOf(peerKey: string): ChannelBudget {
    for (const held of this.#trunks.values()) if (held.peerKey === peerKey) return held.budget;
    return new ChannelBudget(this.#bounds.channelsPerPeerMaxCount, this.#channels);
  }
}
