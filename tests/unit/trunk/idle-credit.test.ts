/** Credit that a sender does not use goes back to the pools, and no order of messages makes the two ends disagree about it. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { halfCloseChannel, returnIdleCredit } from "../../../fabric/trunk/channel-ops.ts";
import { KiB, limits, MiB } from "../../../lib/limits.ts";
import type { VirtualChannel, VirtualPath } from "./virtual-edges.ts";
import { VirtualWorld } from "./virtual-edges.ts";

function ready(): { world: VirtualWorld; bulk: VirtualPath } {
  const world = new VirtualWorld();
  const bulk = world.addPath("bulk");
  world.settle();
  return { world, bulk };
}

const farOf = (world: VirtualWorld, near: VirtualChannel): VirtualChannel =>
  world.acceptor.channels.get(near.channel.id) as VirtualChannel;

/** Writes and reads until the channel's window has grown. */
function grow(world: VirtualWorld, channel: VirtualChannel, bytes: number): void {
  const to = channel.writtenBytes + bytes;
  while (channel.writtenBytes < to) {
    channel.write(Math.min(64 * KiB, to - channel.writtenBytes));
    world.settle();
    for (const { end } of world.edges) if (end !== undefined) throw new Error(`the trunk ended: ${end.detail}`);
  }
}

/** Lets time pass as a shell does: it looks after what is idle every now and then. */
function pass(world: VirtualWorld, ms: number): void {
  for (let left = ms; left > 0; left -= limits.creditSweepMs) {
    world.advance(Math.min(left, limits.creditSweepMs));
    for (const edge of world.edges) returnIdleCredit(edge.trunk, world.nowMs);
    world.settle();
  }
}

const floor = limits.channelCreditStartBytes;

describe("LAW-T3 idle credit", () => {
  it("goes back after the channel was idle for a while, not before, and grows again with use", () => {
    const { world } = ready();
    const near = world.initiator.open("bulk");
    world.settle();
    grow(world, near, 4 * MiB);
    const far = farOf(world, near);
    const lent = far.channel.credit.windowBytes;
    expect(lent).toBeGreaterThan(8 * floor);
    expect(world.acceptor.trunk.pool.usedBytes).toBe(lent - floor);
    pass(world, limits.creditIdleMs - limits.creditSweepMs);
    expect(far.channel.credit.windowBytes).toBe(lent);
    pass(world, 3 * limits.creditSweepMs);
    expect(far.channel.credit.windowBytes).toBe(floor);
    expect(near.channel.sendLimitBytes).toBe(near.channel.sentBytes + floor);
    expect([world.acceptor.trunk.pool.usedBytes, world.pools[1].usedBytes]).toEqual([0, 0]);
    grow(world, near, 4 * MiB);
    expect(far.arrivedBytes).toBe(near.writtenBytes);
    expect(far.channel.credit.windowBytes).toBeGreaterThan(8 * floor);
    expect(world.acceptor.end).toBeUndefined();
  });

  it("goes back from every channel that fell silent", () => {
    const { world } = ready();
    const silent = Array.from({ length: 6 }, () => world.initiator.open("bulk"));
    world.settle();
    for (const channel of silent) grow(world, channel, 4 * MiB);
    expect(world.acceptor.trunk.pool.usedBytes).toBeGreaterThan(4 * MiB);
    pass(world, limits.creditIdleMs + 2 * limits.creditSweepMs);
    expect(world.acceptor.trunk.pool.usedBytes).toBe(0);
  });

  it("stays while bytes wait for a path: that is no idleness", () => {
    const { world, bulk } = ready();
    const near = world.initiator.open("bulk");
    world.settle();
    grow(world, near, MiB);
    const before = near.channel.sendLimitBytes;
    world.cut(bulk.id);
    near.write(100 * KiB);
    pass(world, 2 * limits.creditIdleMs);
    expect(near.channel.sendLimitBytes).toBe(before);
  });

  it("a half-closed direction gives its share back without waiting for the other", () => {
    const { world } = ready();
    const near = world.initiator.open("bulk");
    world.settle();
    grow(world, near, 4 * MiB);
    expect(world.acceptor.trunk.pool.usedBytes).toBeGreaterThan(0);
    halfCloseChannel(world.initiator.trunk, near.channel);
    world.settle();
    expect([world.acceptor.trunk.pool.usedBytes, farOf(world, near).end]).toEqual([0, undefined]);
  });

  it("never makes the ends disagree: no overrun, no standstill, whatever crosses", () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.record({ do: fc.constant("write" as const), kib: fc.integer({ min: 1, max: 96 }) }) },
      {
        weight: 3,
        arbitrary: fc.record({ do: fc.constantFrom("pump" as const, "read" as const), kib: fc.constant(0) }),
      },
      { weight: 4, arbitrary: fc.record({ do: fc.constantFrom("down" as const, "up" as const), kib: fc.constant(0) }) },
      { weight: 4, arbitrary: fc.record({ do: fc.constant("look" as const), kib: fc.constant(0) }) },
      {
        weight: 1,
        arbitrary: fc.record({ do: fc.constantFrom("move" as const, "lose" as const), kib: fc.constant(0) }),
      },
    );
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 120 }), (steps) => {
        const { world } = ready();
        const near = world.initiator.open("bulk");
        world.settle();
        grow(world, near, 256 * KiB);
        const far = farOf(world, near);
        far.reading = false;
        for (const action of steps) {
          const path = world.paths[0] as VirtualPath;
          if (action.do === "write") near.write(action.kib * KiB);
          else if (action.do === "pump") world.pump(path);
          else if (action.do === "read") far.read((far.arrivedBytes - far.readBytes) / 2 + 1);
          else if (action.do === "down") world.deliver(path, true);
          else if (action.do === "up") world.deliver(path, false);
          else if (action.do === "look") {
            world.advance(limits.creditIdleMs / 2);
            for (const edge of world.edges) returnIdleCredit(edge.trunk, world.nowMs);
          } else {
            const next = world.addPath("bulk");
            if (action.do === "lose") world.cut(path.id);
            while (world.pump(next) || world.deliver(next, true) || world.deliver(next, false));
            if (action.do === "move") world.initiator.trunk.move(next.id, world.nowMs);
            if (world.paths.length > 4) world.cut(path.id);
          }
          world.check();
        }
        far.reading = true;
        world.settle();
        expect([world.initiator.end, world.acceptor.end]).toEqual([undefined, undefined]);
        expect(far.arrivedBytes).toBe(near.writtenBytes);
        grow(world, near, 100 * KiB);
        expect(far.arrivedBytes).toBe(near.writtenBytes);
      }),
      { numRuns: 150 },
    );
  });
});
