/** Order statistics of measurements. */

/** The value below which `share` of the sorted values lie (nearest rank); 0 for none. */
export function quantileOfSorted(sorted: ArrayLike<number>, share: number): number {
  if (sorted.length === 0) return 0;
  const rank = Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1));
  return sorted[rank] ?? 0;
}

/** The same of values in any order. */
export function quantile(values: readonly number[], share: number): number {
  return quantileOfSorted(Float64Array.from(values).sort(), share);
}

export interface Spread {
  readonly p50: number;
  readonly p95: number;
  readonly max: number;
}

export function round(value: number, digits = 1): number {
  return Number(value.toFixed(digits));
}

/** p50, p95 and maximum, rounded to a tenth. */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = Float64Array.from(values).sort();
  return {
    p50: round(quantileOfSorted(sorted, 0.5)),
    p95: round(quantileOfSorted(sorted, 0.95)),
    max: round(quantileOfSorted(sorted, 1)),
  };
}

/** Delays of messages in one measuring window. */
export class DelayWindow {
  readonly #delays: number[] = [];
  readonly #worst = new Map<number, number>();

  add(channel: number, delayMs: number): void {
    this.#delays.push(delayMs);
    const worst = this.#worst.get(channel);
    if (worst === undefined || delayMs > worst) this.#worst.set(channel, delayMs);
  }

  get delaysMs(): readonly number[] {
    return this.#delays;
  }

  /** The largest delay and the channel it was seen on. */
  worst(): { readonly channel: number; readonly delayMs: number } {
    let worst = { channel: -1, delayMs: 0 };
    for (const [channel, delayMs] of this.#worst) if (delayMs > worst.delayMs) worst = { channel, delayMs };
    return worst;
  }
}

export interface WindowReport {
  readonly messages: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly worstChannel: number;
}

export function reportOf(window: DelayWindow | undefined): WindowReport {
  const sorted = Float64Array.from(window?.delaysMs ?? []).sort();
  const worst = window?.worst() ?? { channel: -1, delayMs: 0 };
  return {
    messages: sorted.length,
    p50Ms: quantileOfSorted(sorted, 0.5),
    p99Ms: quantileOfSorted(sorted, 0.99),
    maxMs: worst.delayMs,
    worstChannel: worst.channel,
  };
}
