/** What the trunk promises beside survival: isolation, shares, honest ends, and calm under hostile bytes. */

import { describe, expect, it } from "vitest";
import { resetChannel } from "../../../fabric/trunk/channel-ops.ts";
import { encodeMessage, GRPC_PREFIX_BYTES } from "../../../fabric/trunk/encode.ts";
import type { Frame, Message } from "../../../fabric/trunk/messages.ts";
import type { NoticeKind } from "../../../gen/weft/channel/v1/channel_pb.ts";
import { ChannelEnd, ChannelStage } from "../../../gen/weft/channel/v1/channel_pb.ts";
import { KiB, limits, MiB } from "../../../lib/limits.ts";
import { randomInt, seededRandom } from "../../../lib/random.ts";
import { runs } from "../../harness/counts.ts";
import type { VirtualChannel, VirtualPath } from "./virtual-edges.ts";
import { VirtualWorld } from "./virtual-edges.ts";

function ready(): { world: VirtualWorld; bulk: VirtualPath; interactive: VirtualPath } {
  const world = new VirtualWorld();
  // One connection for both lanes.
  const interactive = world.addPath("interactive", 1);
  const bulk = world.addPath("bulk", 1);
  world.settle();
  return { world, bulk, interactive };
}

const farOf = (world: VirtualWorld, channel: VirtualChannel): VirtualChannel =>
  world.acceptor.channels.get(channel.channel.id) as VirtualChannel;

/** Hands a message straight to the acceptor's trunk. */
function inject(world: VirtualWorld, path: VirtualPath, message: Message): void {
  world.honest = false;
  world.acceptor.trunk.receive(path.id, encodeMessage(message).subarray(GRPC_PREFIX_BYTES), world.nowMs);
}

const batch = (seq: number, ...frames: Frame[]): Message => ({ kind: "batch", seq, frames });

describe("LAW-T4 a stalled channel", () => {
  it("never slows another, and holds no more than its bounds", () => {
    const { world } = ready();
    const stalled = Array.from({ length: 20 }, () => world.initiator.open("bulk"));
    const moving = world.initiator.open("bulk");
    world.settle();
    for (const channel of stalled) farOf(world, channel).reading = false;
    let rounds = 0;
    while (moving.writtenBytes < 8 * MiB) {
      for (const channel of stalled) channel.write(64 * KiB);
      moving.write(128 * KiB);
      world.settle();
      rounds += 1;
    }
    // Every round all of it got through: nobody waited for the stalled ones.
    expect(rounds).toBe(64);
    expect(farOf(world, moving).arrivedBytes).toBe(moving.writtenBytes);
    for (const channel of stalled) {
      const far = farOf(world, channel);
      expect(far.arrivedBytes).toBe(limits.channelCreditStartBytes);
      expect(channel.writtenBytes).toBeLessThanOrEqual(limits.channelCreditStartBytes + limits.channelSendQueueBytes);
    }
    // And they go on when their readers do.
    for (const channel of stalled) farOf(world, channel).reading = true;
    world.settle();
    for (const channel of stalled) expect(farOf(world, channel).arrivedBytes).toBe(channel.writtenBytes);
  });

  it("gives each of many busy channels its turn", () => {
    const { world, bulk } = ready();
    const channels = Array.from({ length: 10 }, () => world.initiator.open("bulk"));
    world.settle();
    for (const channel of channels) channel.write(16 * KiB);
    for (let i = 0; i < 3; i += 1) {
      world.initiator.trunk.pullControl(bulk.id, world.nowMs);
      world.initiator.trunk.pullBatch(bulk.id, world.nowMs);
      world.initiator.trunk.batchWritten(bulk.id);
      const sent = channels.map(({ channel }) => channel.sentBytes);
      expect(Math.max(...sent) - Math.min(...sent)).toBeLessThanOrEqual(7 * KiB);
    }
  });
});

describe("lanes on one connection", () => {
  it("share it 8 : 1 by bytes while both have something to send, and bulk takes all of it otherwise", () => {
    const { world, bulk, interactive } = ready();
    const { trunk } = world.initiator;
    const open = (lane: "bulk" | "interactive"): VirtualChannel[] =>
      Array.from({ length: 12 }, () => world.initiator.open(lane));
    const channels = [...open("bulk"), ...open("interactive")];
    for (let round = 0; round < 40; round += 1) {
      for (const channel of channels) channel.write(128 * KiB);
      world.settle();
    }
    const sent = { bulk: 0, interactive: 0 };
    for (let round = 0; round < 400; round += 1) {
      for (const channel of channels) channel.write(128 * KiB);
      for (const path of [bulk, interactive]) {
        const control = trunk.pullControl(path.id, world.nowMs);
        if (control !== undefined) path.down.push({ bytes: control, batch: false });
        // Both are asked twice as often as they could write: the share is the trunk's doing.
        const piece = trunk.pullBatch(path.id, world.nowMs);
        if (piece === undefined) continue;
        sent[path.lane] += piece.length;
        path.down.push({ bytes: piece, batch: true });
        trunk.batchWritten(path.id);
      }
      for (const path of world.paths) {
        while (world.deliver(path, true));
        for (const far of world.acceptor.channels.values()) far.read(far.arrivedBytes);
      }
      world.advance(5);
      // Only the far end writes freely.
      for (const path of world.paths) {
        const control = world.acceptor.trunk.pullControl(path.id, world.nowMs);
        if (control !== undefined) path.up.push({ bytes: control, batch: false });
        const credit = world.acceptor.trunk.pullBatch(path.id, world.nowMs);
        if (credit !== undefined) {
          path.up.push({ bytes: credit, batch: true });
          world.acceptor.trunk.batchWritten(path.id);
        }
        while (world.deliver(path, false));
      }
    }
    expect(sent.interactive / sent.bulk).toBeGreaterThan(7);
    expect(sent.interactive / sent.bulk).toBeLessThan(9);
  });
});

