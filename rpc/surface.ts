/**
 * RPCs served on sockets that were judged before: gRPC, gRPC-Web and Connect on one HTTP/2 session, and raw handlers for
 * the streams that must not pay for a codec.
 *
 * V1. A path is matched byte for byte. Anything else is UNIMPLEMENTED before policy or handler see it, so the two can never
 *     disagree on which RPC a call is.
 * V2. Every RPC is admitted (admission.ts) before its request is read, raw or not.
 * V3. A session whose verdict turns ends: its streams with a status, then the socket.
 * V4. Nothing is served without a policy row for this door: creation fails.
 * V5. A call that is reset as soon as it is made costs no more than its frames.
 * V6. A session this side has ended is over soon, also when the peer never ends its half of the connection.
 */

import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { TLSSocket } from "node:tls";
import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { type ConnectRouter, type ContextValues, createContextKey, createContextValues } from "@connectrpc/connect";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import { atEndOfTurn, type Clock, sleep, type Timer } from "../lib/clock.ts";
import { messageOf, WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import type { Log } from "../lib/log.ts";
import { type Random, randomLabel } from "../lib/random.ts";
import { admit, identityRefused, type RefusedCall } from "./admission.ts";
import { BodyBudget } from "./body-budget.ts";
import { type ArrivedBy, type Caller, isRefusal, type Judge, kCaller, kRequestId } from "./caller.ts";
import { respondError } from "./errors.ts";
import { isGrpc, startExchange } from "./exchange.ts";
import { FloodGuard } from "./flood-guard.ts";
import type { HealthState } from "./health.ts";
import { type Http2Profile, openServerSession } from "./http2-profile.ts";
import { type CallObserver, type SurfaceTracing, surfaceInterceptors } from "./interceptors.ts";
import { type PolicyTable, policyProblems, rpcName } from "./policy.ts";
import { RateLimits } from "./rate-limits.ts";
import { buildRoutes, type Routes } from "./routes.ts";
import { isPlainUnary, startUnary, type UnaryRoute } from "./unary-exchange.ts";
import { answerUnknown, headerListBytes, refuseHeaders, refuseStream } from "./unserved.ts";

/**
 * Serves one stream without a codec. Judged, allowed and counted already; the stream is paused and unanswered: the handler
 * owns `respond`. Errors end it through `respondError`.
 */
export type RawHandler = (
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  caller: Caller,
  requestId: string,
) => void;

export interface RawRoute {
  readonly method: DescMethod;
  readonly handle: RawHandler;
}

export interface SurfaceOptions {
  readonly arrivedBy: ArrivedBy;
  readonly routes: (router: ConnectRouter) => void;
  readonly raw?: readonly RawRoute[];
  readonly policy: PolicyTable;
  readonly judge: Judge;
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
  readonly http2: Http2Profile;
  readonly readMaxBytes?: number;
  /** Served here when given; the surface adds its services to it. */
  readonly health?: HealthState;
  /** Serves reflection v1 and v1alpha, listing what this surface serves. */
  readonly reflection?: boolean;
  readonly buckets?: RateLimits;
  /** A session ends this long after it began, whatever it does. */
  readonly sessionMaxMs?: number;
  readonly onRefusal?: (refused: RefusedCall) => void;
  /** Told how every call with a codec ended that was admitted. */
  readonly onCall?: CallObserver | undefined;
  readonly tracing?: SurfaceTracing | undefined;
}

/** One connection. `streams` holds how to end each open call. */
export interface ServedSession {
  readonly session: ServerHttp2Session;
  readonly socket: TLSSocket;
  readonly caller: Caller;
}

interface OpenCall {
  readonly fail: (error: WeftError) => void;
  /** Ends at once when draining: it would never end by itself, and its caller knows how to start again. */
  readonly watch: boolean;
}

interface Held extends ServedSession {
  readonly calls: Set<OpenCall>;
  readonly startedMs: number;
  idleSinceMs: number;
}

/** The connection a call came on, from the adapter to the gate. Absent outside a surface: nothing is admitted then. */
const kHeld = createContextKey<Held | undefined>(undefined, { description: "connection" });

export interface Surface {
  /** Undefined when a caller that floods is turned away; the socket is gone then. */
  accept(socket: TLSSocket, caller: Caller): ServerHttp2Session | undefined;
  readonly services: readonly DescService[];
  /** Full names of every RPC served here. */
  readonly rpcs: readonly string[];
  sessions(): Iterable<ServedSession>;
  sessionCount(): number;
  rejudge(): Promise<void>;
  cut(where: (caller: Caller) => boolean): number;
  drain(graceMs: number): Promise<void>;
}

/** A surface, or an Error that lists every RPC without a usable policy row. */
export function createSurface(options: SurfaceOptions): Surface {
  return new OpenSurface(options);
}

class OpenSurface implements Surface {
  readonly services: readonly DescService[];
  readonly rpcs: readonly string[];
  readonly #options: SurfaceOptions;
  readonly #buckets: RateLimits;
  readonly #guard: FloodGuard;
  readonly #bodies = new BodyBudget();
  readonly #readMaxBytes: number;
  readonly #routes: Routes;
  readonly #raw = new Map<string, RawRoute>();
  readonly #held = new Set<Held>();
  #ticker: Timer | undefined;
  #judging: Promise<void> | undefined;
  #judgeAgain = false;
  #draining = false;

  constructor(options: SurfaceOptions) {
    this.#options = options;
    this.#buckets = options.buckets ?? new RateLimits(options.clock);
    this.#guard = new FloodGuard(options.http2, options.clock);
    for (const route of options.raw ?? []) this.#raw.set(`/${rpcName(route.method)}`, route);
    this.#readMaxBytes = options.readMaxBytes ?? limits.rpcMessageMaxBytes;
    this.#routes = this.#buildRoutes();
    this.services = this.#routes.services;
    const served = [
      ...[...this.#routes.handlers.values()].map(({ method }) => ({ method, raw: false })),
      ...[...this.#raw.values()].map(({ method }) => ({ method, raw: true })),
    ];
    this.rpcs = served.map(({ method }) => rpcName(method));
    const problems = policyProblems(options.policy, options.arrivedBy, served);
    if (problems.length > 0) throw new Error(`policy of "${options.arrivedBy}": ${problems.join("; ")}`);
  }

  #buildRoutes(): Routes {
    const { routes, raw = [], health, reflection = false } = this.#options;
    return buildRoutes({
      routes,
      raw: raw.map(({ method }) => method),
      health,
      reflection,
      interceptors: surfaceInterceptors(this.#options),
      gate: (values, method) => this.#gate(values, method),
      readMaxBytes: this.#readMaxBytes,
    });
  }

  /** V2 for calls with a codec: leaves the caller as judged now. */
  async #gate(values: ContextValues, method: DescMethod): Promise<void> {
    const held = values.get(kHeld);
    if (held === undefined) throw new WeftError("internal", "internal error", { detail: "NO_CONNECTION" });
    values.set(kCaller, await this.#admit(held, rpcName(method), values.get(kRequestId)));
  }

  accept(socket: TLSSocket, caller: Caller): ServerHttp2Session | undefined {
    const { clock, http2 } = this.#options;
    if (!this.#guard.admits(caller)) return void socket.destroy();
    const session = openServerSession(socket, http2);
    this.#guard.watch(session, socket, caller);
    const nowMs = clock.monoMs();
    const held: Held = { session, socket, caller, calls: new Set(), startedMs: nowMs, idleSinceMs: nowMs };
    this.#held.add(held);
    socket.once("finish", () => hangUpSoon(socket, clock));
    session.once("close", () => {
      this.#held.delete(held);
      if (this.#held.size === 0) this.#stopTicking();
    });
    session.on("stream", (stream, headers, _flags, rawHeaders) => {
      // A reset or a broken connection is the peer's business: the 'close' that follows is what handlers see.
      stream.on("error", () => {});
      const fits = headerListBytes(rawHeaders) <= http2.headerListMaxBytes;
      // V5. Known at the end of the turn: whether the bytes that made the call reset it as well.
      atEndOfTurn(() => {
        if (stream.destroyed) return;
        if (!fits) refuseHeaders(stream);
        else if (this.#guard.holdsTooMany(caller)) refuseStream(stream);
        else this.#onStream(held, stream, headers);
      });
    });
    if (this.#draining) session.close();
    this.#ticker ??= clock.every(limits.rejudgeEveryMs, () => this.#tick());
    return session;
  }

  #onStream(held: Held, stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const path = headers[":path"] ?? "";
    const requestId = randomLabel(this.#options.random, 16);
    const raw = this.#raw.get(path);
    const unary = this.#routes.unary.get(path);
    const handler = this.#routes.handlers.get(path);
    if (raw !== undefined) this.#serveRaw(held, stream, headers, raw, requestId);
    else if (unary !== undefined && isPlainUnary(headers)) this.#serveUnary(held, stream, headers, unary, requestId);
    else if (handler !== undefined) this.#serveHandler(held, stream, headers, handler, requestId);
    else answerUnknown(stream, headers, requestId);
  }

  #serveUnary(
    held: Held,
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    route: UnaryRoute,
    requestId: string,
  ): void {
    const exchange = startUnary({
      stream,
      headers,
      route,
      requestId,
      contextValues: createContextValues().set(kHeld, held).set(kRequestId, requestId),
      clock: this.#options.clock,
      readMaxBytes: this.#readMaxBytes,
      meter: this.#bodies.meter(stream, held.caller),
      admit: (values) => this.#gate(values, route.method),
    });
    this.#track(held, stream, { fail: (error) => exchange.fail(error, requestId), watch: false });
  }

  #serveHandler(
    held: Held,
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    handler: UniversalHandler,
    requestId: string,
  ): void {
    const contextValues = createContextValues().set(kHeld, held).set(kRequestId, requestId);
    const kind = handler.method.methodKind;
    const watch = kind === "server_streaming";
    const meter = watch || kind === "unary" ? this.#bodies.meter(stream, held.caller) : undefined;
    const exchange = startExchange({ stream, headers, handler, contextValues, clock: this.#options.clock, meter });
    this.#track(held, stream, { fail: (error) => exchange.fail(error, requestId), watch });
  }

  #serveRaw(
    held: Held,
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    route: RawRoute,
    requestId: string,
  ): void {
    this.#track(held, stream, { fail: (error) => respondError(stream, error, requestId), watch: false });
    if (!isGrpc(headers) || headers[":method"] !== "POST") {
      answerUnknown(stream, headers, requestId);
      return;
    }
    this.#admit(held, rpcName(route.method), requestId)
      .then((caller) => {
        if (!stream.destroyed) route.handle(stream, headers, caller, requestId);
      })
      .catch((error: unknown) => respondError(stream, error, requestId));
  }

  #admit(held: Held, rpc: string, requestId: string): Promise<Caller> {
    const { policy, judge, onRefusal } = this.#options;
    return admit(
      { policy, judge, buckets: this.#buckets, ...(onRefusal === undefined ? {} : { onRefusal }) },
      { rpc, requestId, socket: held.socket, caller: held.caller },
    );
  }

  #track(held: Held, stream: ServerHttp2Stream, call: OpenCall): void {
    held.calls.add(call);
    stream.once("close", () => {
      held.calls.delete(call);
      held.idleSinceMs = this.#options.clock.monoMs();
    });
  }

  #tick(): void {
    const nowMs = this.#options.clock.monoMs();
    const { sessionMaxMs } = this.#options;
    for (const held of this.#held) {
      const idle = held.calls.size === 0 && nowMs - held.idleSinceMs >= limits.rpcIdleSessionMaxMs;
      if (idle) held.session.close();
      if (sessionMaxMs !== undefined && nowMs - held.startedMs >= sessionMaxMs) held.session.destroy();
    }
    if (this.#judging === undefined) void this.rejudge();
  }

  /** Who asks during a round is served by one more, `limits.rejudgeRestMs` after it. */
  rejudge(): Promise<void> {
    if (this.#judging !== undefined) {
      this.#judgeAgain = true;
      return this.#judging;
    }
    this.#judging = this.#judgeRounds();
    return this.#judging;
  }

  async #judgeRounds(): Promise<void> {
    try {
      for (;;) {
        this.#judgeAgain = false;
        const failures = await Promise.all([...this.#held].map((held) => this.#judgeAnew(held)));
        const failed = failures.filter((error) => error !== undefined);
        // One line a round: a store that is away fails all of them.
        if (failed.length > 0) {
          const error = failed[0] ?? "";
          this.#options.log.warn("sessions could not be judged again", { count: failed.length, error });
        }
        if (!this.#judgeAgain || this.#held.size === 0) return;
        await sleep(this.#options.clock, limits.rejudgeRestMs);
      }
    } finally {
      // In the turn of the last look at `#judgeAgain`: whoever asks from now on starts a round of their own.
      this.#judging = undefined;
    }
  }

  /** What went wrong, if anything. */
  async #judgeAnew(held: Held): Promise<string | undefined> {
    try {
      const verdict = await this.#options.judge(held.socket, held.caller);
      if (isRefusal(verdict)) this.#end(held, identityRefused(verdict.refused));
      return undefined;
    } catch (error) {
      return messageOf(error);
    }
  }

  /** V3: statuses first, the socket as soon as they had a moment to leave. */
  #end(held: Held, error: WeftError): void {
    for (const call of [...held.calls]) call.fail(error);
    held.session.close();
    const timer = this.#options.clock.after(limits.rpcErrorFlushMs, () => held.session.destroy());
    held.session.once("close", () => timer.cancel());
    const { caller } = held;
    this.#options.log.info("session refused", { caller: caller.spiffe, detail: error.detail });
  }

  cut(where: (caller: Caller) => boolean): number {
    const gone = [...this.#held].filter((held) => where(held.caller));
    for (const held of gone) this.#end(held, identityRefused("CUT"));
    return gone.length;
  }

  sessions(): Iterable<ServedSession> {
    return this.#held;
  }

  sessionCount(): number {
    return this.#held.size;
  }

  async drain(graceMs: number): Promise<void> {
    this.#draining = true;
    const draining = new WeftError("unavailable", "shutting down", { detail: "DRAINING", retry: "now" });
    const closed = [...this.#held].map(
      (held) =>
        new Promise<void>((resolve) => {
          held.session.once("close", () => resolve());
          held.session.close();
          for (const call of [...held.calls]) if (call.watch) call.fail(draining);
        }),
    );
    const force = this.#options.clock.after(graceMs, () => {
      for (const held of this.#held) held.session.destroy();
    });
    await Promise.all(closed);
    force.cancel();
    this.#stopTicking();
  }

  #stopTicking(): void {
    this.#ticker?.cancel();
    this.#ticker = undefined;
  }
}

/** V6. What was said last has the time to be read. */
function hangUpSoon(socket: TLSSocket, clock: Clock): void {
  const timer = clock.after(limits.rpcHangUpAfterMs, () => socket.destroy());
  socket.once("close", () => timer.cancel());
}
