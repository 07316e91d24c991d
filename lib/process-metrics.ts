/** What every process tells of itself: processor time, memory, and how long its event loop was kept. */

import { monitorEventLoopDelay } from "node:perf_hooks";
import { Counter, Gauge, type Registry } from "prom-client";

/** How often the event loop is looked at, ms. */
const loopEveryMs = 20;
/** By what their metrics are called. */
const percentiles = { p50: 50, p99: 99, max: 100 } as const;

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
  const lateness = (name: keyof typeof percentiles, collect?: () => void): Gauge =>
    new Gauge({
      name: `nodejs_eventloop_lag_${name}_seconds`,
      help: `How late the event loop was since the last scrape (${name}).`,
      registers,
      ...(collect === undefined ? {} : { collect }),
    });
  // Read together, and only then begun anew: by the first one, which is asked before the others.
  const gauges = { p50: lateness("p50", () => look()), p99: lateness("p99"), max: lateness("max") };
  const look = (): void => {
    for (const name of ["p50", "p99", "max"] as const) {
      const lateNs = Math.max(0, loop.percentile(percentiles[name]) - loopEveryMs * 1e6);
      gauges[name].set(loop.count === 0 ? 0 : lateNs / 1e9);
    }
    loop.reset();
  };
}
