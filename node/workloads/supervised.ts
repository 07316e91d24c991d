/**
 * One supervised workload: the shell around its machine. It turns effects into processes, timers and health hooks, and what
 * those say back into events. Everything it decides is in `machine.ts`.
 */

import { type Workload, WorkloadKind } from "../../gen/weft/fabric/v1/workload_pb.ts";
import type { Clock, Timer } from "../../lib/clock.ts";
import { messageOf } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { Random } from "../../lib/random.ts";
import type { Verdict } from "./ceiling.ts";
import { runHealthHook } from "./health-hook.ts";
import type { LogTail } from "./log-tail.ts";
import {
  idleMachine,
  isLive,
  type MachineEvent,
  type MachineState,
  type RunPolicy,
  step,
  type Wish,
  type WorkloadPhase,
  wakeAtMs,
} from "./machine.ts";
import { type LaunchNames, type NativeProcess, startNative } from "./native-process.ts";
import { forgetLeader, noteLeader } from "./orphans.ts";

/** A workload as it is now. */
export interface SupervisedStatus {
  readonly name: string;
  readonly kind: "native" | "container";
  readonly state: WorkloadPhase;
  readonly reason: string;
  /** Of what runs; of what is wished for when nothing does. */
  readonly version: string;
  readonly fingerprint: string;
  /** 0: no process. */
  readonly pid: number;
  readonly sinceMs: number;
  readonly restarts: number;
  readonly lastEnd: string;
}

export interface SupervisedDeps {
  readonly name: string;
  /** Of this workload alone. */
  readonly folder: string;
  readonly mark: string;
  readonly tail: LogTail;
  readonly clock: Clock;
  readonly random: Random;
  /** Called at every change of phase or reason. */
  readonly onChange: (status: SupervisedStatus) => void;
}

/** What is wished for, and whether this host runs it. */
interface Order {
  readonly workload: Workload;
  readonly verdict: Verdict;
}

function policyOf({ spec }: Workload): RunPolicy {
  const ms = (value: bigint | undefined, usual: number): number =>
    value === undefined || value <= 0n ? usual : Number(value);
  const backoffMinMs = Math.max(
    limits.workloadBackoffFloorMs,
    ms(spec?.restart?.backoffMinMs, limits.workloadBackoffMinDefaultMs),
  );
  return {
    backoffMinMs,
    backoffMaxMs: Math.max(backoffMinMs, ms(spec?.restart?.backoffMaxMs, limits.workloadBackoffMaxDefaultMs)),
    restartsMaxCount: spec?.restart?.restartsMaxCount || limits.workloadRestartsDefaultCount,
    windowMs: ms(spec?.restart?.windowMs, limits.workloadWindowDefaultMs),
    stopGraceMs: ms(spec?.stopGraceMs, limits.workloadGraceDefaultMs),
    ...(spec?.health === undefined
      ? {}
      : {
          health: {
            failuresMaxCount: Math.max(1, spec.health.failuresMaxCount),
            startWithinMs: ms(spec.health.startWithinMs, limits.workloadStartWithinDefaultMs),
          },
        }),
  };
}

function wishOf({ workload, verdict }: Order): Wish {
  if (!workload.running) return { kind: "stop" };
  if (!verdict.ok) return { kind: "refuse", reason: verdict.reason };
  return { kind: "run", fingerprint: workload.fingerprint, policy: policyOf(workload) };
}

export class Supervised {
  readonly #deps: SupervisedDeps;
  #machine: MachineState = idleMachine;
  #order: Order | undefined;
  /** What the process that runs was started from. */
  #running: Order | undefined;
  #process: NativeProcess | undefined;
  #hook: AbortController | undefined;
  #timer: Timer | undefined;
  #sinceMs: number;
  readonly #onIdle = new Set<() => void>();

  constructor(deps: SupervisedDeps) {
    this.#deps = deps;
    this.#sinceMs = deps.clock.nowMs();
  }

  get tail(): LogTail {
    return this.#deps.tail;
  }

