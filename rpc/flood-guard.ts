/**
 * Ends HTTP/2 sessions that are used as floods. What a peer may do once it may do often, within a bound that no honest one
 * comes near; past it the session is over, and whatever was under way on it.
 */

import type { ServerHttp2Session } from "node:http2";
import type { Clock } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";
import type { Http2Profile } from "./http2-profile.ts";

/** Counts what a session does; every kind of frame that is answered or looked at in JavaScript is one. */
export function guardFloods(session: ServerHttp2Session, profile: Http2Profile, clock: Clock): void {
  const within = (burstCount: number, perSecond: number): (() => void) => {
    let left = burstCount;
    let atMs = clock.monoMs();
    return () => {
      const nowMs = clock.monoMs();
      left = Math.min(burstCount, left + ((nowMs - atMs) / 1_000) * perSecond) - 1;
      atMs = nowMs;
      if (left < 0 && !session.destroyed) session.destroy();
    };
  };
  session.on("stream", within(profile.callsBurstCount, profile.callsPerSecond));
  session.on("ping", within(limits.rpcPingsBurstCount, limits.rpcPingsPerSecond));
  session.on("remoteSettings", within(limits.rpcSettingsBurstCount, limits.rpcSettingsPerSecond));
}
