/**
 * The part of the chain that needs parsed messages, around every Connect handler: log outermost, then error mapping, then
 * the subject binding of the policy row. Identity, policy and limits ran before (admission.ts) and left `kCaller` and
 * `kRequestId` in the context.
 */

import type { Message } from "@bufbuild/protobuf";
import { Code, type ConnectError, type Interceptor, type StreamRequest, type UnaryRequest } from "@connectrpc/connect";
import type { Clock } from "../lib/clock.ts";
import { messageOf, type Reason, WeftError } from "../lib/errors.ts";
import type { Log } from "../lib/log.ts";
import type { Tracer } from "../lib/tracer.ts";
import { policyRefused, type RefusedCall } from "./admission.ts";
import { kCaller, kRequestId } from "./caller.ts";
import { codeName, toConnectError } from "./errors.ts";
import { decideSubject, type PolicyTable, rpcName } from "./policy.ts";
import { traceInterceptor } from "./trace-calls.ts";

type AnyRequest = UnaryRequest | StreamRequest;

/** How an RPC ended. */
export interface EndedCall {
  readonly rpc: string;
  /** "ok", or the name of the gRPC code: "not_found". */
  readonly code: string;
  readonly durationMs: number;
  readonly stream: boolean;
}

export type CallObserver = (call: EndedCall) => void;

/** What the interceptors of a surface are made from. */
export interface InterceptorOptions {
  readonly log: Log;
  readonly clock: Clock;
  readonly policy: PolicyTable;
  readonly onCall?: CallObserver | undefined;
  readonly onRefusal?: ((refused: RefusedCall) => void) | undefined;
  /** Spans of unary calls. Absent: a process without traces. */
  readonly tracing?: SurfaceTracing | undefined;
}

export interface SurfaceTracing {
  readonly tracer: Tracer;
  /** Begins no trace here: calls are spans only where a caller that is believed says so. */
  readonly joinsOnly: boolean;
}

/** What every call of a surface passes, outermost first. */
export function surfaceInterceptors(options: InterceptorOptions): Interceptor[] {
  const { log, clock, policy, onCall, onRefusal, tracing } = options;
  return [
    logInterceptor(log, clock, onCall),
    ...(tracing === undefined ? [] : [traceInterceptor(tracing.tracer, tracing)]),
    errorInterceptor,
    subjectInterceptor(policy, onRefusal),
    ...(onRefusal === undefined ? [] : [refusalInterceptor(policy, onRefusal)]),
  ];
}

/** One log record per RPC when it ends, failures of our own with their cause; `onCall` is told of it too. */
export function logInterceptor(log: Log, clock: Clock, onCall?: CallObserver): Interceptor {
  return (next) => async (req) => {
    const startedMs = clock.monoMs();
    const ended = (error?: ConnectError): void => {
      const durationMs = clock.monoMs() - startedMs;
      const rpc = rpcName(req.method);
      const code = error === undefined ? "ok" : codeName(error.code);
      onCall?.({ rpc, code, durationMs, stream: req.stream });
      const fields = {
        rpc,
        requestId: req.contextValues.get(kRequestId),
        caller: req.contextValues.get(kCaller).spiffe,
        code,
        durationMs: Math.round(durationMs),
      };
      if (error?.code === Code.Internal) log.error("rpc failed", { ...fields, error: causeOf(error) });
      else log.debug("rpc", fields);
    };
    try {
      const response = await next(req);
      if (!response.stream) {
        ended();
        return response;
      }
      return { ...response, message: watched(response.message, ended) };
    } catch (error) {
      ended(error as ConnectError);
      throw error;
    }
  };
}

async function* watched<T>(messages: AsyncIterable<T>, ended: (error?: ConnectError) => void): AsyncGenerator<T> {
  let failure: ConnectError | undefined;
  try {
    yield* messages;
  } catch (error) {
    failure = error as ConnectError;
    throw error;
  } finally {
    ended(failure);
  }
}

function causeOf(error: ConnectError): string {
  const { cause } = error;
  return cause instanceof Error && cause.cause !== undefined
    ? `${messageOf(cause)}: ${messageOf(cause.cause)}`
    : messageOf(cause ?? error);
}

/** Whatever a handler throws leaves as a ConnectError made by `toConnectError`. */
export const errorInterceptor: Interceptor = (next) => async (req) => {
  const requestId = req.contextValues.get(kRequestId);
  try {
    const response = await next(req);
    return response.stream ? { ...response, message: mapped(response.message, requestId) } : response;
  } catch (error) {
    throw toConnectError(error, requestId);
  }
};

async function* mapped<T>(messages: AsyncIterable<T>, requestId: string): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    throw toConnectError(error, requestId);
  }
}

/** Every request message must stay with the caller's own, as its policy row says. */
export function subjectInterceptor(policy: PolicyTable, onRefusal?: (refused: RefusedCall) => void): Interceptor {
  return (next) => (req) => {
    const row = policy[rpcName(req.method)];
    if (row === undefined) throw policyRefused("internal", "POLICY_MISSING");
    const check = (message: Message): void => {
      const caller = req.contextValues.get(kCaller);
      const decision = decideSubject(row, caller, req.method.input, message);
      if (decision.allowed) return;
      const requestId = req.contextValues.get(kRequestId);
      const audit = row.auditRefusal === true;
      onRefusal?.({ rpc: rpcName(req.method), caller, detail: "FOREIGN_SUBJECT", requestId, audit });
      throw policyRefused(decision.reason, decision.detail);
    };
    return next(checked(req, check));
  };
}

/**
 * Tells `onRefusal` what handlers refuse: every `WeftError` that says no. One that says "not now" (retry), that the store is
 * away, or that something of ours failed, is none.
 */
export function refusalInterceptor(policy: PolicyTable, onRefusal: (refused: RefusedCall) => void): Interceptor {
  return (next) => async (req) => {
    const tell = (error: unknown): void => {
      if (!(error instanceof WeftError) || !isRefusalError(error)) return;
      const { contextValues, method } = req;
      const [rpc, caller, requestId] = [rpcName(method), contextValues.get(kCaller), contextValues.get(kRequestId)];
      onRefusal({ rpc, caller, requestId, detail: error.detail, audit: policy[rpc]?.auditRefusal === true, error });
    };
    try {
      const response = await next(req);
      return response.stream ? { ...response, message: toldOf(response.message, tell) } : response;
    } catch (error) {
      tell(error);
      throw error;
    }
  };
}

async function* toldOf<T>(messages: AsyncIterable<T>, tell: (error: unknown) => void): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    tell(error);
    throw error;
  }
}

const notRefusals: readonly Reason[] = ["unavailable", "aborted", "internal", "canceled", "deadline_exceeded"];

/** Whether an error is a decision against the caller: the same call would be refused again. */
function isRefusalError({ reason, retry }: WeftError): boolean {
  return !notRefusals.includes(reason) && (retry === "never" || reason === "resource_exhausted");
}

function checked(req: AnyRequest, check: (message: Message) => void): AnyRequest {
  if (req.stream) return { ...req, message: checkedEach(req.message, check) };
  check(req.message);
  return req;
}

async function* checkedEach<T extends Message>(
  messages: AsyncIterable<T>,
  check: (message: Message) => void,
): AsyncGenerator<T> {
  for await (const message of messages) {
    check(message);
    yield message;
  }
}
