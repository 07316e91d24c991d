/**
 * The tables of a store as the database itself describes them, in an order in which each comes after what it refers to.
 * Whatever copies a store as a whole goes by this, so that a table that is added later is copied too.
 */

import type { Queryable } from "./sql.ts";

export interface ColumnShape {
  readonly name: string;
  /** As in a cast: "bigint", "text[]". */
  readonly type: string;
}

export interface TableShape {
  readonly name: string;
  readonly columns: readonly ColumnShape[];
  /** Primary key columns, in their order. */
  readonly key: readonly string[];
  /** The column whose values the database counts up by itself, if any. */
  readonly identity?: string;
}

/** The record of applied migrations: made by `migrate`, never copied. */
export const ledgerTable = "schema_migration";

const ours = `c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p') and not c.relispartition`;

interface ColumnRow {
  readonly table: string;
  readonly name: string;
  readonly type: string;
  readonly identity: boolean;
}

/** Every table of the current schema but the ledger; referenced ones first. */
export async function tableShapes(q: Queryable): Promise<readonly TableShape[]> {
  const columns = await q.query<ColumnRow>(
    `select c.relname::text as "table", a.attname::text as name, format_type(a.atttypid, a.atttypmod) as type,
       a.attidentity <> '' as identity
     from pg_class c join pg_attribute a on a.attrelid = c.oid
     where ${ours} and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and c.relname <> '${ledgerTable}'
     order by c.relname, a.attnum`,
  );
  const keys = await q.query<{ table: string; name: string }>(
    `select c.relname::text as "table", a.attname::text as name
     from pg_class c join pg_index i on i.indrelid = c.oid and i.indisprimary
       join unnest(i.indkey) with ordinality as k (attnum, at) on true
       join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
     where ${ours} order by c.relname, k.at`,
  );
  const shapes = new Map<string, TableShape>();
  for (const name of new Set(columns.map((each) => each.table))) {
    const own = columns.filter((each) => each.table === name);
    const identity = own.find((each) => each.identity)?.name;
    shapes.set(name, {
      name,
      columns: own.map((each) => ({ name: each.name, type: each.type })),
      key: keys.filter((each) => each.table === name).map((each) => each.name),
      ...(identity === undefined ? {} : { identity }),
    });
  }
  return referencedFirst(shapes, await references(q));
}

async function references(q: Queryable): Promise<readonly { readonly from: string; readonly to: string }[]> {
  return await q.query<{ from: string; to: string }>(
    `select c.relname::text as "from", t.relname::text as "to"
     from pg_constraint f join pg_class c on c.oid = f.conrelid join pg_class t on t.oid = f.confrelid
     where f.contype = 'f' and ${ours} and t.oid <> c.oid order by 1, 2`,
  );
}

function referencedFirst(
  shapes: ReadonlyMap<string, TableShape>,
  edges: readonly { readonly from: string; readonly to: string }[],
): readonly TableShape[] {
  const done = new Set<string>();
  const sorted: TableShape[] = [];
  const visit = (name: string): void => {
    const shape = shapes.get(name);
    if (shape === undefined || done.has(name)) return;
    done.add(name);
    for (const { from, to } of edges) if (from === name) visit(to);
    sorted.push(shape);
  };
  for (const name of [...shapes.keys()].sort()) visit(name);
  return sorted;
}

/** Whether the store has a table of that name. */
export async function hasTable(q: Queryable, name: string): Promise<boolean> {
  const rows = await q.query(`select 1 as found from pg_class c where c.relname = $1 and ${ours}`, [name]);
  return rows.length > 0;
}

/** A name as an identifier in SQL. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** How many rows each table has. */
export async function rowCounts(
  q: Queryable,
  shapes: readonly Pick<TableShape, "name">[],
): Promise<Readonly<Record<string, number>>> {
  const counts: Record<string, number> = {};
  for (const { name } of shapes) {
    const [row] = await q.query<{ rows: number }>(`select count(*) as rows from ${quoted(name)}`);
    counts[name] = row?.rows ?? 0;
  }
  return counts;
}

/** What the whole database takes on disk, in bytes. */
export async function databaseSizeBytes(q: Queryable): Promise<number> {
  const [row] = await q.query<{ bytes: number }>("select pg_database_size(current_database()) as bytes");
  return row?.bytes ?? 0;
}
