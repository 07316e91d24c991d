/**
 * Traces of what a process does for somebody: spans with a parent, a time, a fate. Where they go is the exporter's affair
 * (rpc/trace-exporter.ts). A process without traces has no tracer: what it costs then is the question whether there is one.
 *
 * TR1. A span exists only when its trace is sampled: there is nothing to record elsewhere, and nothing is carried on.
 * TR2. Whether a trace is sampled is decided here, by the ratio; another's word counts only in `join`, which is for callers
 *      that proved to be nodes or operators, and only so often a second.
 * TR3. A span ends once. What runs on behind its end is no part of it: `current` does not know it any more.
 * TR4. Names, keys and values come from the code, never from a message of an error; texts and counts are bounded.
 */

import { AsyncLocalStorage } from "node:async_hooks";
import type { Clock } from "./clock.ts";
import { WeftError } from "./errors.ts";
import { limits } from "./limits.ts";
import type { Random } from "./random.ts";
import { TokenBuckets } from "./rate.ts";
import type { TraceContext } from "./trace-context.ts";

export type SpanKind = "internal" | "server" | "client";
type AttributeValue = string | number | boolean;

/** What spans may say: an allowlist, as that of logs (lib/log.ts). Ids and names only; no address, no key, no byte of traffic. */
export type AttributeName =
  | "rpc.system"
  | "rpc.service"
  | "rpc.method"
  | "rpc.grpc.status_code"
  | "db.system.name"
  | `weft.${"caller" | "request_id" | "correlation_id" | "resource" | "class" | "trunk" | "path" | "purpose"}`
  | `weft.${"hops" | "hop" | "ways" | "lane" | "cause" | "gap_ms" | "replayed_bytes" | "moves" | "mode" | "statements"}`;

export type Attributes = Readonly<Partial<Record<AttributeName, AttributeValue>>>;

export interface SpanEvent {
  readonly name: string;
  /** Unix time, fractional. */
  readonly atMs: number;
  readonly attributes: Attributes;
}

/** A span whose time is over, as it leaves the process. */
export interface EndedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for the first of its trace. */
  readonly parentSpanId: string;
  readonly name: string;
  readonly kind: SpanKind;
  /** Unix time, fractional. */
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Attributes;
  readonly events: readonly SpanEvent[];
  readonly droppedEventsCount: number;
  /** Traces of callers that are not believed. */
  readonly links: readonly TraceContext[];
  /** Why it failed: a constant such as NO_PATH. */
  readonly error: string | undefined;
}

export interface SpanStart {
  /** Default: internal. */
  readonly kind?: SpanKind;
  readonly attributes?: Attributes;
  /** The trace of a caller that is not believed: mentioned, not gone on with. */
  readonly link?: TraceContext | undefined;
  /** How long ago it began. */
  readonly startedMsAgo?: number;
}

export interface Span {
  readonly context: TraceContext;
  set(attributes: Attributes): void;
  event(name: string, attributes?: Attributes): void;
  /** The first call counts. With why it failed, as a constant. */
  end(error?: string): void;
}

export interface Tracer {
  /** What this code runs for. */
  current(): Span | undefined;
  /** The first span of a trace; undefined when the ratio says no. */
  begin(name: string, start?: SpanStart): Span | undefined;
  /** Goes on with the sampled trace of a caller that is believed (TR2); undefined when there is none. */
  join(name: string, from: TraceContext | undefined, start?: SpanStart): Span | undefined;
  /** A part of what this code runs for; undefined when that is no part of a trace. */
  inside(name: string, start?: SpanStart): Span | undefined;
  /** Runs `fn`, and what it starts, for the span; for none when it is undefined. */
  run<T>(span: Span | undefined, fn: () => T): T;
}

export interface TracerOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Share of the traces that begin here, 0..1. */
  readonly ratio: number;
  readonly onEnd: (span: EndedSpan) => void;
  /** A trace of a caller was not gone on with: there were too many. */
  readonly onNotJoined?: () => void;
}

/** Where a trace's time comes from in this process: wall time once, monotonic time from there. */
interface Origin {
  readonly wallMs: number;
  readonly monoMs: number;
}

/** What a trace id is compared by: 52 bits of the 56 that OpenTelemetry's samplers look at, so that they agree with us. */
const isSampled = (traceId: string, ratio: number): boolean =>
  Number.parseInt(traceId.slice(18, 31), 16) / 2 ** 52 >= 1 - ratio;

