import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { RouteLinkSchema } from "../../../gen/weft/fabric/v1/snapshot_pb.ts";
import { BeatResponseSchema } from "../../../gen/weft/heartbeat/v1/heartbeat_pb.ts";
import { ManualClock } from "../../../lib/clock.ts";
import { WeftError } from "../../../lib/errors.ts";
import { limits } from "../../../lib/limits.ts";
import { silentLog } from "../../../lib/log.ts";
import { seededRandom } from "../../../lib/random.ts";
import { BeatPace } from "../../../node/beat-pace.ts";
import { type BeatFacts, type HeartbeatDeps, runHeartbeat } from "../../../node/heartbeat.ts";
import { eventually } from "../../harness/eventually.ts";

interface Beat {
  readonly seq: bigint;
  readonly atMs: number;
  readonly lastRoundTripMs: number;
}

/** A control whose answers the test decides, and the loop that beats to it. */
function stage(answer: (seq: bigint, clock: ManualClock) => bigint) {
  const clock = new ManualClock();
  const pace = new BeatPace(clock, seededRandom(1));
  const beats: Beat[] = [];
  const reports: number[] = [];
  const warnings: string[] = [];
  const workloadReports: string[][] = [];
  let workloads = [{ name: "relay" }];
  let answered = 0;
  let links = [create(RouteLinkSchema, { fromNodeId: "a", toNodeId: "b", rttMs: 1 })];
  const deps = {
    client: () => ({
      beat: async (request: Beat) => {
        beats.push({ seq: request.seq, atMs: clock.monoMs(), lastRoundTripMs: request.lastRoundTripMs });
        return create(BeatResponseSchema, { nextBeatMs: answer(request.seq, clock) });
      },
    }),
    routing: () => ({
      reportLinks: async (request: { links: unknown[] }) => {
        reports.push(request.links.length);
        return {};
      },
    }),
    clock,
    pace,
    clockWatch: { read: () => {}, driftPpm: () => undefined },
    log: {
      ...silentLog,
      warn: (message: string) => void warnings.push(message),
      info: (message: string) => void warnings.push(message),
    },
    facts: () => ({ bootId: "b" }) as BeatFacts,
    proofs: () => [],
    links: () => links,
    control: () => ({
      reportWorkloads: async (request: { workloads: { name: string }[] }) => {
        workloadReports.push(request.workloads.map(({ name }) => name));
        return {};
      },
    }),
    workloads: () => workloads,
    onAnswer: () => {
      answered += 1;
    },
  } as unknown as HeartbeatDeps;
  const ending = new AbortController();
  const running = runHeartbeat(deps, ending.signal);
  return {
    clock,
    pace,
    beats,
    reports,
    warnings,
    answered: () => answered,
    workloadReports,
    run: (...names: string[]) => {
      workloads = names.map((name) => ({ name }));
    },
    noLinks: () => {
      links = [];
    },
    waiting: () => eventually(() => clock.nextDueInMs(), { everyMs: 1 }),
    stop: async () => {
      ending.abort();
      await running;
    },
  };
}

describe("beats", () => {
  it("come at the pace control asks for, never slower than the period, never in a rush", async () => {
    const paces = [1_000n, 60_000n, 1n, 0n];
    const loop = stage((seq) => paces[Number(seq) - 1] ?? 5_000n);
    const waits: (number | undefined)[] = [];
    for (let beat = 0; beat < paces.length; beat++) {
      waits.push(await loop.waiting());
      loop.clock.advance(waits.at(-1) ?? 0);
      await eventually(() => loop.beats.length === beat + 2, { everyMs: 1 });
    }
    expect(waits).toEqual([1_000, limits.beatEveryMs, 200, limits.beatEveryMs]);
    expect(loop.beats.map(({ seq }) => seq)).toEqual([1n, 2n, 3n, 4n, 5n]);
    await loop.stop();
  });

  it("come soon after a nudge, once, not at once, and never closer than that together", async () => {
    const loop = stage(() => 5_000n);
    expect(await loop.waiting()).toBe(limits.beatEveryMs);
    loop.clock.advance(1_000);
    loop.pace.nudge();
    loop.pace.nudge();
    const soonMs = await eventually(() => {
      const dueMs = loop.clock.nextDueInMs();
      return dueMs !== undefined && dueMs < 4_000 ? dueMs : undefined;
    });
    expect(soonMs).toBeGreaterThanOrEqual(limits.receiptDelayMs);
    expect(soonMs).toBeLessThanOrEqual(limits.receiptDelayMs + limits.receiptSpreadMs);
    loop.clock.advance(Math.ceil(soonMs) + 1);
    await eventually(() => loop.beats.length === 2, { everyMs: 1 });
    loop.pace.nudge();
    await eventually(() => Math.round(loop.clock.nextDueInMs() ?? 0) === limits.receiptEveryMs, { everyMs: 1 });
    loop.clock.advance(limits.receiptEveryMs + 1);
    await eventually(() => loop.beats.length === 3, { everyMs: 1 });
    expect(await loop.waiting()).toBe(limits.beatEveryMs);
    await loop.stop();
  });

  it("go on after control was away, saying so once each way", async () => {
    const loop = stage((seq) => {
      if (seq === 2n || seq === 3n) throw new WeftError("unavailable", "away");
      return 5_000n;
    });
    for (const beat of [1, 2, 3, 4]) {
      await eventually(() => loop.beats.length === beat, { everyMs: 1 });
      expect(await loop.waiting()).toBe(limits.beatEveryMs);
      loop.clock.advance(limits.beatEveryMs);
    }
    await eventually(() => loop.answered() === 3, { everyMs: 1 });
    expect(loop.warnings).toEqual(["beat failed", "control answers again"]);
    await loop.stop();
  });

  it("report what runs at the first beat, at every change and every twelfth beat", async () => {
    const loop = stage(() => 5_000n);
    for (let beat = 1; beat <= 12; beat += 1) {
      await eventually(() => loop.beats.length === beat, { everyMs: 1 });
      await loop.waiting();
      if (beat === 1) expect(loop.workloadReports).toEqual([["relay"]]);
      if (beat === 2) loop.run("relay", "egress");
      loop.clock.advance(limits.beatEveryMs);
    }
    await eventually(() => loop.beats.length === 13, { everyMs: 1 });
    expect(loop.workloadReports).toEqual([["relay"], ["relay", "egress"], ["relay", "egress"]]);
    await loop.stop();
  });

  it("report links after each answer, and nothing when there is none", async () => {
    const loop = stage(() => 5_000n);
    await loop.waiting();
    expect(loop.reports).toEqual([1]);
    loop.noLinks();
    loop.clock.advance(5_000);
    await eventually(() => loop.beats.length === 2, { everyMs: 1 });
    await loop.waiting();
    expect(loop.reports).toEqual([1]);
    await loop.stop();
  });

  it("tell the round trip of the beat before, which counts towards the period", async () => {
    const loop = stage((seq, clock) => {
      if (seq === 1n) clock.advance(700);
      return 5_000n;
    });
    expect(await loop.waiting()).toBe(4_300);
    loop.clock.advance(4_300);
    await eventually(() => loop.beats.length === 2, { everyMs: 1 });
    expect(loop.beats.map(({ lastRoundTripMs }) => lastRoundTripMs)).toEqual([0, 700]);
    await loop.stop();
  });

  it("end at once when the node stops, leaving no timer", async () => {
    const loop = stage(() => 5_000n);
    await loop.waiting();
    await loop.stop();
    expect(loop.clock.nextDueInMs()).toBeUndefined();
    expect(loop.beats).toHaveLength(1);
  });
});
