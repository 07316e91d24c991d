/**
 * gRPC over one HTTP/2 session that already exists: a link, dialled by us or by the peer. The transport neither opens nor
 * closes it, and never retries: whoever owns the link decides what its loss means.
 */

import type { ClientHttp2Session } from "node:http2";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { limits } from "../lib/limits.ts";

const AUTHORITY = "https://weft.internal";

export interface Http2TransportOptions {
  readonly readMaxBytes?: number;
  /** For calls that give no deadline of their own; streams should pass `timeoutMs: 0`. */
  readonly defaultTimeoutMs?: number;
}

/** All four kinds of RPC over `session`. Calls on a session that is gone fail with `unavailable`. */
export function http2Transport(session: ClientHttp2Session, options: Http2TransportOptions = {}): Transport {
  return createGrpcTransport({
    baseUrl: AUTHORITY,
    acceptCompression: [],
    readMaxBytes: options.readMaxBytes ?? limits.rpcMessageMaxBytes,
    writeMaxBytes: limits.snapshotMaxBytes * 2,
    ...(options.defaultTimeoutMs === undefined ? {} : { defaultTimeoutMs: options.defaultTimeoutMs }),
    sessionManager: {
      authority: AUTHORITY,
      async request(method, path, headers, requestOptions) {
        if (session.destroyed || session.closed) throw new ConnectError("the link is down", Code.Unavailable);
        return session.request({ ...headers, ":method": method, ":path": path }, requestOptions);
      },
      notifyResponseByteRead() {},
    },
  });
}
