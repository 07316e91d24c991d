/**
 * A receiver of OTLP/HTTP that writes down what it is sent: a real server, the public definition of OTLP
 * (proto/third_party/opentelemetry). It can also refuse, take a part only, or never answer.
 */

import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  ExportTraceServiceRequestSchema,
  ExportTraceServiceResponseSchema,
} from "../../gen/opentelemetry/proto/collector/trace/v1/trace_service_pb.ts";
import type { KeyValue } from "../../gen/opentelemetry/proto/common/v1/common_pb.ts";
import { type Span, Span_SpanKind, Status_StatusCode } from "../../gen/opentelemetry/proto/trace/v1/trace_pb.ts";

type Value = string | number | boolean | undefined;

/** A span as it arrived. */
export interface SeenSpan {
  readonly name: string;
  readonly kind: string;
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for the first of its trace. */
  readonly parentSpanId: string;
  readonly startNanos: bigint;
  readonly endNanos: bigint;
  readonly attributes: Readonly<Record<string, Value>>;
  readonly events: readonly { readonly name: string; readonly attributes: Readonly<Record<string, Value>> }[];
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  /** Undefined unless its status is an error. */
  readonly error: string | undefined;
  /** Of the process it is from. */
  readonly resource: Readonly<Record<string, Value>>;
}

/** What the receiver does with requests from now on. */
export type Answering = "take" | "hang" | "hang up" | { readonly status: number } | { readonly rejects: number };

export interface OtlpReceiver {
  /** Base URL, for `tracesEndpoint`. */
  readonly endpoint: string;
  readonly spans: readonly SeenSpan[];
  /** Bodies as they came. */
  readonly bodies: readonly Buffer[];
  readonly headers: readonly IncomingMessage["headers"][];
  connections(): number;
  answer(how: Answering): void;
  close(): Promise<void>;
}

/** With `tls`, over https. */
export async function startOtlpReceiver(tls?: { readonly key: string; readonly cert: string }): Promise<OtlpReceiver> {
  const spans: SeenSpan[] = [];
  const bodies: Buffer[] = [];
  const headers: IncomingMessage["headers"][] = [];
  let how: Answering = "take";
  let connections = 0;
  const listener = (request: IncomingMessage, response: ServerResponse): void => void take(request, response);
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  async function take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const body = Buffer.concat(parts);
    headers.push(request.headers);
    bodies.push(body);
    if (how === "hang") return;
    if (how === "hang up") return void request.socket.destroy();
    if (request.method !== "POST" || request.url !== "/v1/traces") return void response.writeHead(404).end();
    if (request.headers["content-type"] !== "application/x-protobuf") return void response.writeHead(415).end();
    if (typeof how === "object" && "status" in how) return void response.writeHead(how.status).end();
    spans.push(...spansIn(body));
    const partial = typeof how === "object" ? { partialSuccess: { rejectedSpans: BigInt(how.rejects) } } : {};
    response.writeHead(200, { "content-type": "application/x-protobuf" });
    response.end(toBinary(ExportTraceServiceResponseSchema, create(ExportTraceServiceResponseSchema, partial)));
  }
  server.on("connection", () => {
    connections += 1;
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    endpoint: `${tls === undefined ? "http" : "https"}://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    bodies,
    headers,
    connections: () => connections,
    answer: (next) => {
      how = next;
    },
    async close() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

let shared: Promise<OtlpReceiver> | undefined;

/** The one receiver of a test file whose fabric is shared (fabric.ts): it has to be there before the fabric. */
export function sharedOtlpReceiver(): Promise<OtlpReceiver> {
  shared ??= startOtlpReceiver();
  return shared;
}

function spansIn(body: Uint8Array): SeenSpan[] {
  return fromBinary(ExportTraceServiceRequestSchema, body).resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap((scope) => scope.spans.map((span) => seen(span, valuesOf(resource?.attributes ?? [])))),
  );
}

function seen(span: Span, resource: SeenSpan["resource"]): SeenSpan {
  return {
    name: span.name,
    kind: nameIn(Span_SpanKind, span.kind),
    traceId: hex(span.traceId),
    spanId: hex(span.spanId),
    parentSpanId: hex(span.parentSpanId),
    startNanos: span.startTimeUnixNano,
    endNanos: span.endTimeUnixNano,
    attributes: valuesOf(span.attributes),
    events: span.events.map(({ name, attributes }) => ({ name, attributes: valuesOf(attributes) })),
    links: span.links.map(({ traceId, spanId }) => ({ traceId: hex(traceId), spanId: hex(spanId) })),
    error: span.status?.code === Status_StatusCode.ERROR ? span.status.message : undefined,
    resource,
  };
}

function valuesOf(pairs: readonly KeyValue[]): Readonly<Record<string, Value>> {
  return Object.fromEntries(
    pairs.map(({ key, value }) => {
      const found = value?.value;
      const plain = found?.case === "intValue" ? Number(found.value) : found?.value;
      return [key, typeof plain === "object" ? undefined : plain];
    }),
  );
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

function nameIn(table: Readonly<Record<string, number>>, value: number): string {
  return Object.entries(table).find(([, number]) => number === value)?.[0] ?? "";
}
