/**
 * A process that calls, as users' programs do: AccessService/Connect over connections of its own to the entries, and channels
 * of the SDK beside it, which keeps the client folder both read up to date. Open loop: a call is due whether or not the
 * ones before it have ended.
 */

import { randomBytes } from "node:crypto";
import { type ClientHttp2Session, constants } from "node:http2";
import { setTimeout as delay } from "node:timers/promises";
import { tlsOptions } from "../../certs/tls-options.ts";
import type { Client } from "../../client/connect.ts";
import { type ClientIdentity, clientIdentity, expectEntry, readClientFolder } from "../../client/identity.ts";
import { type DialAddress, dialTcp, startTls } from "../../edge/dial.ts";
import { clientServerName } from "../../fabric/server-names.ts";
import { systemClock } from "../../lib/clock.ts";
import { openClientSession, rpcHttp2 } from "../../rpc/http2-profile.ts";
import { Call, data, halfClose } from "../../tests/harness/access-call.ts";
import { serveWorker } from "../load/worker.ts";
import { watchedClient } from "./watched-client.ts";

export interface RpcTotals {
  readonly rpcs: number;
  readonly failed: number;
  /** Calls under way. */
  readonly open: number;
  readonly first: readonly string[];
  /** Of the channels of the SDK, milliseconds. */
  readonly slowestMs: number;
}

const callWithinMs = 10_000;
const payloadBytes = 64;
/** One call in so many is a channel of the SDK. */
const sdkEvery = 4;
const lookEveryMs = 250;
const retryAfterMs = 50;
const refused = "the stream was refused";

/** The connection to one entry, made anew when the folder says something else, before the one in use is let go. */
class EntryCalls {
  readonly #address: DialAddress;
  readonly #folder: string;
  #session: ClientHttp2Session | undefined;
  #madeWith = "";
  #connecting: Promise<void> | undefined;

  constructor(address: DialAddress, folder: string) {
    this.#address = address;
    this.#folder = folder;
  }

