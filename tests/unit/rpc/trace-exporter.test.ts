import { setImmediate as turn } from "node:timers/promises";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import {
  ExportTraceServiceRequestSchema,
  ExportTraceServiceResponseSchema,
} from "../../../gen/opentelemetry/proto/collector/trace/v1/trace_service_pb.ts";
import { ManualClock } from "../../../lib/clock.ts";
import { limits } from "../../../lib/limits.ts";
import { type Log, silentLog } from "../../../lib/log.ts";
import { seededRandom } from "../../../lib/random.ts";
import type { EndedSpan } from "../../../lib/tracer.ts";
import { encodeSpans, rejectedCount } from "../../../rpc/trace-encode.ts";
import { TraceExporter } from "../../../rpc/trace-exporter.ts";
import type { Posted } from "../../../rpc/trace-post.ts";

const span = (name = "x"): EndedSpan => ({
  traceId: "a".repeat(32),
  spanId: "b".repeat(16),
  parentSpanId: "",
  name,
  kind: "internal",
  startMs: 1_800_000_000_000,
  endMs: 1_800_000_000_001.5,
  attributes: {},
  events: [],
  droppedEventsCount: 0,
  links: [],
  error: undefined,
});

const namesIn = (body: Uint8Array): string[] =>
  fromBinary(ExportTraceServiceRequestSchema, body).resourceSpans.flatMap(({ scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) => spans.map(({ name }) => name)),
  );

const taken: Posted = { kind: "taken", rejectedCount: 0 };
const later: Posted = { kind: "later", why: "ECONNREFUSED", afterMs: 0 };

/** An exporter before a receiver whose answers are given by the test. */
function stage() {
  const clock = new ManualClock();
  const asked: { readonly body: Uint8Array; readonly answer: (posted: Posted) => void }[] = [];
  const said: string[] = [];
  const note = (message: string): void => void said.push(message);
  const log: Log = { ...silentLog, info: note, warn: note };
  let closed = false;
  const exporter = new TraceExporter({
    receiver: {
      post: (body) => new Promise((answer) => asked.push({ body, answer })),
      close: () => {
        closed = true;
      },
    },
    source: { attributes: {}, version: "1" },
    clock,
    random: seededRandom(1),
    log,
  });
  /** Answers the newest request, and lets what follows from it happen. */
  const answer = async (posted: Posted): Promise<void> => {
    asked.at(-1)?.answer(posted);
    await turn();
  };
  const tick = async (ms = limits.traceExportEveryMs): Promise<void> => {
    clock.advance(ms);
    await turn();
  };
  return { exporter, clock, asked, said, answer, tick, isClosed: () => closed };
}

it("a key of a span has one type, whatever its value happens to be", () => {
  const casesOf = (gapMs: number): unknown => {
    const attributes = { "weft.gap_ms": gapMs, "weft.hops": 3, "weft.resource": "db" };
    const body = encodeSpans([{ ...span(), attributes }], { attributes: {}, version: "1" });
    const [scope] = fromBinary(ExportTraceServiceRequestSchema, body).resourceSpans[0]?.scopeSpans ?? [];
    return scope?.spans[0]?.attributes.map(({ value }) => value?.value.case);
  };
  expect(casesOf(0.5)).toEqual(["doubleValue", "intValue", "stringValue"]);
  expect(casesOf(5)).toEqual(casesOf(0.5));
});

