/** How busy this process is: the share of time its event loop spent working, since the last time it was asked. */

import { performance } from "node:perf_hooks";

/** Reads the event loop's utilisation, 0..1, over the time since the previous reading. */
export function createLoadMeter(): () => number {
  let last = performance.eventLoopUtilization();
  return () => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, last);
    last = now;
    return Math.min(1, Math.max(0, utilization));
  };
}
