/** From the CLI to an operator port (control or node): one HTTP/2 connection, made when needed and made again when lost. */

import type { Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import type { ClientTlsOptions } from "../certs/tls-options.ts";
import { limits } from "../lib/limits.ts";

export interface ClosableTransport extends Transport {
  /** Ends the connection and every call on it. */
  close(): void;
}

export interface DialedTransportOptions {
  /** "host:port"; an IPv6 host in brackets. */
  readonly address: string;
  /** From `tlsOptions(...)`: the server is judged by identity in there. */
  readonly tls: ClientTlsOptions;
  readonly readMaxBytes?: number;
  readonly defaultTimeoutMs?: number;
}

/** All four kinds of RPC, for operators (`tlsOptions("dial-operator-port", ...)`). */
export function operatorTransport(options: DialedTransportOptions): ClosableTransport {
  const baseUrl = `https://${options.address}`;
  const sessionManager = new Http2SessionManager(
    baseUrl,
    { pingIntervalMs: limits.rpcKeepaliveMs, pingTimeoutMs: limits.rpcKeepaliveTimeoutMs },
    {
      ...options.tls,
      settings: { initialWindowSize: limits.rpcStreamWindowBytes, enablePush: false },
      maxSessionMemory: Math.ceil(limits.rpcSessionMemoryMaxBytes / 1_000_000),
    },
  );
  const transport = createGrpcTransport({
    baseUrl,
    sessionManager,
    acceptCompression: [],
    readMaxBytes: options.readMaxBytes ?? limits.snapshotMaxBytes * 2,
    ...(options.defaultTimeoutMs === undefined ? {} : { defaultTimeoutMs: options.defaultTimeoutMs }),
  });
  return { unary: transport.unary, stream: transport.stream, close: () => sessionManager.abort() };
}
