/**
 * Two pure trunks and the paths between them, as queues that a test moves by hand: first in first out per direction, frozen
 * and thawed, cut with what was under way, late. Every byte that is written or arrives is checked against a pattern.
 */

import type { ChannelEnded, ChannelHandler, TrunkChannel } from "../../../fabric/trunk/channel.ts";
import {
  acceptChannel,
  consumedChannel,
  halfCloseChannel,
  openChannel,
  writeChannel,
} from "../../../fabric/trunk/channel-ops.ts";
import { CreditPool } from "../../../fabric/trunk/credit.ts";
import { decodeMessage } from "../../../fabric/trunk/decode.ts";
import { GrpcDeframer } from "../../../fabric/trunk/grpc-frames.ts";
import { Lane } from "../../../fabric/trunk/lane.ts";
import type { LaneName } from "../../../fabric/trunk/lane-name.ts";
import type { TrunkMove } from "../../../fabric/trunk/move.ts";
import { Trunk } from "../../../fabric/trunk/trunk.ts";
import type { TrunkEnd, TrunkEvents } from "../../../fabric/trunk/trunk-core.ts";
import { limits } from "../../../lib/limits.ts";

/** The byte at `offset` of what `side` sends on a channel. */
const patternByte = (channelId: number, fromInitiator: boolean, offset: number): number =>
  (channelId * 31 + (fromInitiator ? 7 : 101) + offset + (offset >> 8) * 13) & 0xff;

function pattern(channelId: number, fromInitiator: boolean, from: number, length: number): Buffer {
  const out = Buffer.alloc(length);
  for (let i = 0; i < length; i += 1) out[i] = patternByte(channelId, fromInitiator, from + i);
  return out;
}

/** One end of a channel and the application behind it. */
export class VirtualChannel implements ChannelHandler {
  readonly edge: VirtualEdge;
  readonly channel: TrunkChannel;
  writtenBytes = 0;
  arrivedBytes = 0;
  readBytes = 0;
  remoteHalf = false;
  localHalf = false;
  end: ChannelEnded | undefined;
  /** False: the application reads nothing. */
  reading = true;

  constructor(edge: VirtualEdge, channel: TrunkChannel) {
    this.edge = edge;
    this.channel = channel;
    channel.handler = this;
  }

  /** Writes up to `bytes`, as far as the queue has room; the buffer is overwritten afterwards. */
  write(bytes: number): number {
    const count = Math.min(bytes, limits.channelSendQueueBytes - this.channel.queue.bytes);
    if (count <= 0 || !this.channel.writable) return 0;
    const chunk = pattern(this.channel.id, this.channel.initiator, this.writtenBytes, count);
    this.writtenBytes += count;
    const given = count % 2 === 0;
    writeChannel(this.edge.trunk, this.channel, chunk, given);
    if (!given) chunk.fill(0xee);
    return count;
  }

  halfClose(): void {
    this.localHalf = true;
    halfCloseChannel(this.edge.trunk, this.channel);
  }

  read(bytes: number): void {
    this.readBytes = Math.min(this.arrivedBytes, this.readBytes + bytes);
    consumedChannel(this.edge.trunk, this.channel, this.readBytes, this.edge.world.nowMs);
  }

  opened(): void {}
  room(): void {}
  sentHalfClose(): void {}

  data(bytes: Buffer): void {
    const expected = pattern(this.channel.id, !this.channel.initiator, this.arrivedBytes, bytes.length);
    if (this.edge.world.honest && !bytes.equals(expected)) {
      throw new Error(`LAW-T1: wrong bytes on channel ${this.channel.id} at ${this.arrivedBytes}`);
    }
    this.arrivedBytes += bytes.length;
    if (this.remoteHalf) throw new Error("LAW-T1: bytes after the half-close");
  }

  dropped(): void {
    throw new Error("a channel that may drop nothing dropped something");
  }

  halfClosed(): void {
    this.remoteHalf = true;
  }

  ended(ended: ChannelEnded): void {
    this.end = ended;
  }
}

