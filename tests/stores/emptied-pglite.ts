/**
 * One embedded store used by test after test: emptied, or brought back to what the migrations alone leave behind. That is done
 * by emptying the tables where nothing but rows was changed, and by migrating anew where the schema was.
 */

import { migrate } from "../../control/store/migrate.ts";
import type { Sql } from "../../control/store/sql.ts";

interface Seed {
  readonly table: string;
  /** Its rows as JSON. */
  readonly rows: string;
}

/** What the migrations left behind. */
interface Pristine {
  readonly schema: string;
  /** Names of all tables. */
  readonly tables: string;
  readonly seeds: readonly Seed[];
}

/** Whatever is created, dropped or altered shows in one of these. */
const SCHEMA_QUERY = `select md5(string_agg(line, E'\\n' order by line)) as schema from (
  select format('%s %s %s', attrelid, attname, to_jsonb(a) - 'attrelid' - 'attname') as line
    from pg_attribute a join pg_class c on c.oid = attrelid where relnamespace = 'public'::regnamespace
  union all select format('%s %s', oid, prosrc) from pg_proc where pronamespace = 'public'::regnamespace
  union all select format('%s %s', oid, convalidated) from pg_constraint where connamespace = 'public'::regnamespace
  union all select format('%s %s %s', oid, tgrelid, tgenabled) from pg_trigger
  union all select format('%s %s', adrelid, adbin) from pg_attrdef
) lines`;

export class EmptiedPglite {
  readonly sql: Sql;
  #pristine: Pristine | undefined;
  /** Nobody has had it yet. */
  #untouched = true;

  /** `sql` is migrated and has nothing else in it. */
  constructor(sql: Sql) {
    this.sql = sql;
  }

  async empty(): Promise<Sql> {
    this.#untouched = false;
    await this.sql.script("drop schema public cascade; create schema public");
    return this.sql;
  }

  async migrated(): Promise<Sql> {
    const { sql } = this;
    if (this.#untouched) {
      this.#untouched = false;
      this.#pristine = await this.#look();
      return sql;
    }
    const pristine = this.#pristine;
    if (pristine === undefined || pristine.schema !== (await this.#schema())) {
      await this.empty();
      await migrate(sql);
      this.#pristine = await this.#look();
      return sql;
    }
    await sql.script(`truncate ${pristine.tables} restart identity cascade`);
    for (const { table, rows } of pristine.seeds) {
      const restore = `insert into ${table} overriding system value select * from json_populate_recordset(null::${table}, $1)`;
      await sql.query(restore, [rows]);
    }
    return sql;
  }

  async #schema(): Promise<string> {
    return (await this.sql.query<{ schema: string }>(SCHEMA_QUERY))[0]?.schema ?? "";
  }

  async #look(): Promise<Pristine> {
    const names = await this.sql.query<{ name: string }>(
      "select quote_ident(tablename) as name from pg_tables where schemaname = 'public'",
    );
    const seeds: Seed[] = [];
    for (const { name } of names) {
      const [row] = await this.sql.query<{ rows: string | null }>(`select json_agg(t)::text as rows from ${name} t`);
      if (row?.rows !== null && row !== undefined) seeds.push({ table: name, rows: row.rows });
    }
    return { schema: await this.#schema(), tables: names.map(({ name }) => name).join(", "), seeds };
  }
}
