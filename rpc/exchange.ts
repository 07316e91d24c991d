/**
 * One HTTP/2 stream served by one Connect handler, without Node's compatibility layer: a compat `request` listener beside
 * raw streams would answer twice, and its request object cannot be left unread safely.
 *
 * X1. A stream is answered once and ends with END_STREAM and trailers, never with a reset while the answer can be sent.
 * X2. A request body nobody read is discarded for a bounded time after the answer, then the stream is closed.
 */

import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { constants } from "node:http2";
import { Code, ConnectError, type ContextValues } from "@connectrpc/connect";
import type { UniversalHandler, UniversalServerResponse } from "@connectrpc/connect/protocol";
import type { Clock } from "../lib/clock.ts";
import type { WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import type { BodyMeter } from "./body-budget.ts";
import { kRequestId } from "./caller.ts";
import { respondError, toConnectError } from "./errors.ts";
import { webHeaders } from "./unary-call.ts";

export interface Exchange {
  /** Ends the stream with an error, now: its handler sees its signal abort. */
  fail(error: WeftError, requestId: string): void;
}

export interface ExchangeRequest {
  readonly stream: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
  readonly handler: UniversalHandler;
  readonly contextValues: ContextValues;
  readonly clock: Clock;
  /** Of a request that is read before it is answered; absent for one that goes on while the call does. */
  readonly meter: BodyMeter | undefined;
}

/** Runs the handler and writes its answer. Never throws and never rejects: what goes wrong here only ends the stream. */
export function startExchange(request: ExchangeRequest): Exchange {
  const { stream, headers, handler, contextValues, clock, meter } = request;
  const aborter = new AbortController();
  stream.once("close", () => {
    aborter.abort(new ConnectError("the call is over", stream.rstCode === 0 ? Code.Aborted : Code.Canceled));
  });
  const run = async (): Promise<void> => {
    const response = await handler({
      httpVersion: "2.0",
      method: headers[":method"] ?? "",
      url: `https://weft.internal${headers[":path"] ?? "/"}`,
      header: webHeaders(headers),
      body: meter === undefined ? bodyOf(stream) : metered(bodyOf(stream), meter, contextValues.get(kRequestId)),
      signal: aborter.signal,
      contextValues,
    });
    await writeResponse(stream, response);
    discardRest(stream, clock);
  };
  run().catch(() => {
    if (!stream.destroyed) stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  });
  return {
    fail(error, requestId) {
      if (isGrpc(headers)) respondError(stream, error, requestId);
      // Never CANCEL on a stream that owes trailers: Node (26.10) packs them after it destroyed the stream, and aborts.
      else if (!stream.destroyed) stream.close(constants.NGHTTP2_INTERNAL_ERROR);
      aborter.abort(new ConnectError("ended by the server", Code.Aborted));
    },
  };
}

/** Whether the caller speaks gRPC or gRPC-Web and reads its status from grpc-status. */
export function isGrpc(headers: IncomingHttpHeaders): boolean {
  return headers["content-type"]?.startsWith("application/grpc") === true;
}

/** Leaving the loop early must not destroy the stream: the answer is still to be sent (X1). */
function bodyOf(stream: ServerHttp2Stream): AsyncIterable<Uint8Array> {
  return { [Symbol.asyncIterator]: () => stream.iterator({ destroyOnReturn: false })[Symbol.asyncIterator]() };
}

async function* metered(
  body: AsyncIterable<Uint8Array>,
  meter: BodyMeter,
  requestId: string,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    try {
      meter(chunk.length);
    } catch (thrown) {
      throw toConnectError(thrown, requestId);
    }
    yield chunk;
  }
}

/** The web's `Headers` as Node sends them. */
export function nodeHeaders(headers: Headers | undefined): OutgoingHttpHeaders {
  return Object.fromEntries(headers?.entries() ?? []);
}

async function writeResponse(stream: ServerHttp2Stream, response: UniversalServerResponse): Promise<void> {
  const chunks = response.body?.[Symbol.asyncIterator]();
  try {
    const first = await chunks?.next();
    if (stream.destroyed || stream.headersSent) return;
    // Read only now: the handler may fill headers until its first message, and trailers until its last.
    const head = { ":status": response.status, ...nodeHeaders(response.header) };
    stream.respond(head, { waitForTrailers: true });
    stream.once("wantTrailers", () => {
      if (!stream.destroyed) stream.sendTrailers(nodeHeaders(response.trailer));
    });
    for (let chunk = first; chunk !== undefined && chunk.done !== true; chunk = await chunks?.next()) {
      if (stream.destroyed || stream.writableEnded) return;
      if (!stream.write(chunk.value)) await writable(stream);
    }
    if (!stream.destroyed && !stream.writableEnded) stream.end();
  } finally {
    chunks?.return?.().catch(() => {});
  }
}

/** Resolves when the stream takes more, or is over. */
function writable(stream: ServerHttp2Stream): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off("drain", done);
      stream.off("close", done);
      resolve();
    };
    stream.once("drain", done);
    stream.once("close", done);
  });
}

/** X2. */
export function discardRest(stream: ServerHttp2Stream, clock: Clock): void {
  if (stream.destroyed || stream.readableEnded) return;
  stream.resume();
  const timer = clock.after(limits.rpcErrorFlushMs, () => {
    if (!stream.destroyed) stream.close(constants.NGHTTP2_NO_ERROR);
  });
  stream.once("close", () => timer.cancel());
}
