/** What every process tells of itself: processor time, memory, and how long its event loop was kept. */

import { monitorEventLoopDelay } from "node:perf_hooks";
import { Counter, Gauge, type Registry } from "prom-client";

/** How often the event loop is looked at, ms. */
const loopEveryMs = 20;
const quantiles = [0.5, 0.99, 1] as const;

/** Registers the metrics, under the names Prometheus' own libraries use. */
export function processMetrics(registry: Registry): void {
  const registers = [registry];
  const loop = monitorEventLoopDelay({ resolution: loopEveryMs });
  loop.enable();
  new Gauge({
    name: "process_start_time_seconds",
    help: "When this process started, seconds since 1970.",
    registers,
  }).set(performance.timeOrigin / 1_000);
  new Counter({
    name: "process_cpu_seconds_total",
    help: "Processor time of this process, all threads.",
    registers,
    collect() {
      const { user, system } = process.cpuUsage();
      this.reset();
      this.inc((user + system) / 1e6);
    },
  });
  new Gauge({
    name: "process_resident_memory_bytes",
    help: "Memory of this process that is in RAM.",
    registers,
    collect() {
      this.set(process.memoryUsage.rss());
    },
  });
  new Gauge({
    name: "nodejs_heap_used_bytes",
    help: "JavaScript objects in memory, collectable ones included.",
    registers,
    collect() {
      this.set(process.memoryUsage().heapUsed);
    },
  });
  new Gauge({
    name: "nodejs_eventloop_lag_seconds",
    help: "How late the event loop was since the last scrape, by quantile.",
    labelNames: ["quantile"] as const,
    registers,
    collect() {
      for (const quantile of quantiles) {
        const lateNs = Math.max(0, loop.percentile(quantile * 100) - loopEveryMs * 1e6);
        this.set({ quantile: String(quantile) }, loop.count === 0 ? 0 : lateNs / 1e9);
      }
      loop.reset();
    },
  });
}
