/** A lease as its holder keeps it, on a clock that only moves when told to. */

import { describe, expect, it } from "vitest";
import { ManualClock, type Timer } from "../../../lib/clock.ts";
import { WeftError } from "../../../lib/errors.ts";
import { limits } from "../../../lib/limits.ts";
import { silentLog } from "../../../lib/log.ts";
import { type LeaseAnswer, LeaseHolder } from "../../../node/lease-holder.ts";

const ttlMs = 9_000;

class World {
  readonly clock = earlyClock();
  readonly said: string[] = [];
  readonly contract = new Uint8Array([1]);
  used = true;
  releasable = true;
  counter = 1n;
  /** What the next call answers with, instead of a lease. */
  failure: WeftError | undefined;
  /** Answers wait for this. */
  gate: Promise<void> = Promise.resolve();
  /** How long an answer takes, on the clock. */
  tookMs = 0;
  lost = 0;
  readonly holder: LeaseHolder;

  constructor() {
    this.holder = new LeaseHolder({
      name: "resource/rs-1",
      clock: this.clock,
      log: silentLog,
      inUse: () => this.used,
      mayRelease: () => this.releasable,
      onLost: () => {
        this.lost += 1;
      },
      calls: {
        acquire: () => this.#answer("acquire"),
        renew: ({ counter }) => this.#answer(`renew ${counter}`),
        release: async ({ counter }) => {
          this.said.push(`release ${counter}`);
          if (this.failure !== undefined) throw this.failure;
        },
      },
    });
  }

