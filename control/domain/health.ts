/**
 * How a node is, derived from its last beat (M-A6). Pure: ages come from the store, measured by the store's clock, so that
 * neither a node's clock nor a replica's clock can make a node look alive.
 *
 * Silence outranks what the node said last: a node that announced draining and then fell silent is stale, not draining.
 */

import { limits } from "../../lib/limits.ts";

/** The stored and displayed names of a node's health. */
export type Health = "online" | "stale" | "draining" | "offline" | "missing";

/** What health depends on. */
export interface BeatFacts {
  /** Milliseconds since the last beat arrived; undefined when there never was one. */
  readonly beatAgeMs: number | undefined;
  readonly draining: boolean;
}

/**
 * Health by the bounds of `limits`: stale after 15 s of silence, offline after 60 s, missing after 24 h or without any beat. A
 * beat of the future came before the store's clock was set back: until the next one nobody knows, which is stale.
 */
export function healthOf({ beatAgeMs, draining }: BeatFacts): Health {
  if (beatAgeMs === undefined || beatAgeMs > limits.missingAfterMs) return "missing";
  if (beatAgeMs > limits.offlineAfterMs) return "offline";
  if (beatAgeMs > limits.staleAfterMs || isOfTheFuture(beatAgeMs)) return "stale";
  return draining ? "draining" : "online";
}

/** Whether a beat seems to arrive later than now by more than two statements of one store can differ. */
export function isOfTheFuture(beatAgeMs: number): boolean {
  return beatAgeMs < -limits.staleAfterMs;
}

/** What the skew of a node's clock is estimated from. */
export interface SkewSample {
  /** The node's wall clock when it sent the beat. */
  readonly sentAtMs: number;
  /** The server's wall clock when the beat arrived. */
  readonly receivedAtMs: number;
  /** Round trip of the previous beat; 0 when not measured yet. */
  readonly roundTripMs: number;
}

/**
 * Server wall clock minus node wall clock, milliseconds. Half the last round trip is taken for the way here, as NTP does
 * (RFC 5905, section 8, with one timestamp less); a round trip longer than the beat period is not believed.
 */
export function skewOf({ sentAtMs, receivedAtMs, roundTripMs }: SkewSample): number {
  const believed = Number.isFinite(roundTripMs) ? Math.min(Math.max(roundTripMs, 0), limits.beatEveryMs) : 0;
  return receivedAtMs - sentAtMs - believed / 2;
}
