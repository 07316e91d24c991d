/**
 * HTTP/2 sessions over sockets that already exist. A session is made here and nowhere else, so that windows, stream
 * counts, memory and reset limits are set on every one of them, in either role and whoever dialled the socket.
 */

import http2, { type ClientHttp2Session, type Http2Session, type ServerHttp2Session } from "node:http2";
import type { Duplex } from "node:stream";
import { limits, MiB } from "../lib/limits.ts";

export interface Http2Profile {
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  readonly streamsMaxCount: number;
  readonly sessionMemoryMaxBytes: number;
  readonly headerListMaxBytes: number;
  readonly streamResetBurstCount: number;
  readonly streamResetPerSecond: number;
  /** Calls of one session, served or refused (rpc/flood-guard.ts). */
  readonly callsBurstCount: number;
  readonly callsPerSecond: number;
  /** Of one caller, in all its sessions together. */
  readonly openCallsMaxCount: number;
  /** Bytes a peer may send in one session; no bound when absent. */
  readonly sessionMaxBytes?: number;
}

/** Control and operator surfaces. */
export const rpcHttp2: Http2Profile = {
  streamWindowBytes: limits.rpcStreamWindowBytes,
  connectionWindowBytes: limits.rpcConnectionWindowBytes,
  streamsMaxCount: limits.rpcStreamsMaxCount,
  sessionMemoryMaxBytes: limits.rpcSessionMemoryMaxBytes,
  headerListMaxBytes: limits.rpcHeaderListMaxBytes,
  streamResetBurstCount: limits.rpcStreamResetBurstCount,
  streamResetPerSecond: limits.rpcStreamResetPerSecond,
  callsBurstCount: limits.rpcSessionCallsBurstCount,
  callsPerSecond: limits.rpcSessionCallsPerSecond,
  openCallsMaxCount: limits.rpcOpenCallsPerCallerMaxCount,
};

/** Strangers with a join token, or without. */
export const joinHttp2: Http2Profile = {
  ...rpcHttp2,
  streamWindowBytes: limits.joiningBodyMaxBytes,
  connectionWindowBytes: limits.joiningBodyMaxBytes * limits.joiningStreamsMaxCount,
  streamsMaxCount: limits.joiningStreamsMaxCount,
  sessionMemoryMaxBytes: 1 * MiB,
  streamResetBurstCount: limits.joiningResetBurstCount,
  streamResetPerSecond: limits.joiningResetPerSecond,
  callsBurstCount: limits.joiningCallsBurstCount,
  callsPerSecond: limits.joiningCallsPerSecond,
  sessionMaxBytes: limits.joiningSessionMaxBytes,
};

/** Between neighbours: signalling, probes, Echo. */
export const linkHttp2: Http2Profile = {
  ...rpcHttp2,
  streamsMaxCount: limits.linkStreamsMaxCount,
  streamResetBurstCount: limits.linkStreamResetBurstCount,
  callsBurstCount: limits.linkCallsBurstCount,
  callsPerSecond: limits.linkCallsPerSecond,
  openCallsMaxCount: limits.linkOpenCallsPerCallerMaxCount,
};

function sessionOptions(profile: Http2Profile): http2.SecureServerOptions {
  return {
    settings: {
      initialWindowSize: profile.streamWindowBytes,
      maxConcurrentStreams: profile.streamsMaxCount,
      maxHeaderListSize: profile.headerListMaxBytes,
      enablePush: false,
    },
    // Node counts in MB (10^6).
    maxSessionMemory: Math.ceil(profile.sessionMemoryMaxBytes / 1_000_000),
    maxSettings: limits.rpcSettingsMaxCount,
    streamResetBurst: profile.streamResetBurstCount,
    streamResetRate: profile.streamResetPerSecond,
    maxSessionInvalidFrames: limits.rpcInvalidFramesMaxCount,
  };
}

/** The connection window is not a setting: it is raised on the session, once it is connected. */
function widen(session: Http2Session, profile: Http2Profile): void {
  if (!session.destroyed) session.setLocalWindowSize(profile.connectionWindowBytes);
}

/** Serves HTTP/2 on `socket`, whichever end dialled it. Errors of the session only close it. */
export function openServerSession(socket: Duplex, profile: Http2Profile): ServerHttp2Session {
  const session = http2.performServerHandshake(socket, sessionOptions(profile));
  session.on("error", () => session.destroy());
  widen(session, profile);
  return session;
}

/** Speaks HTTP/2 as the client on `socket`, whichever end dialled it. Errors of the session only close it. */
export function openClientSession(socket: Duplex, profile: Http2Profile): ClientHttp2Session {
  const { settings, maxSessionMemory, maxSettings } = sessionOptions(profile);
  const session = http2.connect("https://weft.internal", {
    createConnection: () => socket,
    ...(settings === undefined ? {} : { settings }),
    ...(maxSessionMemory === undefined ? {} : { maxSessionMemory }),
    ...(maxSettings === undefined ? {} : { maxSettings }),
  });
  session.on("error", () => session.destroy());
  session.once("connect", () => widen(session, profile));
  return session;
}
