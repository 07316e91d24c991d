/**
 * Hints within one process, and the table of subscribers the Redis hints share. What this process itself changed is told
 * at once: its number is bounded by its own writes. What others say is coalesced: one call now and one at the end of the
 * period, so that the last change is never missed and a flood costs a timer.
 */

import type { Clock } from "../../lib/clock.ts";
import { limits } from "../../lib/limits.ts";
import type { Hints } from "./hints.ts";

interface Topic {
  readonly subscribers: Set<() => void>;
  /** Between two calls: quiet, or waiting with or without another hint. */
  state: "idle" | "waiting" | "again";
}

export class HintTable {
  readonly #topics = new Map<string, Topic>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  subscribe(name: string, fn: () => void): () => void {
    const topic = this.#topics.get(name) ?? { subscribers: new Set(), state: "idle" };
    this.#topics.set(name, topic);
    // A wrapper of its own, so that one function may subscribe twice.
    const subscriber = (): void => fn();
    topic.subscribers.add(subscriber);
    return () => {
      topic.subscribers.delete(subscriber);
      if (topic.subscribers.size === 0 && this.#topics.get(name) === topic) this.#topics.delete(name);
    };
  }

  /** Tells the subscribers of a topic at once: for changes made by this process. */
  tell(name: string): void {
    for (const subscriber of this.#topics.get(name)?.subscribers ?? []) queueMicrotask(subscriber);
  }

  /** Tells them now or at the end of the running period: for what comes from outside. Unknown topics cost nothing. */
  fire(name: string): void {
    const topic = this.#topics.get(name);
    if (topic === undefined) return;
    if (topic.state !== "idle") {
      topic.state = "again";
      return;
    }
    topic.state = "waiting";
    this.#clock.after(limits.hintTopicEveryMs, () => {
      const again = topic.state === "again";
      topic.state = "idle";
      if (again) this.fire(name);
    });
    this.tell(name);
  }

  fireAll(): void {
    for (const name of this.#topics.keys()) this.fire(name);
  }

  clear(): void {
    this.#topics.clear();
  }
}

/** Hints that never leave the process: for the embedded store, which has only one. */
export function memoryHints(clock: Clock): Hints {
  const table = new HintTable(clock);
  return {
    publish: (topic) => table.tell(topic),
    subscribe: (topic, fn) => table.subscribe(topic, fn),
    close: async () => table.clear(),
  };
}
