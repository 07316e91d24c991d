/**
 * When a leaf was issued, how long it lives, when it is due: what everybody who keeps one reads from its dates.
 *
 * LL1. A leaf starts `limits.leafBackdateMs` before it is issued, whatever its life (issueLeaf): a third of its life is
 *      counted from when it was issued, or short leaves would be due before they exist.
 */

import { limits } from "../lib/limits.ts";

/** The dates in a certificate, ms. */
export interface LeafDates {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** When it was issued, by its issuer's clock, to the second. */
export function leafIssuedMs({ notBeforeMs, notAfterMs }: LeafDates): number {
  return Math.min(notBeforeMs + limits.leafBackdateMs, notAfterMs);
}

/** From issue to end, ms. */
export function leafLifeMs(dates: LeafDates): number {
  return dates.notAfterMs - leafIssuedMs(dates);
}

/** When it is to be renewed: `limits.renewAtShare` of its life after its issue, moved by `spread` (-0.5 to 0.5) tenths of it. */
export function leafDueMs(dates: LeafDates, spread = 0): number {
  return leafIssuedMs(dates) + leafLifeMs(dates) * (limits.renewAtShare + 0.1 * spread);
}

/** `ms`, or less for leaves that live so short that a `share` of their life is less. */
export function withinLife(dates: LeafDates, ms: number, share: number): number {
  return Math.max(0, Math.min(ms, leafLifeMs(dates) * share));
}
