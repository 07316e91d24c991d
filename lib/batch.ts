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
 * One read for all who ask for the same at the same time, whether it answers or fails. Whoever asks while a read is on its
 * way gets the next one: an answer is never older than its question.
 */
export function sharedRead<Answer>(read: (key: string) => Promise<Answer>): (key: string) => Promise<Answer> {
  /** By key: the newest read, and the one among them that has not begun. */
  const newest = new Map<string, Promise<Answer>>();
  const waiting = new Map<string, Promise<Answer>>();

  async function readAfter(key: string, before: Promise<Answer> | undefined): Promise<Answer> {
    await before?.catch(() => {});
    const mine = waiting.get(key);
    waiting.delete(key);
    try {
      return await read(key);
    } finally {
      if (newest.get(key) === mine) newest.delete(key);
    }
  }

  return (key) => {
    const joined = waiting.get(key);
    if (joined !== undefined) return joined;
    const asked = readAfter(key, newest.get(key));
    waiting.set(key, asked);
    newest.set(key, asked);
    return asked;
  };
}
