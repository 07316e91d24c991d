/**
 * Two sockets joined: what comes in on one leg goes out on the other, untouched. Pumps move the bytes (`leg-pump.ts`) and
 * forward no error (a reset of one leg would leave the other open for ever), so ends and errors are wired here.
 *
 * SP1. End or error of either leg ends both: after a FIN the other leg is flushed for `flushAfterFinMs`, after an error or
 *      a local close it is reset at once.
 * SP2. User space holds at most `spliceMemoryMaxBytes(highWaterBytes)` per path: per direction one buffer, or, where a rate
 *      is policed, a read queue and a write queue, each passing its mark by one read at most. It depends on nothing else
 *      (LAW-R2).
 * SP3. A pair that moved no byte for `silenceMaxMs` is reset.
 * SP4. `onEnd` is called exactly once, when both legs are gone or being destroyed.
 * SP5. The sockets that were joined are destroyed when the splice ends, and end it when they are destroyed; between that
 *      they are not to be read or written.
 */

import type { Socket } from "node:net";
import type { Clock, Timer } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";
import type { RateShape } from "../lib/rate-bucket.ts";
import { resetSocket } from "../lib/reset-socket.ts";
import { canTakeOver, pumpBetween } from "./leg-pump.ts";
import { pumpAtRate, type RatePump } from "./rate-pump.ts";

export type SpliceEnd = "peer_closed" | "peer_error" | "silent" | "shutdown" | "revoked";

export interface SpliceOptions {
  /** Called once with the reason and the bytes moved, from `a` to `b` and back. */
  readonly onEnd?: (end: {
    readonly reason: SpliceEnd;
    readonly forwardBytes: number;
    readonly backBytes: number;
  }) => void;
  /** Each direction's rate and burst; absent: unlimited. */
  readonly rate?: RateShape | undefined;
}

export interface Splice {
  /** Bytes that were read and that the kernel has not taken yet. */
  heldBytes(): number;
  /** Another rate from now on. False when it cannot be had: a splice joined without a rate stays without one. */
  reshape(rate: RateShape | undefined): boolean;
  /** Resets both legs. */
  cut(reason: SpliceEnd): void;
}

/** A splice that was joined with a rate and has none any more. */
const free: RateShape = { rateBytesPerSecond: limits.qosRateMaxBytesPerSecond, burstBytes: limits.qosBurstMaxBytes };

export interface SplicesOptions {
  readonly clock: Clock;
  readonly flushAfterFinMs?: number;
  readonly silenceMaxMs?: number;
  readonly sweepMs?: number;
  /** Told about bytes moved since it was last told, at every sweep and at every end. */
  readonly onBytes?: (bytes: number) => void;
}

/** What one path may hold in user space when both its ends stop reading, given the sockets' high-water mark. */
export function spliceMemoryMaxBytes(highWaterBytes: number): number {
  return Math.max(2 * limits.spliceBufferBytes, 4 * (highWaterBytes + limits.spliceReadMaxBytes));
}

/** All splices of a process: one sweep for silence and byte counts. */
export class Splices {
  readonly #options: Required<SplicesOptions>;
  readonly #pairs = new Set<Pair>();
  #sweep: Timer | undefined;

