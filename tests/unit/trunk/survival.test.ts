/** LAW-T1 and LAW-T3 over random walks: several paths at once, freezes, late delivery, cuts, moves from both ends at once. */

import { describe, expect, it } from "vitest";
import type { Random } from "../../../lib/random.ts";
import { randomInt, seededRandom } from "../../../lib/random.ts";
import { runs } from "../../harness/counts.ts";
import type { VirtualChannel, VirtualEdge, VirtualPath } from "./virtual-edges.ts";
import { VirtualWorld } from "./virtual-edges.ts";

const pick = <T>(random: Random, items: readonly T[]): T | undefined => items[randomInt(random, items.length)];
const laneOf = (random: Random): "interactive" | "bulk" => (random.float() < 0.5 ? "interactive" : "bulk");

/** Time passes after every move: three within two seconds without an ack in between would end the trunk. */
function afterMoves(world: VirtualWorld): void {
  if (!world.moved) return;
  world.moved = false;
  world.advance(2_100);
}

function channelStep(random: Random, channel: VirtualChannel): void {
  const what = random.float();
  if (what < 0.6) channel.write(1 + randomInt(random, random.float() < 0.1 ? 90_000 : 3_000));
  else if (what < 0.9) channel.read(1 + randomInt(random, 60_000));
  else if (what < 0.93) channel.reading = !channel.reading;
}

function pathStep(world: VirtualWorld, random: Random, path: VirtualPath): void {
  const what = random.float();
  if (what < 0.5) world.pump(path);
  else if (what < 0.9) for (let n = randomInt(random, 6); n >= 0; n -= 1) world.deliver(path, random.float() < 0.5);
  else if (what < 0.95) path.frozen = !path.frozen && path.alive.initiator && path.alive.acceptor;
  else if (what < 0.97 && world.paths.length > 2) world.cut(path.id);
  else if (world.paths.length > 2) world.cutAt(path, pick(random, world.edges) as VirtualEdge);
}

function moveStep(world: VirtualWorld, random: Random): void {
  const both = random.float() < 0.4;
  for (const edge of both ? world.edges : [pick(random, world.edges) as VirtualEdge]) {
    const path = pick(random, world.paths);
    if (path !== undefined) edge.trunk.move(path.id, world.nowMs);
  }
}

function walk(seed: number): { moves: number; replayed: number; bytes: number } {
  const random = seededRandom(seed);
  const world = new VirtualWorld();
  for (const lane of ["interactive", "bulk"] as const) world.addPath(lane);
  world.settle();
  afterMoves(world);
  for (let step = 0; step < 260; step += 1) {
    const what = random.float();
    if (what < 0.04) world.initiator.open(laneOf(random));
    else if (what < 0.08 && world.paths.length < 7) world.addPath(laneOf(random));
    else if (what < 0.14) moveStep(world, random);
    else if (what < 0.2) world.advance(randomInt(random, 50));
    else if (what < 0.55) {
      const edge = pick(random, world.edges) as VirtualEdge;
      const channel = pick(random, [...edge.channels.values()]);
      if (channel !== undefined) channelStep(random, channel);
    } else {
      const path = pick(random, world.paths);
      if (path !== undefined) pathStep(world, random, path);
    }
    afterMoves(world);
    world.check();
  }
  return finish(world);
}

/** Everything thaws, everybody half-closes: all bytes must arrive. */
function finish(world: VirtualWorld): { moves: number; replayed: number; bytes: number } {
  for (const path of [...world.paths]) {
    path.frozen = false;
    if (!path.alive.initiator || !path.alive.acceptor) world.cut(path.id);
    afterMoves(world);
  }
  for (const lane of ["interactive", "bulk"] as const) world.addPath(lane);
  for (const edge of world.edges) for (const channel of edge.channels.values()) channel.reading = true;
  world.settle();
  for (const edge of world.edges) for (const channel of edge.channels.values()) channel.halfClose();
  world.settle();
  let bytes = 0;
  for (const edge of world.edges) {
    expect(edge.end).toBeUndefined();
    const other = edge.initiator ? world.acceptor : world.initiator;
    for (const [id, channel] of edge.channels) {
      expect(other.channels.get(id)?.arrivedBytes).toBe(channel.writtenBytes);
      expect(channel.remoteHalf).toBe(true);
      bytes += channel.writtenBytes;
    }
    for (const lane of ["interactive", "bulk"] as const) {
      expect(edge.trunk.lanes[lane].channels.size).toBe(0);
      expect(edge.trunk.lanes[lane].replay.count).toBe(0);
    }
    expect(edge.trunk.pool.usedBytes).toBe(0);
  }
  const moves = [...world.initiator.moves, ...world.acceptor.moves];
  return { moves: moves.length, replayed: moves.reduce((sum, move) => sum + move.replayedBytes, 0), bytes };
}

describe("LAW-T1 LAW-T3 a trunk over paths that freeze, thaw, vanish and are moved between", () => {
  it("delivers every byte once and in order, within every bound", { timeout: 600_000 }, () => {
    let moves = 0;
    let replayed = 0;
    let bytes = 0;
    const count = runs(300, 20_000);
    for (let seed = 1; seed <= count; seed += 1) {
      try {
        const result = walk(seed);
        moves += result.moves;
        replayed += result.replayed;
        bytes += result.bytes;
      } catch (error) {
        throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
      }
    }
    // The walks must have been worth walking.
    console.info(`walks: ${count}, moves: ${moves}, bytes: ${bytes}, sent again: ${replayed}`);
    expect(moves).toBeGreaterThan(count * 4);
    expect(replayed).toBeGreaterThan(count * 1_000);
    expect(bytes).toBeGreaterThan(count * 10_000);
  });
});
