/** The machine of a supervised workload (M-A7): its laws over random lives, and what each phase means, step by step. */

import { describe, expect, it } from "vitest";
import { randomInt, seededRandom } from "../../../../lib/random.ts";
import {
  backoffMs,
  type Effect,
  idleMachine,
  isLive,
  type MachineEvent,
  type MachineState,
  type RunPolicy,
  step,
  type Wish,
  wakeAtMs,
} from "../../../../node/workloads/machine.ts";
import { runs } from "../../../harness/counts.ts";

const policy: RunPolicy = {
  backoffMinMs: 100,
  backoffMaxMs: 1_600,
  restartsMaxCount: 4,
  windowMs: 10_000,
  stopGraceMs: 500,
};
const run = (fingerprint = "a", over: Partial<RunPolicy> = {}): Wish & { kind: "run" } => ({
  kind: "run",
  fingerprint,
  policy: { ...policy, ...over },
});
const withHealth = { health: { failuresMaxCount: 2, startWithinMs: 1_000 } };

/** A machine with time at hand. */
class Bench {
  state: MachineState = idleMachine;
  nowMs = 1_000;
  effects: Effect[] = [];

  tell(event: MachineEvent, afterMs = 0): readonly Effect[] {
    this.nowMs += afterMs;
    const { state, effects } = step(this.state, event, { monoMs: this.nowMs, chance: 0.5 });
    this.state = state;
    this.effects.push(...effects);
    return effects;
  }

  wish(wish: Wish): readonly Effect[] {
    return this.tell({ kind: "wish", wish });
  }

  /** Goes on to when it wants to be told. */
  due(): readonly Effect[] {
    const atMs = wakeAtMs(this.state);
    if (atMs === undefined) throw new Error("it waits for nothing");
    this.nowMs = Math.max(this.nowMs, atMs);
    return this.tell({ kind: "due" });
  }

  get at(): string {
    return this.state.phase.at;
  }
}

