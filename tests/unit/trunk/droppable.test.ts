/** Droppable channels: whole messages or nothing, in order, never twice; the writer never waits; the ends agree on counts. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ChannelHandler, TrunkChannel } from "../../../fabric/trunk/channel.ts";
import { silentHandler } from "../../../fabric/trunk/channel.ts";
import {
  acceptChannel,
  consumedChannel,
  halfCloseChannel,
  openChannel,
  writeChannel,
} from "../../../fabric/trunk/channel-ops.ts";
import { encodeMessage, GRPC_PREFIX_BYTES } from "../../../fabric/trunk/encode.ts";
import { MessageDeframer, writeMessageHead } from "../../../fabric/trunk/message-frames.ts";
import { withTombstones } from "../../../fabric/trunk/tombstones.ts";
import { ChannelClass } from "../../../gen/weft/fabric/v1/role_pb.ts";
import { limits } from "../../../lib/limits.ts";
import type { VirtualPath } from "./virtual-edges.ts";
import { VirtualWorld } from "./virtual-edges.ts";

/** A message that tells its number and checks itself. */
function numbered(id: number, extraBytes: number): Buffer {
  const out = Buffer.alloc(4 + 4 + extraBytes, id & 0xff);
  writeMessageHead(out, 0, 4 + extraBytes);
  out.writeUInt32BE(id, 4);
  return out;
}

class Sink implements ChannelHandler {
  readonly ids: number[] = [];
  readonly channel: TrunkChannel;
  readonly #world: VirtualWorld;
  readonly #deframer: MessageDeframer;
  arrivedBytes = 0;
  half = false;
  opened = silentHandler.opened;
  room = silentHandler.room;
  sentHalfClose = silentHandler.sentHalfClose;
  ended = silentHandler.ended;

  constructor(world: VirtualWorld, channel: TrunkChannel) {
    this.#world = world;
    this.channel = channel;
    this.#deframer = new MessageDeframer(limits.droppableMessageMaxBytes, (message) => {
      const id = message.readUInt32BE(0);
      if (!message.subarray(4).every((byte) => byte === (id & 0xff))) throw new Error("a message was mixed up");
      if (id <= (this.ids.at(-1) ?? 0)) throw new Error("a message came twice or out of order");
      this.ids.push(id);
    });
    channel.handler = this;
  }

  data(bytes: Buffer): void {
    this.arrivedBytes += bytes.length;
    if (!this.#deframer.push(bytes) || this.#deframer.partial) throw new Error("a frame was not one whole message");
  }

  dropped(bytes: number): void {
    this.arrivedBytes += bytes;
  }

  halfClosed(): void {
    this.half = true;
  }

  read(): void {
    consumedChannel(this.#world.acceptor.trunk, this.channel, this.arrivedBytes, this.#world.nowMs);
  }
}

interface Pair {
  readonly world: VirtualWorld;
  readonly near: TrunkChannel;
  readonly sink: Sink;
}

function pair(): Pair {
  const world = new VirtualWorld();
  const sinks: Sink[] = [];
  world.serve = (channel) => {
    sinks.push(new Sink(world, channel));
    acceptChannel(world.acceptor.trunk, channel);
  };
  world.addPath("interactive");
  world.settle();
  const open = { resource: "r", class: ChannelClass.DROPPABLE, origin: undefined, correlationId: "c" } as const;
  const near = openChannel(world.initiator.trunk, open, world.nowMs);
  world.settle();
  return { world, near, sink: sinks[0] as Sink };
}

const write = ({ world, near }: Pair, bytes: Buffer): void => writeChannel(world.initiator.trunk, near, bytes, false);

describe("a droppable channel", () => {
  it("carries everything while everybody keeps up", () => {
    const made = pair();
    for (let id = 1; id <= 500; id += 1) {
      write(made, numbered(id, id % 900));
      made.world.settle();
      made.sink.read();
    }
    expect(made.sink.ids).toHaveLength(500);
    expect(made.near.drops?.droppedCount).toBe(0);
  });

  it("drops the oldest before they have a number, and never makes the writer wait", () => {
    const made = pair();
    const count = 2_000;
    // The reader reads nothing: first credit, then the queue, is all there is.
    for (let id = 1; id <= count; id += 1) {
      write(made, numbered(id, 100));
      made.world.settle();
      expect(made.near.queue.bytes).toBeLessThanOrEqual(limits.droppableQueueBytes);
    }
    const before = made.sink.ids.length;
    expect(before).toBeLessThan(200);
    made.sink.read();
    for (let round = 0; round < 60; round += 1) {
      made.world.settle();
      made.sink.read();
    }
    // What is left is the newest, without a gap.
    const late = made.sink.ids.slice(before);
    expect(late.at(-1)).toBe(count);
    expect(late[0]).toBe(count - late.length + 1);
    expect(made.near.drops?.droppedCount).toBe(count - made.sink.ids.length);
  });

  it("sends its largest message under the smallest credit, at any offset", () => {
    const made = pair();
    for (let id = 1; id <= 40; id += 1) {
      write(made, numbered(id, id % 2 === 0 ? limits.droppableMessageMaxBytes - 4 : id * 50));
      made.world.settle();
      made.sink.read();
      made.world.settle();
    }
    expect(made.sink.ids).toHaveLength(40);
  });

  it("says when a message is too long, and takes nothing more", () => {
    const made = pair();
    write(made, numbered(1, limits.droppableMessageMaxBytes));
    expect(made.near.drops?.tooLarge).toBe(true);
    write(made, numbered(2, 1));
    expect(made.near.queue.bytes).toBe(0);
  });
});

describe("tombstones", () => {
  it("stand for old messages after a move, fresh ones are repeated, and counts stay right", () => {
    const made = pair();
    const [path] = made.world.paths as [VirtualPath];
    write(made, numbered(1, 50));
    made.world.pump(path);
    made.world.advance(limits.droppableReplayMaxAgeMs + 1);
    write(made, numbered(2, 50));
    made.world.pump(path);
    made.world.cut(path.id);
    made.world.addPath("interactive");
    made.world.settle();
    expect(made.sink.ids).toEqual([2]);
    expect(made.near.drops?.droppedCount).toBe(1);
    halfCloseChannel(made.world.initiator.trunk, made.near);
    made.world.settle();
    expect(made.sink.half).toBe(true);
    expect(made.sink.arrivedBytes).toBe(made.near.sentBytes);
  });

  it("never make a batch longer", () => {
    const made = pair();
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 300 }), { minLength: 1, maxLength: 20 }), (sizes) => {
        const frames = sizes.map((size) => ({
          kind: "data" as const,
          channelId: made.near.id,
          data: numbered(7, size),
        }));
        const batch = encodeMessage({ kind: "batch", seq: 300, frames });
        expect(withTombstones(batch, new Map([[made.near.id, made.near]])).length).toBeLessThan(batch.length);
      }),
    );
  });

  it("break the protocol on a channel that may drop nothing", () => {
    const world = new VirtualWorld();
    const path = world.addPath("bulk");
    world.settle();
    const channel = world.initiator.open("bulk");
    world.settle();
    const frames = [{ kind: "tombstone" as const, channelId: channel.channel.id, bytes: 5 }];
    const seq = world.acceptor.trunk.lanes.bulk.expectedSeq;
    const bytes = encodeMessage({ kind: "batch", seq, frames });
    world.acceptor.trunk.receive(path.id, bytes.subarray(GRPC_PREFIX_BYTES), world.nowMs);
    expect(world.acceptor.end?.cause).toBe("protocol");
  });
});