describe("LAW-T3 with acks that never come", () => {
  it("stops at the window, keeps headroom for control frames, and says so to producers", () => {
    const { world, bulk } = ready();
    const channels = Array.from({ length: 100 }, () => world.initiator.open("bulk"));
    world.settle();
    const { trunk } = world.initiator;
    const lane = trunk.lanes.bulk;
    for (let round = 0; round < 200; round += 1) {
      for (const channel of channels) channel.write(8 * KiB);
      while (trunk.pullBatch(bulk.id, world.nowMs) !== undefined) trunk.batchWritten(bulk.id);
    }
    const held = lane.replay.costBytes;
    expect(held).toBeLessThanOrEqual(lane.window.sizeBytes);
    expect(channels.every((channel) => channel.write(1) === 0 || channel.channel.queue.bytes > 0)).toBe(true);
    // A reset still leaves.
    resetChannel(trunk, (channels[0] as VirtualChannel).channel, ChannelEnd.CANCELED, ChannelStage.ENTRY);
    expect(trunk.pullBatch(bulk.id, world.nowMs)).toBeDefined();
    expect(lane.replay.costBytes).toBeLessThanOrEqual(lane.window.sizeBytes + limits.controlHeadroomBytes);
  });
});

describe("a peer that breaks the protocol ends the trunk", () => {
  const data = (channelId: number, bytes: number): Frame => ({ kind: "data", channelId, data: Buffer.alloc(bytes) });
  const open = (channelId: number): Frame => ({
    kind: "open",
    channelId,
    open: { resource: "r", class: 1, origin: undefined, correlationId: "" },
  });
  it.each<[string, Message[]]>([
    ["a gap in the sequence", [batch(2)]],
    ["a batch without a number", [batch(0)]],
    ["data beyond the credit", [batch(1, open(1), data(1, 16 * KiB)), batch(2, data(1, 1))]],
    ["data on a channel nobody opened", [batch(1, data(7, 1))]],
    ["an id of the other lane", [batch(1, open(2))]],
    ["an id used before", [batch(1, open(3), open(1))]],
    ["a half-close with another count", [batch(1, open(1), { kind: "half_close", channelId: 1, totalBytes: 5 })]],
    ["data after a half-close", [batch(1, open(1), { kind: "half_close", channelId: 1, totalBytes: 0 }, data(1, 1))]],
    ["an ack for what was never sent", [{ kind: "ack", nextExpectedSeq: 1_000 }]],
    [
      "a second attach",
      [
        {
          kind: "attach",
          attach: {
            trunkId: Buffer.alloc(16),
            lane: 2,
            generation: 0,
            nextExpectedSeq: 1,
            proof: Buffer.alloc(32),
            ask: Buffer.alloc(0),
            askSignature: Buffer.alloc(0),
          },
        },
      ],
    ],
    ["a frame of an unknown kind", [batch(1, open(1), { kind: "unknown", channelId: 1 })]],
    [
      "an open that is too long",
      [
        batch(1, {
          kind: "open",
          channelId: 1,
          open: { resource: "x".repeat(5_000), class: 1, origin: undefined, correlationId: "" },
        }),
      ],
    ],
  ])("%s", (_name, messages) => {
    const { world, bulk } = ready();
    for (const message of messages) {
      expect(world.acceptor.end).toBeUndefined();
      inject(world, bulk, message);
    }
    expect(world.acceptor.end?.cause).toBe("protocol");
    // The far end is told, and its channels end honestly.
    const mine = world.initiator.open("bulk");
    world.settle();
    expect(world.initiator.end?.cause).toBe("peer_protocol");
    expect(mine.end).toMatchObject({ end: ChannelEnd.TRUNK_LOST, stage: ChannelStage.FABRIC });
  });

  it("too many moves without progress: the replay holds something that kills what carries it", () => {
    const { world } = ready();
    const paths = Array.from({ length: limits.movesWithoutAckMaxCount + 1 }, () => world.addPath("bulk"));
    world.settle();
    world.advance(3_000);
    const channel = world.initiator.open("bulk");
    channel.write(1_000);
    for (const path of world.paths) world.pump(path);
    for (const path of world.paths) path.frozen = true;
    for (const path of paths) world.initiator.trunk.move(path.id, world.nowMs);
    expect(world.initiator.end).toEqual({ cause: "protocol", detail: "moves without progress" });
  });
});

