/**
 * Traces across calls: a unary RPC served is a span, and one made on behalf of a span carries where it came from.
 *
 * TC1. Nodes and operators are believed about their traces, within the rate of `Tracer.join`. A trace that anybody else says
 *      to be part of is mentioned (a link) and decides nothing: neither whether ours is recorded nor what it is called.
 * TC2. Nothing of a trace is in an answer.
 */

import { Code, ConnectError, type HandlerContext, type Interceptor, type Transport } from "@connectrpc/connect";
import { formatTraceparent, parseTraceparent, TRACEPARENT } from "../lib/trace-context.ts";
import { failureName, type Span, type SpanStart, type Tracer, traced } from "../lib/tracer.ts";
import { type Caller, kCaller, kRequestId } from "./caller.ts";
import { codeName } from "./errors.ts";

interface Method {
  readonly name: string;
  readonly parent: { readonly typeName: string };
}

/** What a served call is part of. */
interface ServedCall {
  readonly method: Method;
  readonly caller: Pick<Caller, "kind">;
  readonly requestId: string;
  /** The call's `traceparent`, whatever it is. */
  readonly traceparent: unknown;
}

/** Codes that are a fault of who serves, not of who asks (OpenTelemetry's conventions for gRPC). */
const serverFaults: ReadonlySet<Code> = new Set([
  Code.Unknown,
  Code.DeadlineExceeded,
  Code.Unimplemented,
  Code.Internal,
  Code.Unavailable,
  Code.DataLoss,
]);

function about({ name, parent }: Method) {
  return { "rpc.system": "grpc", "rpc.service": parent.typeName, "rpc.method": name } as const;
}

/** The span of a served call (TC1). With `joinsOnly`, only one that a node's trace is the reason for. */
function servedSpan(tracer: Tracer, call: ServedCall, joinsOnly = false): Span | undefined {
  const { method, caller, requestId, traceparent } = call;
  const from = parseTraceparent(traceparent);
  const name = `${method.parent.typeName}/${method.name}`;
  const attributes = { ...about(method), "weft.caller": caller.kind, "weft.request_id": requestId };
  const start: SpanStart = { kind: "server", attributes };
  const isBelieved = caller.kind === "node" || (caller.kind === "operator" && !joinsOnly);
  if (isBelieved && from !== undefined) return tracer.join(name, from, start);
  return joinsOnly ? undefined : tracer.begin(name, { ...start, link: from });
}

/** The set-up of a streaming call as a span; what comes in the stream afterwards is no part of it. */
export async function tracedSetUp<T>(
  tracer: Tracer | undefined,
  call: {
    readonly context: Pick<HandlerContext, "method" | "values" | "requestHeader">;
    readonly joinsOnly: boolean;
  },
  setUp: () => Promise<T>,
): Promise<T> {
  if (tracer === undefined) return await setUp();
  const { method, values, requestHeader } = call.context;
  const [caller, requestId] = [values.get(kCaller), values.get(kRequestId)];
  const traceparent = requestHeader.get(TRACEPARENT);
  return await traced(tracer, servedSpan(tracer, { method, caller, requestId, traceparent }, call.joinsOnly), setUp);
}

/** Spans of the unary RPCs that are served. Goes outside of the interceptor that makes errors what callers get. */
export function traceInterceptor(tracer: Tracer, { joinsOnly }: { readonly joinsOnly: boolean }): Interceptor {
  return (next) => async (req) => {
    if (req.stream) return await tracer.run(undefined, () => next(req));
    const call = {
      method: req.method,
      caller: req.contextValues.get(kCaller),
      requestId: req.contextValues.get(kRequestId),
      traceparent: req.header.get(TRACEPARENT),
    };
    const span = servedSpan(tracer, call, joinsOnly);
    try {
      const response = await tracer.run(span, () => next(req));
      span?.set({ "rpc.grpc.status_code": 0 });
      span?.end();
      return response;
    } catch (error) {
      const code = error instanceof ConnectError ? error.code : Code.Internal;
      span?.set({ "rpc.grpc.status_code": code });
      span?.end(serverFaults.has(code) ? codeName(code) : undefined);
      throw error;
    }
  };
}

/** The span of a call that is about to be made, and the headers that say so. Nothing when the caller runs for no span. */
export function calledSpan(tracer: Tracer | undefined, method: Method): { span?: Span; headers?: Headers } {
  const name = `${method.parent.typeName}/${method.name}`;
  const span = tracer?.inside(name, { kind: "client", attributes: about(method) });
  if (span === undefined) return {};
  return { span, headers: new Headers({ [TRACEPARENT]: formatTraceparent(span.context) }) };
}

/** The same transport; unary calls on behalf of a span are spans, and carry where they came from. */
export function tracedTransport(transport: Transport, tracer: Tracer | undefined): Transport {
  if (tracer === undefined) return transport;
  return {
    stream: transport.stream.bind(transport),
    async unary(method, signal, timeoutMs, header, input, contextValues) {
      const { span, headers } = calledSpan(tracer, method);
      if (headers === undefined) return await transport.unary(method, signal, timeoutMs, header, input, contextValues);
      const all = new Headers(header);
      for (const [key, value] of headers) all.set(key, value);
      try {
        const answer = await transport.unary(method, signal, timeoutMs, all, input, contextValues);
        span?.end();
        return answer;
      } catch (error) {
        span?.end(error instanceof ConnectError ? codeName(error.code) : failureName(error));
        throw error;
      }
    },
  };
}