describe("LAW-T1 for droppable messages", () => {
  it("each arrives once, whole and in order, or was counted as dropped, under any fault", () => {
    const kinds = ["pump", "down", "up", "read", "freeze", "thaw", "lose", "add", "move"] as const;
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.record({ do: fc.constant("write" as const), n: fc.nat({ max: 3_000 }) }) },
      { weight: 9, arbitrary: fc.record({ do: fc.constantFrom(...kinds), n: fc.nat({ max: 400 }) }) },
    );
    fc.assert(
      fc.property(fc.array(step, { minLength: 30, maxLength: 200 }), (steps) => {
        const made = pair();
        const { world, near, sink } = made;
        let id = 0;
        for (const action of steps) {
          const path = world.paths[action.n % Math.max(1, world.paths.length)];
          world.advance(action.n % 120);
          if (action.do === "write") write(made, numbered(++id, action.n));
          else if (action.do === "read") sink.read();
          else if (action.do === "add" && world.paths.length < 5) world.addPath("interactive");
          else if (path === undefined) continue;
          else if (action.do === "pump") world.pump(path);
          else if (action.do === "down" || action.do === "up") world.deliver(path, action.do === "down");
          else if (action.do === "freeze") path.frozen = true;
          else if (action.do === "thaw") path.frozen = false;
          else if (action.do === "lose") world.cut(path.id);
          else if (action.do === "move") world.initiator.trunk.move(path.id, world.nowMs);
          world.check();
          // Too many moves without progress end a trunk by right; what is looked for here is another thing.
          if (world.initiator.end !== undefined) {
            expect(world.initiator.end.detail).toMatch(/^moves without progress$/);
            return;
          }
        }
        for (const path of [...world.paths]) world.cut(path.id);
        world.advance(3_000);
        world.addPath("interactive");
        write(made, numbered(++id, 1));
        for (let round = 0; round < 20; round += 1) {
          sink.read();
          world.settle();
        }
        halfCloseChannel(world.initiator.trunk, near);
        world.settle();
        expect([world.initiator.end, world.acceptor.end, sink.half]).toEqual([undefined, undefined, true]);
        expect(sink.arrivedBytes).toBe(near.sentBytes);
        expect(sink.ids.at(-1)).toBe(id);
        expect(sink.ids.length + (near.drops?.droppedCount ?? 0)).toBeGreaterThanOrEqual(id);
      }),
      { numRuns: 200 },
    );
  });
});
