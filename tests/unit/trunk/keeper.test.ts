import { describe, expect, it } from "vitest";
import { Detector } from "../../../fabric/trunk/detector.ts";
import { PathKeeper } from "../../../fabric/trunk/keeper.ts";
import { moveTarget } from "../../../fabric/trunk/targets.ts";
import { limits } from "../../../lib/limits.ts";
import { VirtualWorld } from "./virtual-edges.ts";

/** A trunk with one bulk lane on connection 1 and, if asked for, a ready spare on connection 2. */
function stage(spare: boolean, opens = true) {
  const world = new VirtualWorld();
  world.addPath("bulk", 1);
  if (spare) world.addPath("bulk", 2);
  world.settle();
  const { trunk } = opens ? world.initiator : world.acceptor;
  const keeper = new PathKeeper({ trunk, opens, ownConnections: true });
  const detector = new Detector(trunk);
  const read = new Map([[1, 0]]);
  keeper.add(1, ["e", "r1", "x"]);
  keeper.attached(1, "bulk");
  detector.add(1, "e r1 x", world.nowMs);
  if (spare) {
    keeper.add(2, ["e", "r2", "x"]);
    keeper.attached(2, "bulk");
    detector.add(2, "e r2 x", world.nowMs);
    read.set(2, 0);
  }
  const look = () => detector.look(world.nowMs, (id) => read.get(id) ?? 0);
  return { world, trunk, keeper, detector, read, look };
}

/** Looks every 25 ms for so long; pings on paths of `answering` come back, and nothing else does. */
function pass(from: ReturnType<typeof stage>, ms: number, answering: readonly number[]) {
  const { world, read, look } = from;
  let verdict = look();
  for (let at = 0; at < ms; at += limits.silenceLookMs) {
    for (const path of world.paths) {
      world.pump(path);
      if (!answering.includes(path.id)) continue;
      while (world.deliver(path, true)) world.pump(path);
      while (world.deliver(path, false)) read.set(path.id, (read.get(path.id) ?? 0) + 1);
    }
    world.nowMs += limits.silenceLookMs;
    verdict = look();
  }
  return verdict;
}

describe("the detector", () => {
  it("DT4 looks at nothing while nothing is owed", () => {
    const { world, detector, look } = stage(true);
    expect(detector.owes(world.nowMs)).toBe(false);
    expect(look()).toEqual({ dead: [], silentSinceMs: undefined, againMs: undefined });
  });

  it("DT2 accuses a silent path after 300 ms while another answers, and not before", () => {
    const early = stage(true);
    early.world.initiator.open("bulk");
    expect(pass(early, 250, [2]).dead).toEqual([]);
    const late = stage(true);
    late.world.initiator.open("bulk");
    expect(pass(late, 375, [2]).dead.map(({ pathKey }) => pathKey)).toEqual(["e r1 x"]);
  });

  it("DT2 accuses nobody when all are silent, asks for a third path, and goes on counting the silence past a second", () => {
    const all = stage(true);
    all.world.initiator.open("bulk");
    const fromMs = all.world.nowMs;
    const verdict = pass(all, 3_000, []);
    expect(verdict.dead).toEqual([]);
    expect(verdict.silentSinceMs).toBeDefined();
    expect(verdict.silentSinceMs).toBeLessThanOrEqual(fromMs + limits.silenceLookMs);
  });

  it("DT2 gives the slower path as long to answer as the witness has answered, when a stalled peer goes on", () => {
    const both = stage(true);
    both.world.initiator.open("bulk");
    pass(both, 600, []);
    // The quicker path is heard first.
    expect(pass(both, 50, [2]).dead).toEqual([]);
    expect(pass(both, 150, [2]).dead.map(({ pathKey }) => pathKey)).toEqual(["e r1 x"]);
  });

  it("DT1 any byte is life: bytes without messages keep a path from being silent", () => {
    const alive = stage(true);
    alive.world.initiator.open("bulk");
    for (let n = 0; n < 6; n += 1) {
      alive.read.set(1, (alive.read.get(1) ?? 0) + 1);
      expect(pass(alive, 100, [2]).dead).toEqual([]);
    }
  });

  it("DT3 a path with bytes and without acks for a second is dead when another answers", () => {
    const wedged = stage(true);
    wedged.world.initiator.open("bulk");
    let dead: readonly { pathKey: string }[] = [];
    for (let n = 0; n < 16; n += 1) {
      wedged.read.set(1, (wedged.read.get(1) ?? 0) + 1);
      dead = pass(wedged, 100, [2]).dead;
    }
    expect(dead.map(({ pathKey }) => pathKey)).toEqual(["e r1 x"]);
  });

  it("DT3 a far edge that never acks in time costs a few paths a minute, and an honest one later a second as before", () => {
    const made = stage(true);
    const { world, detector, keeper, read, trunk } = made;
    world.initiator.open("bulk");
    let spare = 2;
    /** How long until the path in use is accused, while bytes come on it and no acks; then it is left for the spare. */
    const wedge = (): number => {
      const fromMs = world.nowMs;
      for (;;) {
        const id = trunk.lanes.bulk.active?.connectionId ?? 0;
        read.set(id, (read.get(id) ?? 0) + 1);
        const { dead } = pass(made, 100, [spare]);
        for (const path of dead) keeper.leavePath(path);
        keeper.plan(world.nowMs, false);
        if (dead.length > 0) break;
        if (world.nowMs - fromMs > 60_000) throw new Error("it is never accused");
      }
      spare += 1;
      world.addPath("bulk", spare);
      keeper.add(spare, ["e", `r${spare}`, "x"]);
      keeper.attached(spare, "bulk");
      detector.add(spare, `e r${spare} x`, world.nowMs);
      read.set(spare, 0);
      const path = world.paths.find(({ id }) => id === spare);
      while (path !== undefined && (world.pump(path) || world.deliver(path, true) || world.deliver(path, false)));
      return world.nowMs - fromMs;
    };
    const tookMs = Array.from({ length: 8 }, wedge);
    expect(tookMs[0]).toBeLessThan(1_500);
    for (const [at, ms] of tookMs.entries()) {
      if (at > 0) expect(ms).toBeGreaterThanOrEqual(Math.min(2 * (tookMs[at - 1] ?? 0) - 1_500, limits.stuckDeadMaxMs));
    }
    expect(tookMs.slice(-2).every((ms) => ms >= limits.stuckDeadMaxMs)).toBe(true);
    world.nowMs += limits.stuckForgottenMs;
    expect(wedge()).toBeLessThan(1_500);
  });
});

