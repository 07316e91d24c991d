/** What was opened is closed in reverse order, once, even when a start fails half way or a close throws. */

export type Close = () => void | Promise<void>;

export class Closers implements AsyncDisposable {
  #stack: { name: string; close: Close }[] = [];

  /** Remembers how to undo something. */
  add(name: string, close: Close): void {
    this.#stack.push({ name, close });
  }

  /** Hands everything over to the caller: a later dispose of this object does nothing. */
  move(): Closers {
    const moved = new Closers();
    moved.#stack = this.#stack;
    this.#stack = [];
    return moved;
  }

  /** Closes everything, last first. Every close runs; the failures are thrown together at the end. */
  async close(): Promise<void> {
    const stack = this.#stack;
    this.#stack = [];
    const failures: unknown[] = [];
    for (const { name, close } of stack.reverse()) {
      try {
        await close();
      } catch (cause) {
        failures.push(new Error(`closing ${name} failed`, { cause }));
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, "some parts did not close");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
