/**
 * Processes of a benchmark: started with the runtime flags of this one, called over IPC, pinned to a core, and measured by
 * what the kernel says of them. All of them end with this process.
 */

import { type ChildProcess, fork, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

interface Call {
  readonly id: number;
  readonly name: string;
  readonly args: unknown;
}

interface Answer {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

/** What a process answers to, by name. */
export type Calls = Readonly<Record<string, (args: never) => unknown>>;

const living = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of living) child.kill("SIGKILL");
});

/** Ends a process with this one, if nobody does before. */
export function tether(child: ChildProcess): ChildProcess {
  living.add(child);
  child.once("exit", () => living.delete(child));
  return child;
}

export class BenchChild {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #lastId = 0;

  private constructor(child: ChildProcess) {
    this.#process = child;
    child.on("message", (answer: Answer) => {
      const waiting = this.#waiting.get(answer.id);
      this.#waiting.delete(answer.id);
      if (answer.error === undefined) waiting?.resolve(answer.value);
      else waiting?.reject(new Error(answer.error));
    });
    child.once("exit", (code, signal) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`a bench process ended (${signal ?? code})`));
    });
  }

  /** Starts `file` of this folder. */
  static start(file: string): BenchChild {
    const path = fileURLToPath(new URL(file, import.meta.url));
    const execArgv = [...process.execArgv, "--expose-gc"];
    return new BenchChild(tether(fork(path, { execArgv, stdio: ["ignore", 2, 2, "ipc"], serialization: "advanced" })));
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  call<T>(name: string, args: unknown = {}): Promise<T> {
    this.#lastId += 1;
    const waiting = Promise.withResolvers<unknown>();
    this.#waiting.set(this.#lastId, waiting);
    this.#process.send({ id: this.#lastId, name, args } satisfies Call);
    return waiting.promise as Promise<T>;
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const gone = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await gone;
  }
}

/** The other side: answers calls until the parent is gone. */
export function answerCalls(calls: Calls): void {
  process.on("disconnect", () => process.exit(0));
  process.on("message", ({ id, name, args }: Call) => {
    const answer = async (): Promise<unknown> => await calls[name]?.(args as never);
    answer().then(
      (value) => process.send?.({ id, value } satisfies Answer),
      (thrown: unknown) => process.send?.({ id, error: thrown instanceof Error ? String(thrown.stack) : "failed" }),
    );
  });
}

/** CPU seconds a process has used, user and system, all threads (10 ms steps). */
export function cpuSeconds(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Resident memory of a process, bytes. */
export function residentBytes(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(line?.[1] ?? 0) * 1_024;
}

/** Keeps every thread of a process on one core; says so when it cannot. */
export function pin(pid: number, core: number): void {
  const done = spawnSync("taskset", ["-acp", String(core), String(pid)], { stdio: "ignore" });
  if (done.status !== 0) process.stderr.write(`bench: process ${pid} could not be pinned to core ${core}\n`);
}
