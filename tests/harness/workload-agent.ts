/**
 * A process that supervises workloads and nothing else, to be ended by force: `node workload-agent.ts DIR WISHES`, wishes as
 * JSON. Says once on standard output, as one JSON line, the numbers of the processes that run.
 */

import { join } from "node:path";
import { fromJsonString } from "@bufbuild/protobuf";
import { SnapshotSchema } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { silentLog } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import { createNodeEvents } from "../../node/events.ts";
import { openWorkloadHost } from "../../node/workloads/host.ts";
import { startSupervisor } from "../../node/workloads/supervisor.ts";
import { eventually } from "./eventually.ts";
import { ceilingFor } from "./workload-bench.ts";

const [dir = "", wishes = "{}"] = process.argv.slice(2);
const supervisor = startSupervisor({
  stateDir: join(dir, "state"),
  ceiling: ceilingFor(dir),
  host: openWorkloadHost(),
  clock: systemClock,
  random: systemRandom,
  log: silentLog,
  events: createNodeEvents(systemClock, () => {}),
  pid: process.pid,
});
const snapshot = fromJsonString(SnapshotSchema, wishes);
supervisor.reconcile(snapshot.workloads);
const running = await eventually(() => {
  const all = supervisor.status();
  return all.length === snapshot.workloads.length && all.every(({ state }) => state === "running") ? all : undefined;
});
process.stdout.write(`${JSON.stringify(running.map(({ pid }) => pid))}\n`);
process.stdin.once("end", () => void supervisor.close().then(() => process.exit(0))).resume();
