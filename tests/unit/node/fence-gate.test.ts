/** LAW-F3 at an egress: who may live under which fence, for how long, by control's word and its own clock. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { FenceMark } from "../../../fabric/lease.ts";
import { ManualClock, type Timer } from "../../../lib/clock.ts";
import { limits } from "../../../lib/limits.ts";
import { silentLog } from "../../../lib/log.ts";
import { type FenceStore, openFenceStore } from "../../../node/fence-store.ts";
import { FenceGate, type LeaseWord } from "../../../node/roles/exclusive-egress.ts";

const ttlMs = 9_000;
const resourceId = "rs-1";
const mark = (counter: number, holder = `nd-${counter}/boot`): FenceMark => ({
  epoch: 1n,
  counter: BigInt(counter),
  holder,
});

let stateDir: string;
let clock: ManualClock;
let fences: FenceStore;
/** What control says; an error when it cannot be asked. */
let word: LeaseWord | undefined | Error;
let asked: number;
/** How long its answers take, on the clock. */
let tookMs: number;
let gate: FenceGate;

function openGate(): FenceGate {
  return new FenceGate({
    fences,
    clock,
    log: silentLog,
    ask: async () => {
      asked += 1;
      clock.advance(tookMs);
      if (word instanceof Error) throw word;
      return word;
    },
  });
}

beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), "weft-gate-"));
  clock = earlyClock();
  fences = openFenceStore({ stateDir, log: silentLog });
  asked = 0;
  tookMs = 0;
  gate = openGate();
});
afterEach(() => {
  gate.close();
  rmSync(stateDir, { recursive: true, force: true });
});

class Channel {
  readonly resourceId = resourceId;
  readonly mark: FenceMark;
  ended = "";
  readonly end = (why: string): void => {
    this.ended = why;
  };

  constructor(own: FenceMark) {
    this.mark = own;
  }
}

async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 100) {
    clock.advance(Math.min(100, left));
    for (let turn = 0; turn < 12; turn += 1) await Promise.resolve();
  }
}

