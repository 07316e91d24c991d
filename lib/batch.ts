/**
 * Many small questions as one: what is asked while an answer is on its way is asked together, next. Alone, a question
 * waits for nothing but the end of the turn of the event loop.
 *
 * B1. One run at a time, of at most `maxCount` items, in the order they came.
 * B2. A run that fails is repeated item by item, so that a bad item fails alone; what another attempt cannot help (the
 *     other side is not there) fails for all of them at once.
 * B3. At most `queueMaxCount` items wait; more are refused.
 */

import { WeftError } from "./errors.ts";

export interface BatchOptions<Item, Answer> {
  /** Answers in the order of the items. */
  readonly run: (items: readonly Item[]) => Promise<readonly Answer[]>;
  readonly maxCount: number;
  readonly queueMaxCount: number;
}

interface Asked<Item, Answer> extends PromiseWithResolvers<Answer> {
  readonly item: Item;
}

export class Batch<Item, Answer> {
  readonly #options: BatchOptions<Item, Answer>;
  #queue: Asked<Item, Answer>[] = [];
  #running = false;

  constructor(options: BatchOptions<Item, Answer>) {
    this.#options = options;
  }

  /** Nothing is asked and nothing waits. */
  get isIdle(): boolean {
    return !this.#running;
  }

  /** The answer to one item. Rejects with what `run` throws, or `resource_exhausted` (BATCH_FULL, B3). */
  ask(item: Item): Promise<Answer> {
    if (this.#queue.length >= this.#options.queueMaxCount) {
      const message = "too much is waiting for the same; try again later";
      return Promise.reject(new WeftError("resource_exhausted", message, { detail: "BATCH_FULL", retry: "later" }));
    }
    const asked = { item, ...Promise.withResolvers<Answer>() };
    this.#queue.push(asked);
    if (!this.#running) {
      this.#running = true;
      queueMicrotask(() => void this.#drain());
    }
    return asked.promise;
  }

  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue.slice(0, this.#options.maxCount);
      this.#queue = this.#queue.slice(batch.length);
      await this.#answer(batch);
    }
    this.#running = false;
  }

  async #answer(batch: readonly Asked<Item, Answer>[]): Promise<void> {
    try {
      const answers = await this.#options.run(batch.map(({ item }) => item));
      if (answers.length !== batch.length) throw new Error("a batch was not answered item by item");
      for (const [index, { resolve }] of batch.entries()) resolve(answers[index] as Answer);
    } catch (thrown) {
      const isHopeless = thrown instanceof WeftError && thrown.reason === "unavailable";
      if (batch.length === 1 || isHopeless) for (const { reject } of batch) reject(thrown);
      else for (const asked of batch) await this.#answer([asked]);
    }
  }
}

/**
 * One read for all who ask for the same at the same time. Whoever asks while a read is on its way gets the next one: an
 * answer is never older than its question.
 */
export function sharedRead<Answer>(read: (key: string) => Promise<Answer>): (key: string) => Promise<Answer> {
  const readers = new Map<string, Batch<undefined, Answer>>();
  return async (key) => {
    const reader =
      readers.get(key) ??
      new Batch<undefined, Answer>({
        run: async (asked) => new Array<Answer>(asked.length).fill(await read(key)),
        maxCount: Number.MAX_SAFE_INTEGER,
        queueMaxCount: Number.MAX_SAFE_INTEGER,
      });
    readers.set(key, reader);
    try {
      return await reader.ask(undefined);
    } finally {
      if (reader.isIdle) readers.delete(key);
    }
  };
}