  /** What is wished for from now on. */
  order(workload: Workload, verdict: Verdict): void {
    const isSame = workload.running && workload.fingerprint === this.#running?.workload.fingerprint;
    // A program that is being replaced on the disk is no reason to end the one that runs. The ceiling is.
    if (isLive(this.#machine) && isSame && !verdict.ok && !verdict.ceiling) return;
    this.#order = { workload, verdict };
    this.#apply({ kind: "wish", wish: wishOf(this.#order) });
  }

  /** It is not wished for any more; resolves once there is no process. `graceMs` shortens its own grace. */
  async end(graceMs?: number): Promise<void> {
    this.#apply({ kind: "wish", wish: { kind: "stop", ...(graceMs === undefined ? {} : { graceMs }) } });
    if (isLive(this.#machine)) await new Promise<void>((resolve) => void this.#onIdle.add(resolve));
    this.#timer?.cancel();
    this.#deps.tail.close();
  }

  status(): SupervisedStatus {
    const { phase, reason, restarts, lastEnd } = this.#machine;
    const shown = (isLive(this.#machine) ? this.#running : undefined) ?? this.#order;
    return {
      name: this.#deps.name,
      kind: this.#order?.workload.spec?.kind === WorkloadKind.CONTAINER ? "container" : "native",
      state: phase.at,
      reason,
      version: shown?.workload.spec?.version ?? "",
      fingerprint: shown?.workload.fingerprint ?? "",
      pid: this.#process?.pid ?? 0,
      sinceMs: this.#sinceMs,
      restarts,
      lastEnd,
    };
  }

  #apply(event: MachineEvent): void {
    const { clock, random } = this.#deps;
    const before = this.#machine;
    const { state, effects } = step(before, event, { monoMs: clock.monoMs(), chance: random.float() });
    this.#machine = state;
    for (const effect of effects) {
      if (effect === "spawn") void this.#spawn();
      else if (effect === "term") this.#process?.term();
      else this.#process?.kill();
    }
    this.#schedule();
    if (state.phase.at !== before.phase.at) this.#sinceMs = clock.nowMs();
    if (state.phase.at !== before.phase.at || state.reason !== before.reason) this.#deps.onChange(this.status());
    if (!isLive(state)) {
      for (const resolve of this.#onIdle) resolve();
      this.#onIdle.clear();
    }
  }

  #schedule(): void {
    this.#timer?.cancel();
    const atMs = wakeAtMs(this.#machine);
    if (atMs === undefined) return;
    const { clock } = this.#deps;
    this.#timer = clock.after(Math.max(1, atMs - clock.monoMs()), () => this.#apply({ kind: "due" }), {
      keepAlive: true,
    });
  }

  async #spawn(): Promise<void> {
    const { clock, folder, mark, name, tail } = this.#deps;
    const order = this.#order;
    this.#running = order;
    if (order === undefined || !order.verdict.ok)
      return this.#apply({ kind: "spawn-failed", reason: "nothing to run" });
    const { plan } = order.verdict;
    const names: LaunchNames = { name, version: order.workload.spec?.version ?? "", mark };
    try {
      const started = await startNative(plan, names, tail, clock);
      const hook = new AbortController();
      this.#process = started;
      this.#hook = hook;
      void started.ended.then((how) => this.#gone(how));
      noteLeader(folder, started.pid);
      this.#apply({ kind: "spawned" });
      // It may have been unwished while it was being spawned.
      const { phase } = this.#machine;
      if (phase.at === "stopping") started[phase.killed ? "kill" : "term"]();
      const health = order.workload.spec?.health;
      if (health === undefined) return;
      const tell = (unwell: string | undefined): void =>
        this.#apply(unwell === undefined ? { kind: "healthy" } : { kind: "unwell", reason: unwell });
      await runHealthHook({ clock, plan, names, health, tell }, hook.signal);
    } catch (thrown) {
      if (this.#process === undefined) this.#apply({ kind: "spawn-failed", reason: messageOf(thrown) });
    }
  }

  #gone(how: string): void {
    this.#hook?.abort();
    this.#process = undefined;
    forgetLeader(this.#deps.folder);
    this.#apply({ kind: "ended", how });
  }
}
