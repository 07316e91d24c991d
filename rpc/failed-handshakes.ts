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
import { sourcePrefix } from "../lib/source-prefix.ts";

export class FailedHandshakes {
  readonly #clock: Clock;
  /** What each source has left, below zero where it owes; in order of the last failure. */
  readonly #left = new Map<string, { readonly bytes: number; readonly atMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether a stranger of this address may have a handshake now. */
  mayTry(address: string | undefined): boolean {
    return this.#leftOf(sourcePrefix(address)) > 0;
  }

  /** A handshake of this address failed after `readBytes`. */
  failed(address: string | undefined, readBytes: number): void {
    const source = sourcePrefix(address);
    const excessBytes = readBytes - limits.handshakeHonestMaxBytes;
    if (excessBytes <= 0) return;
    const bytes = this.#leftOf(source) - excessBytes;
    this.#left.delete(source);
    this.#left.set(source, { bytes, atMs: this.#clock.monoMs() });
    if (this.#left.size <= limits.rpcRateKeysMaxCount) return;
    const [oldest] = this.#left.keys();
    if (oldest !== undefined) this.#left.delete(oldest);
  }

  #leftOf(source: string): number {
    const known = this.#left.get(source);
    if (known === undefined) return limits.failedHandshakeBurstBytes;
    const paidBytes = ((this.#clock.monoMs() - known.atMs) / 1_000) * limits.failedHandshakeBytesPerSecond;
    return Math.min(limits.failedHandshakeBurstBytes, known.bytes + paidBytes);
  }
}
