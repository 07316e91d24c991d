/**
 * What clients that are edges themselves may make an entry do. Every path of theirs is an offer in the entry's own name, and
 * later hops count initiators: without a bound here one client could keep the entry from moving everybody else's trunks.
 *
 * CB1. All clients together leave a part of the entry's offers to the entry's own trunks.
 * CB2. One organization leaves room to the others, one client to the others of its organization.
 */

import type { Clock } from "../../lib/clock.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { TokenBuckets } from "../../lib/rate.ts";

export interface ClientKey {
  readonly clientId: string;
  readonly organizationId: string;
}

export class ClientBudget {
  readonly #offers: readonly { readonly buckets: TokenBuckets; readonly keyOf: (who: ClientKey) => string }[];
  readonly #live = new Map<string, number>();

  constructor(clock: Clock) {
    const buckets = (perSecond: number, burstCount: number): TokenBuckets =>
      new TokenBuckets(clock, { perSecond, burstCount, keysMaxCount: limits.rpcRateKeysMaxCount });
    this.#offers = [
      {
        buckets: buckets(limits.clientOffersPerClientPerSecond, limits.clientOffersPerClientBurstCount),
        keyOf: ({ clientId }) => clientId,
      },
      {
        buckets: buckets(limits.clientOffersPerOrganizationPerSecond, limits.clientOffersPerOrganizationBurstCount),
        keyOf: ({ organizationId }) => organizationId,
      },
      { buckets: buckets(limits.clientOffersPerSecond, limits.clientOffersBurstCount), keyOf: () => "" },
    ];
  }

  /** Counts an offer made for this client. Throws `resource_exhausted` (CLIENT_PATHS) when it, or its like, made too many. */
  offer(who: ClientKey): void {
    if (!this.#offers.every(({ buckets, keyOf }) => buckets.take(keyOf(who)))) throw tooMany();
  }

  /** Counts a path of this client until the function it returns is called, once. Throws like `offer`. */
  path({ clientId, organizationId }: ClientKey): () => void {
    const bounds = [
      [`client ${clientId}`, limits.livePathsPerClientMaxCount],
      [`organization ${organizationId}`, limits.livePathsPerClientOrganizationMaxCount],
    ] as const;
    if (bounds.some(([key, maxCount]) => (this.#live.get(key) ?? 0) >= maxCount)) throw tooMany();
    for (const [key] of bounds) this.#live.set(key, (this.#live.get(key) ?? 0) + 1);
    let counted = true;
    return () => {
      if (!counted) return;
      counted = false;
      for (const [key] of bounds) {
        const left = (this.#live.get(key) ?? 0) - 1;
        if (left > 0) this.#live.set(key, left);
        else this.#live.delete(key);
      }
    };
  }
}

function tooMany(): WeftError {
  return new WeftError("resource_exhausted", "too many paths are being opened", {
    detail: "CLIENT_PATHS",
    retry: "later",
  });
}
