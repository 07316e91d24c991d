/** How often each class of RPC may be called, and by whom the calls are counted. One instance per process. */

import type { Clock } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";
import { TokenBuckets } from "../lib/rate.ts";
import { sourcePrefix } from "../lib/source-prefix.ts";
import type { Caller } from "./caller.ts";
import type { LimitClass } from "./policy.ts";

const perSecond = {
  join: limits.joinAttemptsPerSourcePerSecond,
  node: limits.rpcPerNodePerSecond,
  client: limits.rpcPerClientPerSecond,
  operator: limits.rpcPerOperatorPerSecond,
  link: limits.rpcPerLinkPerSecond,
  inspect: limits.rpcInspectPerSecond,
} as const satisfies Record<LimitClass, number>;

/** A bucket holds two seconds' worth. */
const BURST_SECONDS = 2;

export class RateLimits {
  readonly #byClass = new Map<LimitClass, TokenBuckets>();

  constructor(clock: Clock, rates: Readonly<Record<LimitClass, number>> = perSecond) {
    for (const [limitClass, rate] of Object.entries(rates)) {
      const shape = { perSecond: rate, burstCount: rate * BURST_SECONDS, keysMaxCount: limits.rpcRateKeysMaxCount };
      this.#byClass.set(limitClass as LimitClass, new TokenBuckets(clock, shape));
    }
  }

  /** Counts one call; false when the caller has used up its share. */
  take(limitClass: LimitClass, caller: Caller): boolean {
    const byAddress = limitClass === "join" || caller.kind === "anonymous";
    const key = byAddress ? sourcePrefix(caller.sourceAddress) : caller.spiffe;
    return this.#byClass.get(limitClass)?.take(key) ?? false;
  }
}
