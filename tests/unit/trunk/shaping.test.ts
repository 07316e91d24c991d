/** Rates and priorities in the pure trunk, by a clock that only the test moves. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { applyQos } from "../../../fabric/trunk/apply-qos.ts";
import type { ChannelShape, TrunkQos } from "../../../fabric/trunk/shaper.ts";
import { KiB, limits, MiB } from "../../../lib/limits.ts";
import { RateBucket, type RateShape } from "../../../lib/rate-bucket.ts";
import { runs } from "../../harness/counts.ts";
import type { VirtualChannel } from "./virtual-edges.ts";
import { VirtualWorld } from "./virtual-edges.ts";

const unlimited: ChannelShape = { weight: 1, key: "", rate: undefined };

function policy(lanes: Partial<Record<"interactive" | "bulk", RateShape>>, change: Partial<TrunkQos> = {}): TrunkQos {
  return { lane: (name) => lanes[name], channel: () => unlimited, ...change };
}

/** Two lanes, each on a path of its own, as edges have them. */
function worldWith(qos: TrunkQos): VirtualWorld {
  const world = new VirtualWorld();
  world.addPath("interactive");
  world.addPath("bulk");
  world.settle();
  applyQos(world.initiator.trunk, qos, world.nowMs);
  return world;
}

const farOf = (world: VirtualWorld, channel: VirtualChannel): VirtualChannel =>
  world.acceptor.channels.get(channel.channel.id) as VirtualChannel;
const arrived = (world: VirtualWorld, channel: VirtualChannel): number => farOf(world, channel)?.arrivedBytes ?? 0;

/** What an unlimited lane carries in one step, in rounds of writing and delivering: its line has a rate too. */
const ROUNDS = 4;

/** One step of the world: writers write all they can, what may move moves for some rounds, then time passes. */
function step(world: VirtualWorld, writers: readonly VirtualChannel[], ms: number): void {
  for (let round = 0, busy = true; busy && round < ROUNDS; round += 1) {
    busy = false;
    for (const channel of writers) if (channel.write(limits.channelSendQueueBytes) > 0) busy = true;
    for (const path of world.paths) {
      if (world.pump(path)) busy = true;
      while (world.deliver(path, true)) busy = true;
      while (world.deliver(path, false)) busy = true;
    }
    for (const edge of world.edges) {
      for (const channel of edge.channels.values()) {
        if (channel.reading && channel.readBytes < channel.arrivedBytes) channel.read(channel.arrivedBytes);
      }
    }
  }
  world.advance(ms);
}

describe("a rate bucket", () => {
  it("gives at most rate x t + burst over any span, whatever is asked when", () => {
    const asks = fc.array(fc.record({ afterMs: fc.nat({ max: 400 }), bytes: fc.nat({ max: 200_000 }) }), {
      minLength: 1,
      maxLength: 80,
    });
    const shapes = fc.record({
      rateBytesPerSecond: fc.integer({ min: 1_000, max: 10_000_000 }),
      burstBytes: fc.integer({ min: 1, max: 500_000 }),
    });
    fc.assert(
      fc.property(shapes, asks, (shape, list) => {
        const bucket = new RateBucket(shape, 0);
        const taken: { readonly atMs: number; readonly bytes: number }[] = [];
        let nowMs = 0;
        for (const { afterMs, bytes } of list) {
          nowMs += afterMs;
          const piece = Math.min(bytes, bucket.roomBytes(nowMs));
          bucket.take(piece, nowMs);
          taken.push({ atMs: nowMs, bytes: piece });
        }
        for (const [i, from] of taken.entries()) {
          let sum = 0;
          for (const at of taken.slice(i)) {
            sum += at.bytes;
            const allowed = shape.burstBytes + ((at.atMs - from.atMs) * shape.rateBytesPerSecond) / 1_000;
            expect(sum).toBeLessThanOrEqual(allowed + 1e-6);
          }
        }
      }),
      { numRuns: runs(200, 20_000) },
    );
  });

  it("says how long to wait, and has room then", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1_000, max: 10_000_000 }), fc.integer({ min: 1, max: 500_000 }), (rate, bytes) => {
        const bucket = new RateBucket({ rateBytesPerSecond: rate, burstBytes: 100_000 }, 0);
        bucket.take(150_000, 0);
        const waitMs = bucket.waitMs(bytes, 0);
        expect(bucket.roomBytes(waitMs - 1)).toBeLessThan(Math.min(bytes, 100_000));
        expect(bucket.roomBytes(waitMs + 1e-6)).toBeGreaterThanOrEqual(Math.min(bytes, 100_000) - 1);
      }),
      { numRuns: runs(200, 20_000) },
    );
  });

  it("changes shape without a new burst", () => {
    const bucket = new RateBucket({ rateBytesPerSecond: 1_000, burstBytes: 100_000 }, 0);
    bucket.take(100_000, 0);
    bucket.reshape({ rateBytesPerSecond: 2_000, burstBytes: 150_000 }, 0);
    expect(bucket.roomBytes(0)).toBe(50_000);
    bucket.reshape({ rateBytesPerSecond: 2_000, burstBytes: 60_000 }, 0);
    expect(bucket.roomBytes(0)).toBe(0);
  });
});

