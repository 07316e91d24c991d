/** A mesh whose relays come and go all the time, and a far edge that hangs up all the time: what that costs the entry. */

import { describe, expect, it } from "vitest";
import { limits } from "../../lib/limits.ts";
import { seededRandom } from "../../lib/random.ts";
import { Checks, undelivered, unrest } from "./checks.ts";
import { quietHost } from "./playing.ts";
import { openChannels } from "./run.ts";
import { World } from "./world.ts";

const reset = { kind: "reset", sizeBytes: 0, streamId: 0 } as const;

const shape = {
  middles: 6,
  outers: 0,
  linkDelayMs: 2,
  leafLifeMs: undefined,
  channels: 2,
  lanes: "both",
  writeEveryMs: 20,
  writeMaxBytes: 400,
} as const;

async function busy(seed: number): Promise<{ readonly world: World; readonly checks: Checks }> {
  await quietHost();
  const world = new World(shape, seededRandom(seed));
  const checks = new Checks(world, false);
  openChannels(world);
  world.load();
  await world.loop.run(3_000, checks.turn);
  return { world, checks };
}

/** Calls `work` every so often until `untilMs`. */
function each(world: World, everyMs: () => number, untilMs: number, work: () => void): void {
  const next = (): void => {
    if (world.loop.nowMs >= untilMs) return;
    work();
    world.loop.at(world.loop.nowMs + everyMs(), next);
  };
  next();
}

/** Paths asked for in each second and in all while it runs. */
async function counted(world: World, checks: Checks, forMs: number) {
  const perSecond: number[] = [];
  const from = world.opener.asked;
  let before = from;
  for (let at = 0; at < forMs; at += 1_000) {
    await world.loop.run(world.loop.nowMs + 1_000, checks.turn);
    perSecond.push(world.opener.asked - before);
    before = world.opener.asked;
  }
  return { most: Math.max(...perSecond), all: before - from };
}

/** Of one trunk, with every way tried at once: a wish is at most three offers. */
const allowed = (forMs: number): number =>
  3 * (limits.trunkPathsBurstCount + (limits.trunkPathsPerMinute * forMs) / 60_000);

describe("LAW-R3 S3 a mesh that flaps", { timeout: 120_000 }, () => {
  it.each([1, 2, 3, 4])("makes no storm of paths, and everything arrives (seed %i)", async (seed) => {
    const { world, checks } = await busy(seed);
    const forMs = 60_000;
    const untilMs = world.loop.nowMs + forMs;
    for (const [at, relay] of world.relays.entries()) {
      // Up for a moment, down for a moment, each at its own pace; the last one flaps a little slower.
      const paceMs = at === 0 ? 1_500 : 300;
      let isUp = true;
      each(
        world,
        () => paceMs * (0.5 + world.random.float()),
        untilMs,
        () => {
          if (isUp) world.net.kill(relay);
          else world.net.restart(relay);
          isUp = !isUp;
        },
      );
      world.loop.at(untilMs + 1, () => world.net.restart(relay));
    }
    const { most, all } = await counted(world, checks, forMs);
    expect(most).toBeLessThanOrEqual(limits.offersPerInitiatorPerSecond);
    expect(all).toBeLessThanOrEqual(allowed(forMs));
    world.loading = false;
    world.loop.at(world.loop.nowMs, () => {
      for (const { stream } of world.applications) if (stream.isPaused()) stream.resume();
    });
    await world.loop.run(world.loop.nowMs + 30_000, checks.turn);
    expect(undelivered(world)).toEqual([]);
    expect(unrest(world)).toEqual([]);
  });

  it("LAW-T4 a far edge that hangs up whatever it is given costs its entry a bounded number of paths a minute", async () => {
    const { world, checks } = await busy(5);
    const forMs = 240_000;
    const untilMs = world.loop.nowMs + forMs;
    // Just long enough each time to count as a path that worked.
    each(
      world,
      () => 300,
      untilMs,
      () => {
        for (const { near, far } of world.opener.connections) {
          if (far.gone) continue;
          far.arrived(reset);
          world.loop.at(world.loop.nowMs + 2 * shape.linkDelayMs, () => near.arrived(reset));
        }
      },
    );
    const { all } = await counted(world, checks, forMs);
    expect(all).toBeGreaterThan(limits.trunkPathsBurstCount);
    expect(all).toBeLessThanOrEqual(allowed(forMs) / 3 + 60);
  });
});
