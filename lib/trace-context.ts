/**
 * W3C Trace Context as calls carry it: one `traceparent`, read with a bound and without trust. What it says is where a trace
 * came from; who may be believed is decided by whoever reads it (docs/decisions/0029). `tracestate` is neither read nor sent.
 */

import { limits } from "./limits.ts";

/** A span somewhere else. */
export interface TraceContext {
  /** 32 hex digits. */
  readonly traceId: string;
  /** 16 hex digits. */
  readonly spanId: string;
  /** Whether the other side says that it records this trace. */
  readonly sampled: boolean;
}

/** The metadata key of gRPC calls, and the HTTP header. */
export const TRACEPARENT = "traceparent";

// Later versions may add fields behind a dash; version 00 has none, and ff is none.
const shape = /^(?!ff)([0-9a-f]{2})-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** What a `traceparent` says, or undefined for anything that is none. Never throws. */
export function parseTraceparent(text: unknown): TraceContext | undefined {
  if (typeof text !== "string" || text.length > limits.traceparentMaxBytes) return undefined;
  const [, version, traceId = "", spanId = "", flags = "", more] = shape.exec(text) ?? [];
  if (version === undefined || (version === "00" && more !== undefined)) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

export function formatTraceparent({ traceId, spanId, sampled }: TraceContext): string {
  return `00-${traceId}-${spanId}-${sampled ? "01" : "00"}`;
}