describe("M-A7 a workload from wish to end", () => {
  it("runs when wished for, stops when not, politely and then by force", () => {
    const bench = new Bench();
    expect(bench.wish(run())).toEqual(["spawn"]);
    expect(bench.at).toBe("starting");
    bench.tell({ kind: "spawned" });
    expect(bench.at).toBe("running");
    expect(bench.wish(run())).toEqual([]);
    expect(bench.wish({ kind: "stop" })).toEqual(["term"]);
    expect(wakeAtMs(bench.state)).toBe(bench.nowMs + policy.stopGraceMs);
    expect(bench.due()).toEqual(["kill"]);
    expect(wakeAtMs(bench.state)).toBeUndefined();
    bench.tell({ kind: "ended", how: "SIGKILL" });
    expect(bench.state).toMatchObject({ phase: { at: "stopped" }, lastEnd: "SIGKILL", restarts: 0 });
  });

  it("of another fingerprint replaces what runs, once that is gone, without a wait", () => {
    const bench = new Bench();
    bench.wish(run("a"));
    bench.tell({ kind: "spawned" });
    expect(bench.wish(run("b"))).toEqual(["term"]);
    expect(bench.state.started?.fingerprint).toBe("a");
    expect(bench.tell({ kind: "ended", how: "exit 0" })).toEqual(["spawn"]);
    expect(bench.state.started?.fingerprint).toBe("b");
    expect(bench.state.restarts).toBe(0);
  });

  it("crashes into longer and longer waits, and fails when it happened too often", () => {
    const bench = new Bench();
    bench.wish(run());
    const waits: number[] = [];
    for (let crash = 0; crash < policy.restartsMaxCount; crash += 1) {
      bench.tell({ kind: "spawned" });
      bench.tell({ kind: "ended", how: "exit 1" }, 10);
      expect(bench.at).toBe("backoff");
      waits.push((wakeAtMs(bench.state) ?? 0) - bench.nowMs);
      expect(bench.due()).toEqual(["spawn"]);
    }
    expect(waits).toEqual([100, 200, 400, 800]);
    bench.tell({ kind: "spawned" });
    bench.tell({ kind: "ended", how: "exit 1" }, 10);
    expect(bench.state).toMatchObject({ phase: { at: "failed" }, restarts: policy.restartsMaxCount });
    expect(bench.state.reason).toContain("exit 1");
    expect(bench.wish(run())).toEqual([]);
    expect(bench.at).toBe("failed");
    // A wish that was given up and made again, or another one, begins anew.
    bench.wish({ kind: "stop" });
    expect(bench.at).toBe("stopped");
    expect(bench.wish(run())).toEqual(["spawn"]);
  });

  it("that stayed up for long begins with short waits again", () => {
    const bench = new Bench();
    bench.wish(run("a", { restartsMaxCount: 100 }));
    for (let crash = 0; crash < 3; crash += 1) {
      bench.tell({ kind: "ended", how: "exit 1" }, 10);
      bench.due();
    }
    bench.tell({ kind: "ended", how: "exit 1" }, policy.backoffMaxMs);
    expect((wakeAtMs(bench.state) ?? 0) - bench.nowMs).toBe(100);
  });

  it("that crashes now and then, but not too often within the window, never fails", () => {
    const bench = new Bench();
    bench.wish(run());
    for (let crash = 0; crash < 5 * policy.restartsMaxCount; crash += 1) {
      bench.tell({ kind: "spawned" });
      bench.tell({ kind: "ended", how: "exit 1" }, policy.windowMs / policy.restartsMaxCount);
      expect(bench.at).toBe("backoff");
      bench.due();
    }
  });

  it("is replaced at once, even while the one before is ended for being unwell", () => {
    const bench = new Bench();
    bench.wish(run("a", { health: { failuresMaxCount: 1, startWithinMs: 1_000 } }));
    bench.tell({ kind: "healthy" });
    expect(bench.tell({ kind: "unwell", reason: "sick" })).toEqual(["term"]);
    expect(bench.wish(run("b"))).toEqual([]);
    expect(bench.tell({ kind: "ended", how: "exit 0" })).toEqual(["spawn"]);
    expect(bench.state).toMatchObject({ started: { fingerprint: "b" }, restarts: 0 });
  });

  it("with a health hook runs once it is well, and is ended when it is not", () => {
    const bench = new Bench();
    bench.wish(run("a", withHealth));
    bench.tell({ kind: "spawned" });
    expect(bench.at).toBe("starting");
    bench.tell({ kind: "unwell", reason: "refused" }, 900);
    bench.tell({ kind: "healthy" });
    expect(bench.at).toBe("running");
    bench.tell({ kind: "unwell", reason: "refused" });
    expect(bench.at).toBe("unhealthy");
    bench.tell({ kind: "healthy" });
    expect(bench.state).toMatchObject({ phase: { at: "running", failures: 0 }, reason: "" });
    bench.tell({ kind: "unwell", reason: "refused" });
    expect(bench.tell({ kind: "unwell", reason: "refused" })).toEqual(["term"]);
    bench.tell({ kind: "ended", how: "SIGTERM" });
    expect(bench.state).toMatchObject({ phase: { at: "backoff" }, reason: "was unwell: refused" });
  });

  it("that is not well in time is ended and tried again", () => {
    const bench = new Bench();
    bench.wish(run("a", withHealth));
    bench.tell({ kind: "spawned" });
    expect(bench.due()).toEqual(["term"]);
    expect(bench.state.reason).toContain("not well in time");
  });

  it("beyond the ceiling is degraded, and what runs under another wish is ended first", () => {
    const bench = new Bench();
    bench.wish(run());
    bench.tell({ kind: "spawned" });
    expect(bench.wish({ kind: "refuse", reason: "no" })).toEqual(["term"]);
    bench.tell({ kind: "ended", how: "exit 0" });
    expect(bench.state).toMatchObject({ phase: { at: "degraded" }, reason: "no" });
    expect(bench.wish(run())).toEqual(["spawn"]);
  });

  it("an agent that ends shortens a stop under way and never lengthens it", () => {
    const bench = new Bench();
    bench.wish(run("a", { stopGraceMs: 60_000 }));
    bench.wish({ kind: "stop" });
    bench.wish({ kind: "stop", graceMs: 300 });
    expect(wakeAtMs(bench.state)).toBe(bench.nowMs + 300);
    bench.wish({ kind: "stop", graceMs: 9_000 });
    expect(wakeAtMs(bench.state)).toBe(bench.nowMs + 300);
  });

  it("what could not be started waits and is tried again", () => {
    const bench = new Bench();
    bench.wish(run());
    bench.tell({ kind: "spawn-failed", reason: "ENOENT" });
    expect(bench.state).toMatchObject({ phase: { at: "backoff" }, lastEnd: "ENOENT" });
  });
});

/** A world of one workload: processes that obey, hang, crash or are sick, wishes that change, time that passes. */
class World extends Bench {
  readonly #random: ReturnType<typeof seededRandom>;
  processes = 0;
  /** Of the process that lives: when the group was asked to end, if it was. */
  termedAtMs: number | undefined;
  killed = false;
  readonly starts: { readonly atMs: number; readonly fingerprint: string }[] = [];

  constructor(seed: number) {
    super();
    this.#random = seededRandom(seed);
  }

  override tell(event: MachineEvent, afterMs = 0): readonly Effect[] {
    const effects = super.tell(event, afterMs);
    for (const effect of effects) this.#happen(effect);
    return effects;
  }

