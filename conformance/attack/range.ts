/**
 * The range an attack is confined to: so many connections, so many of them a second, so many units (frames, hellos) a second,
 * so many bytes, so long. A class of attacks reaches its target through this and nothing else.
 *
 * RG1. Past its time, its bytes or a stop, nothing more is dialled or sent; `close` leaves no socket.
 * RG2. What ended a connection is told apart: the target, or this end.
 */

import { connect, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { ClientTlsOptions } from "../../certs/tls-options.ts";
import { type Clock, sleep, type Timer } from "../../lib/clock.ts";
import { limits } from "../../lib/limits.ts";
import type { Random } from "../../lib/random.ts";
import { type Endpoint, tlsOf } from "./target.ts";

export interface AttackBounds {
  readonly seconds: number;
  /** At once. */
  readonly connectionsMaxCount: number;
  readonly connectionsPerSecond: number;
  readonly unitsPerSecond: number;
  readonly bytesMax: number;
}

/** What an attack did and what came of it. */
export interface Tally {
  connections: number;
  /** Dials the target did not take. */
  refused: number;
  units: number;
  bytes: number;
  /** Connections the target ended. */
  cut: number;
  /** Connections that went past what the class says must end them, and stood at the end. */
  standing: number;
  /** The most units any connection had sent when the target ended it. */
  cutAfterUnits: number;
  /** What the target answered, and how often. */
  answers: Record<string, number>;
  /** Answers it must never give. */
  violations: string[];
}

export interface RangeOptions {
  readonly endpoint: Endpoint;
  readonly bounds: AttackBounds;
  /** Address to dial from, when the system's choice is not meant. */
  readonly from?: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
}

/** Violations told apart: more of them say nothing new. */
const violationsMaxCount = 8;

/** One connection of an attacker. */
export class Wire {
  readonly raw: Socket;
  readonly tls: TLSSocket | undefined;
  units = 0;
  #over: "target" | "attacker" | undefined;
  readonly #left = Promise.withResolvers<void>();
  readonly #range: Range;

  constructor(range: Range, raw: Socket, tls: TLSSocket | undefined, reads: boolean) {
    this.#range = range;
    this.raw = raw;
    this.tls = tls;
    const ended = (): void => this.#end("target");
    for (const socket of tls === undefined ? [raw] : [raw, tls])
      socket.on("end", ended).on("error", ended).on("close", ended);
    if (reads) this.stream.resume();
    if (raw.destroyed) ended();
  }

  get stream(): Socket {
    return this.tls ?? this.raw;
  }

  get isOpen(): boolean {
    return this.#over === undefined;
  }

  /** Whether the target ended it (RG2). */
  get wasCut(): boolean {
    return this.#over === "target";
  }

  /** Sends; resolves once the kernel has it, with whether the connection still stands and there is time left. */
  async write(bytes: Uint8Array, units = 1): Promise<boolean> {
    if (!this.isOpen || this.#range.isOver) return false;
    this.#range.spent(bytes.length, units);
    this.units += units;
    const written = new Promise<void>((resolve) => this.stream.write(bytes, () => resolve()));
    await Promise.race([written, this.#range.ended]);
    return this.isOpen && !this.#range.isOver;
  }

  /** Waits for the target to end the connection, `withinMs` at most where that is given, or until the attack is over. */
  async untilCut(withinMs?: number): Promise<void> {
    let timer: Timer | undefined;
    const ends = [this.#left.promise, this.#range.ended];
    if (withinMs !== undefined)
      ends.push(
        new Promise((resolve) => {
          timer = this.#range.clock.after(withinMs, resolve);
        }),
      );
    await Promise.race(ends);
    timer?.cancel();
  }

  /** Gives the connection up from this end. */
  drop(): void {
    this.#end("attacker");
  }

  #end(by: "target" | "attacker"): void {
    if (this.#over !== undefined) return;
    this.#over = by;
    this.tls?.destroy();
    this.raw.destroy();
    this.#left.resolve();
    this.#range.left(this);
  }
}

export class Range {
  readonly endpoint: Endpoint;
  readonly bounds: AttackBounds;
  readonly random: Random;
  readonly clock: Clock;
  readonly tally: Tally = {
    connections: 0,
    refused: 0,
    units: 0,
    bytes: 0,
    cut: 0,
    standing: 0,
    cutAfterUnits: 0,
    answers: {},
    violations: [],
  };
  /** Resolves when the attack is over. */
  readonly ended: Promise<void>;
  readonly #from: string | undefined;
  readonly #wires = new Set<Wire>();
  readonly #stop = new AbortController();
  #tls: ClientTlsOptions | undefined;
  #nextUnitMs = 0;
  #nextDialMs = 0;

  constructor(options: RangeOptions) {
    this.endpoint = options.endpoint;
    this.bounds = options.bounds;
    this.random = options.random;
    this.clock = options.clock;
    this.#from = options.from;
    const { signal } = this.#stop;
    this.ended = new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    const stop = (): void => this.#stop.abort();
    options.signal.addEventListener("abort", stop, { once: true });
    if (options.signal.aborted) stop();
    const timer = this.clock.after(options.bounds.seconds * 1_000, stop, { keepAlive: true });
    signal.addEventListener("abort", () => timer.cancel(), { once: true });
  }

  get isOver(): boolean {
    return this.#stop.signal.aborted;
  }

  /** Waits as long as `units` more cost at the bounded rate; false once the attack is over. */
  async pace(units: number): Promise<boolean> {
    const nowMs = this.clock.monoMs();
    this.#nextUnitMs = Math.max(this.#nextUnitMs, nowMs) + (units / this.bounds.unitsPerSecond) * 1_000;
    await this.rest(this.#nextUnitMs - nowMs);
    return !this.isOver;
  }

  /** Waits, or until the attack is over. */
  async rest(delayMs: number): Promise<void> {
    if (delayMs >= 1) await sleep(this.clock, delayMs, this.#stop.signal);
  }

  /** A TCP connection to the target, within the bounds; undefined when it was refused or the attack is over. */
  async dial(): Promise<Wire | undefined> {
    const raw = await this.#connected();
    return raw === undefined ? undefined : this.#add(raw, undefined, true);
  }

  /**
   * TLS to the target with the endpoint's credentials, changed by `change`; undefined when it does not come to stand, which
   * counts as cut. Unless it `reads`, whoever takes the connection has all that arrives on it.
   */
  async dialTls(change: Partial<ClientTlsOptions> = {}, reads = true): Promise<Wire | undefined> {
    const raw = await this.#connected();
    if (raw === undefined) return undefined;
    this.#tls ??= tlsOf(this.endpoint);
    const tls = connectTls({ ...this.#tls, ...change, socket: raw });
    const stands = await new Promise<boolean>((resolve) => {
      const timer = this.clock.after(limits.handshakeDeadlineMs * 2, () => resolve(false));
      tls.once("secureConnect", () => resolve(true));
      for (const event of ["error", "close"]) tls.once(event, () => resolve(false));
      void this.ended.then(() => resolve(false));
      tls.once("close", () => timer.cancel());
    });
    tls.on("error", () => {});
    if (stands) return this.#add(raw, tls, reads);
    tls.destroy();
    raw.destroy();
    this.tally.connections += 1;
    if (!this.isOver) this.tally.cut += 1;
    return undefined;
  }

  /** `count` of the same beside each other. */
  async beside(count: number, work: (at: number) => Promise<void>): Promise<void> {
    const within = Math.min(count, this.bounds.connectionsMaxCount);
    await Promise.all(Array.from({ length: within }, (_, at) => work(at)));
  }

  spent(bytes: number, units: number): void {
    this.tally.bytes += bytes;
    this.tally.units += units;
    if (this.tally.bytes >= this.bounds.bytesMax) this.#stop.abort();
  }

  answered(what: string): void {
    this.tally.answers[what] = (this.tally.answers[what] ?? 0) + 1;
  }

  violated(what: string): void {
    const { violations } = this.tally;
    if (violations.length < violationsMaxCount && !violations.includes(what)) violations.push(what);
  }

  left(wire: Wire): void {
    this.#wires.delete(wire);
    if (!wire.wasCut) return;
    this.tally.cut += 1;
    this.tally.cutAfterUnits = Math.max(this.tally.cutAfterUnits, wire.units);
  }

  /** Gives the target `withinMs` to end what must be ended: connections with `cutAfterUnits` units. Then nothing is left (RG1). */
  async close(cutAfterUnits: number | undefined, withinMs: number): Promise<void> {
    this.#stop.abort();
    const due = (): Wire[] =>
      [...this.#wires].filter(({ units }) => units >= (cutAfterUnits ?? Number.POSITIVE_INFINITY));
    for (const wire of this.#wires) wire.stream.resume();
    const untilMs = this.clock.monoMs() + withinMs;
    while (due().length > 0 && this.clock.monoMs() < untilMs) await sleep(this.clock, lookEveryMs);
    this.tally.standing = due().length;
    for (const wire of [...this.#wires]) wire.drop();
  }

  #add(raw: Socket, tls: TLSSocket | undefined, reads: boolean): Wire {
    const wire = new Wire(this, raw, tls, reads);
    this.#wires.add(wire);
    this.tally.connections += 1;
    if (!wire.isOpen) this.left(wire);
    return wire;
  }

  async #connected(): Promise<Socket | undefined> {
    while (this.#wires.size >= this.bounds.connectionsMaxCount && !this.isOver) await this.rest(lookEveryMs);
    const nowMs = this.clock.monoMs();
    this.#nextDialMs = Math.max(this.#nextDialMs, nowMs) + 1_000 / this.bounds.connectionsPerSecond;
    await this.rest(this.#nextDialMs - nowMs);
    if (this.isOver) return undefined;
    const { host, port } = this.endpoint;
    const from = this.#from === undefined ? {} : { localAddress: this.#from };
    const raw = connect({ host, port, noDelay: true, allowHalfOpen: true, ...from });
    const isUp = await new Promise<boolean>((resolve) => {
      raw.once("connect", () => resolve(true));
      raw.on("error", () => resolve(false));
      void this.ended.then(() => resolve(false));
    });
    if (isUp) return raw;
    raw.destroy();
    this.tally.refused += 1;
    await this.rest(refusedRestMs);
    return undefined;
  }
}

const lookEveryMs = 20;
/** A target that takes nobody is not asked a thousand times a second. */
const refusedRestMs = 50;
