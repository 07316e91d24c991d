/**
 * A node as it would be so much later: its dates are ahead by that, what it measures is not. A process of its own (see
 * `startLater`), from the disk of a node that has ended.
 *
 *   node tests/harness/later-node.ts CONFIG METRICS_PORT LATER_MS
 */

import { systemClock } from "../../lib/clock.ts";
import { silentLog } from "../../lib/log.ts";
import { loadNodeConfig } from "../../node/config.ts";
import { startNode } from "../../node/main.ts";

const [file = "", metricsPort = "", laterMs = ""] = process.argv.slice(2);
const node = await startNode(loadNodeConfig({ env: {}, flags: { metricsPort }, file }), {
  clock: { ...systemClock, nowMs: () => systemClock.nowMs() + Number(laterMs) },
  version: "0.0.0",
  pid: process.pid,
  rssPeakBytes: () => 0,
  log: silentLog,
});
process.stdout.write(`${node.name} is ready\n`);
