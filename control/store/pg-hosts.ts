/**
 * The servers of one store: a primary and its standbys, as the connection string lists them. Whoever needs a connection gets
 * one to the server that is the primary now.
 *
 * N1. The server in use stays in use while it answers as the primary. Otherwise all are asked at once, and the one on the
 *     highest timeline that answers as a primary is the next.
 * N2. Looking is bounded in time, however many servers there are and however silent they are.
 */

import { isIP } from "node:net";
import type { ConnectionOptions } from "node:tls";
import pg from "pg";
import { messageOf, WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { Log } from "../../lib/log.ts";
import { PRIMARY_QUERY, type Primary, PrimaryGuard, primaryOf } from "./primary.ts";
import { storeError } from "./sql.ts";

/** A connection in somebody's hands, to a server that was the primary when it was made. */
export interface HostConnection {
  readonly primary: Primary;
  query<Row extends object>(
    text: string,
    params?: readonly unknown[],
  ): Promise<{ readonly rows: Row[]; readonly command: string }>;
  /** Warnings (SQLSTATE class 01) the server gave since the last call. */
  takeWarnings(): readonly string[];
  /** With an error: the connection is of no more use. */
  release(broken?: Error): void;
}

/** One server. */
export interface StoreHost {
  /** host:port. */
  readonly name: string;
  /** Rejects with STORE_NOT_PRIMARY when it is a standby. */
  connect(): Promise<HostConnection>;
  /** Who it is, over a connection of its own: for a pool that is exhausted says nothing about its server. */
  probe(): Promise<Primary>;
  close(): Promise<void>;
}

export interface PoolOptions {
  readonly types: pg.CustomTypesConfig;
  readonly connectionsMaxCount: number;
  readonly statementTimeoutMs: number;
  readonly log: Log;
}

/** One host per server of a connection string. Throws `invalid_argument` (STORE_URL) or `failed_precondition` (STORE_INSECURE). */
export function hostsOf(url: string, caPem: string | undefined, options: PoolOptions): readonly StoreHost[] {
  return connectionsOf(url, caPem).map((each) => poolHost(each, options));
}

/** How each server of a connection string is reached (P1 of pg.ts). Errors of `hostsOf`. */
export function connectionsOf(url: string, caPem: string | undefined): readonly pg.ClientConfig[] {
  return splitHosts(url).map((each) => connectionOf(each, caPem));
}

/** `postgres://user@a:5432,b:5433/db` names two servers, as libpq has it. */
function splitHosts(url: string): readonly string[] {
  const [, scheme = "", user = "", hosts = "", rest = ""] =
    /^(postgres(?:ql)?:\/\/)((?:[^/?#]*@)?)([^/?#@]*)(.*)$/s.exec(url) ?? [];
  return hosts.includes(",") ? hosts.split(",").map((host) => `${scheme}${user}${host}${rest}`) : [url];
}

function connectionOf(url: string, caPem: string | undefined): pg.ClientConfig {
  const malformed = new WeftError("invalid_argument", "not a PostgreSQL connection string", { detail: "STORE_URL" });
  if (!URL.canParse(url)) throw malformed;
  const parsed = new URL(url);
  if (parsed.protocol !== "postgres:" && parsed.protocol !== "postgresql:") throw malformed;
  const host = decodeURIComponent(parsed.hostname) || parsed.searchParams.get("host") || "localhost";
  const bare = host.replace(/^\[|\]$/g, "");
  const config: pg.ClientConfig = {
    host: bare,
    port: parsed.port === "" ? 5432 : Number(parsed.port),
    ...(parsed.username === "" ? {} : { user: decodeURIComponent(parsed.username) }),
    ...(parsed.password === "" ? {} : { password: decodeURIComponent(parsed.password) }),
    ...(parsed.pathname.length < 2 ? {} : { database: decodeURIComponent(parsed.pathname.slice(1)) }),
  };
  const tls = tlsOf(bare, parsed.searchParams.get("sslmode"), caPem);
  return tls === undefined ? config : { ...config, ssl: tls };
}

function tlsOf(host: string, sslmode: string | null, caPem: string | undefined): ConnectionOptions | undefined {
  const local = host.startsWith("/") || host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
  if (local && caPem === undefined && sslmode !== "verify-full") return undefined;
  if (sslmode === null ? caPem === undefined : sslmode !== "verify-full") {
    const message =
      "a remote store needs TLS with its certificate and name verified: sslmode=verify-full in its URL, and postgresCaFile when its CA is not one this host trusts";
    throw new WeftError("failed_precondition", message, { detail: "STORE_INSECURE" });
  }
  return {
    ...(caPem === undefined ? {} : { ca: caPem }),
    rejectUnauthorized: true,
    minVersion: "TLSv1.2",
    ...(isIP(host) === 0 ? { servername: host } : {}),
  };
}

function poolHost(config: pg.PoolConfig, options: PoolOptions): StoreHost {
  const { types, connectionsMaxCount, statementTimeoutMs, log } = options;
  const bounded: pg.PoolConfig = {
    ...config,
    types,
    application_name: "weft-control",
    // Warnings say that a commit did not reach its standby: a role that silences them would hide that.
    options: "-c client_min_messages=warning",
    connectionTimeoutMillis: limits.storeConnectTimeoutMs,
    statement_timeout: statementTimeoutMs,
    // The server's own bound comes first; this one is for a server that has stopped answering.
    query_timeout: statementTimeoutMs + limits.storeAnswerMarginMs,
    idle_in_transaction_session_timeout: limits.idleTransactionTimeoutMs,
    keepAlive: true,
  };
  const primaries = new WeakMap<pg.ClientBase, Primary>();
  const pool = new pg.Pool({
    ...bounded,
    max: connectionsMaxCount,
    idleTimeoutMillis: limits.storeIdleConnectionMs,
    allowExitOnIdle: true,
    verify: (client, done) => {
      whoIs(client).then(
        (primary) => {
          primaries.set(client, primary);
          done();
        },
        (error: Error) => done(error),
      );
    },
  });
  // An idle connection that breaks is replaced by the pool; without a listener it would end the process.
  pool.on("error", (error) => log.warn("an idle store connection was lost", { error: messageOf(error) }));
  return {
    name: `${config.host}:${config.port}`,
    async connect() {
      const client = await pool.connect();
      const primary = primaries.get(client);
      if (primary !== undefined) return held(client, primary);
      client.release(true);
      throw new Error("a connection whose server was not named");
    },
    probe: () =>
      probe({ ...bounded, connectionTimeoutMillis: limits.storeProbeMs, query_timeout: limits.storeProbeMs }),
    close: () => pool.end(),
  };
}

async function whoIs(client: pg.ClientBase): Promise<Primary> {
  return primaryOf((await client.query<object>(PRIMARY_QUERY)).rows);
}

async function probe(config: pg.ClientConfig): Promise<Primary> {
  const client = new pg.Client(config);
  client.on("error", () => undefined);
  try {
    await client.connect();
    return await whoIs(client);
  } finally {
    void client.end().catch(() => undefined);
  }
}

/** A pooled client while somebody has it. */
function held(client: pg.PoolClient, primary: Primary): HostConnection {
  let warnings: string[] = [];
  let broken: Error | undefined;
  const onNotice = (notice: { readonly code?: string | undefined; readonly message?: string | undefined }): void => {
    if (notice.code?.startsWith("01") === true) warnings.push(notice.message ?? notice.code);
  };
  const onError = (error: Error): void => {
    broken = error;
  };
  client.on("notice", onNotice).on("error", onError);
  return {
    primary,
    query: async <Row extends object>(text: string, params: readonly unknown[] = []) =>
      await client.query<Row>(text, [...params]),
    takeWarnings() {
      const taken = warnings;
      warnings = [];
      return taken;
    },
    release(error) {
      client.off("notice", onNotice).off("error", onError);
      client.release(error ?? broken);
    },
  };
}

/** The servers of a store as one (N1). */
export class StoreHosts {
  readonly guard = new PrimaryGuard();
  readonly #hosts: readonly StoreHost[];
  #current: StoreHost | undefined;
  #finding: Promise<StoreHost> | undefined;

  constructor(hosts: readonly StoreHost[]) {
    this.#hosts = hosts;
  }

  /** host:port of the server in use; the first one before any was. */
  currentName(): string {
    return (this.#current ?? this.#hosts[0])?.name ?? "";
  }

  /** A connection to the primary. Rejects with what the servers said when there is none. */
  async connect(): Promise<HostConnection> {
    const current = this.#current;
    if (current === undefined) return await this.#take(await this.#find());
    try {
      return await this.#take(current);
    } catch (thrown) {
      if (this.#hosts.length === 1 || !isUnavailable(thrown)) throw thrown;
      this.#leave(current);
      return await this.#take(await this.#find());
    }
  }

  /** Whoever is in use gives reason for doubt: the next connection looks at all of them. */
  doubt(): void {
    if (this.#hosts.length > 1) this.#current = undefined;
  }

  /** Asks the servers that are not in use whether one of them has become the primary. */
  async look(): Promise<void> {
    const others = this.#hosts.filter((host) => host !== this.#current);
    const before = this.guard.newest();
    if (this.#current === undefined || before === undefined) return;
    const found = await Promise.allSettled(others.map((host) => host.probe()));
    for (const each of found) {
      if (each.status !== "fulfilled" || each.value.systemIdentifier !== before.systemIdentifier) continue;
      if (each.value.timeline > before.timeline) this.guard.judge(each.value);
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#hosts.map((host) => host.close()));
  }

  #leave(host: StoreHost): void {
    if (this.#current === host) this.#current = undefined;
  }

  async #take(host: StoreHost): Promise<HostConnection> {
    const connection = await host.connect();
    try {
      this.guard.judge(connection.primary);
      return connection;
    } catch (thrown) {
      connection.release(thrown as Error);
      throw thrown;
    }
  }

  #find(): Promise<StoreHost> {
    const [only, ...others] = this.#hosts;
    if (only !== undefined && others.length === 0) {
      this.#current = only;
      return Promise.resolve(only);
    }
    this.#finding ??= this.#findAmong().finally(() => {
      this.#finding = undefined;
    });
    return this.#finding;
  }

  async #findAmong(): Promise<StoreHost> {
    const said: unknown[] = [];
    const found: { readonly host: StoreHost; readonly primary: Primary }[] = [];
    await Promise.all(
      this.#hosts.map(async (host) => {
        try {
          found.push({ host, primary: await host.probe() });
        } catch (thrown) {
          said.push(storeError(thrown));
        }
      }),
    );
    found.sort((a, b) => b.primary.timeline - a.primary.timeline);
    for (const { host, primary } of found) {
      try {
        this.guard.judge(primary);
        this.#current = host;
        return host;
      } catch (thrown) {
        said.push(thrown);
      }
    }
    throw said.find((each) => each instanceof WeftError && each.detail === "STORE_NOT_PRIMARY") ?? said[0];
  }
}

/** Whether another server may do better. */
function isUnavailable(thrown: unknown): boolean {
  const mapped = storeError(thrown);
  return mapped instanceof WeftError && mapped.reason === "unavailable";
}