describe("a lane with a rate", () => {
  const rate: RateShape = { rateBytesPerSecond: 500_000, burstBytes: 128 * KiB };

  it("sends the rate within 10 %, and never more than rate x t + burst", () => {
    const world = worldWith(policy({ bulk: rate }));
    const channels = [world.initiator.open("bulk"), world.initiator.open("bulk")];
    const startMs = world.nowMs;
    for (let i = 0; i < 1_000; i += 1) {
      step(world, channels, 5);
      const bytes = channels.reduce((sum, channel) => sum + arrived(world, channel), 0);
      const allowed = rate.burstBytes + ((world.nowMs - startMs) * rate.rateBytesPerSecond) / 1_000;
      expect(bytes).toBeLessThanOrEqual(allowed);
    }
    const bytes = channels.reduce((sum, channel) => sum + arrived(world, channel), 0);
    expect(bytes / ((world.nowMs - startMs) / 1_000) / rate.rateBytesPerSecond).toBeGreaterThan(0.9);
    expect(world.initiator.end).toBeUndefined();
  });

  it("LAW-T4 never slows the other lane: every interactive message leaves at once", () => {
    const world = worldWith(policy({ bulk: { rateBytesPerSecond: 64 * KiB, burstBytes: 64 * KiB } }));
    const bulk = world.initiator.open("bulk");
    const interactive = world.initiator.open("interactive");
    for (let i = 0; i < 2_000; i += 1) {
      interactive.write(1_000);
      step(world, [bulk], 1);
      expect(arrived(world, interactive)).toBe(interactive.writtenBytes);
    }
    expect(arrived(world, bulk)).toBeLessThan(64 * KiB * 3.2);
  });

  it("SH2 opens, credit and ends do not wait for it", () => {
    const world = worldWith(policy({ bulk: { rateBytesPerSecond: 1_000, burstBytes: 64 * KiB } }));
    const full = world.initiator.open("bulk");
    for (let i = 0; i < 20; i += 1) step(world, [full], 1);
    const later = world.initiator.open("bulk");
    later.halfClose();
    step(world, [], 0);
    expect(farOf(world, later).remoteHalf).toBe(true);
    // And the other direction of the limited lane flows, on the credit that this side gives.
    const far = farOf(world, full);
    for (let i = 0; i < 50; i += 1) step(world, [far], 1);
    expect(full.arrivedBytes).toBeGreaterThan(2 * MiB);
  });

  it("LAW-T1 repeats within its rate after a move, in order and without loss", () => {
    const world = worldWith(policy({ bulk: rate }));
    const channel = world.initiator.open("bulk");
    for (let moves = 0; moves < 3; moves += 1) {
      for (let i = 0; i < 100; i += 1) step(world, [channel], 5);
      const old = world.paths.find((path) => path.lane === "bulk");
      if (old === undefined) throw new Error("no path");
      old.frozen = true;
      for (let i = 0; i < 20; i += 1) step(world, [channel], 5);
      world.addPath("bulk");
      step(world, [channel], 5);
      world.cut(old.id);
    }
    for (let i = 0; i < 4_000 && arrived(world, channel) < channel.writtenBytes; i += 1) step(world, [], 5);
    expect(arrived(world, channel)).toBe(channel.writtenBytes);
    expect(world.initiator.trunk.moves).toBeGreaterThanOrEqual(3);
  });

  it("is lifted and set again while it runs", () => {
    const world = worldWith(policy({ bulk: rate }));
    const channel = world.initiator.open("bulk");
    for (let i = 0; i < 200; i += 1) step(world, [channel], 5);
    const limited = arrived(world, channel);
    applyQos(world.initiator.trunk, policy({}), world.nowMs);
    for (let i = 0; i < 20; i += 1) step(world, [channel], 5);
    const free = arrived(world, channel) - limited;
    expect(free).toBeGreaterThan(2 * limited);
    applyQos(world.initiator.trunk, policy({ bulk: rate }), world.nowMs);
    const before = arrived(world, channel);
    for (let i = 0; i < 200; i += 1) step(world, [channel], 5);
    expect(arrived(world, channel) - before).toBeLessThanOrEqual(rate.burstBytes + rate.rateBytesPerSecond);
  });
});

