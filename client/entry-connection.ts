/**
 * The client's connection to one entry: TLS with the client's certificate, HTTP/2, PathService. It is made when needed and
 * made again when lost; losing it ends no path.
 *
 * EC1. Whoever answers is a node of the client's cluster, judged by its identity. Its id is the one node a client knows.
 * EC2. An entry that is connected and does not answer a ping in time is dead to this client: the connection is given up, so
 *      that a frozen entry costs a second and not a deadline.
 * EC4. A connection serves new calls until half way to the end of the first of the two leaves on it, or until the client has
 *      another one; it never outlives either (LAW-I4).
 * EC3. An entry that shakes hands and hangs up without a word has refused the certificate: TLS 1.3 tells a client no sooner.
 */

import type { ClientHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Client } from "@connectrpc/connect";
import { judgePeer } from "../certs/judge.ts";
import { tlsOptions } from "../certs/tls-options.ts";
import { isUnknownRoot } from "../certs/unknown-root.ts";
import { type DialAddress, dialTcp, startTls } from "../edge/dial.ts";
import { clientServerName } from "../fabric/server-names.ts";
import {
  type ClientPathReady,
  type OpenClientPathRequest,
  type OpenClientPathResponse,
  PathService,
} from "../gen/weft/access/v1/access_pb.ts";
import type { Clock } from "../lib/clock.ts";
import { WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import { resetSocket } from "../lib/reset-socket.ts";
import { rpcClient } from "../rpc/client.ts";
import { openClientSession, rpcHttp2 } from "../rpc/http2-profile.ts";
import { http2Transport } from "../rpc/http2-transport.ts";
import { type ClientIdentity, expectEntry } from "./identity.ts";

export interface EntryConnectionOptions {
  readonly address: DialAddress;
  /** Read for every connection: a renewed certificate is used from the next one on. */
  readonly identity: () => ClientIdentity;
  readonly clock: Clock;
  /** A connection is made; `signal` aborts when it is over. */
  readonly onConnected?: (entry: Client<typeof PathService>, signal: AbortSignal) => void;
}

const renewalGapMs = 1_000;

interface Connected {
  readonly entryId: string;
  readonly session: ClientHttp2Session;
  readonly tls: TLSSocket;
  readonly raw: Socket;
  readonly paths: Client<typeof PathService>;
  /** Ends the calls that wait for news. */
  readonly over: AbortController;
  /** Of the leaves on it, the end of the one that ends first. */
  readonly endsMs: number;
  /** Whether it ever answered anything. */
  hasAnswered: boolean;
}

/** The entry's answer, and what it goes on to say. */
export interface EntryAnswer {
  readonly ready: ClientPathReady;
  /** Ends with the path, with the connection, or when the signal aborts; never throws. */
  readonly events: AsyncIterable<OpenClientPathResponse["event"]>;
}

export class EntryConnection {
  readonly address: DialAddress;
  readonly #options: EntryConnectionOptions;
  #connecting: Promise<Connected> | undefined;
  #closed = false;

  constructor(options: EntryConnectionOptions) {
    this.#options = options;
    this.address = options.address;
  }

  /** The entry's node id, connecting first when that is not done. Rejects `unavailable` or `unauthenticated`. */
  async entryId(): Promise<string> {
    return (await this.#connected()).entryId;
  }

  /**
   * Asks for a leg. Rejects with the entry's own refusal, or `unavailable` when it does not answer in time.
   * Aborting `signal` ends the call and, before the leg is used, the path.
   */
  async openPath(
    request: Omit<OpenClientPathRequest, "$typeName" | "$unknown">,
    signal: AbortSignal,
  ): Promise<EntryAnswer> {
    const { clock } = this.#options;
    const connected = await this.#connected();
    const call = new AbortController();
    const onAbort = (): void => call.abort();
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) call.abort();
    const deadline = clock.after(limits.clientLegMs, () => call.abort());
    const silent = this.#watch(connected);
    try {
      const answers = connected.paths.openClientPath(request, { signal: call.signal, timeoutMs: 0 });
      const iterator = answers[Symbol.asyncIterator]();
      const first = await Promise.race([iterator.next(), silent.gone]);
      const event = first.done === true ? undefined : first.value.event;
      connected.hasAnswered = true;
      if (event?.case !== "ready") throw new WeftError("unavailable", "the entry gave no path", { detail: "NO_PATH" });
      return { ready: event.value, events: rest(iterator) };
    } catch (thrown) {
      call.abort();
      if (signal.aborted) throw new WeftError("canceled", "the caller gave up", { cause: thrown });
      if (!connected.hasAnswered && connected.raw.destroyed && !silent.isGone()) {
        throw new WeftError("permission_denied", "the entry does not take this client's certificate", {
          detail: "IDENTITY_REFUSED",
          cause: thrown,
        });
      }
      if (thrown instanceof WeftError && thrown.reason !== "canceled") throw thrown;
      throw new WeftError("unavailable", "the entry did not answer in time", { detail: "ENTRY_SILENT", cause: thrown });
    } finally {
      deadline.cancel();
      silent.stop();
    }
  }

  /** Asks the entry something, connecting first when that is not done. Rejects as `entryId` does, and as `ask` does. */
  async ask<T>(ask: (entry: Client<typeof PathService>) => Promise<T>): Promise<T> {
    return await ask((await this.#connected()).paths);
  }

  /**
   * What is asked from now on is asked on a new connection; the old one ends when its calls have ended. Where there was one
   * there is one: a client that has nothing to ask still hears of news there.
   */
  renew(): void {
    const before = this.#connecting;
    if (before === undefined) return;
    this.#connecting = undefined;
    before
      .then(({ session, over }) => {
        over.abort();
        session.close();
      })
      .catch(() => {});
    this.#connected().catch(() => {});
  }

  /** Ends the connection and every call on it; a later use fails. */
  close(): void {
    this.#closed = true;
    this.#connecting?.then(({ raw, tls }) => resetSocket(raw, tls)).catch(() => {});
    this.#connecting = undefined;
  }

  #connected(): Promise<Connected> {
    if (this.#closed) return Promise.reject(new WeftError("unavailable", "the client is closed", { detail: "CLOSED" }));
    if (this.#connecting !== undefined) return this.#connecting;
    const made = this.#connect();
    this.#connecting = made;
    const forget = (): void => {
      if (this.#connecting === made) this.#connecting = undefined;
    };
    made.then((connected) => {
      const { raw, session } = connected;
      const stop = this.#keepWithin(connected, () => {
        if (this.#connecting === made) this.renew();
      });
      raw.once("close", () => {
        stop();
        forget();
      });
      // The entry will answer nothing new there.
      session.once("goaway", forget);
    }, forget);
    return made;
  }

  /** EC4. What it returns ends the watch. */
  #keepWithin({ endsMs, raw, tls }: Connected, renew: () => void): () => void {
    const { clock } = this.#options;
    const leftMs = Math.max(0, endsMs - clock.nowMs());
    const timers = [clock.after(leftMs, () => resetSocket(raw, tls))];
    // What has hardly any time left has no other to show: another dial would be followed by the next.
    if (leftMs > 2 * renewalGapMs) timers.push(clock.after(leftMs / 2, renew));
    return () => {
      for (const timer of timers) timer.cancel();
    };
  }

  async #connect(): Promise<Connected> {
    const { address, clock } = this.#options;
    const identity = this.#options.identity();
    const dial = { clock, deadlineMs: limits.clientDialMs };
    const expect = expectEntry(identity, () => clock.nowMs());
    const raw = await dialTcp([address], dial);
    const slug = identity.clusterSlug;
    const serverName = slug === undefined ? {} : { serverName: clientServerName(slug) };
    const options = tlsOptions("dial-entry", { identity: identity.leaf, expect, ...serverName });
    const tls = await startTls(raw, options, dial).catch((thrown: unknown) => {
      throw isUnknownRoot(thrown) ? unknownRoot(thrown) : thrown;
    });
    const verdict = judgePeer(tls, expect);
    if (!verdict.ok || this.#closed) {
      resetSocket(raw, tls);
      throw new WeftError("unauthenticated", "the entry is not who it should be", { detail: "ENTRY_REFUSED" });
    }
    const session = openClientSession(tls, rpcHttp2);
    const paths = rpcClient(PathService, http2Transport(session));
    const over = new AbortController();
    raw.once("close", () => over.abort());
    session.once("goaway", () => over.abort());
    this.#options.onConnected?.(paths, over.signal);
    const endsMs = Math.min(identity.leaf.notAfterMs, verdict.notAfterMs);
    return { entryId: verdict.id.id, session, tls, raw, paths, over, endsMs, hasAnswered: false };
  }

  /** EC2. `gone` rejects when the entry did not answer a ping; it never resolves. */
  #watch(connected: Connected): { readonly gone: Promise<never>; isGone(): boolean; stop(): void } {
    const { session, tls, raw } = connected;
    const { promise, reject } = Promise.withResolvers<never>();
    promise.catch(() => {});
    let isGone = false;
    const timer = this.#options.clock.after(limits.clientEntryPingMs, () => {
      isGone = true;
      resetSocket(raw, tls);
      reject(new WeftError("unavailable", "the entry does not answer", { detail: "ENTRY_SILENT" }));
    });
    const stop = (): void => timer.cancel();
    const onPong = (error: Error | null): void => {
      stop();
      if (error === null) connected.hasAnswered = true;
    };
    const isSent = !session.destroyed && !session.closed && session.ping(onPong);
    if (!isSent) stop();
    return { gone: promise, isGone: () => isGone, stop };
  }
}

function unknownRoot(cause: unknown): WeftError {
  const message =
    "the entry shows a certificate of a root that this client does not know; if roots were rotated while the client was away, an operator brings its folder up to date with: weft identity trust DIR";
  return new WeftError("unauthenticated", message, { detail: "ROOT_UNKNOWN", cause });
}

/** What comes after `ready`, until there is no more: the end of the signalling says nothing about the path. */
async function* rest(answers: AsyncIterator<OpenClientPathResponse>): AsyncGenerator<OpenClientPathResponse["event"]> {
  try {
    for (;;) {
      const next = await answers.next();
      if (next.done === true) return;
      yield next.value.event;
    }
  } catch {
    // The connection to the entry is gone, or the path is.
  }
}
