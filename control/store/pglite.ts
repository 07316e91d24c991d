/**
 * The store inside this process: PGlite, PostgreSQL as WebAssembly, in memory or in a directory. One connection, so
 * transactions take turns.
 *
 * L1. A directory belongs to one process at a time: a second one is refused, or both would corrupt it.
 */

import { createHash } from "node:crypto";
import { mkdirSync, realpathSync, rmSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { errnoOf, WeftError } from "../../lib/errors.ts";
import { PRIMARY_QUERY, type Primary, primaryOf } from "./primary.ts";
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

export interface PgliteOptions {
  /** Where the data lives; in memory when absent. Created 0700. */
  readonly directory?: string;
  /** A cluster to begin with in memory, as PGlite dumps one: that is a matter of moments, and making one of seconds. */
  readonly begin?: Blob;
}

const OID_INT8 = 20;

/** Opens (or creates) an embedded store. Throws `failed_precondition` (STORE_IN_USE) when another process has it. */
export async function openPglite(options: PgliteOptions = {}): Promise<Sql> {
  const { directory, begin } = options;
  if (directory !== undefined) mkdirSync(directory, { recursive: true, mode: 0o700 });
  const lock = directory === undefined ? undefined : await lockDirectory(realpathSync(directory));
  try {
    const parsers = { [OID_INT8]: parseInt8 };
    const where = directory === undefined ? {} : { dataDir: directory };
    const db = await PGlite.create({ parsers, ...where, ...(begin === undefined ? {} : { loadDataDir: begin }) });
    return new PgliteSql(db, lock);
  } catch (cause) {
    lock?.close();
    throw cause;
  }
}

/**
 * A listening socket named after the directory is the lock: the system lets go of it when its process ends, however that
 * ends, which a file with a process id does not.
 */
async function lockDirectory(path: string): Promise<Server> {
  const name = createHash("sha256").update(path).digest("hex").slice(0, 32);
  const address =
    process.platform === "win32" ? `\\\\.\\pipe\\weft-store-${name}` : join(tmpdir(), `weft-store-${name}.sock`);
  for (let attempt = 0; attempt < 2; attempt += 1) {
    const server = await listen(address);
    if (server !== undefined) return server;
    if (await answers(address)) break;
    // Left behind by a process that was killed.
    rmSync(address, { force: true });
  }
  throw new WeftError(
    "failed_precondition",
    "another process uses this store, a control most likely: stop it first; nodes go on without it",
    { detail: "STORE_IN_USE" },
  );
}

function listen(address: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once("error", (error) => {
      if (errnoOf(error) === "EADDRINUSE") resolve(undefined);
      else reject(error);
    });
    server.listen(address, () => resolve(server.unref()));
  });
}

function answers(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(address, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

class PgliteSql implements Sql {
  readonly driver = "pglite";
  readonly #db: PGlite;
  readonly #lock: Server | undefined;
  readonly #guard = new TxGuard();

  constructor(db: PGlite, lock: Server | undefined) {
    this.#db = db;
    this.#lock = lock;
  }

  async query<Row extends object>(text: string, params: readonly SqlParam[] = []): Promise<Row[]> {
    this.#guard.assertOutside();
    try {
      return (await this.#db.query<Row>(text, [...params])).rows;
    } catch (thrown) {
      throw storeError(thrown);
    }
  }

  tx<T>(fn: (tx: Tx) => Promise<T>, options: { readonly mode?: TxMode } = {}): Promise<T> {
    this.#guard.assertOutside();
    return runTx((hints) =>
      this.#db.transaction(async (inner) => {
        // PGlite has begun already; the isolation may still be set before the first statement.
        await inner.query(`set transaction ${isolationOf(options.mode ?? "read committed")}`);
        const tx: Tx = {
          query: async <Row extends object>(text: string, params: readonly SqlParam[] = []) =>
            (await inner.query<Row>(text, [...params])).rows,
          afterCommit: (hint) => void hints.push(hint),
        };
        return await this.#guard.run(() => fn(tx));
      }),
    );
  }

  async script(text: string): Promise<void> {
    this.#guard.assertOutside();
    try {
      await this.#db.exec(text);
    } catch (thrown) {
      throw storeError(thrown);
    }
  }

  async look(): Promise<Primary> {
    return primaryOf(await this.query(PRIMARY_QUERY));
  }

  /** There is one, and it stays. */
  async onPrimary(meet: MeetPrimary): Promise<void> {
    const primary = await this.look();
    await this.tx((tx) => meet(tx, primary));
  }

  async close(): Promise<void> {
    await this.#db.close();
    await new Promise<void>((resolve) => (this.#lock === undefined ? resolve() : this.#lock.close(() => resolve())));
  }
}
