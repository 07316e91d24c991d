/**
 * The store on a PostgreSQL server, or on a primary and its standbys.
 *
 * P1. A server that is not on this host is spoken to over TLS with its certificate and name verified, or not at all.
 * P2. Every connection is to the primary, on no lower timeline than this process has seen (primary.ts): a standby is refused
 *     when the connection is made, and a later demotion shows as STORE_NOT_PRIMARY when something is written.
 * P3. No call waits for ever: connecting, each statement and an idle transaction have a bound, on both sides of the wire.
 * P4. A commit counts when its standbys have it, where the server asks that of them: one whose wait was cut short is in this
 *     primary and perhaps in no other, and is answered as unknown.
 */

import pg from "pg";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { Log } from "../../lib/log.ts";
import { type HostConnection, hostsOf, type StoreHost, StoreHosts } from "./pg-hosts.ts";
import { isSamePrimary, type Primary } from "./primary.ts";
import {
  isolationOf,
  type MeetPrimary,
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
  /** `postgres://user:password@host:port/database`, with several `host:port` behind commas. A secret. */
  readonly url: string;
  /** CA certificates of the server, PEM; those the host trusts when absent, and then the URL must say sslmode=verify-full. */
  readonly caPem?: string;
  readonly connectionsMaxCount?: number;
  readonly statementTimeoutMs?: number;
  readonly log: Log;
}

const OID_INT8 = 20;
const OID_BYTEA = 17;

/** How values come out (Q1 of sql.ts). */
export const rowTypes: pg.CustomTypesConfig = {
  getTypeParser(oid: number, format?: unknown) {
    if (oid === OID_INT8) return parseInt8;
    // node-postgres asks for a text or a binary parser; only text is in use here.
    const parser = pg.types.getTypeParser(oid, format as "text") as (text: string) => unknown;
    if (oid === OID_BYTEA) return (text: string) => Uint8Array.from(parser(text) as Buffer);
    return parser;
  },
} as pg.CustomTypesConfig;

/** Opens pools. Throws `invalid_argument` (STORE_URL) or `failed_precondition` (STORE_INSECURE); connects lazily. */
export function openPostgres(options: PostgresOptions): Sql {
  const {
    url,
    caPem,
    log,
    connectionsMaxCount = limits.poolConnectionsMaxCount,
    statementTimeoutMs = limits.statementTimeoutMs,
  } = options;
  return openHosts(hostsOf(url, caPem, { types: rowTypes, connectionsMaxCount, statementTimeoutMs, log }));
}

/** A store on these servers. */
export function openHosts(hosts: readonly StoreHost[]): Sql {
  return new PostgresSql(new StoreHosts(hosts));
}

class PostgresSql implements Sql {
  readonly driver = "postgres";
  readonly #hosts: StoreHosts;
  readonly #guard = new TxGuard();
  #meet: MeetPrimary | undefined;
  #met: Primary | undefined;
  #meeting: Promise<void> | undefined;

  constructor(hosts: StoreHosts) {
    this.#hosts = hosts;
  }

  async query<Row extends object>(text: string, params: readonly SqlParam[] = []): Promise<Row[]> {
    this.#guard.assertOutside();
    try {
      return await this.#once((connection) => connection.query<Row>(text, params));
    } catch (thrown) {
      throw storeError(thrown);
    }
  }

  tx<T>(fn: (tx: Tx) => Promise<T>, options: { readonly mode?: TxMode } = {}): Promise<T> {
    this.#guard.assertOutside();
    return runTx(async (hints) => {
      const connection = await this.#connect();
      return await this.#attempt(connection, fn, options.mode ?? "read committed", hints);
    });
  }

  async script(text: string): Promise<void> {
    this.#guard.assertOutside();
    try {
      await this.#once((connection) => connection.query(text));
    } catch (thrown) {
      throw storeError(thrown);
    }
  }

  async look(): Promise<Primary> {
    this.#guard.assertOutside();
    try {
      await this.#hosts.look();
      const connection = await this.#connect();
      try {
        await connection.query("select 1 as answer");
      } catch (thrown) {
        connection.release(thrown as Error);
        throw thrown;
      }
      connection.release();
      return connection.primary;
    } catch (thrown) {
      throw storeError(thrown);
    }
  }