describe("hostile bytes", () => {
  /** Messages that were right once, with bytes changed, cut or put together. */
  function mutated(seed: number): Buffer {
    const random = seededRandom(seed);
    const seq = 1 + randomInt(random, 3);
    const channelId = randomInt(random, 6);
    const frames: Frame[] = [
      { kind: "open", channelId, open: { resource: "r", class: 1, origin: undefined, correlationId: "c" } },
      { kind: "data", channelId, data: Buffer.from(random.bytes(randomInt(random, 200))) },
      {
        kind: "credit",
        channelId,
        limitBytes: randomInt(random, 1_000_000),
        writtenToTarget: 3,
        returnsSeen: randomInt(random, 2),
        ownLimitBytes: randomInt(random, 2) * randomInt(random, 100_000),
      },
      { kind: "tombstone", channelId, bytes: randomInt(random, 200) },
      { kind: "half_close", channelId, totalBytes: randomInt(random, 3) },
      { kind: "reset", channelId, reset: { end: 7, stage: 1, writtenToTarget: 0, correlationId: "" } },
    ];
    const kinds: Message[] = [
      batch(seq, ...frames.filter(() => random.float() < 0.5)),
      { kind: "ack", nextExpectedSeq: randomInt(random, 3) },
      { kind: "ping", id: randomInt(random, 9), owing: true },
      { kind: "notice", notice: randomInt(random, 3) as NoticeKind, detail: "x" },
      { kind: "move", generation: randomInt(random, 9) },
    ];
    const bytes = Buffer.from(
      encodeMessage(kinds[randomInt(random, kinds.length)] as Message).subarray(GRPC_PREFIX_BYTES),
    );
    for (let flips = randomInt(random, 4); flips > 0 && bytes.length > 0; flips -= 1) {
      bytes[randomInt(random, bytes.length)] = randomInt(random, 256);
    }
    return random.float() < 0.2 ? bytes.subarray(0, randomInt(random, bytes.length + 1)) : bytes;
  }

  it("never throw, end the trunk with a reason or are ignored, and leave memory flat", { timeout: 120_000 }, () => {
    const count = runs(10_000, 300_000);
    let { world, bulk } = ready();
    let ends = 0;
    const before = process.memoryUsage();
    for (let seed = 1; seed <= count; seed += 1) {
      world.honest = false;
      world.acceptor.trunk.receive(bulk.id, mutated(seed), world.nowMs);
      world.check();
      if (world.acceptor.end === undefined) continue;
      ends += 1;
      expect(world.acceptor.end.detail).not.toBe("");
      expect(world.acceptor.trunk.pool.usedBytes).toBe(0);
      ({ world, bulk } = ready());
    }
    const after = process.memoryUsage();
    expect(ends).toBeGreaterThan(count / 20);
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(64 * MiB);
  });

  it("from somebody who has proved nothing cost an attachment, not the trunk", () => {
    const { world } = ready();
    const path = world.addPath("bulk");
    world.initiator.trunk.receive(path.id, Buffer.from([0xff, 0xff]), world.nowMs);
    expect(world.initiator.trunk.attachment(path.id)).toBeUndefined();
    expect(world.initiator.end).toBeUndefined();
  });
});

describe("the end", () => {
  it("of a draining trunk comes when the last channel is done and acknowledged", () => {
    const { world } = ready();
    const channel = world.initiator.open("bulk");
    channel.write(100_000);
    world.initiator.trunk.drain();
    expect(() => world.initiator.open("bulk")).toThrow("takes no new channels");
    world.settle();
    expect(world.initiator.end).toBeUndefined();
    channel.halfClose();
    farOf(world, channel).halfClose();
    world.settle();
    expect(world.initiator.end?.cause).toBe("closed");
    expect(world.acceptor.end?.cause).toBe("peer_closed");
    expect(channel.end).toBeUndefined();
    expect(farOf(world, channel).arrivedBytes).toBe(100_000);
  });

  it("of a refused channel carries end, stage and how far it got", () => {
    const { world } = ready();
    const channel = world.initiator.open("interactive");
    world.settle();
    const far = farOf(world, channel);
    channel.write(500);
    world.settle();
    far.channel.writtenToTarget = 321;
    resetChannel(world.acceptor.trunk, far.channel, ChannelEnd.TARGET_RESET, ChannelStage.TARGET);
    world.settle();
    expect(channel.end).toEqual({
      end: ChannelEnd.TARGET_RESET,
      stage: ChannelStage.TARGET,
      writtenToTarget: 321,
      byPeer: true,
    });
    expect(world.initiator.trunk.lanes.interactive.channels.size).toBe(0);
    expect(world.acceptor.trunk.lanes.interactive.channels.size).toBe(0);
  });
});
