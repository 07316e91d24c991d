import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { ManualClock } from "../../../lib/clock.ts";
import { WeftError } from "../../../lib/errors.ts";
import { limits } from "../../../lib/limits.ts";
import { seededRandom } from "../../../lib/random.ts";
import { createTracer, type EndedSpan, traced } from "../../../lib/tracer.ts";

function stage(ratio = 1) {
  const clock = new ManualClock();
  const ended: EndedSpan[] = [];
  let notJoined = 0;
  const tracer = createTracer({
    clock,
    random: seededRandom(7),
    ratio,
    onEnd: (span) => ended.push(span),
    onNotJoined: () => {
      notJoined += 1;
    },
  });
  return { clock, ended, tracer, notJoined: () => notJoined };
}

const theirs = { traceId: "a".repeat(32), spanId: "b".repeat(16), sampled: true };

describe("a tracer", () => {
  it("makes spans with a parent, a time and a fate", async () => {
    const { clock, ended, tracer } = stage();
    const root = tracer.begin("outer", { kind: "server", attributes: { "weft.resource": "db" } });
    clock.advance(5);
    await traced(tracer, root, async () => {
      const inner = tracer.inside("inner");
      // A step of the wall clock moves no part of a trace that runs.
      clock.stepWall(60_000);
      clock.advance(2.5);
      inner?.event("half way", { "weft.hop": 1 });
      inner?.end("NO_PATH");
    });
    const [inner, outer] = ended;
    expect(inner).toMatchObject({
      name: "inner",
      parentSpanId: outer?.spanId,
      traceId: outer?.traceId,
      error: "NO_PATH",
    });
    expect(outer).toMatchObject({ name: "outer", parentSpanId: "", kind: "server", error: undefined });
    expect(outer).toMatchObject({ attributes: { "weft.resource": "db" } });
    expect([inner?.startMs, inner?.endMs].map((ms) => (ms ?? 0) - (outer?.startMs ?? 0))).toEqual([5, 7.5]);
    expect(inner?.events).toMatchObject([{ name: "half way", attributes: { "weft.hop": 1 } }]);
  });

  it("TR1 TR2 decides by the ratio, the same way as other samplers by the id", () => {
    const count = (ratio: number): number => {
      const { tracer } = stage(ratio);
      return Array.from({ length: 2_000 }, () => tracer.begin("x")).filter((span) => span !== undefined).length;
    };
    expect(count(1)).toBe(2_000);
    expect(count(0)).toBe(0);
    expect(count(0.25)).toBeGreaterThan(400);
    expect(count(0.25)).toBeLessThan(600);
    const { tracer } = stage(0.25);
    for (let at = 0; at < 500; at += 1) {
      const id = tracer.begin("x")?.context.traceId;
      // OpenTelemetry: sampled when the last 56 bits are at least the threshold.
      if (id !== undefined) expect(BigInt(`0x${id.slice(18)}`) >= 3n << 54n).toBe(true);
    }
  });

  it("TR1 makes nothing of what is no part of a trace", async () => {
    const { ended, tracer } = stage(0);
    const root = tracer.begin("outer");
    expect(root).toBeUndefined();
    await traced(tracer, root, async () => {
      expect(tracer.current()).toBeUndefined();
      expect(tracer.inside("inner")).toBeUndefined();
    });
    expect(ended).toEqual([]);
  });

  it("TR2 goes on with a believed caller's trace whatever its own ratio, so often a second", () => {
    const { clock, tracer, notJoined } = stage(0);
    expect(tracer.join("x", undefined)).toBeUndefined();
    expect(tracer.join("x", { ...theirs, sampled: false })).toBeUndefined();
    expect(tracer.join("x", theirs)?.context.traceId).toBe(theirs.traceId);
    const burst = (): number =>
      Array.from({ length: 5_000 }, () => tracer.join("x", theirs)).filter((span) => span !== undefined).length;
    expect(burst()).toBe(limits.tracesJoinedBurstCount - 1);
    expect(notJoined()).toBe(5_000 - limits.tracesJoinedBurstCount + 1);
    clock.advance(1_000);
    expect(burst()).toBe(limits.tracesJoinedPerSecond);
  });

  it("TR2 mentions the trace of a caller that is not believed, and is not moved by it", () => {
    const { ended, tracer } = stage();
    tracer.begin("x", { link: theirs })?.end();
    expect(ended[0]).toMatchObject({ parentSpanId: "", links: [theirs] });
    expect(ended[0]?.traceId).not.toBe(theirs.traceId);
    expect(stage(0).tracer.begin("x", { link: theirs })).toBeUndefined();
  });

  it("TR3 knows a span no longer once it has ended, and ends it once", async () => {
    const { ended, tracer } = stage();
    const root = tracer.begin("outer");
    const later = tracer.run(root, async () => {
      await turn();
      return [tracer.current(), tracer.inside("late")];
    });
    root?.end();
    root?.end("INTERNAL");
    root?.event("late");
    expect(await later).toEqual([undefined, undefined]);
    expect(ended).toMatchObject([{ name: "outer", error: undefined, events: [] }]);
  });

  it("TR3 keeps spans of what runs at the same time apart", async () => {
    const { ended, tracer } = stage();
    const one = async (name: string): Promise<void> => {
      const root = tracer.begin(name);
      await traced(tracer, root, async () => {
        await turn();
        tracer.inside("inner")?.end();
        await tracer.run(undefined, async () => {
          await turn();
          expect(tracer.inside("nobody's")).toBeUndefined();
        });
      });
    };
    await Promise.all(["a", "b", "c"].map(one));
    for (const name of ["a", "b", "c"]) {
      const root = ended.find((span) => span.name === name);
      expect(ended.filter(({ parentSpanId }) => parentSpanId === root?.spanId)).toMatchObject([{ name: "inner" }]);
    }
  });

  it("TR4 says of a failure what it was, never what its message says", async () => {
    const { ended, tracer } = stage();
    const failing = [
      new WeftError("unavailable", "the secret is hunter2", { detail: "NO_PATH" }),
      new WeftError("not_found", "hunter2"),
      new Error("hunter2"),
    ];
    for (const thrown of failing) {
      await expect(traced(tracer, tracer.begin("x"), () => Promise.reject(thrown))).rejects.toBe(thrown);
    }
    expect(ended.map(({ error }) => error)).toEqual(["NO_PATH", "NOT_FOUND", "INTERNAL"]);
    expect(JSON.stringify(ended)).not.toContain("hunter2");
  });

  it("TR4 keeps a bounded amount of text and events in a span", () => {
    const { ended, tracer } = stage();
    const span = tracer.begin("x", { attributes: { "weft.resource": "r".repeat(10_000) } });
    for (let at = 0; at < 100; at += 1) span?.event("again", { "weft.cause": "c".repeat(10_000) });
    span?.end("E".repeat(10_000));
    const [seen] = ended;
    expect(String(seen?.attributes["weft.resource"]).length).toBe(limits.spanTextMaxCount);
    expect([seen?.events.length, seen?.droppedEventsCount]).toEqual([
      limits.spanEventsMaxCount,
      100 - limits.spanEventsMaxCount,
    ]);
    expect(JSON.stringify(ended).length).toBeLessThan(2 * limits.spanTextMaxCount * limits.spanEventsMaxCount);
  });
});
