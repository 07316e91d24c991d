/**
 * One HTTP/2 stream served as a unary gRPC call, without the chain of asynchronous iterators a general handler needs: it
 * takes half the processor time and a fraction of the garbage (docs/decisions/0028). Only what nearly every call is comes
 * here, a POST of plain gRPC with an uncompressed body (`isPlainUnary`); Connect's handlers serve the rest.
 *
 * U1. Admission runs before a byte of the request is read.
 * U2. One message of at most `readMaxBytes` is kept, as its bytes arrive: what a length announces costs nothing.
 *     What all calls of one caller keep is bounded (body-budget.ts).
 * U3. X1 and X2 of exchange.ts.
 */

import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { create, type DescMethodUnary, fromBinary, isMessage, type Message, toBinary } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type ContextValues,
  type Interceptor,
  type MethodImplSpec,
  type UnaryRequest,
  type UnaryResponse,
} from "@connectrpc/connect";
import { parseTimeout } from "@connectrpc/connect/protocol-grpc";
import type { Clock } from "../lib/clock.ts";
import { WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import type { BodyMeter } from "./body-budget.ts";
import { respondError } from "./errors.ts";
import { discardRest, type Exchange, nodeHeaders } from "./exchange.ts";
import { UnaryAnswer, UnaryCall } from "./unary-call.ts";

/** The largest answer of a call, bytes: a snapshot, its signatures and what is around them. */
export const answerMaxBytes = limits.snapshotMaxBytes * 2;

const envelopeBytes = 5;
const contentType = "application/grpc+proto";
const okTrailers = { "grpc-status": "0" } as const;
const over = new ConnectError("the call is over", Code.Canceled);

export interface UnaryRoute {
  readonly method: DescMethodUnary;
  /** Interceptors and the implementation. */
  readonly answer: (call: UnaryCall) => Promise<Message>;
}

/** The route of a unary method: `interceptors` outermost first. */
export function unaryRoute(spec: MethodImplSpec & { kind: "unary" }, interceptors: readonly Interceptor[]): UnaryRoute {
  const { method, impl } = spec;
  const innermost = async (request: UnaryRequest): Promise<UnaryResponse> => {
    // Interceptors hand on the call they got.
    const call = request as UnaryCall;
    const said = await impl(call.message, call);
    return new UnaryAnswer(call, isMessage(said, method.output) ? said : create(method.output, said));
  };
  const chain = interceptors.reduceRight<(request: UnaryRequest) => Promise<UnaryResponse>>(
    (next, interceptor) => interceptor(next as never) as never,
    innermost,
  );
  return { method, answer: async (call) => (await chain(call)).message };
}

/** Whether a call to a unary method may be served here. */
export function isPlainUnary(headers: IncomingHttpHeaders): boolean {
  const type = headers["content-type"];
  const encoding = headers["grpc-encoding"];
  return (
    headers[":method"] === "POST" &&
    (type === "application/grpc" || type === contentType) &&
    (encoding === undefined || encoding === "identity")
  );
}

export interface UnaryExchangeRequest {
  readonly stream: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
  readonly route: UnaryRoute;
  readonly contextValues: ContextValues;
  readonly clock: Clock;
  readonly requestId: string;
  readonly readMaxBytes: number;
  readonly meter: BodyMeter;
  /** U1. Throws when the call may not be made. */
  readonly admit: (values: ContextValues) => Promise<void>;
}

/** Serves one call. Never throws and never rejects: what goes wrong is the answer. */
export function startUnary(request: UnaryExchangeRequest): Exchange {
  const { stream, headers, route, contextValues, clock, requestId } = request;
  const timeout = parseTimeout(headers["grpc-timeout"]?.toString() ?? null, limits.rpcDeadlineMaxMs);
  const deadlineMs = timeout.error === undefined ? timeout.timeoutMs : undefined;
  const call = new UnaryCall({ method: route.method, headers, values: contextValues, clock, deadlineMs });
  const timer =
    deadlineMs === undefined
      ? undefined
      : clock.after(deadlineMs, () => call.abort(new ConnectError("the deadline has passed", Code.DeadlineExceeded)));
  stream.once("close", () => {
    timer?.cancel();
    call.abort(over);
  });
  const run = async (): Promise<void> => {
    try {
      await request.admit(contextValues);
      if (timeout.error !== undefined) throw timeout.error;
      call.message = parse(route.method, await readMessage(stream, request));
      const body = enveloped(toBinary(route.method.output, await route.answer(call)), answerMaxBytes);
      respond(stream, call, body);
    } catch (thrown) {
      respondError(stream, thrown, requestId);
    }
    discardRest(stream, clock);
  };
  void run();
  return {
    fail(error) {
      respondError(stream, error, requestId);
      call.abort(new ConnectError("ended by the server", Code.Aborted));
    },
  };
}

function parse(method: DescMethodUnary, bytes: Uint8Array): Message {
  try {
    return fromBinary(method.input, bytes);
  } catch (cause) {
    const message = `the request is no ${method.input.typeName}`;
    throw new WeftError("invalid_argument", message, { detail: "MALFORMED_REQUEST", cause });
  }
}

function enveloped(message: Uint8Array, maxBytes: number): Buffer {
  if (message.length > maxBytes) {
    const text = `the answer has ${message.length} bytes, ${maxBytes} are allowed; ask for less`;
    throw new WeftError("resource_exhausted", text, { detail: "ANSWER_TOO_LARGE" });
  }
  const out = Buffer.allocUnsafe(envelopeBytes + message.length);
  out.writeUInt8(0, 0);
  out.writeUInt32BE(message.length, 1);
  out.set(message, envelopeBytes);
  return out;
}

function respond(stream: ServerHttp2Stream, call: UnaryCall, body: Buffer): void {
  if (stream.destroyed || stream.headersSent) return;
  const { header, trailer } = call.added;
  const head = { ...nodeHeaders(header), ":status": 200, "content-type": contentType };
  stream.respond(head, { waitForTrailers: true });
  stream.once("wantTrailers", () => {
    if (!stream.destroyed) stream.sendTrailers({ ...nodeHeaders(trailer), ...okTrailers });
  });
  stream.end(body);
}

/** The one message of the request (U2). Rejects with what `wholeMessage` throws, or when the call is given up. */
function readMessage(
  stream: ServerHttp2Stream,
  { readMaxBytes, meter }: Pick<UnaryExchangeRequest, "readMaxBytes" | "meter">,
): Promise<Uint8Array> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  let body = new Uint8Array(0);
  let sizeBytes = 0;
  const settle = (isOver: boolean, newBytes = 0): void => {
    try {
      meter(newBytes);
      const message = wholeMessage(body.subarray(0, sizeBytes), readMaxBytes, isOver);
      if (message !== undefined) resolve(message);
      if (!isOver) return;
    } catch (thrown) {
      reject(thrown);
    }
    stream.off("data", onData).off("end", onEnd).off("close", onClose).pause();
  };
  // Grown by doubling: a body in frames of a byte each takes no more time and memory than another.
  const onData = (chunk: Uint8Array): void => {
    const neededBytes = sizeBytes + chunk.length;
    if (neededBytes > body.length) {
      const grown = new Uint8Array(Math.max(neededBytes, 2 * body.length));
      grown.set(body.subarray(0, sizeBytes));
      body = grown;
    }
    body.set(chunk, sizeBytes);
    sizeBytes = neededBytes;
    settle(false, chunk.length);
  };
  const onEnd = (): void => settle(true);
  const onClose = (): void => reject(new WeftError("canceled", "the call was given up"));
  // A request without a body may be over before anybody listens.
  if (stream.destroyed) onClose();
  else if (stream.readableEnded) onEnd();
  else stream.on("data", onData).once("end", onEnd).once("close", onClose);
  return promise;
}