describe("the fence gate", () => {
  it("LAW-F3 asks before the first use of a fence, and not again while the answer holds", async () => {
    word = { mark: mark(5), leftMs: ttlMs };
    for (let at = 0; at < 20; at += 1) expect(await gate.admit(new Channel(mark(5)))).toBeUndefined();
    expect(asked).toBe(1);
    expect(fences.highest(resourceId)).toEqual(mark(5));
  });

  it("LAW-F3 refuses a lower fence, one that control does not confirm, and one of another holder", async () => {
    word = { mark: mark(5), leftMs: ttlMs };
    expect(await gate.admit(new Channel(mark(4)))).toBe("fenced");
    expect(await gate.admit(new Channel(mark(6)))).toBe("fenced");
    expect(await gate.admit(new Channel(mark(5, "nd-x/boot")))).toBe("fenced");
    expect(await gate.admit(new Channel(mark(5, "nd-5/other-boot")))).toBe("fenced");
    expect(await gate.admit(new Channel(mark(5)))).toBeUndefined();
    word = { mark: mark(5), leftMs: 0 };
    expect(await openGate().admit(new Channel(mark(5)))).toBe("fenced");
    word = undefined;
    expect(await openGate().admit(new Channel(mark(5)))).toBe("fenced");
  });

  it("LAW-F3 cuts a live channel under an older fence before a newer one is used, and remembers over a restart", async () => {
    word = { mark: mark(5), leftMs: ttlMs };
    const old = new Channel(mark(5));
    await gate.admit(old);
    word = { mark: mark(6), leftMs: ttlMs };
    const fresh = new Channel(mark(6));
    const admitted = gate.admit(fresh).then((refusal) => ({ refusal, oldEnded: old.ended }));
    expect(await admitted).toEqual({ refusal: undefined, oldEnded: "fenced" });
    fences = openFenceStore({ stateDir, log: silentLog });
    word = { mark: mark(5), leftMs: ttlMs };
    expect(await openGate().admit(new Channel(mark(5)))).toBe("fenced");
  });

  it("asks again at a third while channels live, and keeps them as long as control confirms", async () => {
    word = { mark: mark(5), leftMs: ttlMs };
    const channel = new Channel(mark(5));
    await gate.admit(channel);
    await pass(60_000);
    expect(channel.ended).toBe("");
    expect(asked).toBeGreaterThan(60_000 / ttlMs);
    expect(asked).toBeLessThan((60_000 / ttlMs) * 6);
    gate.leave(channel);
    const before = asked;
    await pass(60_000);
    expect(asked).toBe(before);
  });

  it("LAW-F3 ends channels by its own clock before anybody else can hold, when control is gone", async () => {
    word = { mark: mark(5), leftMs: ttlMs };
    const channel = new Channel(mark(5));
    await gate.admit(channel);
    word = new Error("away");
    await pass(ttlMs - limits.leaseMarginMs - 100);
    expect(channel.ended).toBe("");
    await pass(100);
    expect(channel.ended).toBe("unknown");
    expect(await gate.admit(new Channel(mark(5)))).toBe("unknown");
  });

  it("LAW-F3 counts from before it asked: a slow answer confirms for less, a too slow one not at all", async () => {
    word = { mark: mark(5), leftMs: ttlMs };
    tookMs = 2_000;
    const channel = new Channel(mark(5));
    expect(await gate.admit(channel)).toBeUndefined();
    word = new Error("away");
    tookMs = 0;
    await pass(ttlMs - limits.leaseMarginMs - 2_000 - 100);
    expect(gate.holds(channel)).toBe(true);
    await pass(100);
    expect(channel.ended).toBe("unknown");
    word = { mark: mark(5), leftMs: ttlMs };
    tookMs = ttlMs - limits.leaseMarginMs;
    expect(await gate.admit(new Channel(mark(5)))).toBe("unknown");
  });

  it("LAW-F3 prolongs nothing by an answer that is older than what it has seen", async () => {
    word = { mark: mark(6), leftMs: ttlMs };
    const channel = new Channel(mark(6));
    await gate.admit(channel);
    word = { mark: mark(5), leftMs: 10 * ttlMs };
    await pass(ttlMs - limits.leaseMarginMs);
    expect(channel.ended).toBe("unknown");
    expect(fences.highest(resourceId)).toEqual(mark(6));
  });

  it("LAW-F3 keeps an operator's fence that it learns from control", async () => {
    word = { mark: mark(6, ""), leftMs: 0 };
    expect(await gate.admit(new Channel(mark(5)))).toBe("fenced");
    expect(fences.highest(resourceId)).toEqual(mark(6, ""));
  });

  it("ends channels when control says that nobody holds, and at once when a snapshot brings an operator's fence", async () => {
    word = { mark: mark(5), leftMs: ttlMs };
    const [first, second] = [new Channel(mark(5)), new Channel(mark(5))];
    await gate.admit(first);
    word = { mark: mark(5), leftMs: -1 };
    await pass(ttlMs / 3 + 100);
    expect(first.ended).toBe("fenced");
    word = { mark: mark(5), leftMs: ttlMs };
    await gate.admit(second);
    gate.learn(resourceId, { epoch: 1n, counter: 6n });
    expect(second.ended).toBe("fenced");
    expect(await gate.admit(new Channel(mark(5)))).toBe("fenced");
    expect(await gate.admit(new Channel(mark(6)))).toBe("fenced");
    word = { mark: mark(7), leftMs: ttlMs };
    expect(await gate.admit(new Channel(mark(7)))).toBeUndefined();
  });

  it("does not take an answer to an earlier question for the answer to a later one", async () => {
    const answers: ((word: LeaseWord) => void)[] = [];
    const slow = new FenceGate({
      fences,
      clock,
      log: silentLog,
      ask: () => new Promise((resolve) => answers.push(resolve)),
    });
    const old = slow.admit(new Channel(mark(5)));
    await pass(1);
    const fresh = [slow.admit(new Channel(mark(6))), slow.admit(new Channel(mark(6)))];
    await pass(1);
    expect(answers).toHaveLength(1);
    answers[0]?.({ mark: mark(5), leftMs: ttlMs });
    expect(await old).toBeUndefined();
    await pass(1);
    // One question for both who came meanwhile.
    expect(answers).toHaveLength(2);
    answers[1]?.({ mark: mark(6), leftMs: ttlMs });
    expect(await Promise.all(fresh)).toEqual([undefined, undefined]);
    expect(fences.highest(resourceId)).toEqual(mark(6));
    slow.close();
  });
});

/** A clock whose timers fire a part of a millisecond early, as the real one's do. */
function earlyClock(): ManualClock {
  const clock = new ManualClock();
  const after = clock.after.bind(clock);
  clock.after = (delayMs: number, fn: () => void): Timer => after(Math.max(0, delayMs - 0.9), fn);
  return clock;
}