export class VirtualEdge implements TrunkEvents {
  readonly world: VirtualWorld;
  readonly initiator: boolean;
  readonly trunk: Trunk;
  readonly channels = new Map<number, VirtualChannel>();
  readonly moves: TrunkMove[] = [];
  end: TrunkEnd | undefined;

  constructor(world: VirtualWorld, initiator: boolean, pool: CreditPool) {
    this.world = world;
    this.initiator = initiator;
    this.trunk = new Trunk({
      trunkId: Buffer.alloc(16, 9),
      side: initiator ? "initiator" : "acceptor",
      secret: Buffer.alloc(32, 8),
      processPool: pool,
      events: this,
    });
  }

  open(lane: LaneName): VirtualChannel {
    const open = { resource: "r", class: lane === "bulk" ? 1 : 2, origin: undefined, correlationId: "c" } as const;
    const channel = new VirtualChannel(this, openChannel(this.trunk, open, this.world.nowMs));
    this.channels.set(channel.channel.id, channel);
    return channel;
  }

  wake(): void {}
  attachmentReady(): void {}
  noticed(): void {}
  attachmentRefused(id: number): void {
    this.world.cut(id);
  }
  resumed(): void {}

  moved(move: TrunkMove): void {
    this.moves.push(move);
    this.world.moved = true;
  }
  ended(end: TrunkEnd): void {
    this.end = end;
  }
  offered(channel: TrunkChannel): void {
    if (this.world.serve !== undefined) {
      this.world.serve(channel);
      return;
    }
    this.channels.set(channel.id, new VirtualChannel(this, channel));
    acceptChannel(this.trunk, channel);
  }
}

/** What the kernel takes from a writer before it blocks. */
const QUEUE_MAX_COUNT = 6;

export class VirtualPath {
  readonly id: number;
  readonly lane: LaneName;
  frozen = false;
  /** Written towards the acceptor, and towards the initiator. */
  readonly down: { bytes: Buffer; batch: boolean }[] = [];
  readonly up: { bytes: Buffer; batch: boolean }[] = [];
  accepted = false;
  /** Which ends have not noticed yet that it is gone. */
  alive = { initiator: true, acceptor: true };

  constructor(id: number, lane: LaneName) {
    this.id = id;
    this.lane = lane;
  }
}

export class VirtualWorld {
  nowMs = 0;
  moved = false;
  /** False when a test feeds bytes that no application wrote. */
  honest = true;
  /** Takes the channels that the acceptor is offered, instead of the virtual ones. */
  serve: ((channel: TrunkChannel) => void) | undefined;
  readonly initiator: VirtualEdge;
  readonly acceptor: VirtualEdge;
  readonly paths: VirtualPath[] = [];
  readonly pools = [
    new CreditPool(limits.processReceivePoolBytes),
    new CreditPool(limits.processReceivePoolBytes),
  ] as const;
  #lastId = 0;

  constructor() {
    this.initiator = new VirtualEdge(this, true, this.pools[0]);
    this.acceptor = new VirtualEdge(this, false, this.pools[1]);
  }

  get edges(): readonly VirtualEdge[] {
    return [this.initiator, this.acceptor];
  }

