/**
 * Node to control: @grpc/grpc-js channels behind Connect's `Transport`, one channel per control address.
 *
 * G1. A call goes to the first address whose channel is ready; an address whose call failed for want of an answer goes to
 *     the end of the line, and the others are connected: one of them may have what this one waits for. Nothing is retried
 *     here: the callers' loops know what may be repeated.
 * G2. A channel lives as long as the identity it was made with. After `rotate` new calls use channels made with the new
 *     one, old calls finish on theirs, and a channel without calls is closed. The first use of the new identity ends the old
 *     one at control: it waits, for `limits.rpcHandOverMs` at most, until unary calls under the old one are answered.
 * G3. No connection outlives the leaf the server showed on it: half way to its end channels are made anew, at its end those
 *     that are left are closed.
 */

import { checkServerIdentity, createSecureContext, type PeerCertificate } from "node:tls";
import { create, type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { type ChannelOptions, Client, connectivityState, credentials, type ServiceError, status } from "@grpc/grpc-js";
import type { ClientTlsOptions } from "../certs/tls-options.ts";
import { abortable } from "../lib/abortable.ts";
import { linkBackoff } from "../lib/backoff.ts";
import type { Clock, Timer } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";
import type { Log } from "../lib/log.ts";
import { connectErrorOf, fromMetadata, toMetadata } from "./grpc-js-metadata.ts";
import { readResponses, writeRequests } from "./grpc-js-streams.ts";

export interface ControlTransport extends Transport {
  /** Call after the identity changed (G2). */
  rotate(): void;
  /** Ends every channel and every call. */
  close(): void;
  /** Whether some address has a live connection. */
  connected(): boolean;
}

export interface ControlTransportOptions {
  /** "host:port" each, in order of preference. */
  readonly addresses: readonly string[];
  /** `control.<slug>.weft.internal`: the name sent and the authority of calls. */
  readonly serverName: string;
  /** `tlsOptions("dial-control", ...)` for the identity of now: read for every new set of channels. */
  readonly tls: () => ClientTlsOptions;
  readonly clock: Clock;
  readonly log: Log;
  readonly readMaxBytes?: number;
  /** For unary calls that give no deadline of their own. */
  readonly defaultTimeoutMs?: number;
}

interface Endpoint {
  readonly address: string;
  readonly client: Client;
}

/** One generation of channels, all with the same identity. */
interface Generation {
  readonly endpoints: Endpoint[];
  calls: number;
  unary: number;
  retired: boolean;
  /** Called when no unary call is left. */
  onQuiet: () => void;
  /** Of the leaves servers showed, the one that ends first. */
  serverEndsMs: number;
  readonly timers: Timer[];
}

/** Timers of the host end at 2^31 ms; leaves do not live that long. */
const timerMaxMs = 2_000_000_000;

/** Opens channels to control; connections are made on the first call. */
export function controlTransport(options: ControlTransportOptions): ControlTransport {
  return new GrpcJsTransport(options);
}

class GrpcJsTransport implements ControlTransport {
  readonly #options: ControlTransportOptions;
  #generation: Generation;
  /** Settled when calls may use the newest generation. */
  #handedOver: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: ControlTransportOptions) {
    if (options.addresses.length === 0) throw new Error("no control address");
    this.#options = options;
    this.#generation = this.#open();
  }

  #open(): Generation {
    const { tls, serverName, addresses, readMaxBytes } = this.#options;
    const options = tls();
    const { checkServerIdentity: check = checkServerIdentity } = options;
    const channelCredentials = credentials.createFromSecureContext(createSecureContext(options), {
      rejectUnauthorized: true,
      checkServerIdentity: (host: string, certificate: PeerCertificate) => {
        const fault = check(host, certificate);
        if (fault === undefined) this.#shown(generation, Date.parse(certificate.valid_to));
        return fault;
      },
    });
    const channelOptions: ChannelOptions = {
      "grpc.ssl_target_name_override": serverName,
      "grpc.default_authority": serverName,
      "grpc.keepalive_time_ms": limits.rpcKeepaliveMs,
      "grpc.keepalive_timeout_ms": limits.rpcKeepaliveTimeoutMs,
      "grpc.keepalive_permit_without_calls": 1,
      "grpc.initial_reconnect_backoff_ms": linkBackoff.firstMs,
      "grpc.max_reconnect_backoff_ms": linkBackoff.maxMs,
      "grpc.max_receive_message_length": readMaxBytes ?? limits.snapshotMaxBytes * 2,
      "grpc-node.max_session_memory": Math.ceil(limits.rpcSessionMemoryMaxBytes / 1_000_000),
      // A subchannel of the global pool would go on with the identity it was made with.
      "grpc.use_local_subchannel_pool": 1,
      "grpc.enable_retries": 0,
      "grpc.enable_channelz": 0,
      "grpc.enable_http_proxy": 0,
      "grpc.service_config_disable_resolution": 1,
    };
    const endpoints = addresses.map((address) => ({
      address,
      client: new Client(targetOf(address), channelCredentials, channelOptions),
    }));
    const generation: Generation = {
      endpoints,
      calls: 0,
      unary: 0,
      retired: false,
      onQuiet: () => {},
      serverEndsMs: Number.POSITIVE_INFINITY,
      timers: [],
    };
    return generation;
  }

  rotate(): void {
    if (this.#closed) return;
    const old = this.#generation;
    this.#generation = this.#open();
    old.retired = true;
    if (old.calls === 0) closeAll(old);
    if (old.unary > 0) this.#handedOver = Promise.all([this.#handedOver, this.#quiet(old)]).then(() => {});
  }

  close(): void {
    this.#closed = true;
    closeAll(this.#generation);
  }

  /** Until no unary call is under way on these channels, or the bound (G2). */
  #quiet(generation: Generation): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(limits.rpcHandOverMs, resolve);
      generation.onQuiet = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  /** A server showed a leaf that ends then (G3). */
  #shown(generation: Generation, endsMs: number): void {
    const { clock } = this.#options;
    if (!Number.isFinite(endsMs) || endsMs >= generation.serverEndsMs) return;
    generation.serverEndsMs = endsMs;
    const leftMs = Math.max(0, endsMs - clock.nowMs());
    generation.timers.push(
      clock.after(Math.min(leftMs / 2, timerMaxMs), () => {
        if (this.#generation === generation) this.rotate();
      }),
      clock.after(Math.min(leftMs, timerMaxMs), () => {
        if (generation.retired) closeAll(generation);
      }),
    );
  }

  connected(): boolean {
    return this.#generation.endpoints.some(isReady);
  }

  unary: Transport["unary"] = async (method, signal, timeoutMs, header, input) => {
    const { defaultTimeoutMs = limits.rpcDeadlineMaxMs } = this.#options;
    const deadline = deadlineOf(this.#options.clock, timeoutMs ?? defaultTimeoutMs);
    const { endpoint, done } = await this.#pick(signal, deadline, "unary");
    return new Promise((resolve, reject) => {
      let head = new Headers();
      const trailer = new Headers();
      const call = endpoint.client.makeUnaryRequest(
        pathOf(method),
        serializer(method.input),
        deserializer(method.output),
        create(method.input, input),
        toMetadata(header),
        callOptions(deadline),
        (error: ServiceError | null, message?: MessageShape<typeof method.output>) => {
          released();
          done(error);
          if (error !== null) return reject(connectErrorOf(error, signal));
          if (message === undefined) return reject(new ConnectError("no response message", Code.Internal));
          resolve({ stream: false, service: method.parent, method, header: head, trailer, message });
        },
      );
      const released = cancelOn(signal, call);
      call.on("metadata", (metadata) => {
        head = fromMetadata(metadata);
      });
      call.on("status", (last) => {
        for (const [name, value] of fromMetadata(last.metadata)) trailer.append(name, value);
      });
    });
  };

  stream: Transport["stream"] = async (method, signal, timeoutMs, header, input) => {
    const deadline = deadlineOf(this.#options.clock, timeoutMs);
    const { endpoint, done } = await this.#pick(signal, deadline, "stream");
    const call = endpoint.client.makeBidiStreamRequest(
      pathOf(method),
      serializer(method.input),
      deserializer(method.output),
      toMetadata(header),
      callOptions(deadline),
    );
    const released = cancelOn(signal, call);
    const ended = (error: ServiceError | null): void => {
      released();
      done(error);
    };
    writeRequests(call, method.input, input);
    const { header: head, trailer, messages } = readResponses<MessageShape<typeof method.output>>(call, signal, ended);
    return {
      stream: true,
      service: method.parent,
      method,
      header: await head,
      trailer,
      message: messages,
    };
  };

  /** G1. Waits for a connection until the deadline, the connect deadline or the caller's end, whichever is first. */
  async #pick(
    signal: AbortSignal | undefined,
    deadline: Date | undefined,
    kind: "unary" | "stream",
  ): Promise<{ endpoint: Endpoint; done: (error: ServiceError | null) => void }> {
    const isOver = (): boolean => signal?.aborted === true;
    const canceled = (): ConnectError => new ConnectError("the call was canceled", Code.Canceled);
    await abortable(this.#handedOver, signal).catch(() => {});
    if (this.#closed) throw new ConnectError("the transport is closed", Code.Canceled);
    if (isOver()) throw canceled();
    const generation = this.#generation;
    generation.calls += 1;
    if (kind === "unary") generation.unary += 1;
    const over = (endpoint: Endpoint | undefined, error: ServiceError | null): void => {
      if (kind === "unary") generation.unary -= 1;
      if (generation.unary === 0) generation.onQuiet();
      this.#finished(generation, endpoint, error);
    };
    try {
      const ready = generation.endpoints.find(isReady);
      const endpoint = ready ?? (await abortable(this.#firstReady(generation, deadline), signal));
      return { endpoint, done: (error) => over(endpoint, error) };
    } catch (error) {
      over(undefined, null);
      throw isOver() ? canceled() : error;
    }
  }

  async #firstReady(generation: Generation, deadline: Date | undefined): Promise<Endpoint> {
    const connectBy = this.#options.clock.nowMs() + limits.rpcConnectDeadlineMs;
    const until = Math.min(deadline?.getTime() ?? connectBy, connectBy);
    const ready = generation.endpoints.map(
      (endpoint) =>
        new Promise<Endpoint>((resolve, reject) => {
          endpoint.client.waitForReady(until, (error) => (error === undefined ? resolve(endpoint) : reject(error)));
        }),
    );
    try {
      return await Promise.any(ready);
    } catch (cause) {
      throw new ConnectError("control cannot be reached", Code.Unavailable, undefined, undefined, cause);
    }
  }

  #finished(generation: Generation, endpoint: Endpoint | undefined, error: ServiceError | null): void {
    generation.calls -= 1;
    const unanswered = error?.code === status.UNAVAILABLE || error?.code === status.DEADLINE_EXCEEDED;
    if (endpoint !== undefined && unanswered) {
      const at = generation.endpoints.indexOf(endpoint);
      if (at >= 0) generation.endpoints.push(...generation.endpoints.splice(at, 1));
      if (!generation.retired && !this.#closed)
        for (const { client } of generation.endpoints) client.getChannel().getConnectivityState(true);
    }
    if (generation.retired && generation.calls === 0) closeAll(generation);
  }
}

/** Cancels a call when its caller gives up, also one who did while it was being made. Call what is returned when it is over. */
function cancelOn(signal: AbortSignal | undefined, call: { cancel(): void }): () => void {
  const cancel = (): void => call.cancel();
  signal?.addEventListener("abort", cancel, { once: true });
  if (signal?.aborted === true) cancel();
  return () => signal?.removeEventListener("abort", cancel);
}

function isReady(endpoint: Endpoint): boolean {
  return endpoint.client.getChannel().getConnectivityState(false) === connectivityState.READY;
}

function closeAll(generation: Generation): void {
  for (const timer of generation.timers.splice(0)) timer.cancel();
  for (const { client } of generation.endpoints) client.close();
}

/** grpc-js wants to be told the scheme of literal addresses. */
function targetOf(address: string): string {
  if (address.startsWith("[")) return `ipv6:${address}`;
  return /^\d+\.\d+\.\d+\.\d+:\d+$/.test(address) ? `ipv4:${address}` : `dns:${address}`;
}

function pathOf(method: { readonly parent: { readonly typeName: string }; readonly name: string }): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function deadlineOf(clock: Clock, timeoutMs: number | undefined): Date | undefined {
  return timeoutMs === undefined || timeoutMs <= 0 ? undefined : new Date(clock.nowMs() + timeoutMs);
}

function callOptions(deadline: Date | undefined): { deadline?: Date } {
  return deadline === undefined ? {} : { deadline };
}

/** The bytes of a message of `schema`. */
function serializer<D extends DescMessage>(schema: D): (message: MessageShape<D>) => Buffer {
  return (message) => Buffer.from(toBinary(schema, message));
}

function deserializer<D extends DescMessage>(schema: D): (bytes: Buffer) => MessageShape<D> {
  return (bytes) => fromBinary(schema, bytes);
}