/**
 * The message of a body of which these bytes are there; undefined until it `isOver`. Throws when there is none or more than
 * one (unimplemented, as gRPC has it), when it is larger than `maxBytes`, has flags, or is cut short.
 */
function wholeMessage(body: Uint8Array, maxBytes: number, isOver: boolean): Uint8Array | undefined {
  if (isOver && body.length === 0) throw new WeftError("unimplemented", "a unary call has one message, this has none");
  const [flags = 0, ...length] = body.subarray(0, envelopeBytes);
  const lengthBytes = length.length < 4 ? 0 : length.reduce((sum, byte) => sum * 256 + byte, 0);
  const wholeBytes = envelopeBytes + lengthBytes;
  if (flags !== 0) {
    throw new WeftError("invalid_argument", "the message has flags its headers do not announce", { detail: "FLAGS" });
  }
  if (lengthBytes > maxBytes) {
    const text = `the message has ${lengthBytes} bytes, ${maxBytes} are allowed`;
    throw new WeftError("resource_exhausted", text, { detail: "MESSAGE_TOO_LARGE" });
  }
  if (body.length > wholeBytes) throw new WeftError("unimplemented", "a unary call has one message, this has more");
  if (!isOver) return undefined;
  if (body.length < wholeBytes) {
    throw new WeftError("invalid_argument", "the request ends within a message", { detail: "CUT_SHORT" });
  }
  return body.subarray(envelopeBytes);
}