  addPath(lane: LaneName, connectionId?: number): VirtualPath {
    this.#lastId += 1;
    const path = new VirtualPath(this.#lastId, lane);
    this.paths.push(path);
    this.initiator.trunk.offerAttachment(this.#added(path, connectionId), this.nowMs);
    return path;
  }

  #added(path: VirtualPath, connectionId = path.id) {
    return { id: path.id, lane: path.lane, connectionId, exporter: Buffer.alloc(32, path.id) };
  }

  /** The path is gone: what is under way is lost, both ends learn it. */
  cut(id: number): void {
    const path = this.paths.find((other) => other.id === id);
    if (path === undefined) return;
    this.paths.splice(this.paths.indexOf(path), 1);
    this.initiator.trunk.attachmentLost(id, this.nowMs);
    this.acceptor.trunk.attachmentLost(id, this.nowMs);
  }

  /** One end notices before the other. */
  cutAt(path: VirtualPath, edge: VirtualEdge): void {
    path.frozen = true;
    edge.trunk.attachmentLost(path.id, this.nowMs);
    if (edge.initiator) path.alive.initiator = false;
    else path.alive.acceptor = false;
    if (!path.alive.initiator && !path.alive.acceptor) this.cut(path.id);
  }

  /** Lets both ends write what they want to and the kernel takes. Returns whether anything was written. */
  pump(path: VirtualPath): boolean {
    let wrote = false;
    for (const edge of this.edges) {
      const queue = edge.initiator ? path.down : path.up;
      while (queue.length < QUEUE_MAX_COUNT) {
        const control = edge.trunk.pullControl(path.id, this.nowMs);
        if (control !== undefined) queue.push({ bytes: control, batch: false });
        const batch = edge.trunk.pullBatch(path.id, this.nowMs);
        if (batch !== undefined) {
          queue.push({ bytes: batch, batch: true });
          // The kernel has it: that is what a write callback says.
          edge.trunk.batchWritten(path.id);
        }
        if (control === undefined && batch === undefined) break;
        wrote = true;
      }
    }
    return wrote;
  }

  /** Delivers the oldest message of one direction. */
  deliver(path: VirtualPath, down: boolean): boolean {
    if (path.frozen) return false;
    const message = (down ? path.down : path.up).shift();
    if (message === undefined) return false;
    const to = down ? this.acceptor : this.initiator;
    const deframer = new GrpcDeframer(limits.batchMaxBytes, (bytes) => {
      if (down && !path.accepted) this.#firstMessage(path, bytes);
      else to.trunk.receive(path.id, bytes, this.nowMs);
    });
    const wrong = deframer.push(message.bytes);
    if (wrong !== "" || deframer.partial) throw new Error(`framing: ${wrong}`);
    return true;
  }

  #firstMessage(path: VirtualPath, bytes: Buffer): void {
    const message = decodeMessage(bytes);
    if (message.kind !== "attach") throw new Error("the first message is not an attach");
    path.accepted = this.acceptor.trunk.acceptAttachment(this.#added(path), message.attach, this.nowMs);
    if (!path.accepted) this.cut(path.id);
  }

  advance(ms: number): void {
    this.nowMs += ms;
    for (const edge of this.edges) edge.trunk.tick(this.nowMs);
  }

  /** Runs everything that can run until nothing moves; applications that read, read all. */
  settle(): void {
    for (let quiet = 0; quiet < 3; ) {
      let busy = false;
      for (const path of [...this.paths]) {
        busy = this.pump(path) || busy;
        while (this.deliver(path, true)) busy = true;
        while (this.deliver(path, false)) busy = true;
      }
      for (const edge of this.edges) {
        for (const channel of edge.channels.values()) {
          if (channel.reading && channel.readBytes < channel.arrivedBytes) {
            channel.read(channel.arrivedBytes);
            busy = true;
          }
        }
      }
      this.advance(5);
      quiet = busy ? 0 : quiet + 1;
      this.check();
    }
  }

  /** LAW-T3: every bound, at any moment. */
  check(): void {
    for (const edge of this.edges) {
      for (const name of ["interactive", "bulk"] as const) {
        const lane = edge.trunk.lanes[name];
        if (lane.replay.costBytes > Lane.replayMaxBytes(name)) throw new Error(`LAW-T3: replay of ${name}`);
        for (const channel of lane.channels.values()) {
          const unread = channel.credit.receivedBytes - channel.credit.consumedBytes;
          if (unread > channel.credit.windowBytes) throw new Error("LAW-T3: unread bytes above the window");
          if (channel.queue.bytes > limits.channelSendQueueBytes) throw new Error("LAW-T3: send queue");
        }
      }
      if (edge.trunk.pool.usedBytes > limits.trunkReceivePoolBytes) throw new Error("LAW-T3: trunk pool");
      for (const attachment of edge.trunk.attachments()) {
        if (attachment.batchesInFlight > limits.batchesInFlightMaxCount) throw new Error("LAW-T3: batches in flight");
      }
    }
  }
}
