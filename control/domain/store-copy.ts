/**
 * Copies of a whole store: into a schema of the same database that is thrown away again, from a backup, from another store.
 *
 * Every copy is one transaction of the store that receives it, so a copy that was killed does not exist.
 */

import { WeftError } from "../../lib/errors.ts";
import { type BackupHeader, readBackupFile } from "../store/backup-file.ts";
import { quoted, rowCounts, type TableShape, tableShapes } from "../store/catalog.ts";
import { loadInstallation } from "../store/installation.ts";
import {
  type AppliedMigration,
  appliedMigrations,
  type Migration,
  migrateWithin,
  ownMigrations,
  requireKnown,
} from "../store/migrate.ts";
import { emptyTables, readRows, settleCounters, writeRows } from "../store/rows.ts";
import type { Queryable, Sql, Tx } from "../store/sql.ts";
import type { TrustSeal } from "../store/trust.ts";
import { type StoreVerdict, verifyStore } from "../store/verify.ts";

/** What a store is made of, and whether it is what was written. */
export interface CopyReport {
  readonly schemaVersion: number;
  /** Migrations of this program that were applied to the copy. */
  readonly applied: readonly number[];
  readonly rows: number;
  readonly tables: Readonly<Record<string, number>>;
  readonly verdict: StoreVerdict;
}

/** Thrown through a transaction to take it back: carries what it would have come to. */
class TakenBack<T> {
  readonly result: T;

  constructor(result: T) {
    this.result = result;
  }
}

/** Runs `fn` in a transaction that is always taken back; resolves with what it returned. */
export async function withoutTrace<T>(sql: Sql, fn: (tx: Tx) => Promise<T>): Promise<T> {
  try {
    return await sql.tx(
      async (tx) => {
        throw new TakenBack(await fn(tx));
      },
      { mode: "repeatable read" },
    );
  } catch (thrown) {
    if (thrown instanceof TakenBack) return thrown.result as T;
    throw thrown;
  }
}

/** Makes a schema of this transaction's own, and puts every name in it from now on. Returns the one that was current. */
export async function enterScratchSchema(tx: Tx, name: string): Promise<string> {
  const [row] = await tx.query<{ name: string }>("select current_schema()::text as name");
  try {
    await tx.query(`create schema ${quoted(name)}`);
  } catch (cause) {
    const message = "a rehearsal needs the right to create a schema in the database (grant create on database ...)";
    throw new WeftError("failed_precondition", message, { detail: "STORE_RIGHTS", cause });
  }
  await tx.query(`set local search_path to ${quoted(name)}`);
  return row?.name ?? "public";
}

/** The migrations of this program that a store has: what its tables are made by. Throws SCHEMA_NEWER, SCHEMA_DIVERGED. */
export function sameMigrations(
  applied: readonly AppliedMigration[],
  migrations: readonly Migration[] = ownMigrations(),
): readonly Migration[] {
  requireKnown(applied, migrations);
  const numbers = new Set(applied.map(({ number }) => number));
  return migrations.filter(({ number }) => numbers.has(number));
}

/** Makes the tables as `migrations` say, empty even of what migrations put in. */
async function emptyStore(tx: Tx, migrations: readonly Migration[]): Promise<readonly TableShape[]> {
  await migrateWithin(tx, migrations);
  const shapes = await tableShapes(tx);
  await emptyTables(tx, shapes);
  return shapes;
}

/** Brings a copy to this program's schema, and looks at all of it. */
export async function finishCopy(tx: Tx, seal: TrustSeal, migrations: readonly Migration[]): Promise<CopyReport> {
  const applied = await migrateWithin(tx, migrations);
  await loadInstallation(tx, seal);
  const verdict = await verifyStore(tx, seal);
  const tables = await rowCounts(tx, await tableShapes(tx));
  const rows = Object.values(tables).reduce((sum, each) => sum + each, 0);
  return { schemaVersion: migrations.at(-1)?.number ?? 0, applied, rows, tables, verdict };
}

/** Copies the tables of `schema` into the current one, inside the database. */
export async function copyFromSchema(tx: Tx, schema: string, migrations: readonly Migration[]): Promise<void> {
  const shapes = await emptyStore(tx, migrations);
  for (const { name, columns } of shapes) {
    const names = columns.map((column) => quoted(column.name)).join(", ");
    await tx.query(
      `insert into ${quoted(name)} (${names}) overriding system value select ${names} from ${quoted(schema)}.${quoted(name)}`,
    );
  }
  await settleCounters(tx, shapes);
}

/** Copies another store, all of it but the mark of a move. Returns what was copied by table. */
export async function copyFromStore(
  tx: Tx,
  source: Tx,
  migrations: readonly Migration[],
): Promise<readonly TableShape[]> {
  const shapes = await emptyStore(tx, migrations);
  const copied = shapes.filter(({ name }) => name !== "store_move");
  for (const shape of copied) for await (const rows of readRows(source, shape)) await writeRows(tx, shape, rows);
  await settleCounters(tx, shapes);
  return copied;
}

/** Makes the store a backup is of. Throws what `readBackupFile` throws, SCHEMA_NEWER, SCHEMA_DIVERGED, BACKUP_ALTERED. */
export async function copyFromBackup(
  tx: Tx,
  path: string,
  seal: TrustSeal,
  migrations: readonly Migration[],
): Promise<BackupHeader> {
  let shapes: readonly TableShape[] = [];
  let current: TableShape | undefined;
  const header = await readBackupFile(path, seal, {
    async header(read) {
      shapes = await emptyStore(tx, sameMigrations(read.migrations, migrations));
    },
    async table(name, columns) {
      current = shapes.find((shape) => shape.name === name);
      if (current?.columns.map((column) => column.name).join() !== columns.join()) throw mismatch(name);
    },
    async rows(rows) {
      if (current === undefined) throw mismatch("rows before a table");
      await writeRows(tx, current, rows);
    },
  });
  const counts = await rowCounts(tx, shapes);
  for (const [name, rows] of Object.entries(header.tables)) if (counts[name] !== rows) throw mismatch(name);
  await settleCounters(tx, shapes);
  return header;
}

function mismatch(table: string): WeftError {
  const message = `the backup's table ${table} is not what its schema version says; nothing of it is used`;
  return new WeftError("data_loss", message, { detail: "BACKUP_ALTERED" });
}

/** Whether there is anything in the current schema. */
export async function isEmptyDatabase(q: Queryable): Promise<boolean> {
  return (await tableShapes(q)).length === 0 && (await appliedMigrations(q)).length === 0;
}

/** Throws `data_loss` (STORE_ALTERED) naming what is wrong with a store. */
export function requireVerified({ verdict }: Pick<CopyReport, "verdict">): void {
  if (verdict.ok) return;
  const rows = Object.entries(verdict.altered).map(([table, bad]) => `${bad} of ${table}`);
  const chain = verdict.audit.ok ? [] : [`the audit log at record ${verdict.audit.seq}: ${verdict.audit.why}`];
  const message = `what is copied is not what control wrote: ${[...rows, ...chain].join("; ")}`;
  throw new WeftError("data_loss", message, { detail: "STORE_ALTERED" });
}
