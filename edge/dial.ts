/**
 * Dialling nodes: TCP to one of its addresses, then TLS as a client with exactly one identity expected. A promise that
 * rejects leaves no socket behind.
 */

import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { ClientTlsOptions } from "../certs/tls-options.ts";
import type { Clock } from "../lib/clock.ts";
import { errnoOf, WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import { resetSocket } from "../lib/reset-socket.ts";

/** Where a node listens. */
export interface DialAddress {
  readonly host: string;
  readonly port: number;
}

export interface DialOptions {
  readonly clock: Clock;
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
}

/** A connected socket, half-open allowed, to the first of `addresses` that answers. Rejects `unavailable` (DIAL_FAILED). */
export async function dialTcp(addresses: readonly DialAddress[], options: DialOptions): Promise<Socket> {
  let last: unknown;
  for (const address of addresses) {
    try {
      return await dialOne(address, options);
    } catch (error) {
      last = error;
      if (options.signal?.aborted === true) break;
    }
  }
  throw new WeftError("unavailable", "the node could not be reached", { detail: "DIAL_FAILED", cause: last });
}

function dialOne(address: DialAddress, options: DialOptions): Promise<Socket> {
  const { host, port } = address;
  const socketOptions = { allowHalfOpen: true, noDelay: true, highWaterMark: limits.spliceHighWaterBytes };
  const socket = connectTcp({ host, port, ...socketOptions });
  return settled(socket, "connect", options).then(() => {
    // Until somebody owns the socket, an error closes it and nothing else.
    socket.on("error", () => {});
    return socket;
  });
}

/**
 * TLS over a connected socket; the server was judged inside the handshake (`tls.expect`). Rejects `unavailable`
 * (TLS_FAILED), or `unauthenticated` with the judge's detail.
 */
export async function startTls(raw: Socket, tls: ClientTlsOptions, options: DialOptions): Promise<TLSSocket> {
  raw.allowHalfOpen = false;
  const socket = connectTls({ ...tls, socket: raw });
  try {
    await settled(socket, "secureConnect", options);
  } catch (cause) {
    resetSocket(raw, socket);
    if (cause instanceof WeftError && cause.reason === "unauthenticated") throw cause;
    throw new WeftError("unavailable", "the TLS handshake failed", { detail: "TLS_FAILED", cause });
  }
  socket.on("error", () => {});
  if (socket.alpnProtocol === "h2") return socket;
  resetSocket(raw, socket);
  throw new WeftError("unavailable", "the peer does not speak HTTP/2", { detail: "TLS_FAILED" });
}

/** Resolves with `event`; on error, close, deadline or abort destroys the socket and rejects with what happened. */
function settled(socket: Socket, event: "connect" | "secureConnect", options: DialOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const finish = (): void => {
      timer.cancel();
      options.signal?.removeEventListener("abort", onAbort);
      socket.off("error", fail).off("close", onClose).off(event, onReady);
    };
    const fail = (error: unknown): void => {
      finish();
      socket.on("error", () => {});
      socket.destroy();
      reject(error instanceof WeftError ? error : new Error(errnoOf(error) ?? "failed", { cause: error }));
    };
    const onReady = (): void => {
      finish();
      resolve();
    };
    const onClose = (): void => fail(new Error("closed"));
    const onAbort = (): void => fail(new WeftError("canceled", "canceled", { detail: "CANCELED" }));
    const timer = options.clock.after(options.deadlineMs, () => fail(new Error("deadline")));
    socket.on("error", fail).on("close", onClose).on(event, onReady);
    options.signal?.addEventListener("abort", onAbort, { once: true });
    if (options.signal?.aborted === true) onAbort();
  });
}
