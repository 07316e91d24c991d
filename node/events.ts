/** What happens on this node, as a stream for operators, and the counters and switches the parts share. */

import type { Clock } from "../lib/clock.ts";
import type { DrainState, NodeCounters, NodeEvent, NodeEvents, Unsubscribe } from "./ports.ts";

/** A set of listeners; a listener that throws does not keep the others from hearing. */
export class Listeners<Value> {
  readonly #listeners = new Set<(value: Value) => void>();
  readonly #onThrow: (thrown: unknown) => void;

  constructor(onThrow: (thrown: unknown) => void) {
    this.#onThrow = onThrow;
  }

  add(listener: (value: Value) => void): Unsubscribe {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  notify(value: Value): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(value);
      } catch (thrown) {
        this.#onThrow(thrown);
      }
    }
  }
}

export function createNodeEvents(clock: Clock, onThrow: (thrown: unknown) => void): NodeEvents {
  const listeners = new Listeners<NodeEvent>(onThrow);
  let seq = 0;
  return {
    emit(kind, facts) {
      seq += 1;
      listeners.notify({ seq, atMs: clock.nowMs(), kind, facts: facts ?? {} });
    },
    subscribe: (listener) => listeners.add(listener),
  };
}

export function createNodeCounters(): NodeCounters {
  return {
    bytesSpliced: 0,
    pathsOpened: 0,
    pathsLive: 0,
    offersRefused: 0,
    peeksRefused: 0,
    tokensRefused: 0,
    attachesRefused: 0,
    channelsOpened: 0,
    channelsLive: 0,
    trunksLive: 0,
    handshakesRefused: 0,
    connectionsRefused: 0,
    controlCalls: new Map(),
  };
}

export function createDrainState(events: NodeEvents, onThrow: (thrown: unknown) => void): DrainState {
  let draining = false;
  const listeners = new Listeners<boolean>(onThrow);
  return {
    draining: () => draining,
    set(value) {
      if (value === draining) return;
      draining = value;
      events.emit(value ? "draining" : "undrained");
      listeners.notify(value);
    },
    onChange: (listener) => listeners.add(listener),
  };
}
