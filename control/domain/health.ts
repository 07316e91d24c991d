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

/**
 * How long a beat is taken to have been on its way, ms: half the round trip of the one before, as NTP does (RFC 5905,
 * section 8, with one timestamp less). A round trip that is none, or longer than the beat period, is not believed. The
 * server's clock on arrival, less the node's when it sent, less this, is the skew: positive when the node is behind.
 */
export function halfTripMs(roundTripMs: number): number {
  return (Number.isFinite(roundTripMs) ? Math.min(Math.max(roundTripMs, 0), limits.beatEveryMs) : 0) / 2;
}
