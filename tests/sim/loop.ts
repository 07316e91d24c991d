/**
 * Virtual time and the turns of event loops. Events run one after the other in the order of their time; each is a turn of
 * the process it belongs to: the callback, then what it queued with `process.nextTick`, then promises where the event can
 * have settled one, then `setImmediate`. A stalled process runs nothing; when it goes on, its timers run before what arrived,
 * as Node does it. Nothing here depends on the host: one seed is one history.
 */

import type { Clock, Timer } from "../../lib/clock.ts";

interface Event {
  readonly atMs: number;
  readonly order: number;
  fn: (() => void) | undefined;
}

/** How many promise continuations may hang on each other before time goes on. */
const PROMISE_TURNS = 14;
/** So many events at one instant are a loop that waits for time to go on. */
const STANDSTILL_TURNS = 5_000;

/** Times are whole 1/1024 ms, so that sums of them are exact: a timer never comes an epsilon early. */
const onGrid = (ms: number): number => Math.ceil(ms * 1_024) / 1_024;

export class SimLoop {
  nowMs = 0;
  /** Turns so far. */
  turns = 0;
  readonly #heap: Event[] = [];
  readonly #ticks: (() => void)[] = [];
  readonly #immediates: (() => void)[] = [];
  #order = 0;
  /** Events at this very time so far. */
  #here = 0;
  #promises = false;

  /** Runs `fn` at a time; it can be cancelled. */
  at(atMs: number, fn: () => void): Timer {
    this.#order += 1;
    const event: Event = { atMs: onGrid(Math.max(atMs, this.nowMs)), order: this.#order, fn };
    this.#push(event);
    return {
      cancel: () => {
        event.fn = undefined;
      },
    };
  }

  /** Runs `fn` at the end of this turn, as `setImmediate` does. */
  behind(fn: () => void): void {
    this.#immediates.push(fn);
  }

  /** What runs now may settle a promise: its continuations run before time goes on. */
  settles(): void {
    this.#promises = true;
  }

  /** Runs events up to a time. `after` is called behind every turn and ends the run by throwing. */
  async run(untilMs: number, after: () => void): Promise<void> {
    const host = { nextTick: process.nextTick, setImmediate: globalThis.setImmediate };
    process.nextTick = ((fn: (...args: unknown[]) => void, ...args: unknown[]) => {
      this.#ticks.push(args.length === 0 ? fn : () => fn(...args));
    }) as typeof process.nextTick;
    globalThis.setImmediate = ((fn: () => void) => {
      this.#immediates.push(fn);
    }) as unknown as typeof setImmediate;
    try {
      await this.#turn();
      for (let next = this.#heap[0]; next !== undefined && next.atMs <= untilMs; next = this.#heap[0]) {
        this.#pop();
        if (next.fn === undefined) continue;
        this.#here = next.atMs === this.nowMs ? this.#here + 1 : 0;
        if (this.#here > STANDSTILL_TURNS) throw new Error("time stands still: something is due again and again");
        this.nowMs = next.atMs;
        next.fn();
        const turn = this.#turn();
        if (turn !== undefined) await turn;
        after();
      }
      this.nowMs = Math.max(this.nowMs, untilMs);
    } finally {
      process.nextTick = host.nextTick;
      globalThis.setImmediate = host.setImmediate;
    }
  }

  /** What the event left behind; a promise only where promises have to settle. */
  #turn(): Promise<void> | undefined {
    this.turns += 1;
    this.#drainTicks();
    if (this.#promises) return this.#settlePromises();
    this.#drainImmediates();
    return this.#promises ? this.#settlePromises() : undefined;
  }

  async #settlePromises(): Promise<void> {
    while (this.#promises) {
      this.#promises = false;
      for (let n = 0; n < PROMISE_TURNS; n += 1) {
        await null;
        this.#drainTicks();
      }
      this.#drainImmediates();
    }
  }

  #drainTicks(): void {
    for (let at = 0; at < this.#ticks.length; at += 1) (this.#ticks[at] as () => void)();
    this.#ticks.length = 0;
  }

  #drainImmediates(): void {
    for (const fn of this.#immediates.splice(0)) {
      fn();
      this.#drainTicks();
    }
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const up = (at - 1) >> 1;
      if (!before(event, heap[up] as Event)) break;
      heap[at] = heap[up] as Event;
      at = up;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Event;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let down = 2 * at + 1;
      if (down >= heap.length) break;
      if (down + 1 < heap.length && before(heap[down + 1] as Event, heap[down] as Event)) down += 1;
      if (!before(heap[down] as Event, last)) break;
      heap[at] = heap[down] as Event;
      at = down;
    }
    heap[at] = last;
  }
}

const before = (a: Event, b: Event): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);

/** Wall time of the simulated worlds at their start. */
export const EPOCH_MS = 1_800_000_000_000;

/** One process: its clock, and whether it runs. */
export class SimProcess {
  readonly name: string;
  readonly clock: Clock;
  readonly #loop: SimLoop;
  #stalledUntilMs = 0;
  readonly #timers: (() => void)[] = [];
  readonly #arrived: (() => void)[] = [];

  constructor(name: string, loop: SimLoop) {
    this.name = name;
    this.#loop = loop;
    this.clock = {
      nowMs: () => EPOCH_MS + loop.nowMs,
      monoMs: () => loop.nowMs,
      after: (delayMs, fn, options) => this.#after(delayMs, fn, options?.keepAlive === true),
      afterReading: (delayMs, fn) => this.#after(delayMs, () => loop.behind(fn), false),
      every: (periodMs, fn) => this.#every(periodMs, fn),
    };
  }

  get stalled(): boolean {
    return this.#loop.nowMs < this.#stalledUntilMs;
  }

  /** Stops everything in this process for a while. */
  stall(forMs: number): void {
    const untilMs = this.#loop.nowMs + forMs;
    if (untilMs <= this.#stalledUntilMs) return;
    this.#stalledUntilMs = untilMs;
    this.#loop.at(untilMs, () => this.#goOn());
  }

  /** Something arrives from outside. */
  arrives(fn: () => void): void {
    if (this.stalled) this.#arrived.push(fn);
    else fn();
  }

  /** Calls `fn` a moment later, as the kernel does when it has taken what was written. */
  soon(fn: () => void): void {
    this.#loop.at(this.#loop.nowMs + 0.02, () => this.arrives(fn));
  }

  /** `settles`: a caller waits for it with a promise. */
  #after(delayMs: number, fn: () => void, settles: boolean): Timer {
    let pending: (() => void) | undefined = fn;
    const fire = (): void => {
      if (settles) this.#loop.settles();
      const due = pending;
      pending = undefined;
      due?.();
    };
    const event = this.#loop.at(this.#loop.nowMs + Math.max(0, delayMs), () => {
      if (this.stalled) this.#timers.push(fire);
      else fire();
    });
    return {
      cancel: () => {
        pending = undefined;
        event.cancel();
      },
    };
  }

  #every(periodMs: number, fn: () => void): Timer {
    let timer: Timer;
    const arm = (): void => {
      timer = this.#after(
        periodMs,
        () => {
          arm();
          fn();
        },
        false,
      );
    };
    arm();
    return { cancel: () => timer.cancel() };
  }

  #goOn(): void {
    if (this.stalled) return;
    this.#loop.settles();
    for (const fn of this.#timers.splice(0)) fn();
    for (const fn of this.#arrived.splice(0)) fn();
  }
}
