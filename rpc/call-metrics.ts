/** Latency of unary RPCs and outcome of all of them, as metrics of the process that serves them. */

import { Counter, Histogram, type Registry } from "prom-client";
import type { CallObserver } from "./interceptors.ts";

/** Registers the metrics; what is returned counts one call. */
export function callMetrics(registry: Registry): CallObserver {
  const registers = [registry];
  const duration = new Histogram({
    name: "weft_rpc_duration_seconds",
    help: "Time from the admission of a unary RPC to its answer, by RPC and gRPC code.",
    labelNames: ["rpc", "code"] as const,
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registers,
  });
  const streams = new Counter({
    name: "weft_rpc_streams_ended_total",
    help: "Streaming RPCs that ended, by RPC and gRPC code.",
    labelNames: ["rpc", "code"] as const,
    registers,
  });
  const faults = new Counter({
    name: "weft_rpc_faults_total",
    help: "RPCs, streaming ones too, that failed by a fault of ours: internal or data_loss.",
    registers,
  });
  return ({ rpc, code, durationMs, stream }) => {
    if (code === "internal" || code === "data_loss") faults.inc();
    if (stream) streams.inc({ rpc, code });
    else duration.observe({ rpc, code }, durationMs / 1_000);
  };
}
