/** Trying ways to open something, one after the other, without letting a slow one hold up the next when somebody waits. */

import type { Clock, Timer } from "../../lib/clock.ts";
import { WeftError } from "../../lib/errors.ts";

export interface Ways<W, T> {
  readonly clock: Clock;
  /** In order of preference; at least one. */
  readonly ways: readonly W[];
  readonly open: (way: W, signal: AbortSignal) => Promise<T>;
  /** A way that was slower than another: what it opened is not needed. */
  readonly discard: (opened: T) => void;
  readonly onFailed: (way: W, cause: unknown) => void;
  /** After how long the next way is tried beside a slow one, milliseconds (RFC 8305 calls it the attempt delay); absent: never. */
  readonly staggerMs?: number;
  readonly signal: AbortSignal;
}

/** What opened first. Rejects with the last failure when none did, and when the signal aborts. */
export function firstWay<W, T>(options: Ways<W, T>): Promise<T> {
  const { clock, ways, open, discard, onFailed, staggerMs, signal } = options;
  return new Promise<T>((resolve, reject) => {
    const losers = new AbortController();
    let last: unknown = new WeftError("unavailable", "no path is known", { detail: "NO_PATH" });
    let next = 0;
    let running = 0;
    let done = false;
    let slow: Timer | undefined;
    const finish = (settle: () => void): void => {
      done = true;
      slow?.cancel();
      signal.removeEventListener("abort", onAbort);
      losers.abort();
      settle();
    };
    const onAbort = (): void => finish(() => reject(new WeftError("canceled", "the caller gave up", { cause: last })));
    const start = (): void => {
      slow?.cancel();
      if (done) return;
      const way = ways[next];
      if (way === undefined) {
        if (running === 0) finish(() => reject(last));
        return;
      }
      next += 1;
      running += 1;
      if (staggerMs !== undefined) slow = clock.after(staggerMs, start);
      open(way, losers.signal).then(
        (opened) => {
          if (done) discard(opened);
          else finish(() => resolve(opened));
        },
        (cause: unknown) => {
          running -= 1;
          if (done) return;
          last = cause;
          onFailed(way, cause);
          start();
        },
      );
    };
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    start();
  });
}
