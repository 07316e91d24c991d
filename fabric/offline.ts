/**
 * What a node may still do when control cannot be heard. Staleness only starts the clock; the signed mode decides what
 * stops, and no mode outlives the certificate or the snapshot.
 *
 * OF1. Total: an unknown mode fails closed; an unset one is the default, `continue-for`.
 * OF2. `newChannels` implies `existing`: nothing new starts where nothing may stay.
 */

import { OfflineMode } from "../gen/weft/fabric/v1/role_pb.ts";
import { limits } from "../lib/limits.ts";

export interface OfflineFacts {
  readonly mode: OfflineMode;
  /** For `continue-for`; not positive: `limits.continueForDefaultMs`. */
  readonly continueForMs: number;
  /** `issued_at_ms` of the newest verified revocation feed (or of the snapshot, before the first feed). */
  readonly newestFeedMs: number;
  readonly snapshotNotAfterMs: number;
  readonly leafNotAfterMs: number;
  /** max(wall clock, newest signed time). */
  readonly nowMs: number;
}

export interface OfflineVerdict {
  readonly newChannels: boolean;
  readonly existing: boolean;
  /** When this verdict ends if nothing new is heard; `nowMs` once everything has stopped. */
  readonly untilMs: number;
}

/** Whether new channels may open and existing ones stay, now (OF1, OF2). */
export function offlineVerdict(facts: OfflineFacts): OfflineVerdict {
  const { newEndMs, existingEndMs } = modeEnds(facts);
  const endMs = Math.min(existingEndMs, facts.snapshotNotAfterMs, facts.leafNotAfterMs);
  const existing = facts.nowMs < endMs;
  const newChannels = existing && facts.nowMs < newEndMs;
  if (newChannels) return { newChannels, existing, untilMs: Math.min(newEndMs, endMs) };
  return { newChannels, existing, untilMs: existing ? endMs : facts.nowMs };
}

function modeEnds({ mode, continueForMs, newestFeedMs }: OfflineFacts): { newEndMs: number; existingEndMs: number } {
  const staleMs = newestFeedMs + limits.failClosedAfterMs;
  switch (mode) {
    case OfflineMode.CONTINUE:
      return { newEndMs: Number.POSITIVE_INFINITY, existingEndMs: Number.POSITIVE_INFINITY };
    case OfflineMode.UNSPECIFIED:
    case OfflineMode.CONTINUE_FOR: {
      const endMs = newestFeedMs + (continueForMs > 0 ? continueForMs : limits.continueForDefaultMs);
      return { newEndMs: endMs, existingEndMs: endMs };
    }
    case OfflineMode.EXISTING_ONLY:
      return { newEndMs: staleMs, existingEndMs: Number.POSITIVE_INFINITY };
    default:
      return { newEndMs: staleMs, existingEndMs: staleMs };
  }
}
