import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../../harness/eventually.ts";
import type { PostgresServer } from "../../harness/postgres.ts";
import { startPostgres } from "../../harness/postgres.ts";

describe("a PostgreSQL of its own", () => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(() => server.stop());

  async function query(url: string, sql: string): Promise<unknown[]> {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      return (await client.query(sql)).rows as unknown[];
    } finally {
      await client.end();
    }
  }

  it("is version 18 and gives out databases that do not see each other", async () => {
    const [first, second] = await Promise.all([server.database(), server.database()]);
    await query(first, "create table kept (n int)");
    expect(await query(first, "select current_setting('server_version_num')::int / 10000 as major")).toEqual([
      { major: 18 },
    ]);
    await expect(query(second, "select * from kept")).rejects.toThrow(/does not exist/);
  });

  it("cuts sessions in an interruption, refuses, and comes back with its data", async () => {
    const url = await server.database();
    await query(url, "create table kept as select 7 as n");
    const open = new pg.Client({ connectionString: url });
    await open.connect();
    const cut = new Promise((resolve) => open.on("error", resolve));
    const restore = await server.interrupt();
    await cut;
    await expect(query(url, "select 1")).rejects.toThrow(/ECONNREFUSED/);
    await restore();
    expect(await eventually(() => query(url, "select n from kept"))).toEqual([{ n: 7 }]);
  });
});
