/**
 * Work by the clock: rounds of several kinds, at most one of each at a time. A round that fails is logged and made again at its
 * next time. Rows, not this, settle which of several replicas does something.
 */

import type { Timer } from "../../lib/clock.ts";
import { messageOf } from "../../lib/errors.ts";
import type { StoreContext } from "../store/context.ts";

export class Rounds {
  readonly #ctx: Pick<StoreContext, "clock" | "log">;
  readonly #failed: string;
  readonly #timers: Timer[] = [];
  readonly #running = new Map<string, Promise<void>>();

  /** `failed` is what the log says of a round that did. */
  constructor(ctx: Pick<StoreContext, "clock" | "log">, failed: string) {
    this.#ctx = ctx;
    this.#failed = failed;
  }

  /** Makes a round every so many milliseconds, unless the one before is still under way. */
  every(periodMs: number, name: string, round: () => Promise<unknown>): void {
    this.#timers.push(this.#ctx.clock.every(periodMs, () => this.run(name, round)));
  }

  /** Makes a round now, unless one of that name is under way. */
  run(name: string, round: () => Promise<unknown>): void {
    if (this.#running.has(name)) return;
    const done = round()
      .then(() => undefined)
      .catch((error: unknown) => this.#ctx.log.warn(this.#failed, { detail: name, error: messageOf(error) }))
      .finally(() => this.#running.delete(name));
    this.#running.set(name, done);
  }

  /** Ends the timers and waits for what is under way. */
  async stop(): Promise<void> {
    for (const timer of this.#timers) timer.cancel();
    await Promise.all(this.#running.values());
  }
}