  async onPrimary(meet: MeetPrimary): Promise<void> {
    this.#meet = meet;
    this.#met = undefined;
    await this.look();
  }

  async close(): Promise<void> {
    await this.#hosts.close();
  }

  /** A connection to a primary that has been met: whatever it is used for comes after that. */
  async #connect(): Promise<HostConnection> {
    for (;;) {
      const connection = await this.#hosts.connect();
      if (this.#meet === undefined || isSamePrimary(this.#met, connection.primary)) return connection;
      if (this.#meeting === undefined) {
        const meeting = this.#meetOn(connection, this.#meet).finally(() => {
          this.#meeting = undefined;
        });
        this.#meeting = meeting;
        await meeting;
      } else {
        // One at a time; then again, for meanwhile the primary may be another one.
        connection.release();
        await this.#meeting.catch(() => undefined);
      }
    }
  }

  async #meetOn(connection: HostConnection, meet: MeetPrimary): Promise<void> {
    const { primary } = connection;
    const hints: (() => void)[] = [];
    await this.#attempt(connection, (tx) => meet(tx, primary), "read committed", hints);
    this.#met = primary;
    for (const hint of hints) hint();
  }

  async #once<Row extends object>(
    run: (connection: HostConnection) => Promise<{ readonly rows: Row[] }>,
  ): Promise<Row[]> {
    const connection = await this.#connect();
    try {
      connection.takeWarnings();
      const { rows } = await run(connection);
      requireReplicated(connection);
      connection.release();
      return rows;
    } catch (thrown) {
      connection.release(this.#isUseless(thrown) ? (thrown as Error) : undefined);
      throw thrown;
    }
  }

  async #attempt<T>(
    connection: HostConnection,
    fn: (tx: Tx) => Promise<T>,
    mode: TxMode,
    hints: (() => void)[],
  ): Promise<T> {
    let broken: Error | undefined;
    try {
      await connection.query(`begin ${isolationOf(mode)}`);
      const tx: Tx = {
        query: async <Row extends object>(text: string, params: readonly SqlParam[] = []) =>
          (await connection.query<Row>(text, params)).rows,
        afterCommit: (hint) => void hints.push(hint),
      };
      const result = await this.#guard.run(() => fn(tx));
      await commit(connection);
      return result;
    } catch (thrown) {
      // The connection is kept only when it has answered: a rollback that fails means it is of no use.
      if (this.#isUseless(thrown)) broken = thrown as Error;
      else
        await connection.query("rollback").catch((error: Error) => {
          broken = error;
        });
      throw thrown;
    } finally {
      connection.release(broken);
    }
  }

  /** Whether a connection can do nothing more; then its server is not taken for the primary without asking again. */
  #isUseless(thrown: unknown): boolean {
    const mapped = storeError(thrown);
    const useless = mapped instanceof WeftError && lostDetails.has(mapped.detail);
    if (useless) this.#hosts.doubt();
    return useless;
  }
}

const lostDetails = new Set(["STORE_UNAVAILABLE", "STORE_COMMIT_UNKNOWN", "STORE_NOT_PRIMARY"]);

async function commit(connection: HostConnection): Promise<void> {
  connection.takeWarnings();
  try {
    const { command } = await connection.query("commit");
    // PostgreSQL answers COMMIT of a failed transaction with ROLLBACK, and no error.
    if (command !== "COMMIT") throw new Error("the transaction had already failed");
  } catch (thrown) {
    const mapped = storeError(thrown);
    if (!(mapped instanceof WeftError) || mapped.detail !== "STORE_UNAVAILABLE") throw thrown;
    throw commitUnknown(thrown);
  }
  requireReplicated(connection);
}

/** A wait for standbys that was cut short is told as a warning, behind a commit that looks like any other (P4). */
function requireReplicated(connection: HostConnection): void {
  const [warning] = connection.takeWarnings();
  if (warning !== undefined) throw commitUnknown(new Error(warning));
}

function commitUnknown(cause: unknown): WeftError {
  const message = "the control store was lost while it answered; look whether the change was made";
  return new WeftError("unavailable", message, { detail: "STORE_COMMIT_UNKNOWN", cause });
}
