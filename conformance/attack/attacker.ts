/**
 * Runs classes of attacks in a thread of their own, at a lower priority than everything else here: what the target and its
 * healthy clients cannot get of the processors is not to be taken for what the attack did to them.
 */

import { Worker } from "node:worker_threads";
import { WeftError } from "../../lib/errors.ts";
import type { AttackBounds, Tally } from "./range.ts";
import type { Endpoint } from "./target.ts";

export interface AttackOrder {
  readonly classId: string;
  readonly endpoint: Endpoint;
  readonly speaksHttp2: boolean;
  readonly bounds: AttackBounds;
  /** Address to dial from. */
  readonly from?: string;
}

/** What the thread says: the attack has stopped sending; or is done, with its tally or what went wrong. */
export type AttackerSays =
  | { readonly kind: "sent" }
  | { readonly kind: "done"; readonly tally: Tally }
  | { readonly kind: "failed"; readonly why: string };

export class Attacker {
  readonly #worker = new Worker(new URL("./attacker-thread.ts", import.meta.url));

  /** One attack; `onSent` when it stopped sending and the target has its last moment to end connections. One at a time. */
  run(order: AttackOrder, onSent: () => void): Promise<Tally> {
    return new Promise((resolve, reject) => {
      const failed = (why: string): void => {
        off();
        reject(new WeftError("internal", `the attack itself failed: ${why}`, { detail: "ATTACK_FAILED" }));
      };
      const onMessage = (said: AttackerSays): void => {
        if (said.kind === "sent") onSent();
        else if (said.kind === "failed") failed(said.why);
        else {
          off();
          resolve(said.tally);
        }
      };
      const onError = (error: Error): void => failed(error.message);
      const onExit = (): void => failed("its thread ended");
      const off = (): void => void this.#worker.off("message", onMessage).off("error", onError).off("exit", onExit);
      this.#worker.on("message", onMessage).on("error", onError).on("exit", onExit);
      this.#worker.postMessage(order);
    });
  }

  /** Has the attack that runs stop sending now; it settles and tells its tally as ever. */
  stop(): void {
    this.#worker.postMessage("stop");
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }
}
