/**
 * What peers may not do to a server that speaks HTTP/2 with them. What may be done once may be done often, within bounds that
 * no honest peer comes near; past one the session is over, and whatever was under way on it.
 *
 * FG1. Whoever made a flood, or one protocol error after the other, gets no session for a while: a new connection costs the
 *      server more than the peer. Known callers are told apart by identity, strangers by source.
 * FG2. Memory is bounded: who misbehaved longest ago is forgotten.
 * FG3. Frames that HTTP/2 deals with itself, such as header blocks it refuses, are seen by nobody here but as bytes: many of
 *      them while no call is open are a flood too.
 * FG4. A call that is open keeps its headers: of one caller a bounded number is, however many sessions it has. What is
 *      beyond is refused; whose calls pile up beyond that, reading no refusal, loses the session.
 */

import type { ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { Clock, Timer } from "../lib/clock.ts";
import { errnoOf } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import { TokenBuckets } from "../lib/rate.ts";
import { sourcePrefix } from "../lib/source-prefix.ts";
import type { Caller } from "./caller.ts";
import type { Http2Profile } from "./http2-profile.ts";

/** What the peer did wrong; a GOAWAY of its own, whatever its code, or a connection that is lost is nothing wrong. */
const protocolErrors: ReadonlySet<string> = new Set(["ERR_HTTP2_ERROR", "ERR_HTTP2_TOO_MANY_INVALID_FRAMES"]);

/** A session and what it was seen to have sent. */
interface Watched {
  readonly socket: Socket;
  readonly flooded: () => void;
  openCalls: number;
  /** Whether a call was made or came to its end since the last look: bytes since then may have been its own. */
  hadCall: boolean;
  seenBytes: number;
  /** In a row, while there was no call they could belong to. */
  strayBytes: number;
}

export class FloodGuard {
  readonly #profile: Http2Profile;
  readonly #clock: Clock;
  /** How many faults each caller may still make, below zero where it has made more. */
  readonly #faults: TokenBuckets;
  readonly #watched = new Set<Watched>();
  /** Open calls by caller, in all sessions. */
  readonly #open = new Map<string, number>();
  #ticker: Timer | undefined;

  constructor(profile: Http2Profile, clock: Clock) {
    this.#profile = profile;
    this.#clock = clock;
    this.#faults = new TokenBuckets(clock, {
      perSecond: limits.rpcFaultsPerSecond,
      burstCount: limits.rpcFaultsMaxCount,
      keysMaxCount: limits.rpcRateKeysMaxCount,
    });
  }

  /** Whether the caller may have a session (FG1). */
  admits(caller: Caller): boolean {
    return this.#faults.left(callerKey(caller)) > 0;
  }

  /** Whether the caller holds more open calls than it may (FG4). */
  holdsTooMany(caller: Caller): boolean {
    return (this.#open.get(callerKey(caller)) ?? 0) > this.#profile.openCallsMaxCount;
  }

  /** Watches a session on `socket` from its beginning. */
  watch(session: ServerHttp2Session, socket: Socket, caller: Caller): void {
    const key = callerKey(caller);
    const flooded = (): void => {
      if (session.destroyed) return;
      this.#fault(key, limits.rpcFloodFaultsCount);
      session.destroy();
    };
    session.on("error", (error) => {
      if (protocolErrors.has(errnoOf(error) ?? "")) this.#fault(key, 1);
    });
    const { callsBurstCount, callsPerSecond } = this.#profile;
    session.on("stream", this.#within(callsBurstCount, callsPerSecond, flooded));
    session.on("ping", this.#within(limits.rpcPingsBurstCount, limits.rpcPingsPerSecond, flooded));
    session.on("remoteSettings", this.#within(limits.rpcSettingsBurstCount, limits.rpcSettingsPerSecond, flooded));
    this.#watch(session, key, { socket, flooded, openCalls: 0, hadCall: false, seenBytes: 0, strayBytes: 0 });
  }

  #watch(session: ServerHttp2Session, key: string, watched: Watched): void {
    session.on("stream", (stream) => {
      watched.hadCall = true;
      watched.openCalls += 1;
      const open = (this.#open.get(key) ?? 0) + 1;
      this.#open.set(key, open);
      stream.once("close", () => {
        watched.openCalls -= 1;
        watched.hadCall = true;
        const left = (this.#open.get(key) ?? 1) - 1;
        if (left > 0) this.#open.set(key, left);
        else this.#open.delete(key);
      });
      // What is refused is closed at once, unless nobody reads the refusal.
      if (open > this.#profile.openCallsMaxCount * limits.rpcOpenCallsFloodShare) watched.flooded();
    });
    this.#watched.add(watched);
    this.#ticker ??= this.#clock.every(limits.rpcBytesLookMs, () => this.#look());
    session.once("close", () => {
      this.#watched.delete(watched);
      if (this.#watched.size > 0) return;
      this.#ticker?.cancel();
      this.#ticker = undefined;
    });
  }

  /** FG3. */
  #look(): void {
    const { sessionMaxBytes = Number.POSITIVE_INFINITY } = this.#profile;
    for (const watched of this.#watched) {
      const { socket, openCalls, hadCall, seenBytes } = watched;
      const bytes = socket.bytesRead;
      watched.strayBytes = openCalls > 0 || hadCall ? 0 : watched.strayBytes + bytes - seenBytes;
      watched.seenBytes = bytes;
      watched.hadCall = false;
      if (bytes > sessionMaxBytes || watched.strayBytes > limits.rpcStrayMaxBytes) watched.flooded();
    }
  }

  /** Counts calls of what is returned; `beyond` is called for each beyond the bound. */
  #within(burstCount: number, perSecond: number, beyond: () => void): () => void {
    let left = burstCount;
    let atMs = this.#clock.monoMs();
    return () => {
      const nowMs = this.#clock.monoMs();
      left = Math.min(burstCount, left + ((nowMs - atMs) / 1_000) * perSecond) - 1;
      atMs = nowMs;
      if (left < 0) beyond();
    };
  }

  /** Time makes up for a flood's worth of faults, however many there were. */
  #fault(key: string, count: number): void {
    this.#faults.spend(key, count, limits.rpcFloodFaultsCount - limits.rpcFaultsMaxCount);
  }
}

/** Known callers are told apart by identity, strangers by source. */
export function callerKey(caller: Caller): string {
  return caller.kind === "anonymous" ? sourcePrefix(caller.sourceAddress) : caller.spiffe;
}
