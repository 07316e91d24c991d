/** `weft check`: what counts as received, and what the loop says of channels that stall, end and come back. */

import { Duplex, PassThrough } from "node:stream";
import { expect, it } from "vitest";
import { EchoLedger } from "../../../../cli/check/echo-ledger.ts";
import { goldenSizesBytes, runGolden } from "../../../../cli/check/golden.ts";
import {
  type Failover,
  failoverOf,
  type LoopOptions,
  type LoopReport,
  messageOfTick,
  runLoop,
} from "../../../../cli/check/loop.ts";
import { failoverText, loopSummary, tickText } from "../../../../cli/check/loop-view.ts";
import type { ClientEvent } from "../../../../client/connect.ts";
import { ManualClock } from "../../../../lib/clock.ts";
import { limits } from "../../../../lib/limits.ts";
import { seededRandom } from "../../../../lib/random.ts";

/** Lets streams and promises do what they can do without time. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function advance(clock: ManualClock, stepMs: number, steps: number): Promise<void> {
  for (let step = 0; step < steps; step += 1) {
    await turn();
    clock.advance(stepMs);
    await turn();
  }
}

/** An echo that can hold back what it got, change it, or break. */
class Echo extends Duplex {
  isHeld = false;
  isChanging = false;
  #held: Buffer[] = [];

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    const back = Buffer.from(chunk);
    if (this.isChanging) back[0] = (back[0] ?? 0) ^ 1;
    if (this.isHeld) this.#held.push(back);
    else this.push(back);
    done();
  }

  letGo(): void {
    this.isHeld = false;
    for (const each of this.#held.splice(0)) this.push(each);
  }
}

it("M-L4 the ledger counts a byte as received only where it was sent, and once", () => {
  const ledger = new EchoLedger();
  ledger.send(Buffer.from("first"), 10);
  ledger.send(Buffer.from("second"), 20);
  expect(ledger.receive(Buffer.from("fir"), 30)).toEqual([]);
  expect(ledger.receive(Buffer.from("stsec"), 40)).toEqual([{ number: 1, rttMs: 30 }]);
  expect(ledger.totals()).toEqual({ sent: 2, received: 1, bytesSent: 11, bytesReceived: 8, bytesLost: 3 });
  expect(ledger.receive(Buffer.from("0nd"), 50)).toEqual([]);
  expect(ledger.damagedAt).toBe(8);
  // What comes behind it proves nothing.
  expect(ledger.receive(Buffer.from("ond"), 60)).toEqual([]);
  expect(ledger.totals().bytesLost).toBe(3);
  const surplus = new EchoLedger();
  surplus.receive(Buffer.from("x"), 1);
  expect(surplus.damagedAt).toBe(0);
});

it("M-L4 golden verifies five messages, and says which was lost and which were not sent", async () => {
  const clock = new ManualClock();
  const about = { clock, random: seededRandom(1), answerWithinMs: 1_000 };
  const whole = await runGolden({ ...about, open: async () => new PassThrough() });
  expect(whole).toMatchObject({ ok: true, bytesLost: 0 });
  expect(whole.messages.map(({ bytes, result }) => [bytes, result])).toEqual(
    goldenSizesBytes.map((bytes) => [bytes, "verified"]),
  );
  const changing = Object.assign(new Echo(), { isChanging: true });
  const damaged = await runGolden({ ...about, open: async () => changing });
  expect(damaged).toMatchObject({ ok: false, bytesLost: 1, problem: "other bytes came back than were sent" });
  expect(damaged.messages.map(({ result }) => result)).toEqual(["lost", ...Array(4).fill("not sent")]);
  const silent = runGolden({ ...about, open: async () => Object.assign(new Echo(), { isHeld: true }) });
  await advance(clock, 1_000, 1);
  expect(await silent).toMatchObject({ ok: false, problem: "message 1 was not back within 1000 ms" });
});

const nameOf = (id: string): string => ({ "nd-1": "entry-1", "pl-1": "office" })[id] ?? id;

function movedBy(cause: string): ClientEvent {
  return {
    ...{ kind: "moved", lane: "interactive", trunk: "t", resource: "echo", cause },
    ...{ fromEntry: "nd-1", toEntry: "nd-2", fromPath: ["nd-1", "path-1", "pl-1"], toPath: ["nd-2", "path-2", "pl-1"] },
    ...{ gapMs: 320.068_359_375, replayedBytes: 0, moves: 1 },
  };
}

interface Stage {
  readonly clock: ManualClock;
  readonly opened: Echo[];
  readonly report: Promise<LoopReport>;
}

function start(seconds: number, options: Partial<LoopOptions> = {}): Stage {
  const clock = new ManualClock();
  const opened: Echo[] = [];
  const report = runLoop({
    open: async () => {
      const echo = new Echo();
      opened.push(echo);
      return echo;
    },
    path: () => ({ up: true, entry: "nd-1", path: ["entry-1", "path-1", "office"] }),
    takeFailovers: () => [],
    onTick: () => {},
    ...{ clock, forMs: seconds * 1_000, tickMs: 1_000 },
    ...options,
  });
  return { clock, opened, report };
}

