/**
 * Rows of any table on their way between stores and files.
 *
 * Every value travels as the text the database itself writes for it and reads back through the column's type, so a copy is
 * exact whatever drivers are at its ends. Rows travel in batches: memory does not depend on the size of a store.
 */

import { createHash } from "node:crypto";
import { limits } from "../../lib/limits.ts";
import { quoted, type TableShape } from "./catalog.ts";
import type { Queryable, Tx } from "./sql.ts";

/** The values of one row in the order of its table's columns. */
export type TextRow = readonly (string | null)[];

/** Every row of a table by primary key, in batches. Inside a transaction: it reads through a cursor. */
export async function* readRows(tx: Tx, shape: TableShape): AsyncGenerator<readonly TextRow[]> {
  const values = shape.columns.map(({ name }) => `${quoted(name)}::text`);
  const order = (shape.key.length > 0 ? shape.key : shape.columns.map(({ name }) => name)).map(
    (name) => `${quoted(name)}::text collate "C"`,
  );
  await tx.query(
    `declare weft_rows no scroll cursor for select json_build_array(${values.join(", ")})::text as row
     from ${quoted(shape.name)} order by ${order.join(", ")}`,
  );
  try {
    for (;;) {
      const rows = await tx.query<{ row: string }>(`fetch ${limits.storeCopyBatchCount} from weft_rows`);
      if (rows.length === 0) break;
      yield rows.map(({ row }) => JSON.parse(row) as TextRow);
    }
  } finally {
    await tx.query("close weft_rows").catch(() => undefined);
  }
}

/** Inserts rows as they are, values that the database usually makes itself included. */
export async function writeRows(q: Queryable, shape: TableShape, rows: readonly TextRow[]): Promise<void> {
  if (rows.length === 0) return;
  const names = shape.columns.map(({ name }) => quoted(name)).join(", ");
  const values = shape.columns.map(({ type }, at) => `(r.row ->> ${at})::${type}`).join(", ");
  await q.query(
    `insert into ${quoted(shape.name)} (${names}) overriding system value
     select ${values} from jsonb_array_elements($1::jsonb) as r (row)`,
    [JSON.stringify(rows)],
  );
}

/** Sets what counts up by itself behind the highest value it has. */
export async function settleCounters(q: Queryable, shapes: readonly TableShape[]): Promise<void> {
  for (const { name, identity } of shapes) {
    if (identity === undefined) continue;
    await q.query(
      `select setval(pg_get_serial_sequence($1, $2),
         (select coalesce(max(${quoted(identity)}), 0) + 1 from ${quoted(name)}), false) as next`,
      [quoted(name), identity],
    );
  }
}

/** Empties every table, those that refer first: migrations may have put rows into them. */
export async function emptyTables(q: Queryable, shapes: readonly TableShape[]): Promise<void> {
  for (const { name } of [...shapes].reverse()) await q.query(`delete from ${quoted(name)}`);
}

/** SHA-256 over the rows of a table, hex: equal exactly when two stores hold the same in it. */
export async function tableDigest(tx: Tx, shape: TableShape): Promise<string> {
  const hash = createHash("sha256");
  for await (const rows of readRows(tx, shape)) for (const row of rows) hash.update(JSON.stringify(row)).update("\n");
  return hash.digest("hex");
}

/** SHA-256 over all tables with their names, hex. */
export async function storeDigest(tx: Tx, shapes: readonly TableShape[]): Promise<string> {
  const hash = createHash("sha256");
  for (const shape of shapes) hash.update(`${shape.name}:${await tableDigest(tx, shape)}\n`);
  return hash.digest("hex");
}
