/**
 * Lease law: how fences compare, and when a holder must stop by itself.
 *
 * F1. Fences compare as (epoch, counter) and only grow. A lower one is refused for ever, by everyone who saw a higher one.
 * F2. A holder counts its time from before it asked, on its own monotonic clock, and stops a margin early: it has stopped
 *     before anybody else can hold.
 */

import { limits } from "../lib/limits.ts";

/** What the names of exclusive resources' leases begin with; the resource's id follows. */
export const exclusiveLeasePrefix = "resource/";

/** The name of an exclusive resource's lease. */
export function exclusiveLeaseName(resourceId: string): string {
  return `${exclusiveLeasePrefix}${resourceId}`;
}

export interface FenceValue {
  readonly epoch: bigint;
  readonly counter: bigint;
}

/** Negative, zero or positive: a before, equal to or after b (F1). */
export function compareFences(a: FenceValue, b: FenceValue): number {
  if (a.epoch !== b.epoch) return a.epoch < b.epoch ? -1 : 1;
  return a.counter === b.counter ? 0 : a.counter < b.counter ? -1 : 1;
}

/**
 * What an enforcing point does with an offered fence, given the highest it has durably seen: `raise` means make the new
 * one durable and cut what runs under older ones before acting under it.
 */
export function judgeFence(highest: FenceValue | undefined, offered: FenceValue): "accept" | "raise" | "refuse" {
  if (highest === undefined) return "raise";
  const order = compareFences(offered, highest);
  return order === 0 ? "accept" : order > 0 ? "raise" : "refuse";
}

/** A fence and whose it is; nobody's when `holder` is empty. */
export interface FenceMark extends FenceValue {
  readonly holder: string;
}

/** As `judgeFence`, for points that know holders: an equal fence of somebody else is refused, for it has one holder (LAW-F1). */
export function judgeMark(highest: FenceMark | undefined, offered: FenceMark): "accept" | "raise" | "refuse" {
  const verdict = judgeFence(highest, offered);
  return verdict === "accept" && highest?.holder !== offered.holder ? "refuse" : verdict;
}

/** How much earlier than the lease a holder stops, ms: a clock that runs slow by a tenth has stopped in time, too. */
export function leaseMargin(ttlMs: number): number {
  return Math.max(limits.leaseMarginMs, ttlMs * limits.leaseMarginShare);
}

/** When a holder stops acting, on its monotonic clock, ms (F2). `ttlMs` as answered; `requestSentMonoMs` before sending. */
export function holderStopMonoMs(
  requestSentMonoMs: number,
  ttlMs: number,
  marginMs: number = leaseMargin(ttlMs),
): number {
  return requestSentMonoMs + Math.max(0, ttlMs - marginMs);
}

/** When to renew: a third of the time left before the holder would have to stop. */
export function renewAtMonoMs(requestSentMonoMs: number, ttlMs: number, marginMs: number = leaseMargin(ttlMs)): number {
  const stopMs = holderStopMonoMs(requestSentMonoMs, ttlMs, marginMs);
  return requestSentMonoMs + (stopMs - requestSentMonoMs) / 3;
}