describe("the exporter of spans", () => {
  it("sends what ended every so often, in one request", async () => {
    const { exporter, asked, answer, tick } = stage();
    for (const name of ["a", "b"]) exporter.offer(span(name));
    expect(asked).toEqual([]);
    await tick();
    expect(asked.map(({ body }) => namesIn(body))).toEqual([["a", "b"]]);
    await answer(taken);
    expect(exporter.counts()).toMatchObject({ exported: 2, waiting: 0 });
    await tick();
    expect(asked).toHaveLength(1);
  });

  it("TE1 keeps a bounded number before a receiver that hangs, drops what comes then and counts it", async () => {
    const { exporter, asked } = stage();
    const offered = limits.traceQueueMaxCount * 3;
    for (let at = 0; at < offered; at += 1) exporter.offer(span());
    await turn();
    expect(asked).toHaveLength(1);
    const { waiting, dropped } = exporter.counts();
    expect(waiting).toBe(limits.traceQueueMaxCount);
    // What is under way is neither waiting nor dropped.
    expect(waiting + dropped.queue_full + namesIn(asked[0]?.body ?? new Uint8Array()).length).toBe(offered);
  });

  it("TE2 repeats a request so often, then drops its spans, and goes on with others", async () => {
    const { exporter, clock, asked, said, answer, tick } = stage();
    exporter.offer(span("lost"));
    await tick();
    for (let attempt = 1; attempt < limits.traceAttemptsMaxCount; attempt += 1) {
      await answer(later);
      clock.advance(limits.traceRetryMaxMs);
      await turn();
    }
    expect(asked).toHaveLength(limits.traceAttemptsMaxCount);
    await answer(later);
    expect(exporter.counts()).toMatchObject({ exported: 0, dropped: { unreachable: 1 } });
    exporter.offer(span("kept"));
    await tick();
    await answer(taken);
    expect(exporter.counts()).toMatchObject({ exported: 1, dropped: { unreachable: 1 } });
    expect(said).toEqual(["traces are not taken", "traces are taken again"]);
  });

  it("TE2 waits as long as a busy receiver says", async () => {
    const { exporter, asked, answer, tick } = stage();
    exporter.offer(span());
    await tick();
    await answer({ kind: "later", why: "HTTP 429", afterMs: 4_000 });
    await tick(3_900);
    expect(asked).toHaveLength(1);
    await tick(100);
    expect(asked).toHaveLength(2);
  });

  it("does not repeat what was refused, and counts what a receiver took out", async () => {
    const { exporter, asked, answer, tick } = stage();
    exporter.offer(span());
    await tick();
    await answer({ kind: "refused", why: "HTTP 400" });
    for (let at = 0; at < 5; at += 1) exporter.offer(span());
    await tick();
    await answer({ kind: "taken", rejectedCount: 2 });
    expect(asked).toHaveLength(2);
    expect(exporter.counts()).toMatchObject({ exported: 3, dropped: { refused: 1, rejected: 2 } });
  });

  it("counts nothing backwards, whatever a receiver says that it took out", () => {
    const saying = (rejectedSpans: bigint): Uint8Array =>
      toBinary(
        ExportTraceServiceResponseSchema,
        create(ExportTraceServiceResponseSchema, { partialSuccess: { rejectedSpans } }),
      );
    expect([2n, 0n, -5n].map((count) => rejectedCount(saying(count)))).toEqual([2, 0, 0]);
  });

  it("TE3 sends what is left when it is closed", async () => {
    const { exporter, asked, answer, tick, isClosed } = stage();
    exporter.offer(span("under way"));
    await tick();
    exporter.offer(span("left"));
    const closed = exporter.close();
    await answer(taken);
    expect(asked.map(({ body }) => namesIn(body))).toEqual([["under way"], ["left"]]);
    expect(isClosed()).toBe(false);
    await answer(taken);
    await closed;
    expect(isClosed()).toBe(true);
    exporter.offer(span("too late"));
    expect(exporter.counts()).toMatchObject({ exported: 2, waiting: 0, dropped: { shutdown: 1 } });
  });

  it("TE3 is closed after a bounded time before a receiver that hangs", async () => {
    const { exporter, clock, tick, isClosed } = stage();
    exporter.offer(span());
    await tick();
    for (let at = 0; at < 3; at += 1) exporter.offer(span());
    const closed = exporter.close();
    await turn();
    clock.advance(limits.traceCloseMaxMs);
    await closed;
    expect(isClosed()).toBe(true);
    expect(exporter.counts().dropped.shutdown).toBe(3);
  });
});
