/** A channel to a resource that echoes, and the ledger of what goes over it. */

import type { Duplex } from "node:stream";
import type { Clock } from "../../lib/clock.ts";
import { messageOf } from "../../lib/errors.ts";
import { type EchoAnswer, EchoLedger } from "./echo-ledger.ts";

export class EchoChannel {
  readonly ledger = new EchoLedger();
  readonly #channel: Duplex;
  readonly #clock: Clock;
  readonly #waiters = new Set<() => void>();
  readonly #answers: EchoAnswer[] = [];
  #end: string | undefined;

  constructor(channel: Duplex, clock: Clock) {
    this.#channel = channel;
    this.#clock = clock;
    channel.on("data", (bytes: Buffer) => {
      this.#answers.push(...this.ledger.receive(bytes, clock.monoMs()));
      if (this.ledger.damagedAt !== undefined) this.#over("other bytes came back than were sent");
      this.#look();
    });
    channel.on("error", (error) => this.#over(messageOf(error)));
    channel.once("end", () => this.#over("the target ended the connection"));
    channel.once("close", () => this.#over("the connection is over"));
  }

  /** Why nothing more comes over it; undefined while something may. */
  get end(): string | undefined {
    return this.#end;
  }

  /** Resolves when nothing is on its way, when the channel is over, or after `withinMs`. */
  settled(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        timer.cancel();
        this.#waiters.delete(look);
        resolve();
      };
      const look = (): void => {
        if (this.ledger.waiting === 0 || this.#end !== undefined) done();
      };
      const timer = this.#clock.after(withinMs, done, { keepAlive: true });
      this.#waiters.add(look);
      look();
    });
  }

  /** Messages that came back since this was asked last. */
  takeAnswers(): EchoAnswer[] {
    return this.#answers.splice(0);
  }

  send(message: Buffer): void {
    this.ledger.send(message, this.#clock.monoMs());
    this.#channel.write(message);
  }

  close(): void {
    this.#channel.destroy();
  }

  #over(why: string): void {
    if (this.#end !== undefined) return;
    this.#end = why;
    this.#look();
  }

  #look(): void {
    for (const look of [...this.#waiters]) look();
  }
}
