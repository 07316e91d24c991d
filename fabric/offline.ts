/**
 * What may still be done when control cannot be heard. Staleness only starts the clock; the signed policy decides what
 * stops, and nothing outlives the certificate or the snapshot.
 *
 * OF1. Total: an unknown mode fails closed; an unset one is the default, `continue-for`.
 * OF2. `newChannels` implies `existing`: nothing new starts where nothing may stay.
 * OF3. Of the rules that fit, the most specific one counts, whole: a resource's before its organization's before the
 *      cluster's. Channels keep the policy of their resource.
 * OF4. Paths of an organization go on as long as the policy of any of its resources needs them, no longer.
 */

import { OfflineMode } from "../gen/weft/fabric/v1/role_pb.ts";
import { limits } from "../lib/limits.ts";

/** One policy. Durations count from the newest revocation feed; not positive: the default. */
export interface OfflineTerms {
  readonly mode: OfflineMode;
  /** For `continue-for`; default `limits.continueForDefaultMs`. */
  readonly continueForMs: number;
  /** For `existing-only` and `fail-closed`; default `limits.failClosedAfterMs`. */
  readonly graceMs: number;
}

/** For how long after the newest feed; infinite: to the end of leaf and snapshot. */
export interface OfflineBounds {
  readonly newForMs: number;
  readonly existingForMs: number;
}

/** Where a policy is set: for the cluster (both empty), an organization, or one resource of it. */
export interface OfflineRule {
  readonly organizationId: string;
  readonly resourceId: string;
  readonly terms: OfflineTerms;
}

export interface OfflineFacts {
  /** `issued_at_ms` of the newest verified revocation feed (or of the snapshot, before the first feed). */
  readonly newestFeedMs: number;
  readonly snapshotNotAfterMs: number;
  readonly leafNotAfterMs: number;
  /** Not before the newest signed time (node/offline-clock.ts). */
  readonly nowMs: number;
}

export interface OfflineVerdict {
  readonly newChannels: boolean;
  readonly existing: boolean;
  /** When new ones and existing ones end, or ended, if nothing new is heard. */
  readonly newUntilMs: number;
  readonly existingUntilMs: number;
}

/** Where nothing is set. */
export const defaultTerms: OfflineTerms = { mode: OfflineMode.CONTINUE_FOR, continueForMs: 0, graceMs: 0 };

/** A policy as it travels; absent: the default. */
export function termsOf(
  policy: { readonly mode: OfflineMode; readonly continueForMs: bigint; readonly graceMs: bigint } | undefined,
): OfflineTerms {
  if (policy === undefined) return defaultTerms;
  return { mode: policy.mode, continueForMs: Number(policy.continueForMs), graceMs: Number(policy.graceMs) };
}

/** How long a policy lets things go on (OF1). */
export function boundsOf({ mode, continueForMs, graceMs }: OfflineTerms): OfflineBounds {
  const grace = graceMs > 0 ? graceMs : limits.failClosedAfterMs;
  switch (mode) {
    case OfflineMode.CONTINUE:
      return { newForMs: Number.POSITIVE_INFINITY, existingForMs: Number.POSITIVE_INFINITY };
    case OfflineMode.UNSPECIFIED:
    case OfflineMode.CONTINUE_FOR: {
      const forMs = continueForMs > 0 ? continueForMs : limits.continueForDefaultMs;
      return { newForMs: forMs, existingForMs: forMs };
    }
    case OfflineMode.EXISTING_ONLY:
      return { newForMs: grace, existingForMs: Number.POSITIVE_INFINITY };
    default:
      return { newForMs: grace, existingForMs: grace };
  }
}

/** The bounds that all of these fit in; undefined for none. */
export function widest(all: Iterable<OfflineBounds>): OfflineBounds | undefined {
  let wide: OfflineBounds | undefined;
  for (const { newForMs, existingForMs } of all) {
    wide = {
      newForMs: Math.max(wide?.newForMs ?? 0, newForMs),
      existingForMs: Math.max(wide?.existingForMs ?? 0, existingForMs),
    };
  }
  return wide;
}

/** Whether new channels or paths may open and existing ones stay, now (OF2). */
export function offlineVerdict(bounds: OfflineBounds, facts: OfflineFacts): OfflineVerdict {
  const { newestFeedMs, snapshotNotAfterMs, leafNotAfterMs, nowMs } = facts;
  const endMs = Math.min(snapshotNotAfterMs, leafNotAfterMs);
  const existingUntilMs = Math.min(newestFeedMs + bounds.existingForMs, endMs);
  const newUntilMs = Math.min(newestFeedMs + bounds.newForMs, existingUntilMs);
  return { newChannels: nowMs < newUntilMs, existing: nowMs < existingUntilMs, newUntilMs, existingUntilMs };
}

/** The rule that counts at a place (OF3); undefined: none was set, the default counts. */
export function ruleFor<Rule extends Pick<OfflineRule, "organizationId" | "resourceId">>(
  rules: readonly Rule[],
  place: { readonly organizationId: string; readonly resourceId: string },
): Rule | undefined {
  const at = (organizationId: string, resourceId: string): Rule | undefined =>
    rules.find((rule) => rule.organizationId === organizationId && rule.resourceId === resourceId);
  const { organizationId, resourceId } = place;
  const own = resourceId === "" ? undefined : at(organizationId, resourceId);
  return own ?? (organizationId === "" ? undefined : at(organizationId, "")) ?? at("", "");
}

/** How long paths of an organization go on (OF4). Without resources: as its own policy says. */
export function pathBounds(
  rules: readonly OfflineRule[],
  organizationId: string,
  resourceIds: readonly string[],
): OfflineBounds {
  const of = (resourceId: string): OfflineBounds =>
    boundsOf(ruleFor(rules, { organizationId, resourceId })?.terms ?? defaultTerms);
  return widest(resourceIds.map(of)) ?? of("");
}

/** Bounds as they travel: negative for no end, and back. */
export function boundsToWire({ newForMs, existingForMs }: OfflineBounds): { newForMs: bigint; existingForMs: bigint } {
  const wire = (ms: number): bigint => (Number.isFinite(ms) ? BigInt(Math.floor(ms)) : -1n);
  return { newForMs: wire(newForMs), existingForMs: wire(existingForMs) };
}

export function boundsFromWire(wire: { readonly newForMs: bigint; readonly existingForMs: bigint }): OfflineBounds {
  const from = (ms: bigint): number => (ms < 0n ? Number.POSITIVE_INFINITY : Number(ms));
  return { newForMs: from(wire.newForMs), existingForMs: from(wire.existingForMs) };
}

/** Whether two policies let the same go on for the same time. */
export function sameBounds(a: OfflineBounds, b: OfflineBounds): boolean {
  return a.newForMs === b.newForMs && a.existingForMs === b.existingForMs;
}
