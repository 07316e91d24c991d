/** A process of a bench that answers calls over Node's own channel: sender, receiver, shim. */

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import packageFacts from "../../package.json" with { type: "json" };

type Handlers = Readonly<Record<string, (argument: never) => unknown>>;
type ArgumentOf<F> = F extends () => unknown ? undefined : F extends (argument: infer A) => unknown ? A : never;

interface Ask {
  readonly id: number;
  readonly call: string;
  readonly argument: unknown;
}

interface Answer {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** Calls to a worker; the value of `call` is what the worker's handler of that name returns. */
export class Worker<H extends Handlers> {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();
  #nextId = 1;

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.on("message", (answer: Answer) => {
      const waiting = this.#waiting.get(answer.id);
      this.#waiting.delete(answer.id);
      if (answer.error !== undefined) waiting?.reject(new Error(answer.error));
      else waiting?.resolve(answer.value as never);
    });
    child.once("exit", (code, signal) => {
      running.delete(child);
      for (const { reject } of this.#waiting.values()) reject(new Error(`a worker ended (${signal ?? code})`));
      this.#waiting.clear();
    });
  }

  static async start<H extends Handlers>(module: string): Promise<Worker<H>> {
    const child = fork(fileURLToPath(new URL(module, import.meta.url)), [], {
      execArgv: [...packageFacts.config.dataPlaneFlags],
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      serialization: "advanced",
    });
    running.add(child);
    await once(child, "message");
    return new Worker<H>(child);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Rejects with what the handler threw, or when the process ends. */
  ask<K extends keyof H & string>(
    call: K,
    ...[argument]: ArgumentOf<H[K]> extends undefined ? [] : [argument: ArgumentOf<H[K]>]
  ): Promise<Awaited<ReturnType<H[K]>>> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (value: never) => void, reject });
      this.#child.send({ id, call, argument } satisfies Ask);
    });
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exited;
  }
}

/** Answers calls from the process that started this one, until that process goes away. */
export function serveWorker<H extends Handlers>(handlers: H): H {
  process.on("disconnect", () => process.exit(0));
  process.on("message", (ask: Ask) => {
    void (async () => {
      try {
        const handler = handlers[ask.call] as ((argument: unknown) => unknown) | undefined;
        if (handler === undefined) throw new Error(`no call ${ask.call}`);
        process.send?.({ id: ask.id, value: await handler(ask.argument) } satisfies Answer);
      } catch (thrown) {
        process.send?.({ id: ask.id, error: String(thrown) } satisfies Answer);
      }
    })();
  });
  process.send?.({ id: 0 } satisfies Answer);
  return handlers;
}
