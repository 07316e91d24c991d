/**
 * The stores every contract runs over: PGlite in memory and a real PostgreSQL, each test with an empty one. Of PGlite there
 * is one, emptied again and again: starting it takes a second or two.
 */

import { afterAll, beforeAll, describe } from "vitest";
import { openPostgres } from "../../control/store/pg.ts";
import { openPglite } from "../../control/store/pglite.ts";
import type { Sql } from "../../control/store/sql.ts";
import { silentLog } from "../../lib/log.ts";
import { type PostgresServer, startPostgres } from "../harness/postgres.ts";

export interface StoreUnderTest {
  readonly driver: Sql["driver"];
  /** Opens an empty store. Everything opened is closed after the file. */
  empty(): Promise<Sql>;
}

/** Declares `contract` once per driver. */
export function describeStores(title: string, contract: (store: StoreUnderTest) => void): void {
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
  describe(`${title} on PostgreSQL`, () => {
    const opened: Sql[] = [];
    let server: PostgresServer;
    beforeAll(async () => {
      server = await startPostgres();
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
  });
}
