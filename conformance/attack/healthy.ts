/**
 * A client that does nothing wrong, in a thread of its own, for as long as a target is attacked: what it measures tells
 * whether anybody would have noticed. It asks at fixed times, answered or not: a target that stands still is seen as long as
 * it does.
 */

import { Worker } from "node:worker_threads";
import { WeftError } from "../../lib/errors.ts";
import type { Endpoint, Healthy } from "./target.ts";

/**
 * One question: a call; an HTTP/2 ping; a newcomer's knock; or the same to a thread of this process that only echoes, which
 * tells what of the time is this machine's. `atMs`: when it was asked, by the thread's clock.
 */
export interface Sample {
  readonly kind: "call" | "ping" | "newcomer" | "reference";
  readonly atMs: number;
  /** Undefined when it failed. */
  readonly tookMs: number | undefined;
  /** How it failed. */
  readonly why?: string;
}

/** `why` of a sample nobody answered in time. */
export const lateAnswer = "no answer in time";

export interface HealthyOrder {
  readonly healthy: Healthy;
  /** Where newcomers knock: the port that is attacked. */
  readonly door: Endpoint;
}

/** Loopback port of the echo the reference is asked of. */
export interface ReferenceAt {
  readonly referencePort: number;
}

/** Samples of one phase; `fromMs` and `toMs` by the same clock. */
export interface Phase {
  readonly fromMs: number;
  readonly toMs: number;
  readonly samples: readonly Sample[];
}

/** What the thread says: it stands; or the samples since the last phase. */
export type HealthySays =
  | { readonly kind: "up" }
  | { readonly kind: "down"; readonly why: string }
  | { readonly kind: "phase"; readonly phase: Phase };

export class HealthyClient {
  readonly #worker: Worker;
  readonly #reference: Worker;
  readonly #phases: ((phase: Phase) => void)[] = [];

  private constructor(worker: Worker, reference: Worker) {
    this.#worker = worker;
    this.#reference = reference;
    worker.on("message", (said: HealthySays) => {
      if (said.kind === "phase") this.#phases.shift()?.(said.phase);
    });
  }

  /** Connects. Rejects `unavailable` (ATTACK_UNHEALTHY) when the target does not even serve its healthy client before. */
  static async start(order: HealthyOrder): Promise<HealthyClient> {
    const reference = new Worker(new URL("./reference-thread.ts", import.meta.url));
    const referencePort = await new Promise<number>((resolve, reject) => {
      reference.once("message", resolve).once("error", reject);
    });
    const workerData: HealthyOrder & ReferenceAt = { ...order, referencePort };
    const worker = new Worker(new URL("./healthy-thread.ts", import.meta.url), { workerData });
    return await new Promise((resolve, reject) => {
      const failed = (why: string): void => {
        void worker.terminate();
        void reference.terminate();
        reject(
          new WeftError("unavailable", `the target does not serve its healthy client before the attack: ${why}`, {
            detail: "ATTACK_UNHEALTHY",
          }),
        );
      };
      worker.once("error", (error: Error) => failed(error.message));
      worker.once("message", (said: HealthySays) => {
        if (said.kind === "up") resolve(new HealthyClient(worker, reference));
        else failed(said.kind === "down" ? said.why : "");
      });
    });
  }

  /** Ends a phase and begins the next; resolves with the samples of the one that ended, unanswered ones waited for. */
  phase(): Promise<Phase> {
    return new Promise((resolve) => {
      this.#phases.push(resolve);
      this.#worker.postMessage("phase");
    });
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
    await this.#reference.terminate();
  }
}
