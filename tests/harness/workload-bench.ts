/**
 * A supervisor of workloads over a folder of programs, without a node around it: what a snapshot would wish for is handed to
 * it, its processes are real.
 */

import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { WorkloadKind, WorkloadSchema, type WorkloadSpecSchema } from "../../gen/weft/fabric/v1/workload_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { silentLog } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import { createNodeEvents } from "../../node/events.ts";
import type { NodeEvent } from "../../node/ports.ts";
import type { WorkloadCeiling } from "../../node/workloads/ceiling.ts";
import { openWorkloadHost } from "../../node/workloads/host.ts";
import type { WorkloadPhase } from "../../node/workloads/machine.ts";
import type { SupervisedStatus } from "../../node/workloads/supervised.ts";
import { type Supervisor, startSupervisor } from "../../node/workloads/supervisor.ts";
import { eventually } from "./eventually.ts";

export type Wished = Exclude<MessageInitShape<typeof WorkloadSchema>, { $typeName: string }>;
type Spec = Exclude<MessageInitShape<typeof WorkloadSpecSchema>, { $typeName: string }>;

export interface WorkloadBench {
  readonly dir: string;
  readonly events: readonly NodeEvent[];
  readonly supervisor: Supervisor;
  /** Writes a program; returns its path. */
  program(name: string, text: string): string;
  /** A wish with short times; `over` is its spec. */
  wished(name: string, command: string, over?: Spec, more?: Wished): Wished;
  /** What the snapshot says from now on. */
  wish(...workloads: readonly Wished[]): void;
  status(name: string): SupervisedStatus;
  until(name: string, state: WorkloadPhase, what?: (status: SupervisedStatus) => boolean): Promise<SupervisedStatus>;
  /** Lines of the log, newest last. */
  log(name: string): readonly string[];
  /** Another agent on the same folder, once this one is closed. */
  again(): void;
  close(): Promise<void>;
}

/** A ceiling for the programs of a folder, run as whoever runs the test. */
export function ceilingFor(dir: string, over: Partial<WorkloadCeiling> = {}): WorkloadCeiling {
  return {
    commands: [],
    folders: [join(dir, "bin")],
    users: [openWorkloadHost().self.name],
    environment: ["APP_*"],
    files: [join(dir, "secrets")],
    directories: [dir],
    hostPrivileges: openWorkloadHost().self.uid === 0,
    ...over,
  };
}

/** Whether a process runs: one that ended and was not reaped does not. */
export function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return !stat.slice(stat.lastIndexOf(")") + 2).startsWith("Z");
  } catch {
    return false;
  }
}

/** A wish with short times; what it says names it. */
function wishOf(name: string, command: string, spec: Spec = {}, more: Wished = {}): Wished {
  const isRoot = openWorkloadHost().self.uid === 0;
  const text = (_: string, value: unknown): unknown => (typeof value === "bigint" ? `${value}` : value);
  return {
    workloadId: `wl-${name}`,
    name,
    running: true,
    fingerprint: JSON.stringify([command, spec], text),
    privilegesApproved: isRoot,
    spec: {
      kind: WorkloadKind.NATIVE,
      command,
      hostPrivileges: isRoot,
      stopGraceMs: 300n,
      restart: { backoffMinMs: 100n, backoffMaxMs: 200n, restartsMaxCount: 1_000, windowMs: 60_000n },
      ...spec,
    },
    ...more,
  };
}

export function openWorkloadBench(over: Partial<WorkloadCeiling> = {}): WorkloadBench {
  const dir = mkdtempSync(join(tmpdir(), "weft-workloads-"));
  chmodSync(dir, 0o755);
  for (const folder of ["bin", "secrets", "state"]) mkdirSync(join(dir, folder));
  const events: NodeEvent[] = [];
  const bus = createNodeEvents(systemClock, () => {});
  bus.subscribe((event) => events.push(event));
  const open = (): Supervisor =>
    startSupervisor({
      stateDir: join(dir, "state"),
      ceiling: ceilingFor(dir, over),
      host: openWorkloadHost(),
      clock: systemClock,
      random: systemRandom,
      log: silentLog,
      events: bus,
      pid: process.pid,
    });
  let supervisor = open();
  const statusOf = (name: string): SupervisedStatus => {
    const found = supervisor.status().find((each) => each.name === name);
    if (found === undefined) throw new Error(`no workload ${name}`);
    return found;
  };
  return {
    dir,
    events,
    get supervisor() {
      return supervisor;
    },
    program(name, text) {
      const path = join(dir, "bin", name);
      writeFileSync(path, text);
      chmodSync(path, 0o755);
      return path;
    },
    wished: wishOf,
    wish: (...workloads) => supervisor.reconcile(workloads.map((each) => create(WorkloadSchema, each))),
    status: statusOf,
    until: (name, state, what = () => true) =>
      eventually(
        () => {
          const status = statusOf(name);
          return status.state === state && what(status) ? status : undefined;
        },
        { what: `${name} ${state}`, withinMs: 15_000 },
      ).catch((cause: unknown) => {
        throw new Error(`${JSON.stringify(supervisor.status())}`, { cause });
      }),
    log: (name) => (supervisor.tail(name)?.newest(0) ?? []).map(({ text }) => text),
    again() {
      supervisor = open();
    },
    async close() {
      await supervisor.close();
      if (existsSync(dir)) rmSync(dir, { recursive: true, force: true });
    },
  };
}