  constructor(options: SplicesOptions) {
    this.#options = {
      flushAfterFinMs: limits.spliceFlushAfterFinMs,
      silenceMaxMs: limits.spliceSilenceMaxMs,
      sweepMs: limits.splicePassSweepMs,
      onBytes: () => {},
      ...options,
    };
  }

  /** Live splices. */
  get count(): number {
    return this.#pairs.size;
  }

  /** Joins two connected sockets, both made with `allowHalfOpen`. Bytes either has buffered go first. */
  join(a: Socket, b: Socket, options: SpliceOptions = {}): Splice {
    const pair = new Pair(a, b, this.#options, options, () => {
      this.#pairs.delete(pair);
      this.#options.onBytes(pair.newBytes());
      if (this.#pairs.size > 0) return;
      this.#sweep?.cancel();
      this.#sweep = undefined;
    });
    this.#pairs.add(pair);
    this.#sweep ??= this.#options.clock.every(this.#options.sweepMs, () => this.#pass());
    pair.start(options.rate);
    return pair;
  }

  /** Tells `onBytes` now what it would be told at the next sweep. */
  tellBytes(): void {
    let moved = 0;
    for (const pair of this.#pairs) moved += pair.newBytes();
    if (moved > 0) this.#options.onBytes(moved);
  }

  /** Resets every pair. */
  close(): void {
    for (const pair of [...this.#pairs]) pair.cut("shutdown");
  }

  #pass(): void {
    const nowMs = this.#options.clock.monoMs();
    let moved = 0;
    for (const pair of [...this.#pairs]) {
      moved += pair.newBytes();
      if (pair.silentSinceMs(nowMs) >= this.#options.silenceMaxMs) pair.cut("silent");
    }
    if (moved > 0) this.#options.onBytes(moved);
  }
}

class Pair implements Splice {
  /** What was joined. */
  readonly #given: readonly Socket[];
  /** What carries the bytes: the sockets that were joined, or those their handles moved into. */
  #a: Socket;
  #b: Socket;
  readonly #shared: Required<SplicesOptions>;
  readonly #options: SpliceOptions;
  readonly #forget: () => void;
  #startBytes: { readonly a: number; readonly b: number };
  #policed: readonly RatePump[] = [];
  #flush: Timer | undefined;
  #over = false;
  #countedBytes = 0;
  #progress = -1;
  #progressAtMs: number;

  constructor(a: Socket, b: Socket, shared: Required<SplicesOptions>, options: SpliceOptions, forget: () => void) {
    this.#given = [a, b];
    this.#a = a;
    this.#b = b;
    this.#shared = shared;
    this.#options = options;
    this.#forget = forget;
    this.#startBytes = { a: a.bytesWritten, b: b.bytesWritten };
    this.#progressAtMs = shared.clock.monoMs();
  }

  start(rate: RateShape | undefined): void {
    if (this.#a.destroyed || this.#b.destroyed) return void this.#finish("peer_error");
    if (rate === undefined && canTakeOver(this.#a) && canTakeOver(this.#b)) return void this.#pump();
    this.#wire(this.#a, this.#b);
    this.#wire(this.#b, this.#a);
    if (rate !== undefined) {
      this.#policed = [
        pumpAtRate(this.#a, this.#b, rate, this.#shared.clock),
        pumpAtRate(this.#b, this.#a, rate, this.#shared.clock),
      ];
    } else {
      this.#a.pipe(this.#b);
      this.#b.pipe(this.#a);
    }
  }

  #pump(): void {
    for (const given of this.#given) given.once("close", () => this.#finish("peer_error"));
    pumpBetween(this.#a, this.#b, this.#shared.clock, ({ a, b }) => {
      this.#a = a;
      this.#b = b;
      this.#startBytes = { a: 0, b: 0 };
      this.#wire(a, b);
      this.#wire(b, a);
    });
  }

  reshape(rate: RateShape | undefined): boolean {
    for (const pump of this.#policed) pump.reshape(rate ?? free);
    return rate === undefined || this.#policed.length > 0;
  }

  heldBytes(): number {
    return [this.#a, this.#b].reduce((held, leg) => held + leg.readableLength + leg.writableLength, 0);
  }

  cut(reason: SpliceEnd): void {
    this.#finish(reason);
  }

  /** Bytes moved since the last call. */
  newBytes(): number {
    const { forwardBytes, backBytes } = this.#moved();
    const fresh = forwardBytes + backBytes - this.#countedBytes;
    this.#countedBytes += fresh;
    return fresh;
  }

  /** For how long nothing was read from nor drained to either leg, milliseconds (SP3). */
  silentSinceMs(nowMs: number): number {
    const progress = drained(this.#a) + drained(this.#b) + this.#a.bytesRead + this.#b.bytesRead;
    if (progress !== this.#progress) {
      this.#progress = progress;
      this.#progressAtMs = nowMs;
    }
    return nowMs - this.#progressAtMs;
  }

  #wire(leg: Socket, other: Socket): void {
    leg.on("error", () => this.#finish("peer_error"));
    leg.on("end", () => {
      // Whoever moves the bytes ends the other leg behind what is queued for it (SP1).
      this.#flush ??= this.#shared.clock.after(this.#shared.flushAfterFinMs, () => this.#finish("peer_closed"));
    });
    leg.on("close", () => {
      if (other.closed) this.#finish("peer_closed");
      else if (this.#flush === undefined) this.#finish("peer_error");
    });
  }

  #finish(reason: SpliceEnd): void {
    if (this.#over) return;
    this.#over = true;
    this.#flush?.cancel();
    const graceful = reason === "peer_closed";
    for (const leg of [this.#a, this.#b]) letGo(leg, graceful);
    for (const given of this.#given) given.destroy();
    this.#forget();
    this.#options.onEnd?.({ reason, ...this.#moved() });
  }

  #moved(): { forwardBytes: number; backBytes: number } {
    return {
      forwardBytes: this.#b.bytesWritten - this.#startBytes.b,
      backBytes: this.#a.bytesWritten - this.#startBytes.a,
    };
  }
}

/** Bytes the kernel has taken from this socket. */
function drained(socket: Socket): number {
  return socket.bytesWritten - socket.writableLength;
}

/** Closes a leg: quietly when all it was given has left user space, with a reset otherwise. */
function letGo(leg: Socket, graceful: boolean): void {
  if (leg.destroyed) return;
  if (graceful && leg.writableFinished) leg.destroy();
  else resetSocket(leg);
}