  #happen(effect: Effect): void {
    if (effect === "spawn") {
      // WM1, WM2.
      expect(this.processes).toBe(0);
      const { wish } = this.state;
      expect(wish.kind).toBe("run");
      this.processes = 1;
      this.termedAtMs = undefined;
      this.killed = false;
      this.starts.push({ atMs: this.nowMs, fingerprint: this.state.started?.fingerprint ?? "" });
    } else {
      expect(this.processes).toBe(1);
      if (effect === "term") this.termedAtMs = this.nowMs;
      else this.killed = true;
    }
  }

  end(how: string): void {
    this.processes = 0;
    this.tell({ kind: "ended", how });
  }

  randomWish(): Wish {
    const roll = randomInt(this.#random, 10);
    const over = this.#random.float() < 0.5 ? withHealth : {};
    // The policy belongs to the fingerprint.
    if (roll < 7) return run(`${"abc"[randomInt(this.#random, 3)]}${over === withHealth ? "h" : ""}`, over);
    return roll < 9 ? { kind: "stop" } : { kind: "refuse", reason: "no" };
  }

  /** One thing happens. */
  turn(): void {
    const roll = this.#random.float();
    const lives = this.processes === 1;
    if (roll < 0.25) this.tell({ kind: "wish", wish: this.randomWish() });
    else if (roll < 0.45 && lives) this.end(this.killed ? "SIGKILL" : "exit 1");
    else if (roll < 0.55 && lives) this.tell({ kind: "spawned" });
    else if (roll < 0.65 && lives) this.tell({ kind: "healthy" });
    else if (roll < 0.75 && lives) this.tell({ kind: "unwell", reason: "sick" });
    else if (roll < 0.78) this.tell({ kind: "due" });
    else this.pass(randomInt(this.#random, 3_000));
  }

  /** Time passes; whoever waits is told on time. */
  pass(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (let turns = 0; turns < 50; turns += 1) {
      const atMs = wakeAtMs(this.state);
      if (atMs === undefined || atMs > untilMs) break;
      this.nowMs = Math.max(this.nowMs, atMs);
      this.tell({ kind: "due" });
    }
    this.nowMs = untilMs;
  }

  check(): void {
    const { phase } = this.state;
    // WM4, and its reverse.
    expect(isLive(this.state)).toBe(this.processes === 1);
    if (phase.at === "stopping" && !this.killed) {
      // WM2: never longer than its grace.
      expect(phase.killAtMs - (this.termedAtMs ?? Number.NaN)).toBeLessThanOrEqual(policy.stopGraceMs);
      expect(this.nowMs).toBeLessThanOrEqual(phase.killAtMs);
    }
    if (phase.at === "backoff") {
      const leftMs = phase.untilMs - this.nowMs;
      expect(leftMs).toBeLessThanOrEqual(policy.backoffMaxMs * 1.2);
    }
  }
}

describe("M-A7 the laws of the machine, over random lives", () => {
  const seeds = runs(300, 20_000);

  it(`hold in ${seeds} lives of 120 turns`, () => {
    const seen = new Set<string>();
    for (let seed = 1; seed <= seeds; seed += 1) {
      const world = new World(seed);
      try {
        for (let turn = 0; turn < 120; turn += 1) {
          world.turn();
          world.check();
          seen.add(world.at);
        }
        // Unwished for, it is over within a grace, whatever it was.
        world.tell({ kind: "wish", wish: { kind: "stop" } });
        world.pass(policy.stopGraceMs);
        if (world.processes === 1) {
          expect(world.killed).toBe(true);
          world.end("SIGKILL");
        }
        expect(world.at).toBe("stopped");
        const started = world.starts.length;
        world.pass(100_000);
        expect(world.starts).toHaveLength(started);
      } catch (thrown) {
        throw new Error(`seed ${seed}`, { cause: thrown });
      }
    }
    expect([...seen].sort()).toEqual(
      ["backoff", "degraded", "failed", "running", "starting", "stopped", "stopping", "unhealthy"].sort(),
    );
  });

  it("WM3 a crash loop is started at most so often within any window, and waits at least the least", () => {
    for (let seed = 1; seed <= 50; seed += 1) {
      const random = seededRandom(seed);
      const world = new World(seed);
      world.tell({ kind: "wish", wish: run("a", { windowMs: 5_000 }) });
      for (let turn = 0; turn < 200; turn += 1) {
        if (world.processes === 1) {
          world.nowMs += randomInt(random, 3_000);
          world.end("exit 1");
        } else world.pass(randomInt(random, 3_000));
      }
      const times = world.starts.map(({ atMs }) => atMs);
      for (const [at, startMs] of times.entries()) {
        const within = times.slice(at).filter((each) => each - startMs < 5_000);
        expect(within.length, `seed ${seed}`).toBeLessThanOrEqual(policy.restartsMaxCount + 1);
        const next = times[at + 1];
        if (next !== undefined) expect(next - startMs).toBeGreaterThanOrEqual(policy.backoffMinMs * 0.8);
      }
    }
  });

  it("waits stay within their bounds however often it crashed and whatever chance says", () => {
    for (const attempts of [0, 1, 7, 63, 5_000]) {
      for (const chance of [0, 0.5, 0.999]) {
        const ms = backoffMs(policy, attempts, chance);
        expect(ms).toBeGreaterThanOrEqual(policy.backoffMinMs * 0.8);
        expect(ms).toBeLessThanOrEqual(policy.backoffMaxMs * 1.2);
      }
    }
  });
});
