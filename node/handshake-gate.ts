/**
 * How many TLS handshakes run at a time. A stranger's handshake costs a millisecond of CPU, and more when it is hostile.
 *
 * HG1. At most `inFlightMaxCount` run, at most `strangersMaxCount` of them for strangers: links and paths always get in.
 * HG2. At most `perSourceMaxCount` run for strangers of one source prefix; the others of that prefix wait.
 * HG3. A bounded number waits, of one source prefix and in all; whoever would be one more is refused.
 */

import { limits } from "../lib/limits.ts";
import { sourcePrefix } from "../lib/source-prefix.ts";

export interface GateLimits {
  readonly inFlightMaxCount: number;
  readonly strangersMaxCount: number;
  readonly perSourceMaxCount: number;
  readonly waitingPerSourceMaxCount: number;
  readonly waitingMaxCount: number;
}

const gateLimits: GateLimits = {
  inFlightMaxCount: limits.handshakesInFlightMaxCount,
  strangersMaxCount: limits.strangerHandshakesMaxCount,
  perSourceMaxCount: limits.handshakesPerSourceMaxCount,
  waitingPerSourceMaxCount: limits.peekPerSourceMaxCount,
  waitingMaxCount: limits.peekSocketsMaxCount,
};

/** Lets the next one in. Idempotent. */
export type Leave = () => void;
type Start = (leave: Leave) => void;

interface Stranger {
  readonly source: string;
  readonly start: Start;
}

export class HandshakeGate {
  readonly #limits: GateLimits;
  readonly #bySource = new Map<string, number>();
  readonly #invited: Start[] = [];
  #strangers: Stranger[] = [];
  #strangersInside = 0;
  #inFlight = 0;

  constructor(bounds: GateLimits = gateLimits) {
    this.#limits = bounds;
  }

  /** Handshakes running now. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** A stranger that knows a public name: calls `start` when its turn comes. False when it may not even wait (HG3). */
  enterStranger(address: string, start: Start): boolean {
    const stranger = { source: sourcePrefix(address), start };
    if (this.#hasRoomFor(stranger)) {
      this.#admitStranger(stranger);
      return true;
    }
    const waiting = this.#strangers.filter((other) => other.source === stranger.source).length;
    const { waitingMaxCount, waitingPerSourceMaxCount } = this.#limits;
    if (this.#strangers.length >= waitingMaxCount || waiting >= waitingPerSourceMaxCount) return false;
    this.#strangers.push(stranger);
    return true;
  }

  /** Whoever showed a token or a secret name: calls `start` when its turn comes, before any stranger's. */
  enterInvited(start: Start): boolean {
    if (this.#inFlight < this.#limits.inFlightMaxCount) this.#admitInvited(start);
    else if (this.#invited.length >= this.#limits.waitingMaxCount) return false;
    else this.#invited.push(start);
    return true;
  }

  #hasRoomFor({ source }: Stranger): boolean {
    const { inFlightMaxCount, strangersMaxCount, perSourceMaxCount } = this.#limits;
    return (
      this.#inFlight < inFlightMaxCount &&
      this.#strangersInside < strangersMaxCount &&
      (this.#bySource.get(source) ?? 0) < perSourceMaxCount
    );
  }

  #admitInvited(start: Start): void {
    this.#inFlight += 1;
    start(this.#leaving(() => {}));
  }

  #admitStranger({ source, start }: Stranger): void {
    this.#inFlight += 1;
    this.#strangersInside += 1;
    this.#bySource.set(source, (this.#bySource.get(source) ?? 0) + 1);
    const onLeave = (): void => {
      this.#strangersInside -= 1;
      const left = (this.#bySource.get(source) ?? 1) - 1;
      if (left > 0) this.#bySource.set(source, left);
      else this.#bySource.delete(source);
    };
    start(this.#leaving(onLeave));
  }

  #leaving(onLeave: () => void): Leave {
    let inside = true;
    return () => {
      if (!inside) return;
      inside = false;
      this.#inFlight -= 1;
      onLeave();
      this.#next();
    };
  }

  #next(): void {
    const invited = this.#invited.shift();
    if (invited !== undefined) return void this.#admitInvited(invited);
    const stranger = this.#strangers.find((waiting) => this.#hasRoomFor(waiting));
    if (stranger === undefined) return;
    this.#strangers = this.#strangers.filter((waiting) => waiting !== stranger);
    this.#admitStranger(stranger);
  }
}
