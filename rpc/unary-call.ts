/**
 * One unary gRPC call as interceptors and handlers see it: Connect's request and handler context in one object. What few
 * calls ask for (headers, the signal, the time left) is made when it is asked for: most calls are over in a fraction of a
 * millisecond, and these were a good part of it.
 */

import type { IncomingHttpHeaders } from "node:http2";
import type { DescMethodUnary, DescService, Message } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type ContextValues,
  type HandlerContext,
  type UnaryRequest,
  type UnaryResponse,
} from "@connectrpc/connect";
import type { Clock } from "../lib/clock.ts";

export interface UnaryCallOptions {
  readonly method: DescMethodUnary;
  readonly headers: IncomingHttpHeaders;
  readonly values: ContextValues;
  readonly clock: Clock;
  readonly deadlineMs: number | undefined;
}

export class UnaryCall implements UnaryRequest, HandlerContext {
  readonly stream = false;
  readonly protocolName = "grpc";
  readonly requestMethod = "POST";
  readonly method: DescMethodUnary;
  readonly values: ContextValues;
  readonly #headers: IncomingHttpHeaders;
  readonly #clock: Clock;
  readonly #endsAtMs: number | undefined;
  #message: Message | undefined;
  #aborter: AbortController | undefined;
  #abortedBy: unknown;
  #requestHeader: Headers | undefined;
  #responseHeader: Headers | undefined;
  #responseTrailer: Headers | undefined;

  constructor({ method, headers, values, clock, deadlineMs }: UnaryCallOptions) {
    this.method = method;
    this.values = values;
    this.#headers = headers;
    this.#clock = clock;
    this.#endsAtMs = deadlineMs === undefined ? undefined : clock.monoMs() + deadlineMs;
  }

  get service(): DescService {
    return this.method.parent;
  }

  get url(): string {
    return `https://weft.internal${this.#headers[":path"] ?? "/"}`;
  }

  get contextValues(): ContextValues {
    return this.values;
  }

  /** There once the request is read; no interceptor and no handler runs before. */
  get message(): Message {
    if (this.#message === undefined) throw new ConnectError("the request is not read yet", Code.Internal);
    return this.#message;
  }

  set message(message: Message) {
    this.#message = message;
  }

  get signal(): AbortSignal {
    if (this.#aborter === undefined) {
      this.#aborter = new AbortController();
      if (this.#abortedBy !== undefined) this.#aborter.abort(this.#abortedBy);
    }
    return this.#aborter.signal;
  }

  /** Ends the call for its handler. The first reason counts. */
  abort(reason: ConnectError): void {
    this.#abortedBy ??= reason;
    this.#aborter?.abort(this.#abortedBy);
  }

  readonly timeoutMs = (): number | undefined =>
    this.#endsAtMs === undefined ? undefined : this.#endsAtMs - this.#clock.monoMs();

  get header(): Headers {
    return this.requestHeader;
  }

  get requestHeader(): Headers {
    this.#requestHeader ??= webHeaders(this.#headers);
    return this.#requestHeader;
  }

  get responseHeader(): Headers {
    this.#responseHeader ??= new Headers();
    return this.#responseHeader;
  }

  get responseTrailer(): Headers {
    this.#responseTrailer ??= new Headers();
    return this.#responseTrailer;
  }

  /** What a handler added to its answer's headers and trailers; nothing is made for one that added nothing. */
  get added(): { readonly header: Headers | undefined; readonly trailer: Headers | undefined } {
    return { header: this.#responseHeader, trailer: this.#responseTrailer };
  }
}

/** The answer to a call, as interceptors see it. */
export class UnaryAnswer implements UnaryResponse {
  readonly stream = false;
  readonly message: Message;
  readonly #call: UnaryCall;

  constructor(call: UnaryCall, message: Message) {
    this.#call = call;
    this.message = message;
  }

  get method(): DescMethodUnary {
    return this.#call.method;
  }

  get service(): DescService {
    return this.#call.service;
  }

  get header(): Headers {
    return this.#call.responseHeader;
  }

  get trailer(): Headers {
    return this.#call.responseTrailer;
  }
}

/** Headers of a request as the web's `Headers`, without HTTP/2's own. */
export function webHeaders(headers: IncomingHttpHeaders): Headers {
  const out = new Headers();
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(":") || value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [value]) out.append(name, one);
  }
  return out;
}
