/**
 * Every workload of this node: what its snapshot wishes for, within the ceiling, supervised; and what an operator or control
 * may see of it.
 *
 * WS1. Wishes come from the verified snapshot alone. They stay in force as long as it is held, whoever is gone.
 * WS2. What an agent before this one left is ended before anything is started.
 * WS3. No process outlives an agent that ends in order; one that is ended by force leaves processes until the next one starts.
 */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Workload, WorkloadKind } from "../../gen/weft/fabric/v1/workload_pb.ts";
import type { Clock, Timer } from "../../lib/clock.ts";
import { messageOf } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { Log } from "../../lib/log.ts";
import type { Random } from "../../lib/random.ts";
import type { NodeEvents } from "../ports.ts";
import { judgeWorkload, type Verdict, type WorkloadCeiling, type WorkloadHost } from "./ceiling.ts";
import { LogTail } from "./log-tail.ts";
import { claimMark, endOrphans, releaseMark } from "./orphans.ts";
import { Supervised, type SupervisedStatus } from "./supervised.ts";

export interface SupervisorDeps {
  readonly stateDir: string;
  readonly ceiling: WorkloadCeiling;
  readonly host: WorkloadHost;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly events: NodeEvents;
  readonly pid: number;
}

export interface Supervisor {
  /** What is wished for from now on: what the snapshot in force says. */
  reconcile(wishes: readonly Workload[]): void;
  status(): readonly SupervisedStatus[];
  /** The log of a workload that is wished for; undefined: there is none of that name. */
  tail(name: string): LogTail | undefined;
  /** Ends every process, within `limits.workloadAgentGraceMs`. */
  close(): Promise<void>;
}

class LiveSupervisor implements Supervisor {
  readonly #deps: SupervisorDeps;
  readonly #folder: string;
  readonly #supervised = new Map<string, Supervised>();
  /** On their way out: a name is used again only after its process has ended. */
  readonly #leaving = new Map<string, Supervised>();
  readonly #ready: Promise<void>;
  readonly #rejudging: Timer;
  /** Refusals that were told, by name: the fingerprint that was refused. */
  readonly #told = new Map<string, string>();
  #mark: string | undefined;
  #isReady = false;
  #isClosed = false;
  #wishes: readonly Workload[] = [];

  constructor(deps: SupervisorDeps) {
    this.#deps = deps;
    this.#folder = join(deps.stateDir, "workloads");
    this.#ready = this.#prepare();
    // What this host could not run a moment ago it may be able to run now.
    this.#rejudging = deps.clock.every(limits.workloadJudgeEveryMs, () => this.#settle());
  }

  reconcile(wishes: readonly Workload[]): void {
    this.#wishes = wishes.filter(({ spec }) => spec?.kind !== WorkloadKind.BUILTIN);
    this.#settle();
  }

  status(): readonly SupervisedStatus[] {
    return [...this.#supervised.values()].map((each) => each.status()).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  tail(name: string): LogTail | undefined {
    return this.#supervised.get(name)?.tail;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#ready;
    this.#rejudging.cancel();
    const all = [...this.#supervised.values(), ...this.#leaving.values()];
    await Promise.all(all.map((each) => each.end(limits.workloadAgentGraceMs)));
    this.#supervised.clear();
    if (this.#mark !== undefined) releaseMark(this.#folder, this.#mark);
  }

  /** WS2. */
  async #prepare(): Promise<void> {
    const { clock, log, random, pid } = this.#deps;
    try {
      mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
      this.#mark = claimMark(this.#folder, random, pid);
      if (this.#mark === undefined) log.error("another agent supervises the workloads of this state folder");
      else {
        const pause = (): Promise<void> =>
          new Promise((resolve) => void clock.after(limits.workloadGroupLookMs, resolve, { keepAlive: true }));
        const met = await endOrphans(this.#folder, this.#mark, pause);
        if (met > 0) log.warn("ended processes of workloads that an agent before this one left", { count: met });
      }
    } catch (thrown) {
      // Nothing is started beside what may have been left (WS2).
      this.#mark = undefined;
      log.error("workloads cannot be supervised", { error: messageOf(thrown) });
    }
    this.#isReady = true;
    this.#settle();
  }

  #settle(): void {
    if (!this.#isReady || this.#isClosed) return;
    const wished = new Set(this.#wishes.map(({ name }) => name));
    for (const [name, each] of this.#supervised) if (!wished.has(name)) this.#leave(name, each);
    for (const workload of this.#wishes) {
      if (this.#leaving.has(workload.name)) continue;
      this.#member(workload.name)?.order(workload, this.#judge(workload));
    }
  }

  #leave(name: string, each: Supervised): void {
    this.#supervised.delete(name);
    this.#leaving.set(name, each);
    void each.end().then(() => {
      this.#leaving.delete(name);
      // It may have been wished for again meanwhile.
      this.#settle();
    });
  }

  #judge(workload: Workload): Verdict {
    const { ceiling, host, events, log } = this.#deps;
    const verdict: Verdict =
      this.#mark === undefined
        ? { ok: false, ceiling: false, reason: "this agent supervises nothing: see its log" }
        : judgeWorkload(ceiling, host, workload);
    if (!verdict.ok && verdict.ceiling && this.#told.get(workload.name) !== workload.fingerprint) {
      this.#told.set(workload.name, workload.fingerprint);
      log.warn("a workload is beyond the ceiling of this host", { detail: workload.name, reason: verdict.reason });
      events.emit("ceiling_refused", { workload: workload.name, reason: verdict.reason });
    }
    return verdict;
  }

  #member(name: string): Supervised | undefined {
    const known = this.#supervised.get(name);
    // A name becomes a folder.
    if (known !== undefined || !/^[a-z0-9-]{1,63}$/.test(name)) return known;
    const { clock, random, events } = this.#deps;
    const folder = join(this.#folder, name);
    const made = new Supervised({
      name,
      folder,
      mark: `${this.#mark ?? ""}.${name}`,
      tail: new LogTail(clock, folder),
      clock,
      random,
      onChange: ({ state, reason, version }) =>
        events.emit("workload_state", { workload: name, state, reason, version }),
    });
    this.#supervised.set(name, made);
    return made;
  }
}

/** Starts supervising; nothing runs before `reconcile` was told of a snapshot. */
export function startSupervisor(deps: SupervisorDeps): Supervisor {
  return new LiveSupervisor(deps);
}
