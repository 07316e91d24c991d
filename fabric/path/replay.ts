/**
 * What a hop remembers of the offers it agreed to, so that each is good once.
 *
 * RP1. Bounded: when full of live entries, nothing new is agreed to; a live entry is never forgotten.
 */

import type { PathOffer } from "../../gen/weft/relay/v1/relay_pb.ts";
import { limits } from "../../lib/limits.ts";
import { replayKey } from "./authorize.ts";

export class ReplayWindow {
  readonly #untilMs = new Map<string, number>();
  readonly #maxCount: number;

  constructor(maxCount: number = limits.replayWindowMaxCount) {
    this.#maxCount = maxCount;
  }

  get size(): number {
    return this.#untilMs.size;
  }

  /** Whether an offer with this key was agreed to. */
  has(key: string): boolean {
    return this.#untilMs.has(key);
  }

  /** Remembers an offer until it can no longer be valid anywhere. False when it is known already or there is no room. */
  remember(offer: PathOffer, nowMs: number): boolean {
    const key = replayKey(offer);
    if (this.#untilMs.has(key)) return false;
    if (this.#untilMs.size >= this.#maxCount) this.forgetExpired(nowMs);
    if (this.#untilMs.size >= this.#maxCount) return false;
    this.#untilMs.set(key, Number(offer.expiresAtMs) + limits.offerSkewMaxMs);
    return true;
  }

  /** Drops what has expired. Call it now and then; `remember` does when there is no room. */
  forgetExpired(nowMs: number): void {
    for (const [key, untilMs] of this.#untilMs) if (nowMs >= untilMs) this.#untilMs.delete(key);
  }
}