it("M-L4 the loop sends on every tick, waits beside sending, and loses nothing while the channel lives", async () => {
  const moves: Failover[] = [];
  const told: string[] = [];
  const { clock, opened, report } = start(6, {
    takeFailovers: () => moves.splice(0),
    onTick: (tick) => told.push(tickText(tick)),
  });
  await advance(clock, 1_000, 2);
  Object.assign(opened[0] ?? {}, { isHeld: true });
  await advance(clock, 1_000, 2);
  const move = failoverOf(movedBy("silent"), clock.nowMs(), nameOf);
  if (move !== undefined) moves.push(move);
  opened[0]?.letGo();
  await advance(clock, 1_000, 2);
  const { ticks, ...rest } = await report;
  expect(ticks.map(({ result, sent, received }) => [result, sent, received])).toEqual([
    ["ok", 1, 1],
    ["ok", 2, 2],
    ["ok", 3, 3],
    ["waiting", 4, 3],
    ["ok", 5, 5],
    ["ok", 6, 6],
  ]);
  const bytes = 6 * messageOfTick(1).length;
  expect(rest).toMatchObject({ ok: true, sent: 6, received: 6, bytesSent: bytes, bytesReceived: bytes, bytesLost: 0 });
  // The fourth was sent at 3 s and let go at 4 s.
  expect(rest).toMatchObject({ failoverObserved: true, failovers: [{ cause: "silent" }], slowestRttMs: 1_000 });
  expect(ticks.map(({ atMs }) => atMs - (ticks[0]?.atMs ?? 0))).toEqual([0, 1_000, 2_000, 3_000, 4_000, 5_000]);
  // For people: the time of day and the path of every tick.
  expect(told[0]).toMatch(/^1 +08:00:01\.000 +1 +1 +yes +ok 0\.0 ms +entry-1 > path-1 > office$/);
  expect(told[3]).toMatch(/^4 +08:00:04\.000 +4 +3 +yes +waiting: 1 +entry-1 > /);
  expect(loopSummary({ ticks, ...rest })).toBe(
    "FAILOVER OBSERVED: 1, the longest gap 320.1 ms; 6 sent, 6 received, the slowest back after 1000.0 ms, bytes lost: 0",
  );
});

it("M-L4 a channel that ends takes its bytes with it: they are lost, and the loop is not ok", async () => {
  const { clock, opened, report } = start(4);
  await advance(clock, 1_000, 1);
  // What the second tick sent is back; what the third sends is not.
  Object.assign(opened[0] ?? {}, { isHeld: true });
  await advance(clock, 1_000, 1);
  opened[0]?.destroy(new Error("the fabric lost it"));
  await advance(clock, 1_000, 2);
  const done = await report;
  expect(opened.length).toBe(2);
  expect(done.ok).toBe(false);
  expect(done.bytesLost).toBe(messageOfTick(1).length);
  expect(done.ticks.filter(({ result }) => result === "lost")).toEqual([
    expect.objectContaining({ problem: "the fabric lost it" }),
  ]);
  expect(done.failoverObserved).toBe(false);
});

it("M-L4 ticks nothing could be sent in are no success, though no byte was lost", async () => {
  let opens = 0;
  const first = new Echo();
  const { clock, report } = start(3, {
    open: async () => {
      opens += 1;
      if (opens === 1) return first;
      throw new Error("no entry answers");
    },
  });
  await advance(clock, 500, 1);
  first.destroy();
  await advance(clock, 500, 5);
  const done = await report;
  expect(done).toMatchObject({ ok: false, bytesLost: 0, sent: 1, received: 1 });
  expect(done.ticks.at(-1)).toMatchObject({ result: "down", problem: "no entry answers" });
});

it("M-L4 what never comes back is lost once trunks are not held any longer", async () => {
  const { clock, report } = start(1, { open: async () => Object.assign(new Echo(), { isHeld: true }) });
  await advance(clock, 1_000, 1);
  await advance(clock, limits.holdInitiatorMs, 1);
  expect(await report).toMatchObject({ ok: false, sent: 1, received: 0, bytesLost: messageOfTick(1).length });
});

it("the first path of a trunk is no failover", () => {
  expect(failoverOf(movedBy("first"), 1, nameOf)).toBeUndefined();
  expect(failoverOf({ kind: "opened", trunk: "t", resource: "echo" }, 1, nameOf)).toBeUndefined();
});

it("M-L4 a failover is told with time, names, both paths and the gap to a tenth of a millisecond", () => {
  const failover = failoverOf(movedBy("lost"), Date.UTC(2026, 0, 2, 3, 4, 5, 6), nameOf);
  expect(failover).toEqual({
    ...{ cause: "lost", atMs: Date.UTC(2026, 0, 2, 3, 4, 5, 6), gapMs: 320.1, moves: 1 },
    ...{ fromEntry: "nd-1", toEntry: "nd-2", fromName: "entry-1", toName: "nd-2" },
    ...{ fromPath: ["entry-1", "path-1", "office"], toPath: ["nd-2", "path-2", "office"] },
  });
  if (failover === undefined) throw new Error("no failover");
  expect(failoverText(failover)).toMatch(
    /^ +03:04:05\.006 +FAILOVER from entry-1 to nd-2 \(lost\), gap 320\.1 ms: entry-1 > path-1 > office => nd-2 > path-2 > office$/,
  );
  const same = { ...failover, toName: "entry-1", moves: 2 };
  expect(failoverText(same)).toContain("from entry-1 to another path (lost, 2 moves), gap");
  expect(failoverText({ ...failover, fromName: "", fromPath: [] })).toContain("from no entry to nd-2");
});