  /** Takes up what the folder says now; what cannot be taken up yet is tried again at the next look. */
  async look(): Promise<void> {
    this.#connecting ??= this.#look().finally(() => {
      this.#connecting = undefined;
    });
    await this.#connecting;
  }

  async #look(): Promise<void> {
    const identity = clientIdentity(readClientFolder(this.#folder).pems);
    const wanted = `${identity.leaf.serialHex} ${identity.bundleVersion}`;
    const isGone = this.#session === undefined || this.#session.destroyed || this.#session.closed;
    if (!isGone && wanted === this.#madeWith) return;
    const session = await this.#dial(identity);
    const before = this.#session;
    this.#session = session;
    this.#madeWith = wanted;
    before?.close();
  }

  async #dial(identity: ClientIdentity): Promise<ClientHttp2Session> {
    const dial = { clock: systemClock, deadlineMs: 5_000 };
    const expect = expectEntry(identity, () => systemClock.nowMs());
    const slug = identity.clusterSlug;
    const names = slug === undefined ? {} : { serverName: clientServerName(slug) };
    const options = tlsOptions("dial-entry", { identity: identity.leaf, expect, ...names });
    const tls = await startTls(await dialTcp([this.#address], dial), options, dial);
    const session = openClientSession(tls, rpcHttp2);
    session.on("error", () => {});
    return session;
  }

  /**
   * One call; resolves with why it failed, or undefined. A stream that was refused was not looked at: it is opened again, as
   * every gRPC client does (gRFC A6, transparent retries).
   */
  async call(resource: string, payload: Buffer): Promise<string | undefined> {
    const untilMs = performance.now() + callWithinMs;
    for (;;) {
      const failure = await this.#once(resource, payload);
      if (failure !== refused || performance.now() > untilMs) return failure;
      await delay(retryAfterMs);
    }
  }

  async #once(resource: string, payload: Buffer): Promise<string | undefined> {
    const session = this.#session;
    if (session === undefined || session.destroyed || session.closed) return "no connection to the entry";
    const call = new Call(session);
    call.send({ case: "open", value: { resource } }, data(payload.toString("hex")), halfClose).stream.end();
    const startedMs = performance.now();
    const timer = setTimeout(() => call.stream.close(8), callWithinMs);
    await new Promise<void>((resolve) => call.stream.once("close", () => resolve()));
    clearTimeout(timer);
    const status = String(call.trailers?.["grpc-status"] ?? "none");
    if (call.trailers === undefined && call.stream.rstCode === constants.NGHTTP2_REFUSED_STREAM) return refused;
    if (status !== "0") {
      const how = `after ${Math.round(performance.now() - startedMs)} ms, stream code ${call.stream.rstCode}`;
      const connection = session.destroyed ? "gone" : session !== this.#session ? "replaced" : "open";
      const where = `${this.#address.port} at ${new Date().toISOString()}, connection ${connection}`;
      return `status ${status} ${String(call.trailers?.["grpc-message"] ?? "")} ${how}, entry ${where}`;
    }
    return call.text === payload.toString("hex") ? undefined : "other bytes came back";
  }
}

async function channel(client: Client, resource: string, payload: Buffer): Promise<string | undefined> {
  const stream = await client.open(resource, { signal: AbortSignal.timeout(callWithinMs) });
  stream.end(payload);
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(piece as Buffer);
  return Buffer.concat(pieces).equals(payload) ? undefined : "other bytes came back";
}

let running: { stop(): Promise<void> } | undefined;
const totals = { rpcs: 0, failed: 0, open: 0, first: [] as string[], slowestMs: 0 };

interface Start {
  /** Of as many clients: what one may ask for in a second is bounded. */
  readonly folders: readonly string[];
  readonly entries: readonly string[];
  readonly resource: string;
  readonly perSecond: number;
}

async function start({ folders, entries, resource, perSecond }: Start): Promise<void> {
  const watched = folders.map((folder) => watchedClient(folder, entries));
  const clients = watched.map(({ client }) => client);
  const calls = folders.flatMap((folder) =>
    entries.map((entry) => {
      const at = entry.lastIndexOf(":");
      return new EntryCalls({ host: entry.slice(0, at), port: Number(entry.slice(at + 1)) }, folder);
    }),
  );
  await Promise.all(calls.map((each) => each.look()));
  for (const client of clients) await channel(client, resource, randomBytes(payloadBytes));
  const ending = new AbortController();
  const ended = (why: string | undefined): void => {
    totals.open -= 1;
    if (why === undefined) return;
    totals.failed += 1;
    if (totals.first.length < 8) totals.first.push(why);
  };
  const one = async (): Promise<void> => {
    const at = totals.rpcs++;
    totals.open += 1;
    const payload = randomBytes(payloadBytes);
    const entry = calls[at % calls.length];
    const clientAt = Math.floor(at / sdkEvery) % clients.length;
    const client = clients[clientAt];
    const stopWatching = at % sdkEvery === 0 ? watched[clientAt]?.watch() : undefined;
    const startedMs = performance.now();
    try {
      if (entry === undefined || client === undefined) throw new Error("nobody to ask");
      ended(at % sdkEvery === 0 ? await channel(client, resource, payload) : await entry.call(resource, payload));
    } catch (thrown) {
      // Given up by this process itself when it took `callWithinMs`.
      const tookMs = Math.round(performance.now() - startedMs);
      const when = `after ${tookMs} ms, client ${clientAt} at ${new Date().toISOString()}`;
      ended(`${String(thrown)} ${when}${stopWatching?.() ?? ""}`);
    } finally {
      stopWatching?.();
      if (stopWatching !== undefined) totals.slowestMs = Math.max(totals.slowestMs, performance.now() - startedMs);
    }
  };
  const looking = setInterval(() => {
    for (const each of calls) each.look().catch(() => {});
  }, lookEveryMs);
  const sending = (async () => {
    const startedMs = performance.now();
    for (let sent = 0; !ending.signal.aborted; ) {
      const due = Math.floor(((performance.now() - startedMs) * perSecond) / 1_000);
      for (; sent < due; sent += 1) void one();
      await delay(5);
    }
  })();
  running = {
    async stop() {
      ending.abort();
      await sending;
      for (const untilMs = performance.now() + callWithinMs; totals.open > 0 && performance.now() < untilMs; )
        await delay(20);
      clearInterval(looking);
      await Promise.all(clients.map((client) => client.close()));
    },
  };
}

export type RpcWorker = typeof handlers;

const handlers = serveWorker({
  start: (order: Start): Promise<void> => start(order),
  totals: (): RpcTotals => totals,
  async stop(): Promise<RpcTotals> {
    await running?.stop();
    return totals;
  },
});
