/** Bounds of traces (lib/tracer.ts, rpc/trace-exporter.ts): part of `limits` (lib/limits.ts), where everybody reads them. */

const KiB = 1024;
const secondMs = 1_000;

export const traceLimits = {
  traceparentMaxBytes: 256,
  // Of one span, and characters of one text. What is more is cut or left out.
  spanAttributesMaxCount: 32,
  spanEventsMaxCount: 32,
  spanTextMaxCount: 256,
  // Traces that neighbours and operators ask to be gone on with; beyond, their calls are served without a span.
  tracesJoinedPerSecond: 200,
  tracesJoinedBurstCount: 1_000,
  // Ended spans that wait for the receiver: some megabytes, and what comes then is dropped and counted.
  traceQueueMaxCount: 4_096,
  traceBatchMaxCount: 512,
  traceExportEveryMs: 1 * secondMs,
  traceRequestMaxMs: 5 * secondMs,
  traceAttemptsMaxCount: 3,
  traceRetryMaxMs: 10 * secondMs,
  traceAnswerMaxBytes: 16 * KiB,
  traceHeadersMaxBytes: 8 * KiB,
  // What a receiver that hangs may add to a shutdown.
  traceCloseMaxMs: 2 * secondMs,
} as const;
