/**
 * The store on a PostgreSQL server.
 *
 * P1. A server that is not on this host is spoken to over TLS with its certificate and name verified, or not at all.
 * P2. Every connection is to a primary: a standby is refused when the connection is made, and a later demotion shows as
 *     STORE_NOT_PRIMARY when something is written.
 * P3. No call waits for ever: connecting, each statement and an idle transaction have a bound, on both sides of the wire.
 */

import { isIP } from "node:net";
import type { ConnectionOptions } from "node:tls";
import pg from "pg";
import { messageOf, WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { Log } from "../../lib/log.ts";
import {
  isolationOf,
  parseInt8,
  runTx,
  type Sql,
  type SqlParam,
  storeError,
  type Tx,
  TxGuard,
  type TxMode,
} from "./sql.ts";

export interface PostgresOptions {
  /** `postgres://user:password@host:port/database`. A secret. */
  readonly url: string;
  /** CA certificates of the server, PEM; those the host trusts when absent, and then the URL must say sslmode=verify-full. */
  readonly caPem?: string;
  readonly connectionsMaxCount?: number;
  readonly statementTimeoutMs?: number;
  readonly log: Log;
}

const OID_INT8 = 20;
const OID_BYTEA = 17;

const types: pg.CustomTypesConfig = {
  getTypeParser(oid: number, format?: unknown) {
    if (oid === OID_INT8) return parseInt8;
    // node-postgres asks for a text or a binary parser; only text is in use here.
    const parser = pg.types.getTypeParser(oid, format as "text") as (text: string) => unknown;
    if (oid === OID_BYTEA) return (text: string) => Uint8Array.from(parser(text) as Buffer);
    return parser;
  },
} as pg.CustomTypesConfig;

/** Opens a pool. Throws `invalid_argument` (STORE_URL) or `failed_precondition` (STORE_INSECURE); connects lazily. */
export function openPostgres(options: PostgresOptions): Sql {
  const statementTimeoutMs = options.statementTimeoutMs ?? limits.statementTimeoutMs;
  const pool = new pg.Pool({
    ...connectionOf(options.url, options.caPem),
    types,
    application_name: "weft-control",
    max: options.connectionsMaxCount ?? limits.poolConnectionsMaxCount,
    connectionTimeoutMillis: limits.storeConnectTimeoutMs,
    statement_timeout: statementTimeoutMs,
    // The server's own bound comes first; this one is for a server that has stopped answering.
    query_timeout: statementTimeoutMs + limits.storeAnswerMarginMs,
    idle_in_transaction_session_timeout: limits.idleTransactionTimeoutMs,
    idleTimeoutMillis: limits.storeIdleConnectionMs,
    keepAlive: true,
    allowExitOnIdle: true,
    verify: (client, done) => {
      refuseStandby(client).then(() => done(), done);
    },
  });
  // An idle connection that breaks is replaced by the pool; without a listener it would end the process.
  pool.on("error", (error) => options.log.warn("an idle store connection was lost", { error: messageOf(error) }));
  return new PostgresSql(pool);
}

async function refuseStandby(client: pg.PoolClient): Promise<void> {
  const { rows } = await client.query<{ standby: boolean }>("select pg_is_in_recovery() as standby");
  if (rows[0]?.standby !== false) {
    throw new WeftError("unavailable", "the control store is not the primary", { detail: "STORE_NOT_PRIMARY" });
  }
}

function connectionOf(url: string, caPem: string | undefined): pg.PoolConfig {
  const malformed = new WeftError("invalid_argument", "not a PostgreSQL connection string", { detail: "STORE_URL" });
  if (!URL.canParse(url)) throw malformed;
  const parsed = new URL(url);
  if (parsed.protocol !== "postgres:" && parsed.protocol !== "postgresql:") throw malformed;
  const host = decodeURIComponent(parsed.hostname) || parsed.searchParams.get("host") || "localhost";
  const bare = host.replace(/^\[|\]$/g, "");
  const config: pg.PoolConfig = {
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
    const message = "a remote store needs TLS with its certificate and name verified: sslmode=verify-full";
    throw new WeftError("failed_precondition", message, { detail: "STORE_INSECURE" });
  }
  return {
    ...(caPem === undefined ? {} : { ca: caPem }),
    rejectUnauthorized: true,
    minVersion: "TLSv1.2",
    ...(isIP(host) === 0 ? { servername: host } : {}),
  };
}

class PostgresSql implements Sql {
  readonly driver = "postgres";
  readonly #pool: pg.Pool;
  readonly #guard = new TxGuard();

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  async query<Row extends object>(text: string, params: readonly SqlParam[] = []): Promise<Row[]> {
    this.#guard.assertOutside();
    try {
      return (await this.#pool.query<Row>(text, [...params])).rows;
    } catch (thrown) {
      throw storeError(thrown);
    }
  }

  tx<T>(fn: (tx: Tx) => Promise<T>, options: { readonly mode?: TxMode } = {}): Promise<T> {
    this.#guard.assertOutside();
    return runTx((hints) => this.#attempt(fn, options.mode ?? "read committed", hints));
  }

  async #attempt<T>(fn: (tx: Tx) => Promise<T>, mode: TxMode, hints: (() => void)[]): Promise<T> {
    const client = await this.#pool.connect();
    let broken: Error | undefined;
    const onError = (error: Error): void => {
      broken = error;
    };
    client.on("error", onError);
    try {
      await client.query(`begin ${isolationOf(mode)}`);
      const tx: Tx = {
        query: async <Row extends object>(text: string, params: readonly SqlParam[] = []) =>
          (await client.query<Row>(text, [...params])).rows,
        afterCommit: (hint) => void hints.push(hint),
      };
      const result = await this.#guard.run(() => fn(tx));
      await commit(client);
      return result;
    } catch (thrown) {
      // The connection is kept only when it has answered: a rollback that fails means it is of no use.
      await client.query("rollback").catch((error: Error) => {
        broken = error;
      });
      throw thrown;
    } finally {
      client.off("error", onError);
      client.release(broken);
    }
  }

  async script(text: string): Promise<void> {
    this.#guard.assertOutside();
    try {
      await this.#pool.query(text);
    } catch (thrown) {
      throw storeError(thrown);
    }
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }
}

async function commit(client: pg.PoolClient): Promise<void> {
  try {
    const { command } = await client.query("commit");
    // PostgreSQL answers COMMIT of a failed transaction with ROLLBACK, and no error.
    if (command !== "COMMIT") throw new Error("the transaction had already failed");
  } catch (thrown) {
    const mapped = storeError(thrown);
    if (!(mapped instanceof WeftError) || mapped.detail !== "STORE_UNAVAILABLE") throw thrown;
    const message = "the control store was lost while it answered; look whether the change was made";
    throw new WeftError("unavailable", message, { detail: "STORE_COMMIT_UNKNOWN", cause: thrown });
  }
}
