/** Spans as OTLP has them (proto/third_party/opentelemetry): one request of one process. */

import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  ExportTraceServiceRequestSchema,
  ExportTraceServiceResponseSchema,
} from "../gen/opentelemetry/proto/collector/trace/v1/trace_service_pb.ts";
import type { AnyValueSchema, KeyValueSchema } from "../gen/opentelemetry/proto/common/v1/common_pb.ts";
import {
  type Span_EventSchema,
  type Span_LinkSchema,
  Span_SpanKind,
  type SpanSchema,
  Status_StatusCode,
} from "../gen/opentelemetry/proto/trace/v1/trace_pb.ts";
import type { TraceContext } from "../lib/trace-context.ts";
import type { EndedSpan, SpanEvent, SpanKind } from "../lib/tracer.ts";

/** Who the spans are from. */
export interface TraceSource {
  readonly attributes: Readonly<Record<string, string | number>>;
  readonly version: string;
}

type Values = Readonly<Record<string, string | number | boolean | undefined>>;

const kinds: Readonly<Record<SpanKind, Span_SpanKind>> = {
  internal: Span_SpanKind.INTERNAL,
  server: Span_SpanKind.SERVER,
  client: Span_SpanKind.CLIENT,
};

/** The receiver's answer: how many spans it did not take. */
export function rejectedCount(answer: Uint8Array): number {
  try {
    const { partialSuccess } = fromBinary(ExportTraceServiceResponseSchema, answer);
    return Math.max(0, Number(partialSuccess?.rejectedSpans ?? 0n));
  } catch {
    // It answered 200: what it says beyond that is not worth losing the spans for.
    return 0;
  }
}

/** An ExportTraceServiceRequest. */
export function encodeSpans(spans: readonly EndedSpan[], { attributes, version }: TraceSource): Uint8Array {
  const request = create(ExportTraceServiceRequestSchema, {
    resourceSpans: [
      {
        resource: { attributes: valuesOf(attributes) },
        scopeSpans: [{ scope: { name: "weft", version }, spans: spans.map(spanOf) }],
      },
    ],
  });
  return toBinary(ExportTraceServiceRequestSchema, request);
}

function spanOf(span: EndedSpan): MessageInitShape<typeof SpanSchema> {
  return {
    traceId: hex(span.traceId),
    spanId: hex(span.spanId),
    parentSpanId: hex(span.parentSpanId),
    name: span.name,
    kind: kinds[span.kind],
    startTimeUnixNano: nanos(span.startMs),
    endTimeUnixNano: nanos(span.endMs),
    attributes: valuesOf(span.attributes),
    events: span.events.map(eventOf),
    droppedEventsCount: span.droppedEventsCount,
    links: span.links.map(linkOf),
    flags: 1,
    ...(span.error === undefined ? {} : { status: { code: Status_StatusCode.ERROR, message: span.error } }),
  };
}

function eventOf({ name, atMs, attributes }: SpanEvent): MessageInitShape<typeof Span_EventSchema> {
  return { name, timeUnixNano: nanos(atMs), attributes: valuesOf(attributes) };
}

function linkOf({ traceId, spanId, sampled }: TraceContext): MessageInitShape<typeof Span_LinkSchema> {
  return { traceId: hex(traceId), spanId: hex(spanId), flags: sampled ? 1 : 0 };
}

function valuesOf(values: Values): MessageInitShape<typeof KeyValueSchema>[] {
  return Object.entries(values).flatMap(([key, value]) =>
    value === undefined ? [] : [{ key, value: { value: anyOf(key, value) } }],
  );
}

type AnyOf = NonNullable<Exclude<MessageInitShape<typeof AnyValueSchema>["value"], undefined>>;

/** A key has one type, whatever its value happens to be: durations are fractional, other numbers are counts. */
function anyOf(key: string, value: string | number | boolean): AnyOf {
  if (typeof value === "string") return { case: "stringValue", value };
  if (typeof value === "boolean") return { case: "boolValue", value };
  if (key.endsWith("_ms")) return { case: "doubleValue", value };
  return { case: "intValue", value: BigInt(Math.round(value)) };
}

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "hex"));

/** Microseconds are what a double of this size holds. */
const nanos = (ms: number): bigint => BigInt(Math.round(ms * 1_000)) * 1_000n;
