/** Asks a workload, again and again while its process runs, whether it is well: a port of the loopback, or a command. */

import { connect } from "node:net";
import type { WorkloadHealth } from "../../gen/weft/fabric/v1/workload_pb.ts";
import { type Clock, sleep } from "../../lib/clock.ts";
import { errnoOf, messageOf } from "../../lib/errors.ts";
import type { LaunchPlan } from "./ceiling.ts";
import { type LaunchNames, runHealthCommand } from "./native-process.ts";

/** Why a port is not well, or undefined. */
function askPort(port: number, timeoutMs: number, clock: Clock): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    const done = (why: string | undefined): void => {
      timer.cancel();
      socket.destroy();
      resolve(why);
    };
    const timer = clock.after(timeoutMs, () => done(`port ${port}: no answer within ${timeoutMs} ms`));
    socket.once("connect", () => done(undefined));
    socket.once("error", (cause) => done(`port ${port}: ${errnoOf(cause) ?? "no connection"}`));
  });
}

export interface HookDeps {
  readonly clock: Clock;
  readonly plan: LaunchPlan;
  readonly names: LaunchNames;
  readonly health: WorkloadHealth;
  /** Undefined: it is well. */
  readonly tell: (unwell: string | undefined) => void;
}

/** Asks until `signal` aborts. Never rejects. */
export async function runHealthHook(deps: HookDeps, signal: AbortSignal): Promise<void> {
  const { clock, plan, health } = deps;
  const [periodMs, timeoutMs] = [Number(health.periodMs), Number(health.timeoutMs)];
  const ask = (): Promise<string | undefined> =>
    plan.healthCommand === undefined
      ? askPort(health.tcpPort, timeoutMs, clock)
      : runHealthCommand(plan.healthCommand, plan, deps.names, clock, timeoutMs);
  let wasWell = false;
  while (!signal.aborted) {
    const found = await ask().catch((thrown: unknown) => messageOf(thrown));
    if (signal.aborted) return;
    deps.tell(found);
    wasWell ||= found === undefined;
    // Whoever starts is asked more often: it is waited for.
    await sleep(clock, wasWell ? periodMs : Math.min(periodMs, firstPeriodMs), signal);
  }
}

const firstPeriodMs = 250;