describe("a resource with a rate of its own", () => {
  const own: RateShape = { rateBytesPerSecond: 200_000, burstBytes: 64 * KiB };
  const byClass = (shapes: Readonly<Record<number, ChannelShape>>): Partial<TrunkQos> => ({
    channel: (open) => shapes[open.resource === "slow" ? 1 : 0] ?? unlimited,
  });

  function openAs(world: VirtualWorld, resource: string): VirtualChannel {
    const channel = world.initiator.open("bulk");
    Object.assign(channel.channel.open, { resource });
    return channel;
  }

  it("LAW-T4 is held to it in all its channels, and the rest of the lane is not", () => {
    const qos = policy({}, byClass({ 1: { weight: 1, key: "slow", rate: own } }));
    const world = worldWith(qos);
    const slow = [openAs(world, "slow"), openAs(world, "slow"), openAs(world, "slow")];
    const fast = openAs(world, "fast");
    applyQos(world.initiator.trunk, qos, world.nowMs);
    const startMs = world.nowMs;
    for (let i = 0; i < 300; i += 1) step(world, [...slow, fast], 5);
    const seconds = (world.nowMs - startMs) / 1_000;
    const bytes = slow.map((channel) => arrived(world, channel));
    const sum = bytes.reduce((a, b) => a + b, 0);
    expect(sum).toBeLessThanOrEqual(own.burstBytes + own.rateBytesPerSecond * seconds);
    expect(sum).toBeGreaterThan(own.rateBytesPerSecond * seconds * 0.85);
    expect(Math.min(...bytes)).toBeGreaterThan(Math.max(...bytes) / 3);
    expect(arrived(world, fast)).toBeGreaterThan(20 * MiB);
  });

  it("goes on when its rate is lifted while it waits", () => {
    const limitedQos = policy({}, byClass({ 1: { weight: 1, key: "slow", rate: own } }));
    const world = worldWith(limitedQos);
    const slow = openAs(world, "slow");
    applyQos(world.initiator.trunk, limitedQos, world.nowMs);
    for (let i = 0; i < 10; i += 1) step(world, [slow], 5);
    applyQos(world.initiator.trunk, policy({}), world.nowMs);
    for (let i = 0; i < 20; i += 1) step(world, [slow], 5);
    expect(arrived(world, slow)).toBeGreaterThan(4 * MiB);
  });
});

describe("priority", () => {
  it("shares a full lane in proportion, and leaves nobody out", () => {
    const weights: Record<string, number> = { a: 1, b: 3, c: 0.5 };
    const qos = policy(
      { bulk: { rateBytesPerSecond: 4_000_000, burstBytes: 256 * KiB } },
      { channel: (open) => ({ weight: weights[open.resource] ?? 1, key: open.resource, rate: undefined }) },
    );
    const world = worldWith(qos);
    const channels = ["a", "b", "c"].map((resource) => {
      const channel = world.initiator.open("bulk");
      Object.assign(channel.channel.open, { resource });
      return channel;
    });
    applyQos(world.initiator.trunk, qos, world.nowMs);
    for (let i = 0; i < 800; i += 1) step(world, channels, 5);
    const [a = 0, b = 0, c = 0] = channels.map((channel) => arrived(world, channel));
    expect(b / a).toBeGreaterThan(2.5);
    expect(b / a).toBeLessThan(3.5);
    expect(a / c).toBeGreaterThan(1.6);
    expect(a / c).toBeLessThan(2.4);
  });
});
