/**
 * What peers may not do to a server that speaks HTTP/2 with them. What may be done once may be done often, within bounds that
 * no honest peer comes near; past one the session is over, and whatever was under way on it.
 *
 * FG1. Whoever made a flood, or one protocol error after the other, gets no session for a while: a new connection costs the
 *      server more than the peer. Known callers are told apart by identity, strangers by source.
 * FG2. Memory is bounded: who misbehaved longest ago is forgotten.
 */

import type { ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { Clock } from "../lib/clock.ts";
import { errnoOf } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import { sourcePrefix } from "../lib/source-prefix.ts";
import type { Caller } from "./caller.ts";
import type { Http2Profile } from "./http2-profile.ts";

/** What the peer did wrong; a GOAWAY of its own, whatever its code, or a connection that is lost is nothing wrong. */
const protocolErrors: ReadonlySet<string> = new Set(["ERR_HTTP2_ERROR", "ERR_HTTP2_TOO_MANY_INVALID_FRAMES"]);

export class FloodGuard {
  readonly #profile: Http2Profile;
  readonly #clock: Clock;
  /** Faults of a caller that time has not made up for; in order of the last one. */
  readonly #faults = new Map<string, { readonly count: number; readonly atMs: number }>();

  constructor(profile: Http2Profile, clock: Clock) {
    this.#profile = profile;
    this.#clock = clock;
  }

  /** Whether the caller may have a session (FG1). */
  admits(caller: Caller): boolean {
    return this.#faultsOf(keyOf(caller)) < limits.rpcFaultsMaxCount;
  }

  /** Watches a session on `socket` from its beginning. */
  watch(session: ServerHttp2Session, socket: Socket, caller: Caller): void {
    const key = keyOf(caller);
    const flooded = (): void => {
      if (session.destroyed) return;
      this.#fault(key, limits.rpcFloodFaultsCount);
      session.destroy();
    };
    session.on("error", (error) => {
      if (protocolErrors.has(errnoOf(error) ?? "")) this.#fault(key, 1);
    });
    const { callsBurstCount, callsPerSecond, sessionMaxBytes } = this.#profile;
    session.on("stream", this.#within(callsBurstCount, callsPerSecond, flooded));
    session.on("ping", this.#within(limits.rpcPingsBurstCount, limits.rpcPingsPerSecond, flooded));
    session.on("remoteSettings", this.#within(limits.rpcSettingsBurstCount, limits.rpcSettingsPerSecond, flooded));
    if (sessionMaxBytes === undefined) return;
    // Header blocks that are refused inside HTTP/2 are seen by nobody else.
    const look = this.#clock.every(limits.rpcBytesLookMs, () => {
      if (socket.bytesRead > sessionMaxBytes) flooded();
    });
    session.once("close", () => look.cancel());
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

  #fault(key: string, count: number): void {
    const sum = this.#faultsOf(key) + count;
    this.#faults.delete(key);
    this.#faults.set(key, { count: Math.min(sum, limits.rpcFloodFaultsCount), atMs: this.#clock.monoMs() });
    if (this.#faults.size <= limits.rpcRateKeysMaxCount) return;
    const [oldest] = this.#faults.keys();
    if (oldest !== undefined) this.#faults.delete(oldest);
  }

  #faultsOf(key: string): number {
    const known = this.#faults.get(key);
    if (known === undefined) return 0;
    return Math.max(0, known.count - ((this.#clock.monoMs() - known.atMs) / 1_000) * limits.rpcFaultsPerSecond);
  }
}

function keyOf(caller: Caller): string {
  return caller.kind === "anonymous" ? sourcePrefix(caller.sourceAddress) : caller.spiffe;
}
