import { spawn } from "node:child_process";
import { describe, expect, it } from "vitest";
import { hasTable, tableShapes } from "../../control/store/catalog.ts";
import { type Migration, migrate, ownMigrations, requireSchema, statementsOf } from "../../control/store/migrate.ts";
import { openPostgres } from "../../control/store/pg.ts";
import { silentLog } from "../../lib/log.ts";
import { isSoak } from "../harness/counts.ts";
import { eventually } from "../harness/eventually.ts";
import { sharedPostgres } from "../harness/shared-stores.ts";
import { describeEveryStore } from "./stores.ts";

describeEveryStore("M-W1 migrations", (store) => {
  it("applies every migration once, and nothing the second time", async () => {
    const sql = await store.empty();
    const own = ownMigrations();
    expect((await migrate(sql)).applied).toEqual(own.map((each) => each.number));
    expect(await migrate(sql)).toEqual({ applied: [], version: own.at(-1)?.number });
    expect(await requireSchema(sql)).toBe(own.at(-1)?.number);
  });

  it("arrives at the same schema from every earlier number", async () => {
    const own = ownMigrations();
    const shapeOf = async (from: number): Promise<unknown> => {
      const sql = await store.empty();
      if (from > 0) await migrate(sql, own.slice(0, from));
      expect((await migrate(sql)).applied).toEqual(own.slice(from).map((each) => each.number));
      return await tableShapes(sql);
    };
    const whole = await shapeOf(0);
    const earlier = isSoak ? own.map((_, at) => at).slice(1) : [9, own.length - 1];
    for (const from of earlier) expect(await shapeOf(from), `from ${own[from]?.name}`).toEqual(whole);
  }, 60_000);

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

  /** What is refused does not depend on the database. */
  const once = (name: string, test: () => Promise<void>): void => {
    if (store.driver === "pglite" || isSoak) it(name, test, 60_000);
  };

  once("names what is wrong with a store and what cures it, before it touches anything", async () => {
    const own = ownMigrations();
    const next = { number: 9_999, name: "next", sha256: "1", text: "create table next_one (n int);\n" };
    const mark = (direction: string) =>
      `insert into store_move (id, direction, counterpart) values ('mv-1', '${direction}', 'postgres://elsewhere/weft')`;
    const cases: readonly (readonly [detail: string, cure: RegExp, spoil: string])[] = [
      ["SCHEMA_NEWER", /newer version; run that version/, "insert into schema_migration values (9998, 'later', 'x')"],
      ["SCHEMA_DIVERGED", /run the version that made/, "update schema_migration set sha256 = 'x' where number = 3"],
      ["SCHEMA_INTERRUPTED", /empty it, or restore a backup/, "drop table schema_migration"],
      ["STORE_MOVED", /moved to postgres:\/\/elsewhere\/weft; start control with postgresUrlFile/, mark("departed")],
      ["STORE_ARRIVING", /run the same "weft db migrate" again/, mark("arriving")],
    ];
    for (const [detail, cure, spoil] of cases) {
      const sql = await store.empty();
      await migrate(sql, own);
      await sql.script(spoil);
      await expect(migrate(sql, [...own, next]), detail).rejects.toMatchObject({
        reason: "failed_precondition",
        detail,
        message: expect.stringMatching(cure),
      });
      expect(await hasTable(sql, "next_one"), detail).toBe(false);
    }
  });
});

describe("M-W1 concurrent starters", () => {
  it("migrate one PostgreSQL between them, each migration once", async () => {
    const server = await sharedPostgres();
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

describe("M-W1 a starter that is killed while it migrates", () => {
  it("leaves whole migrations and no lock; the next one goes on", async () => {
    const server = await sharedPostgres();
    try {
      const url = await server.database();
      const own = ownMigrations();
      const at = own[3]?.number ?? 0;
      // The fourth migration is under way when its process is killed; the server gives its transaction up by the bound on
      // statements.
      const dying = own.map((each) =>
        each.number === at ? { ...each, text: `${each.text}\nselect pg_sleep(60);\n` } : each,
      );
      const pid = await new Promise<number>((resolve, reject) => {
        const child = spawn(process.execPath, ["--input-type=module", "-e", starter(url, dying)], { stdio: "pipe" });
        child.once("error", reject);
        child.stdout.once("data", () => resolve(child.pid ?? 0));
      });
      const sql = openPostgres({ url, log: silentLog });
      await eventually(
        async () =>
          (
            await sql.query(
              "select 1 as n from pg_stat_activity where datname = current_database() and query like 'select pg_sleep(60)%'",
            )
          ).length > 0,
        { what: "the migration that hangs" },
      );
      process.kill(pid, "SIGKILL");
      const outcome = await migrate(sql, own);
      expect(outcome.applied[0]).toBe(at);
      expect(await requireSchema(sql, own)).toBe(own.at(-1)?.number);
      await sql.close();
    } finally {
      await server.stop();
    }
  }, 60_000);
});

/** A process that migrates; it says so when it begins. */
function starter(url: string, migrations: readonly Migration[]): string {
  const from = (file: string): string => JSON.stringify(new URL(file, import.meta.url).href);
  return `const { migrate } = await import(${from("../../control/store/migrate.ts")});
    const { openPostgres } = await import(${from("../../control/store/pg.ts")});
    const { silentLog } = await import(${from("../../lib/log.ts")});
    console.log("begins");
    await migrate(openPostgres({ url: ${JSON.stringify(url)}, log: silentLog, statementTimeoutMs: 3_000 }), ${JSON.stringify(migrations)});`;
}

describe("splitting a script", () => {
  it("keeps bodies whole and drops comments between statements", () => {
    const script =
      "-- a\ncreate function f() returns int language sql\n  as $$ select 1;\nselect 2; $$;\n\nselect 3;\n";
    expect(statementsOf(script)).toHaveLength(2);
    expect(() => statementsOf("select 1")).toThrow(/inside a statement/);
  });
});
