/**
 * How many TLS handshakes run at a time. A stranger's handshake costs a millisecond of CPU and more when it is hostile, so
 * strangers beyond the bound are refused; whoever brought a leg token waits its turn instead.
 */

import { limits } from "../lib/limits.ts";
import { sourcePrefix } from "../relay/source-prefix.ts";

export interface GateLimits {
  readonly inFlightMaxCount: number;
  readonly perSourceMaxCount: number;
  readonly queueMaxCount: number;
}

const gateLimits: GateLimits = {
  inFlightMaxCount: limits.handshakesInFlightMaxCount,
  perSourceMaxCount: limits.handshakesPerSourceMaxCount,
  queueMaxCount: limits.openingPathsQueueMaxCount,
};

/** Lets the next one in. Idempotent. */
export type Leave = () => void;

export class HandshakeGate {
  readonly #limits: GateLimits;
  readonly #perSource = new Map<string, number>();
  readonly #queue: (() => void)[] = [];
  #inFlight = 0;

  constructor(bounds: GateLimits = gateLimits) {
    this.#limits = bounds;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** A stranger that knows a name: in now, or not at all. */
  enterStranger(address: string): Leave | undefined {
    const source = sourcePrefix(address);
    const held = this.#perSource.get(source) ?? 0;
    if (this.#inFlight >= this.#limits.inFlightMaxCount || held >= this.#limits.perSourceMaxCount) return undefined;
    this.#perSource.set(source, held + 1);
    return this.#enter(() => {
      const left = (this.#perSource.get(source) ?? 1) - 1;
      if (left > 0) this.#perSource.set(source, left);
      else this.#perSource.delete(source);
    });
  }

  /** Whoever showed a token or a secret name: calls `start` as soon as there is room. False when even the queue is full. */
  enterInvited(start: (leave: Leave) => void): boolean {
    if (this.#inFlight < this.#limits.inFlightMaxCount) {
      start(this.#enter(() => {}));
      return true;
    }
    if (this.#queue.length >= this.#limits.queueMaxCount) return false;
    this.#queue.push(() => start(this.#enter(() => {})));
    return true;
  }

  #enter(onLeave: () => void): Leave {
    this.#inFlight += 1;
    let inside = true;
    return () => {
      if (!inside) return;
      inside = false;
      this.#inFlight -= 1;
      onLeave();
      this.#queue.shift()?.();
    };
  }
}
