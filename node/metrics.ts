/**
 * A node's metrics, in the form Prometheus reads: what NodeService tells, as numbers with names that stay, and what happened
 * since the process started. Read when somebody scrapes; between scrapes nothing is counted that is not counted anyway,
 * but how long moves took and calls were. Loaded only by processes that show metrics.
 */

import { create } from "@bufbuild/protobuf";
import { Counter, Histogram, Registry } from "prom-client";
import { leafIssuedMs } from "../certs/leaf-life.ts";
import type { MoveCause } from "../fabric/trunk/move.ts";
import { CountersSchema, type GetStatusResponse, type TrunkStatus } from "../gen/weft/node/v1/node_pb.ts";
import { registerRows } from "../lib/metric-rows.ts";
import { processMetrics } from "../lib/process-metrics.ts";
import { callMetrics } from "../rpc/call-metrics.ts";
import type { CallObserver } from "../rpc/interceptors.ts";
import { type MetricsPort, openMetricsPort } from "../rpc/metrics-port.ts";
import type { TraceCounts } from "../rpc/trace-exporter.ts";
import type { NodeConfig } from "./config.ts";
import { type NodeScrape, nodeRows } from "./metric-table.ts";
import type { DataPlanePorts } from "./plane-ports.ts";
import type { NodeEvent } from "./ports.ts";

/** What is read at a scrape. */
export interface NodeMetricsView {
  readonly status: () => GetStatusResponse;
  readonly trunks: () => readonly TrunkStatus[];
  /** Until when each lease this node holds lasts, ms of this process's clock, by name. */
  readonly leases: () => ReadonlyMap<string, number>;
  /** What became of spans; absent without traces. */
  readonly traces: (() => TraceCounts) | undefined;
}

export interface NodeMetrics {
  readonly onCall: CallObserver;
  readonly onEvent: (event: NodeEvent) => void;
  /** Shows them. Rejects with `failed_precondition` (BIND_FAILED) when the port cannot be bound. */
  open(ports: Ports, view: NodeMetricsView): Promise<MetricsPort>;
}

type Ports = Pick<DataPlanePorts, "clock" | "log" | "identity">;

function seen({ clock, identity }: Ports, view: NodeMetricsView): NodeScrape {
  const [nowMs, monoMs, status] = [clock.nowMs(), clock.monoMs(), view.status()];
  return {
    status,
    counters: status.counters ?? create(CountersSchema),
    trunks: view.trunks(),
    leasesLeftMs: new Map([...view.leases()].map(([name, untilMonoMs]) => [name, untilMonoMs - monoMs])),
    leafAgeMs: nowMs - leafIssuedMs(identity.current().leaf),
    nowMs,
    traces: view.traces?.(),
  };
}

export function nodeMetrics({
  metricsHost: host,
  metricsPort: port = 0,
}: Pick<NodeConfig, "metricsHost" | "metricsPort">): NodeMetrics {
  const registry = new Registry();
  processMetrics(registry);
  return {
    onCall: callMetrics(registry),
    onEvent: eventMetrics(registry),
    open(ports, view) {
      const fill = registerRows(registry, nodeRows);
      const page = async () => {
        fill(seen(ports, view));
        return { contentType: registry.contentType, text: await registry.metrics() };
      };
      const onError = (error: string): void => ports.log.warn("metrics could not be shown", { error });
      return openMetricsPort({ host, port, page, onError });
    },
  };
}

/** Causes of moves nobody planned: there from the start, or a scraper could not tell that the first ones happened. */
const failures = ["lost", "silent", "resumed", "peer"] as const satisfies readonly MoveCause[];

/** What happens on the node, counted as it does. */
function eventMetrics(registry: Registry): (event: NodeEvent) => void {
  const registers = [registry];
  const events = new Counter({
    name: "weft_node_events_total",
    help: "Events of this node, by kind, as NodeService tells them.",
    labelNames: ["kind"] as const,
    registers,
  });
  const gaps = new Histogram({
    name: "weft_failover_gap_seconds",
    help: "How long a lane of a trunk stood still when it moved to another path, by cause.",
    labelNames: ["cause", "lane"] as const,
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers,
  });
  for (const cause of failures) for (const lane of ["interactive", "bulk"]) gaps.zero({ cause, lane });
  const replayed = new Counter({
    name: "weft_replayed_bytes_total",
    help: "Bytes sent once more because a path was lost.",
    registers,
  });
  return ({ kind, facts }) => {
    events.inc({ kind });
    if (kind !== "trunk_moved") return;
    gaps.observe({ cause: facts["cause"] ?? "", lane: facts["lane"] ?? "" }, Number(facts["gap_ms"]) / 1_000);
    replayed.inc(Number(facts["replayed_bytes"] ?? 0));
  };
}
