/**
 * Strangers whose TLS handshakes come to nothing, by source. A handshake costs a server milliseconds, and with a chain of
 * large keys behind a certificate tenths of a second in one piece: nothing in TLS or Node refuses to follow such a chain.
 *
 * FH1. Handshakes that succeed cost their source nothing: whoever gets in is never held up by this.
 * FH2. Each that fails costs the bytes that were read for it beyond what an honest one needs. A source that has spent its
 *      allowance is turned away unheard until time has paid for it: an honest neighbour there waits with it, nobody else.
 * FH3. Memory is bounded: the source seen longest ago is forgotten.
 */

import type { Clock } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";
import { TokenBuckets } from "../lib/rate.ts";
import { sourcePrefix } from "../lib/source-prefix.ts";

export class FailedHandshakes {
  /** What each source has left, below zero where it owes. */
  readonly #bytes: TokenBuckets;

  constructor(clock: Clock) {
    this.#bytes = new TokenBuckets(clock, {
      perSecond: limits.failedHandshakeBytesPerSecond,
      burstCount: limits.failedHandshakeBurstBytes,
      keysMaxCount: limits.rpcRateKeysMaxCount,
    });
  }

  /** Whether a stranger of this address may have a handshake now. */
  mayTry(address: string | undefined): boolean {
    return this.#bytes.left(sourcePrefix(address)) > 0;
  }

  /** A handshake of this address failed after `readBytes`. */
  failed(address: string | undefined, readBytes: number): void {
    const excessBytes = readBytes - limits.handshakeHonestMaxBytes;
    if (excessBytes > 0) this.#bytes.spend(sourcePrefix(address), excessBytes);
  }
}