describe("the keeper", () => {
  it("KP2 wants a spare beside what it uses, and none when it has one", () => {
    const bare = stage(false);
    expect(bare.keeper.plan(bare.world.nowMs, false).wanted).toMatchObject({
      purpose: "standby",
      beside: [["e", "r1", "x"]],
      urgent: false,
    });
    const kept = stage(true);
    expect(kept.keeper.plan(kept.world.nowMs, false)).toMatchObject({ wanted: undefined, destroy: [] });
  });

  /** Both paths of a trunk under work have said nothing for so long, and another one has just been attached. */
  function lost(silentMs: number) {
    const all = stage(true);
    all.world.initiator.open("bulk");
    const verdict = pass(all, silentMs, []);
    expect(verdict.silentSinceMs).toBeDefined();
    expect(all.keeper.plan(all.world.nowMs, true).wanted).toMatchObject({ purpose: "resume", urgent: true });
    const join = (id: number, isTaken = true): void => {
      const { world } = all;
      world.addPath("bulk", id);
      all.keeper.add(id, ["e", `r${id}`, "x"]);
      all.keeper.attached(id, "bulk");
      all.detector.add(id, `e r${id} x`, world.nowMs);
      all.read.set(id, 0);
      const path = world.paths.find((each) => each.id === id);
      if (path === undefined || !isTaken) return;
      // The attaches, and nothing that comes after them yet.
      world.pump(path);
      world.deliver(path, true);
      world.pump(path);
      world.deliver(path, false);
      expect([...all.trunk.attachments()].find(({ connectionId }) => connectionId === id)?.phase).toBe("ready");
    };
    return { ...all, join };
  }

  it("KP2 when all that a trunk had is silent, what it finds then is kept, and the silent spare goes", () => {
    const all = lost(600);
    all.join(3);
    expect(all.keeper.plan(all.world.nowMs, true).destroy).toEqual([2]);
    const { dead } = pass(all, 200, [3]);
    for (const path of dead) all.keeper.leavePath(path);
    all.keeper.plan(all.world.nowMs, false);
    expect(all.trunk.lanes.bulk.active?.connectionId).toBe(3);
  });

  it("KP2 while nobody answers another path is wanted, however many silent ones there are", () => {
    const all = lost(600);
    all.join(3);
    all.keeper.plan(all.world.nowMs, true);
    all.trunk.attachmentLost(2, all.world.nowMs);
    all.keeper.remove(2);
    // The new one froze as soon as it was there, and the next one is never answered.
    expect(pass(all, 600, []).dead).toEqual([]);
    expect(all.keeper.plan(all.world.nowMs, true).wanted).toMatchObject({ purpose: "resume" });
    all.join(4, false);
    expect(all.keeper.plan(all.world.nowMs, true).wanted).toBeUndefined();
    pass(all, 1_100, []);
    expect(all.keeper.plan(all.world.nowMs, true).wanted).toMatchObject({ purpose: "resume" });
  });

  it("KP3 the acceptor opens nothing", () => {
    const { keeper, world } = stage(false, false);
    expect(keeper.plan(world.nowMs, true).wanted).toBeUndefined();
  });

  it("KP1 a path that is left stays until what replaced it has proved itself", () => {
    const { keeper, world, trunk } = stage(true);
    keeper.leave(1, "revoked", world.nowMs);
    expect(keeper.plan(world.nowMs, false).destroy).toEqual([]);
    expect(trunk.lanes.bulk.active?.connectionId).toBe(2);
    world.settle();
    expect(keeper.plan(world.nowMs, false).destroy).toEqual([1]);
  });

  it("KP1 a path left for its silence is back when it answers: the other one may fall silent next", () => {
    const both = stage(true, false);
    const { channel } = both.world.initiator.open("bulk");
    both.world.settle();
    const writes = () => both.world.acceptor.channels.get(channel.id)?.write(1_000);
    writes();
    const carries = () => both.trunk.lanes.bulk.active?.connectionId;
    for (const dead of pass(both, 500, [2]).dead) both.keeper.leavePath(dead);
    both.keeper.plan(both.world.nowMs, false);
    expect(carries()).toBe(2);
    // The first one thaws before it is given up; then the second one says nothing more.
    pass(both, 200, [1, 2]);
    writes();
    for (const dead of pass(both, 600, [1]).dead) both.keeper.leavePath(dead);
    both.keeper.plan(both.world.nowMs, false);
    expect(carries()).toBe(1);
  });

  it("KP1 says of a path that drains what it said before, however often it is told", () => {
    const both = stage(true);
    both.keeper.leave(1, "draining", both.world.nowMs);
    both.keeper.plan(both.world.nowMs, false);
    both.world.settle();
    let destroyed: readonly number[] = [];
    for (let n = 0; n < 30 && destroyed.length === 0; n += 1) {
      both.world.nowMs += 100;
      both.keeper.leave(1, "draining", both.world.nowMs);
      destroyed = both.keeper.plan(both.world.nowMs, false).destroy;
    }
    expect(destroyed).toEqual([1]);
  });

  it("KP1 the only path is not given up, whatever is said of it", () => {
    const { keeper, world, trunk } = stage(false);
    keeper.leave(1, "revoked", world.nowMs);
    const plan = keeper.plan(world.nowMs, false);
    expect(plan.destroy).toEqual([]);
    expect(plan.wanted?.urgent).toBe(true);
    expect(trunk.lanes.bulk.active?.connectionId).toBe(1);
  });

  it("gives up a spare whose lane the far end refused", () => {
    const { keeper, world, trunk } = stage(true);
    trunk.attachmentLost(2, world.nowMs);
    expect(keeper.plan(world.nowMs, false).destroy).toEqual([2]);
  });
});

describe("the target of a move", () => {
  it("is ready, of that lane, not being left, and answered since the silence began", () => {
    const { trunk, world } = stage(true);
    const all = [...trunk.attachments()];
    expect(moveTarget(all, { lane: "interactive" })).toBeUndefined();
    expect(moveTarget(all, { lane: "bulk", without: ({ id }) => id === 1 })?.id).toBe(2);
    expect(moveTarget(all, { lane: "bulk", answeredSinceMs: world.nowMs + 1 })).toBeUndefined();
    for (const attachment of all) attachment.retired = attachment.id === 2;
    expect(moveTarget(all, { lane: "bulk" })?.id).toBe(1);
    for (const attachment of all) attachment.phase = "attaching";
    expect(moveTarget(all, { lane: "bulk" })).toBeUndefined();
  });
});