export function createTracer(options: TracerOptions): Tracer {
  const { clock, random, ratio, onNotJoined } = options;
  const running = new AsyncLocalStorage<LiveSpan | undefined>();
  const shape = { perSecond: limits.tracesJoinedPerSecond, burstCount: limits.tracesJoinedBurstCount, keysMaxCount: 1 };
  const joins = new TokenBuckets(clock, shape);
  const origin = (): Origin => ({ wallMs: clock.nowMs(), monoMs: clock.monoMs() });
  const open = (name: string, place: Place, start: SpanStart = {}): LiveSpan =>
    new LiveSpan(options, { ...place, spanId: idOf(random, 8) }, name, start);
  const current = (): LiveSpan | undefined => {
    const span = running.getStore();
    return span?.isOver === true ? undefined : span;
  };
  return {
    current,
    begin(name, start) {
      const traceId = idOf(random, 16);
      return isSampled(traceId, ratio) ? open(name, { traceId, parentSpanId: "", origin: origin() }, start) : undefined;
    },
    join(name, from, start) {
      if (from?.sampled !== true) return undefined;
      if (joins.take(""))
        return open(name, { traceId: from.traceId, parentSpanId: from.spanId, origin: origin() }, start);
      onNotJoined?.();
      return undefined;
    },
    inside(name, start) {
      const parent = current();
      if (parent === undefined) return undefined;
      const { traceId, spanId } = parent.context;
      return open(name, { traceId, parentSpanId: spanId, origin: parent.origin }, start);
    },
    run: (span, fn) => running.run(span as LiveSpan | undefined, fn),
  };
}

/** Runs `fn` for the span, which ends with it. */
export async function traced<T>(tracer: Tracer, span: Span | undefined, fn: () => Promise<T>): Promise<T> {
  try {
    const result = await tracer.run(span, fn);
    span?.end();
    return result;
  } catch (thrown) {
    span?.end(failureName(thrown));
    throw thrown;
  }
}

/** What a span says of what was thrown: a constant, never a message (TR4). */
export function failureName(thrown: unknown): string {
  return thrown instanceof WeftError ? thrown.detail : "INTERNAL";
}

/** All zero is no id. */
function idOf(random: Random, bytes: number): string {
  for (;;) {
    const id = Buffer.from(random.bytes(bytes)).toString("hex");
    if (!/^0+$/.test(id)) return id;
  }
}

interface Place {
  readonly traceId: string;
  readonly parentSpanId: string;
  readonly origin: Origin;
}

class LiveSpan implements Span {
  readonly context: TraceContext;
  readonly origin: Origin;
  readonly #options: Pick<TracerOptions, "clock" | "onEnd">;
  readonly #parentSpanId: string;
  readonly #name: string;
  readonly #start: SpanStart;
  readonly #startMs: number;
  readonly #attributes: Record<string, AttributeValue> = {};
  readonly #events: SpanEvent[] = [];
  #droppedEventsCount = 0;
  #isOver = false;

  constructor(
    options: Pick<TracerOptions, "clock" | "onEnd">,
    { traceId, spanId, parentSpanId, origin }: Place & { readonly spanId: string },
    name: string,
    start: SpanStart,
  ) {
    this.#options = options;
    this.context = { traceId, spanId, sampled: true };
    this.origin = origin;
    this.#parentSpanId = parentSpanId;
    this.#name = name;
    this.#start = start;
    this.#startMs = this.#nowMs() - (start.startedMsAgo ?? 0);
    this.set(start.attributes ?? {});
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  set(attributes: Attributes): void {
    addBounded(this.#attributes, attributes);
  }

  event(name: string, attributes: Attributes = {}): void {
    if (this.#isOver) return;
    if (this.#events.length >= limits.spanEventsMaxCount) this.#droppedEventsCount += 1;
    else this.#events.push({ name, atMs: this.#nowMs(), attributes: addBounded({}, attributes) });
  }

  end(error?: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const { kind = "internal", link } = this.#start;
    const { traceId, spanId } = this.context;
    this.#options.onEnd({
      ...{ traceId, spanId, parentSpanId: this.#parentSpanId, name: this.#name, kind },
      startMs: this.#startMs,
      endMs: this.#nowMs(),
      attributes: this.#attributes,
      events: this.#events,
      droppedEventsCount: this.#droppedEventsCount,
      links: link === undefined ? [] : [link],
      error: error?.slice(0, limits.spanTextMaxCount),
    });
  }

  #nowMs(): number {
    return this.origin.wallMs + this.#options.clock.monoMs() - this.origin.monoMs;
  }
}

function addBounded(to: Record<string, AttributeValue>, attributes: Attributes): Attributes {
  for (const [key, value] of Object.entries(attributes)) {
    if (!(key in to) && Object.keys(to).length >= limits.spanAttributesMaxCount) continue;
    to[key] = typeof value === "string" ? value.slice(0, limits.spanTextMaxCount) : value;
  }
  return to;
}
