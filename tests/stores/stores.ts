/**
 * The stores every contract runs over: PGlite in memory and real PostgreSQL, each test with an empty one. Of PGlite there
 * is one, emptied again and again: starting it takes a second or two.
 *
 * PostgreSQL is the newest, and where SQL itself is what is tested (the port, migrations, leases, backups: `describeEveryStore`) also the
 * oldest that is supported, 15. In a soak every contract runs over all three.
 */

import { afterAll, beforeAll, describe } from "vitest";
import { openPostgres } from "../../control/store/pg.ts";
import { openPglite } from "../../control/store/pglite.ts";
import type { Sql } from "../../control/store/sql.ts";
import { silentLog } from "../../lib/log.ts";
import { requirePeer } from "../harness/peers.ts";
import { type PostgresServer, startPostgres } from "../harness/postgres.ts";

export interface StoreUnderTest {
  readonly driver: Sql["driver"];
  /** Opens an empty store. Everything opened is closed after the file. */
  empty(): Promise<Sql>;
}

type Contract = (store: StoreUnderTest) => void;

const soak = process.env["WEFT_SOAK"] === "1";

/** Declares `contract` for PGlite and the newest PostgreSQL; in a soak for the oldest too. */
export function describeStores(title: string, contract: Contract): void {
  declare(title, contract, soak);
}

/** Declares `contract` once per store there is. */
export function describeEveryStore(title: string, contract: Contract): void {
  declare(title, contract, true);
}

function declare(title: string, contract: Contract, oldest: boolean): void {
  describe(`${title} on PGlite`, () => {
    let sql: Sql;
    beforeAll(async () => {
      sql = await openPglite();
    });
    afterAll(() => sql.close());
    contract({
      driver: "pglite",
      async empty() {
        await sql.script("drop schema public cascade; create schema public");
        return sql;
      },
    });
  });
  describe(`${title} on PostgreSQL`, () => onServer(contract, undefined));
  if (!oldest) return;
  const peer = requirePeer("postgres15", `${title} on PostgreSQL 15`);
  if (!peer.missing) describe(`${title} on PostgreSQL 15`, () => onServer(contract, peer.path));
}

function onServer(contract: Contract, program: string | undefined): void {
  const opened: Sql[] = [];
  let server: PostgresServer;
  beforeAll(async () => {
    server = await startPostgres(program === undefined ? {} : { program });
  });
  afterAll(async () => {
    for (const sql of opened) await sql.close();
    await server.stop();
  });
  contract({
    driver: "postgres",
    async empty() {
      const sql = openPostgres({ url: await server.database(), log: silentLog });
      opened.push(sql);
      return sql;
    },
  });
}