  async #answer(call: string): Promise<LeaseAnswer> {
    this.said.push(call);
    await this.gate;
    this.clock.advance(this.tookMs);
    if (this.failure !== undefined) throw this.failure;
    return {
      lease: {
        fence: { $typeName: "weft.fabric.v1.Fence", epoch: 1n, counter: this.counter },
        ttlMs: BigInt(ttlMs),
      },
      contract: this.contract,
    };
  }

  /** Time passes in small steps, and what became due is done. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 100) {
      this.clock.advance(Math.min(100, left));
      for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
    }
  }
}

const held = new WeftError("failed_precondition", "held", { detail: "LEASE_HELD", retry: "later" });
const away = new WeftError("unavailable", "away");

describe("a lease holder", () => {
  it("acquires once for everybody who asks meanwhile, and renews at a third", async () => {
    const world = new World();
    const holds = await Promise.all([world.holder.hold(), world.holder.hold(), world.holder.hold()]);
    expect(new Set(holds).size).toBe(1);
    expect(world.said).toEqual(["acquire"]);
    await world.pass(30_000);
    expect(world.said.filter((each) => each === "renew 1").length).toBeGreaterThan(8);
    expect(world.said.filter((each) => each === "acquire")).toHaveLength(1);
    expect(world.holder.current()).toBeDefined();
    expect(world.lost).toBe(0);
  });

  it("LAW-F1 stops by its own monotonic clock, a margin before the lease ends, when control is gone", async () => {
    const world = new World();
    await world.holder.hold();
    world.failure = away;
    await world.pass(ttlMs - limits.leaseMarginMs - 100);
    expect(world.holder.current()).toBeDefined();
    await world.pass(102);
    expect(world.lost).toBe(1);
    expect(world.holder.current()).toBeUndefined();
    await expect(world.holder.hold()).rejects.toMatchObject({ reason: "unavailable" });
  });

  it("LAW-F1 counts from before it asked: a slow answer makes the hold shorter, a too slow one is none", async () => {
    const world = new World();
    world.tookMs = 5_000;
    const hold = await world.holder.hold();
    expect(hold.stopMonoMs - world.clock.monoMs()).toBe(ttlMs - limits.leaseMarginMs - 5_000);
    const late = new World();
    late.tookMs = ttlMs - limits.leaseMarginMs;
    await expect(late.holder.hold()).rejects.toMatchObject({ detail: "LEASE_LATE" });
    expect(late.holder.current()).toBeUndefined();
  });

  it("L1 holds nothing after a pause, whether its timers have fired or not; stepping the wall clock changes nothing", async () => {
    const world = new World();
    const { stopMonoMs } = await world.holder.hold();
    world.clock.stepWall(-3_600_000);
    expect(world.holder.current()).toBeDefined();
    const paused = new World();
    const frozen = { now: 0 };
    const holder = new LeaseHolder({
      name: "x",
      // Timers never fire: the process sleeps, and looks before they do.
      clock: { ...timerless(world.clock), monoMs: () => frozen.now },
      log: silentLog,
      inUse: () => true,
      mayRelease: () => true,
      onLost: () => {
        paused.lost += 1;
      },
      calls: {
        acquire: async () => ({
          lease: { fence: { $typeName: "weft.fabric.v1.Fence", epoch: 1n, counter: 1n }, ttlMs: BigInt(ttlMs) },
          contract: paused.contract,
        }),
        renew: () => Promise.reject(away),
        release: async () => {},
      },
    });
    await holder.hold();
    frozen.now = stopMonoMs + 1;
    expect(holder.current()).toBeUndefined();
    expect(paused.lost).toBe(1);
  });

  it("loses at once what control says it has lost", async () => {
    const world = new World();
    await world.holder.hold();
    world.failure = new WeftError("failed_precondition", "lost", { detail: "LEASE_LOST" });
    await world.pass(ttlMs / 3);
    expect(world.lost).toBe(1);
    expect(world.holder.current()).toBeUndefined();
  });

  it("ends what ran under its old fence when it is answered with another", async () => {
    const world = new World();
    await world.holder.hold();
    world.counter = 2n;
    await world.pass(ttlMs / 3);
    expect(world.lost).toBe(1);
    expect(world.holder.current()?.counter).toBe(2n);
  });

  it("LAW-F1 holds nothing by an answer to a renewal that comes after it gave the lease back", async () => {
    const world = new World();
    await world.holder.hold();
    const { promise, resolve } = Promise.withResolvers<void>();
    world.gate = promise;
    await world.pass(ttlMs / 3);
    expect(world.said).toEqual(["acquire", "renew 1"]);
    await world.holder.release();
    resolve();
    await world.pass(100);
    expect(world.said).toEqual(["acquire", "renew 1", "release 1"]);
    expect(world.holder.current()).toBeUndefined();
  });

  it("gives back what it is answered with while it closes", async () => {
    const world = new World();
    const { promise, resolve } = Promise.withResolvers<void>();
    world.gate = promise;
    const holding = world.holder.hold();
    const closing = world.holder.close();
    resolve();
    await Promise.all([holding, closing]);
    expect(world.said).toEqual(["acquire", "release 1"]);
    expect(world.holder.current()).toBeUndefined();
  });

  it("does not ask again for every client that knocks while somebody else holds", async () => {
    const world = new World();
    world.failure = held;
    for (let at = 0; at < 50; at += 1) await expect(world.holder.hold()).rejects.toBe(held);
    expect(world.said).toEqual(["acquire"]);
    await world.pass(limits.leaseHeldRestMs);
    world.failure = undefined;
    expect((await world.holder.hold()).counter).toBe(1n);
  });

  it("gives back what nobody uses, and does not go on under a fence it gave back", async () => {
    const world = new World();
    await world.holder.hold();
    world.used = false;
    world.failure = away;
    await world.pass(ttlMs / 3);
    expect(world.said).toEqual(["acquire", "release 1"]);
    // The release may still arrive: the same fence must not be used again.
    world.failure = undefined;
    await expect(world.holder.hold()).rejects.toMatchObject({ detail: "LEASE_LATE" });
    expect(world.said).toEqual(["acquire", "release 1", "acquire", "release 1"]);
    world.counter = 2n;
    await world.pass(limits.leaseHeldRestMs);
    expect((await world.holder.hold()).counter).toBe(2n);
  });

  it("leaves to expire what may not be given back, unless it is needed again", async () => {
    const world = new World();
    await world.holder.hold();
    world.used = false;
    world.releasable = false;
    await world.pass(ttlMs / 2);
    expect(world.said).toEqual(["acquire"]);
    world.used = true;
    await world.pass(1_000);
    expect(world.said).toEqual(["acquire", "renew 1"]);
    world.used = false;
    await world.pass(ttlMs);
    expect(world.said.some((each) => each.startsWith("release"))).toBe(false);
    expect(world.lost).toBe(1);
    await world.holder.close();
    await expect(world.holder.hold()).rejects.toMatchObject({ detail: "LEASE_CLOSED" });
  });
});

function timerless(clock: ManualClock) {
  const never = { cancel: () => {} };
  return {
    nowMs: () => clock.nowMs(),
    after: () => never,
    afterReading: () => never,
    every: () => never,
  };
}

/** A clock whose timers fire a part of a millisecond early, as the real one's do. */
function earlyClock(): ManualClock {
  const clock = new ManualClock();
  const after = clock.after.bind(clock);
  clock.after = (delayMs: number, fn: () => void): Timer => after(Math.max(0, delayMs - 0.9), fn);
  return clock;
}
