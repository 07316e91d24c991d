/**
 * Time, behind a port. Everything that waits or measures takes a `Clock`, so that tests and the simulator drive time
 * themselves. This is the only file that may touch the host's clocks and timers.
 */

/** A pending timer; `cancel` is idempotent. */
export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Wall time, milliseconds since the Unix epoch. For dates that leave the process; never for measuring. */
  nowMs(): number;
  /** Monotonic time in milliseconds, fractional, from an arbitrary origin. For measuring and for deadlines. */
  monoMs(): number;
  /** Calls `fn` once after `delayMs`. The timer does not keep the process alive unless `keepAlive` is set. */
  after(delayMs: number, fn: () => void, options?: { keepAlive?: boolean }): Timer;
  /**
   * Calls `fn` once after `delayMs`, when what had arrived on sockets by then was handed out. Timers run before sockets are
   * read: whoever judges silence must not take a stall of its own process for one. Never keeps the process alive.
   */
  afterReading(delayMs: number, fn: () => void): Timer;
  /** Calls `fn` every `periodMs` until cancelled. Never keeps the process alive. */
  every(periodMs: number, fn: () => void): Timer;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monoMs: () => performance.now(),
  after(delayMs, fn, options) {
    const handle = setTimeout(fn, delayMs);
    if (options?.keepAlive !== true) handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
  afterReading(delayMs, fn) {
    let read: NodeJS.Immediate | undefined;
    const handle = setTimeout(() => {
      read = setImmediate(fn);
    }, delayMs);
    handle.unref();
    return {
      cancel() {
        clearTimeout(handle);
        clearImmediate(read);
      },
    };
  },
  every(periodMs, fn) {
    const handle = setInterval(fn, periodMs);
    handle.unref();
    return { cancel: () => clearInterval(handle) };
  },
};

/**
 * Calls `fn` at the end of this turn of the event loop: what has arrived by now on any socket was handed out, and nothing has
 * been waited for. What belongs together is gathered so, at no cost in time.
 */
export function atEndOfTurn(fn: () => void): void {
  setImmediate(fn);
}

/**
 * Resolves after `delayMs`, or at once when `signal` aborts (it never rejects: callers look at the signal).
 * Keeps the process alive while waiting.
 */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) return resolve();
    const onAbort = (): void => {
      timer.cancel();
      resolve();
    };
    const timer = clock.after(
      delayMs,
      () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      },
      { keepAlive: true },
    );
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/** A clock that only moves when told to; timers fire in order of their due time. For tests and simulations. */
export class ManualClock implements Clock {
  #monoMs = 0;
  #wallOffsetMs: number;
  #nextId = 0;
  readonly #timers = new Map<number, { dueMs: number; periodMs?: number; fn: () => void }>();

  constructor(startWallMs = 1_800_000_000_000) {
    this.#wallOffsetMs = startWallMs;
  }

  nowMs(): number {
    return this.#wallOffsetMs + this.#monoMs;
  }

  monoMs(): number {
    return this.#monoMs;
  }

  after(delayMs: number, fn: () => void): Timer {
    return this.#add({ dueMs: this.#monoMs + Math.max(0, delayMs), fn });
  }

  every(periodMs: number, fn: () => void): Timer {
    return this.#add({ dueMs: this.#monoMs + periodMs, periodMs, fn });
  }

  afterReading(delayMs: number, fn: () => void): Timer {
    return this.after(delayMs, fn);
  }

  /** Steps the wall clock without moving monotonic time, as an administrator or NTP would. */
  stepWall(deltaMs: number): void {
    this.#wallOffsetMs += deltaMs;
  }

  /** Moves time forward by `deltaMs`, firing due timers in order. */
  advance(deltaMs: number): void {
    const endMs = this.#monoMs + deltaMs;
    for (;;) {
      const due = this.#earliest();
      if (due === undefined || due.dueMs > endMs) break;
      this.#monoMs = Math.max(this.#monoMs, due.dueMs);
      if (due.periodMs === undefined) this.#timers.delete(due.id);
      else this.#timers.set(due.id, { dueMs: due.dueMs + due.periodMs, periodMs: due.periodMs, fn: due.fn });
      due.fn();
    }
    this.#monoMs = endMs;
  }

  /** Milliseconds until the next timer, or undefined when none is pending. */
  nextDueInMs(): number | undefined {
    const due = this.#earliest();
    return due === undefined ? undefined : Math.max(0, due.dueMs - this.#monoMs);
  }

  #add(timer: { dueMs: number; periodMs?: number; fn: () => void }): Timer {
    const id = this.#nextId++;
    this.#timers.set(id, timer);
    return { cancel: () => void this.#timers.delete(id) };
  }

  #earliest(): { id: number; dueMs: number; periodMs?: number; fn: () => void } | undefined {
    let best: { id: number; dueMs: number; periodMs?: number; fn: () => void } | undefined;
    for (const [id, timer] of this.#timers) {
      if (best === undefined || timer.dueMs < best.dueMs) best = { id, ...timer };
    }
    return best;
  }
}
