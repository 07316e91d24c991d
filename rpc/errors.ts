/**
 * Errors on the wire. Inside, everything expected is a `WeftError`; outside, a gRPC status with google.rpc.ErrorInfo
 * (reason = detail, domain "weft") and RequestInfo.
 *
 * E1. What was not expected leaves as "internal" with the request id and nothing else: no message, stack, SQL, path or
 *     key text. The cause never travels.
 */

import type { OutgoingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { ErrorInfoSchema, RequestInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import { errnoOf, type Reason, reasons, WeftError } from "../lib/errors.ts";

export const ERROR_DOMAIN = "weft";

const codes = {
  canceled: Code.Canceled,
  invalid_argument: Code.InvalidArgument,
  deadline_exceeded: Code.DeadlineExceeded,
  not_found: Code.NotFound,
  already_exists: Code.AlreadyExists,
  permission_denied: Code.PermissionDenied,
  resource_exhausted: Code.ResourceExhausted,
  failed_precondition: Code.FailedPrecondition,
  aborted: Code.Aborted,
  out_of_range: Code.OutOfRange,
  unimplemented: Code.Unimplemented,
  internal: Code.Internal,
  unavailable: Code.Unavailable,
  data_loss: Code.DataLoss,
  unauthenticated: Code.Unauthenticated,
} as const satisfies Record<Reason, Code>;

/** The gRPC code of a reason. */
export function codeOf(reason: Reason): Code {
  return codes[reason];
}

/** The reason of a gRPC code; `unknown` is an error nobody named: "internal". */
export function reasonOf(code: Code): Reason {
  return reasons.find((reason) => codes[reason] === code) ?? "internal";
}

/**
 * What a caller is told. A `WeftError` keeps its reason, message, detail and metadata; a `ConnectError` (made by the RPC
 * library itself: limits, codecs, deadlines) keeps its code and message, with the code's name for a detail; anything else is
 * E1. What was made here is returned as it is.
 */
export function toConnectError(thrown: unknown, requestId: string): ConnectError {
  if (thrown instanceof ConnectError && told.has(thrown)) return thrown;
  const error = translated(thrown, requestId);
  told.add(error);
  return error;
}

const told = new WeakSet<ConnectError>();

function translated(thrown: unknown, requestId: string): ConnectError {
  const requestInfo = { desc: RequestInfoSchema, value: create(RequestInfoSchema, { requestId }) };
  if (thrown instanceof WeftError) {
    const info = create(ErrorInfoSchema, {
      reason: thrown.detail,
      domain: ERROR_DOMAIN,
      metadata: { ...thrown.metadata, retry: thrown.retry },
    });
    return new ConnectError(
      thrown.message,
      codes[thrown.reason],
      undefined,
      [{ desc: ErrorInfoSchema, value: info }, requestInfo],
      thrown,
    );
  }
  if (thrown instanceof ConnectError) {
    if (thrown.code === Code.Unknown || thrown.code === Code.Internal) return hidden(requestInfo, thrown);
    // It has no class but its code.
    return translated(new WeftError(reasonOf(thrown.code), thrown.rawMessage, { cause: thrown }), requestId);
  }
  return hidden(requestInfo, thrown);
}

function hidden(requestInfo: NonNullable<ConstructorParameters<typeof ConnectError>[3]>[number], cause: unknown) {
  return new ConnectError("internal error", Code.Internal, undefined, [requestInfo], cause);
}

/** What Node says of a connection that broke under a call. */
const lostCodes: ReadonlySet<string> = new Set(["ECONNRESET", "EPIPE"]);

/** The `WeftError` behind whatever an RPC client threw: reason, message, detail and metadata as the server gave them. */
export function fromConnectError(thrown: unknown): WeftError {
  if (thrown instanceof WeftError) return thrown;
  const error = ConnectError.from(thrown);
  // The library calls it "aborted", as if the server had decided something.
  if (error.code === Code.Aborted && lostCodes.has(errnoOf(error.cause) ?? "")) {
    const options = { detail: "CONNECTION_LOST", retry: "later", cause: thrown } as const;
    return new WeftError("unavailable", "the connection was lost before the answer", options);
  }
  const reason = reasonOf(error.code);
  const info = error.findDetails(ErrorInfoSchema).find((candidate) => candidate.domain === ERROR_DOMAIN);
  const requestInfo = error.findDetails(RequestInfoSchema)[0];
  const { retry, ...facts } = info?.metadata ?? {};
  const metadata = requestInfo === undefined ? facts : { ...facts, requestId: requestInfo.requestId };
  return new WeftError(reason, error.rawMessage, {
    ...(info === undefined ? {} : { detail: info.reason }),
    ...(retry === "never" || retry === "later" || retry === "now" ? { retry } : {}),
    metadata,
    cause: thrown,
  });
}

/** grpc-status, grpc-message and grpc-status-details-bin for an error. */
export function errorTrailers(thrown: unknown, requestId: string): OutgoingHttpHeaders {
  const headers = setTrailerStatus(new Headers(), toConnectError(thrown, requestId));
  return Object.fromEntries(headers.entries());
}

/**
 * Ends a gRPC stream served raw with an error: trailers-only when nothing was sent, trailers otherwise (the handler must
 * have responded with `waitForTrailers` and not sent its own). Does nothing on a stream that is over.
 */
export function respondError(stream: ServerHttp2Stream, thrown: unknown, requestId: string): void {
  if (stream.destroyed || stream.closed) return;
  const trailers = errorTrailers(thrown, requestId);
  if (!stream.headersSent) {
    stream.respond({ ":status": 200, "content-type": "application/grpc", ...trailers }, { endStream: true });
    return;
  }
  stream.removeAllListeners("wantTrailers");
  stream.once("wantTrailers", () => {
    if (!stream.destroyed) stream.sendTrailers(trailers);
  });
  stream.end();
}

/** `PermissionDenied` as gRPC writes it: "permission_denied". */
export function codeName(code: Code): string {
  return (Code[code] ?? "unknown").replace(/(?<=[a-z])[A-Z]/g, (letter) => `_${letter}`).toLowerCase();
}
