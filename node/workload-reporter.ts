/**
 * Tells control at once when a workload changes, and not only with the next beat. What cannot be told now is told by that
 * beat, which compares and repeats (node/heartbeat.ts).
 */

import type { Client } from "@connectrpc/connect";
import type { ControlService } from "../gen/weft/control/v1/control_pb.ts";
import { type Clock, sleep } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";
import type { NodeEvents } from "./ports.ts";
import type { Report } from "./workloads/reports.ts";

export interface ReporterDeps {
  readonly events: NodeEvents;
  readonly clock: Clock;
  readonly control: () => Client<typeof ControlService>;
  readonly reports: () => readonly Report[];
}

/** Reports until `signal` aborts. Never rejects. */
export async function runWorkloadReporter(deps: ReporterDeps, signal: AbortSignal): Promise<void> {
  let changed = false;
  let wake: () => void = () => {};
  const unsubscribe = deps.events.subscribe(({ kind }) => {
    if (kind !== "workload_state") return;
    changed = true;
    wake();
  });
  const onAbort = (): void => wake();
  signal.addEventListener("abort", onAbort, { once: true });
  while (!signal.aborted) {
    if (!changed) {
      await new Promise<void>((resolve) => {
        wake = resolve;
        if (signal.aborted) resolve();
      });
    }
    // One report for what changes together; a crash loop is told at this pace.
    await sleep(deps.clock, limits.workloadReportDelayMs, signal);
    if (signal.aborted) break;
    changed = false;
    await deps
      .control()
      .reportWorkloads({ workloads: [...deps.reports()] }, { signal, timeoutMs: limits.beatEveryMs })
      .catch(() => {});
  }
  unsubscribe();
  signal.removeEventListener("abort", onAbort);
}
