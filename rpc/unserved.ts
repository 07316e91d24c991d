/** Answers to calls that no handler sees: headers too large, one call too many, a path nobody serves. */

import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { WeftError } from "../lib/errors.ts";
import { respondError } from "./errors.ts";
import { isGrpc } from "./exchange.ts";

/** Size of a header list as HTTP/2 counts it (RFC 9113, 6.5.2). Node announces the bound but does not hold peers to it. */
export function headerListBytes(rawHeaders: readonly string[]): number {
  return rawHeaders.reduce((sum, text) => sum + text.length + 16, 0);
}

/** HTTP 431, as gRPC clients map it: the call is over before anybody looked at it. */
export function refuseHeaders(stream: ServerHttp2Stream): void {
  stream.respond({ ":status": 431 }, { endStream: true });
  stream.resume();
}

/** A call too many at once: it was not looked at, and may be made again. */
export function refuseStream(stream: ServerHttp2Stream): void {
  stream.close(constants.NGHTTP2_REFUSED_STREAM);
}

/** UNIMPLEMENTED to who speaks gRPC, 404 to anybody else. */
export function answerUnknown(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, requestId: string): void {
  if (isGrpc(headers)) respondError(stream, new WeftError("unimplemented", "no such method"), requestId);
  else stream.respond({ ":status": 404 }, { endStream: true });
  stream.resume();
}
