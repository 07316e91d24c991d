/**
 * TLS handshakes of control take turns: a bounded number at a time in all and per source, the rest wait in a bounded line.
 * Waiting is better than refusing here: after an outage every node of a site comes back at once, from one address.
 *
 * HQ1. One source holds a bounded part of the line: it can delay itself, never keep others from waiting.
 * HQ2. Who leaves the line frees its place at once.
 */

import { limits } from "../../lib/limits.ts";
import { sourcePrefix } from "../../lib/source-prefix.ts";

/** Ends a turn; idempotent. */
export type Leave = () => void;

interface Waiting {
  readonly source: string;
  readonly start: (leave: Leave) => void;
}

export class HandshakeQueue {
  readonly #running = new Map<string, number>();
  #line: Waiting[] = [];
  #runningCount = 0;

  /** Calls `start` when it is this source's turn, perhaps at once. Returns how to leave the line; undefined when it is full. */
  enter(address: string, start: (leave: Leave) => void): Leave | undefined {
    const waiting: Waiting = { source: sourcePrefix(address), start };
    const ofSource = this.#line.filter(({ source }) => source === waiting.source).length;
    if (ofSource >= limits.handshakesWaitingPerSourceMaxCount) return undefined;
    if (this.#line.length >= limits.peekSocketsMaxCount) return undefined;
    this.#line.push(waiting);
    this.#next();
    return () => {
      this.#line = this.#line.filter((other) => other !== waiting);
    };
  }

  get runningCount(): number {
    return this.#runningCount;
  }

  get waitingCount(): number {
    return this.#line.length;
  }

  #next(): void {
    while (this.#runningCount < limits.handshakesInFlightMaxCount) {
      const at = this.#line.findIndex(
        ({ source }) => (this.#running.get(source) ?? 0) < limits.handshakesPerSourceMaxCount,
      );
      const waiting = this.#line[at];
      if (waiting === undefined) return;
      this.#line.splice(at, 1);
      this.#runningCount += 1;
      this.#running.set(waiting.source, (this.#running.get(waiting.source) ?? 0) + 1);
      waiting.start(this.#leaver(waiting.source));
    }
  }

  #leaver(source: string): Leave {
    let inside = true;
    return () => {
      if (!inside) return;
      inside = false;
      this.#runningCount -= 1;
      const left = (this.#running.get(source) ?? 1) - 1;
      if (left > 0) this.#running.set(source, left);
      else this.#running.delete(source);
      this.#next();
    };
  }
}
