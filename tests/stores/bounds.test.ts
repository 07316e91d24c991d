/** No call on a PostgreSQL store waits for ever, and no process takes more connections than it was given. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { restoreStore } from "../../control/domain/store-restore.ts";
import { openPostgres } from "../../control/store/pg.ts";
import type { Sql } from "../../control/store/sql.ts";
import { silentLog } from "../../lib/log.ts";
import { controlCluster } from "../harness/control-cluster.ts";
import { type Databases, sharedPostgres } from "../harness/shared-stores.ts";

let server: Databases;
let url: string;
const opened: Sql[] = [];

beforeAll(async () => {
  server = await sharedPostgres();
  url = await server.database();
});
afterAll(async () => {
  await Promise.all(opened.map((sql) => sql.close()));
  await server.stop();
});

function open(over: { readonly connectionsMaxCount?: number; readonly statementTimeoutMs?: number }): Sql {
  const sql = openPostgres({ url, log: silentLog, ...over });
  opened.push(sql);
  return sql;
}

const busy = { reason: "unavailable", detail: "STORE_BUSY" };

describe("a PostgreSQL store", () => {
  it("ends a statement at its bound, alone or in a transaction, and is of use again", async () => {
    const sql = open({ statementTimeoutMs: 200 });
    await expect(sql.query("select pg_sleep(60)")).rejects.toMatchObject(busy);
    await expect(sql.tx((tx) => tx.query("select pg_sleep(60)"))).rejects.toMatchObject(busy);
    expect(await sql.query("select 1 as n")).toEqual([{ n: 1 }]);
  });

  it("ends the wait for a row that somebody keeps", async () => {
    const sql = open({ statementTimeoutMs: 300 });
    await sql.script("create table kept (n int); insert into kept values (1)");
    let waited: unknown;
    await sql.tx(async (tx) => {
      await tx.query("select n from kept for update");
      waited = await open({ statementTimeoutMs: 300 })
        .query("update kept set n = 2")
        .catch((thrown: unknown) => thrown);
    });
    expect(waited).toMatchObject(busy);
    expect(await sql.query("select n from kept")).toEqual([{ n: 1 }]);
  });

  it("takes as many connections as it may, and lets the rest wait their turn", async () => {
    url = await server.database();
    const sql = open({ connectionsMaxCount: 3 });
    const seen: number[] = [];
    const ask = async (): Promise<void> => {
      const [row] = await sql.query<{ own: number }>(
        `select count(*) as own from pg_stat_activity, (select pg_sleep(0.02)) nap
         where datname = current_database() and application_name = 'weft-control'`,
      );
      seen.push(row?.own ?? 0);
    };
    await Promise.all(Array.from({ length: 30 }, ask));
    expect(seen).toHaveLength(30);
    expect(Math.max(...seen)).toBeLessThanOrEqual(3);
  });

  it("is not restored over while a control uses it", async () => {
    url = await server.database();
    const { ctx } = await controlCluster(open({}));
    const own = open({ connectionsMaxCount: 1 });
    const order = { file: "/nowhere", replace: true, dryRun: false };
    await expect(restoreStore({ ...ctx, sql: own }, order)).rejects.toMatchObject({
      detail: "STORE_IN_USE",
      message: expect.stringContaining("stop every control process first"),
    });
  });

  it("says that a server is not there, without naming it to callers", async () => {
    const gone = openPostgres({ url: "postgres://weft:hunter2@127.0.0.1:1/weft", log: silentLog });
    const thrown: unknown = await gone.query("select 1").catch((error: unknown) => error);
    expect(thrown).toMatchObject({ reason: "unavailable", detail: "STORE_UNAVAILABLE" });
    expect((thrown as Error).message).not.toMatch(/127|hunter2|weft:/);
    await gone.close();
  });
});
