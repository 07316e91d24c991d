/**
 * The bounded, timed look at the first bytes of an accepted connection (LAW-R3). It decides nothing: what the bytes say is
 * handed on, the bytes themselves are put back, so that whoever takes the socket reads from the first one.
 *
 * PK1. A socket is looked at for `deadlineMs` at most, and holds `maxBytes` plus one read (64 KiB) at most. What had arrived by then
 *      counts, also when this process got no turn to read it: nobody is turned away for a stall here.
 * PK2. No more than `socketsMaxCount` are looked at, no more than `perSourceMaxCount` from one source prefix. One more takes
 *      the place of the one that has said nothing for longest: who has a token or a name says so at once, so strangers
 *      that hold their places in silence keep nobody out.
 * PK3. Whatever is refused is counted with its reason and destroyed; a handed-over socket carries no listener of ours.
 */

import type { Socket } from "node:net";
import { parseClientHello } from "../fabric/client-hello.ts";
import { decodeFirstBytes } from "../fabric/preamble.ts";
import type { Clock, Timer } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";
import { sourcePrefix } from "../lib/source-prefix.ts";

/** What a connection's first bytes turned out to be. A preamble has been taken off the socket, a hello has not. */
export type Opening =
  | { readonly kind: "leg"; readonly token: Uint8Array }
  | { readonly kind: "reverse" }
  | { readonly kind: "hello"; readonly serverName?: string };

export type PeekRefusal = "capacity" | "source_capacity" | "deadline" | "garbage" | "ended" | "stopped";

export interface PeekLimits {
  readonly maxBytes: number;
  readonly deadlineMs: number;
  readonly socketsMaxCount: number;
  readonly perSourceMaxCount: number;
}

export const peekLimits: PeekLimits = {
  maxBytes: limits.peekMaxBytes,
  deadlineMs: limits.peekDeadlineMs,
  socketsMaxCount: limits.peekSocketsMaxCount,
  perSourceMaxCount: limits.peekPerSourceMaxCount,
};

export interface PeekerOptions {
  readonly clock: Clock;
  readonly limits?: PeekLimits;
  readonly onRefused?: (why: PeekRefusal) => void;
}

type Judgement = { readonly opening: Opening; readonly restOffset: number } | "more" | "garbage";

export class Peeker {
  readonly #clock: Clock;
  readonly #limits: PeekLimits;
  readonly #onRefused: (why: PeekRefusal) => void;
  readonly #looking = new Map<Socket, (why: PeekRefusal) => void>();
  /** Oldest first, as in `#looking`. */
  readonly #perSource = new Map<string, Set<Socket>>();

  constructor(options: PeekerOptions) {
    this.#clock = options.clock;
    this.#limits = options.limits ?? peekLimits;
    this.#onRefused = options.onRefused ?? ((): void => {});
  }

  /** Sockets being looked at now. */
  get count(): number {
    return this.#looking.size;
  }

  /** Looks at `socket` and calls `decide` once with what its first bytes say, or destroys it (PK3). */
  look(socket: Socket, decide: (opening: Opening) => void): void {
    const source = sourcePrefix(socket.remoteAddress);
    const ofSource = this.#perSource.get(source) ?? new Set();
    if (ofSource.size >= this.#limits.perSourceMaxCount) this.#displace(ofSource, "source_capacity");
    if (this.#looking.size >= this.#limits.socketsMaxCount) this.#displace(this.#looking.keys(), "capacity");
    this.#perSource.set(source, ofSource.add(socket));
    this.#watch(socket, source, decide);
  }

  #displace([oldest]: Iterable<Socket>, why: PeekRefusal): void {
    if (oldest !== undefined) this.#looking.get(oldest)?.(why);
  }

  /** Refuses every socket being looked at. */
  stop(): void {
    for (const refuse of [...this.#looking.values()]) refuse("stopped");
  }

  #watch(socket: Socket, source: string, decide: (opening: Opening) => void): void {
    let seen: Buffer = Buffer.alloc(0);
    const finish = (): void => {
      timer.cancel();
      this.#looking.delete(socket);
      this.#release(socket, source);
      socket.off("readable", onReadable).off("end", onEnd).off("error", onEnd).off("close", onEnd);
    };
    const refuse = (why: PeekRefusal): void => {
      finish();
      this.#turnAway(socket, why);
    };
    const onEnd = (): void => refuse("ended");
    const onReadable = (): void => {
      const chunk: Buffer | null = socket.read() as Buffer | null;
      if (chunk === null) return;
      seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
      const judgement = judge(seen, this.#limits.maxBytes);
      if (judgement === "more") return;
      if (judgement === "garbage") return void refuse("garbage");
      finish();
      if (seen.length > judgement.restOffset) socket.unshift(seen.subarray(judgement.restOffset));
      decide(judgement.opening);
    };
    const timer: Timer = this.#clock.afterReading(this.#limits.deadlineMs, () => refuse("deadline"));
    this.#looking.set(socket, refuse);
    socket.on("readable", onReadable).on("end", onEnd).on("error", onEnd).on("close", onEnd);
  }

  #turnAway(socket: Socket, why: PeekRefusal): void {
    // An error after our listeners are gone must not end the process.
    socket.on("error", () => {});
    socket.destroy();
    this.#onRefused(why);
  }

  #release(socket: Socket, source: string): void {
    const held = this.#perSource.get(source);
    held?.delete(socket);
    if (held?.size === 0) this.#perSource.delete(source);
  }
}

function judge(seen: Buffer, maxBytes: number): Judgement {
  const first = decodeFirstBytes(seen);
  switch (first.kind) {
    case "garbage":
      return "garbage";
    case "leg":
      return { opening: { kind: "leg", token: first.token }, restOffset: first.restOffset };
    case "reverse":
      return { opening: { kind: "reverse" }, restOffset: first.restOffset };
    case "more":
      return "more";
    case "tls":
      return judgeHello(seen, maxBytes);
  }
}

function judgeHello(seen: Buffer, maxBytes: number): Judgement {
  const hello = parseClientHello(seen);
  if (hello.kind === "garbage") return "garbage";
  if (hello.kind === "more") return seen.length >= maxBytes ? "garbage" : "more";
  const { serverName } = hello;
  return { opening: serverName === undefined ? { kind: "hello" } : { kind: "hello", serverName }, restOffset: 0 };
}
