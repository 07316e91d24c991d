import { describe, expect, it } from "vitest";
import { migrate, ownMigrations, requireSchema, statementsOf } from "../../control/store/migrate.ts";
import { openPostgres } from "../../control/store/pg.ts";
import { silentLog } from "../../lib/log.ts";
import { startPostgres } from "../harness/postgres.ts";
import { describeStores } from "./stores.ts";

describeStores("M-W1 migrations", (store) => {
  it("applies every migration once, and nothing the second time", async () => {
    const sql = await store.empty();
    const own = ownMigrations();
    expect((await migrate(sql)).applied).toEqual(own.map((each) => each.number));
    expect(await migrate(sql)).toEqual({ applied: [], version: own.at(-1)?.number });
    expect(await requireSchema(sql)).toBe(own.at(-1)?.number);
  });

  it("has the same tables as the last statement says, and a clock", async () => {
    const sql = await store.empty();
    await migrate(sql);
    const tables = await sql.query<{ name: string }>(
      "select table_name as name from information_schema.tables where table_schema = 'public'",
    );
    for (const name of ["installation", "certificate", "audit", "node", "lease", "revocation"]) {
      expect(tables.map((each) => each.name)).toContain(name);
    }
    const [row] = await sql.query<{ now: number }>("select now_ms() as now");
    expect(Math.abs((row?.now ?? 0) - Date.now())).toBeLessThan(60_000);
  });

  it("leaves the store as it was when a migration fails", async () => {
    const sql = await store.empty();
    const broken = [{ number: 1, name: "broken", sha256: "x", text: "create table a (n int);\nselect broken;\n" }];
    await expect(migrate(sql, broken)).rejects.toThrow();
    expect(await sql.query("select * from schema_migration")).toEqual([]);
    expect(await sql.query("select 1 as found from information_schema.tables where table_name = 'a'")).toEqual([]);
  });

  it("does not start on a schema that is newer, edited or older than the program", async () => {
    const sql = await store.empty();
    await migrate(sql);
    const own = ownMigrations();
    await expect(requireSchema(sql, own.slice(0, -1))).rejects.toMatchObject({ detail: "SCHEMA_NEWER" });
    const edited = own.map((each, at) => (at === 0 ? { ...each, sha256: "0" } : each));
    await expect(migrate(sql, edited)).rejects.toMatchObject({ detail: "SCHEMA_DIVERGED" });
    const more = [...own, { number: 9_999, name: "next", sha256: "1", text: "" }];
    await expect(requireSchema(sql, more)).rejects.toMatchObject({ detail: "SCHEMA_OLDER" });
  });
});

describe("M-W1 concurrent starters", () => {
  it("migrate one PostgreSQL between them, each migration once", async () => {
    const server = await startPostgres();
    try {
      const url = await server.database();
      const replicas = Array.from({ length: 6 }, () => openPostgres({ url, log: silentLog }));
      const outcomes = await Promise.all(replicas.map((sql) => migrate(sql)));
      const all = outcomes.flatMap((each) => each.applied).sort((a, b) => a - b);
      expect(all).toEqual(ownMigrations().map((each) => each.number));
      await Promise.all(replicas.map((sql) => sql.close()));
    } finally {
      await server.stop();
    }
  });
});

describe("splitting a script", () => {
  it("keeps bodies whole and drops comments between statements", () => {
    const script =
      "-- a\ncreate function f() returns int language sql\n  as $$ select 1;\nselect 2; $$;\n\nselect 3;\n";
    expect(statementsOf(script)).toHaveLength(2);
    expect(() => statementsOf("select 1")).toThrow(/inside a statement/);
  });
});
