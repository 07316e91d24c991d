/**
 * Brings a store to the schema this program expects.
 *
 * G1. A migration's row is inserted before its statements, in the same transaction: two starters cannot both run it, and a
 *     half-done one does not exist.
 * G2. What was applied must be what this program has: an edited or unknown migration stops the start (SCHEMA_DIVERGED,
 *     SCHEMA_NEWER), for then nobody knows what the tables mean. So do tables nobody wrote down (SCHEMA_INTERRUPTED), and a
 *     store that was moved away or is still arriving (STORE_MOVED, STORE_ARRIVING). All of it before anything is changed.
 */

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { hasTable, ledgerTable } from "./catalog.ts";
import { one, type Queryable, type Sql, type Tx } from "./sql.ts";

export interface Migration {
  readonly number: number;
  readonly name: string;
  readonly sha256: string;
  readonly text: string;
}

export interface MigrationOutcome {
  readonly applied: readonly number[];
  readonly version: number;
}

const FILE = /^(\d{4})_([a-z0-9_]+)\.sql$/;
/** An arbitrary constant, the same in every version: who holds this advisory lock migrates. */
const ADVISORY_LOCK = 7_317_446_281;
const LOCK_POLL_MS = 100;

/** The migrations of this program, in order. */
export function ownMigrations(): readonly Migration[] {
  const folder = new URL("./migrations/", import.meta.url);
  const all = readdirSync(folder)
    .flatMap((file) => {
      const [, digits, name] = FILE.exec(file) ?? [];
      if (digits === undefined || name === undefined) return [];
      const text = readFileSync(new URL(file, folder), "utf8");
      return [{ number: Number(digits), name, sha256: createHash("sha256").update(text).digest("hex"), text }];
    })
    .sort((a, b) => a.number - b.number);
  return all;
}

/** A migration as the store remembers it. */
export type AppliedMigration = Pick<Migration, "number" | "sha256">;

/**
 * Applies what is missing. Idempotent and safe to run by several starters at once. Throws `failed_precondition`
 * (SCHEMA_DIVERGED, SCHEMA_NEWER, SCHEMA_INTERRUPTED, STORE_MOVED, STORE_ARRIVING) and leaves the store as it was.
 */
export async function migrate(sql: Sql, migrations: readonly Migration[] = ownMigrations()): Promise<MigrationOutcome> {
  await requireServer(sql);
  const before = await appliedMigrations(sql);
  requireKnown(before, migrations);
  await requireAtHome(sql);
  await sql.tx(createLedger);
  const applied: number[] = [];
  for (const migration of migrations) {
    if (before.some(({ number }) => number === migration.number)) continue;
    if (await sql.tx((tx) => applyOne(tx, migration))) applied.push(migration.number);
  }
  const version = await requireSchema(sql, migrations);
  return { applied, version };
}

/** The oldest PostgreSQL whose dialect is tested, as `server_version_num` has it. */
const OLDEST_SERVER = 150_000;

/** Throws `failed_precondition` (STORE_VERSION) for a server older than this program is tested with. */
export async function requireServer(q: Queryable): Promise<void> {
  const [row] = await q.query<{ version: number }>("select current_setting('server_version_num')::bigint as version");
  if (row !== undefined && row.version >= OLDEST_SERVER) return;
  const message = `the server is PostgreSQL ${Math.floor((row?.version ?? 0) / 10_000)}; the oldest that is supported is 15: upgrade it, or name another one`;
  throw refuse("STORE_VERSION", message);
}

/** The same inside a transaction of the caller's, who has looked before: for stores that are being made or rehearsed. */
export async function migrateWithin(tx: Tx, migrations: readonly Migration[]): Promise<readonly number[]> {
  await createLedger(tx);
  const applied: number[] = [];
  for (const migration of migrations) if (await applyOne(tx, migration)) applied.push(migration.number);
  return applied;
}

/** Throws unless the store has exactly the given migrations; returns the newest number. For starts that may not migrate. */
export async function requireSchema(q: Queryable, migrations: readonly Migration[] = ownMigrations()): Promise<number> {
  const rows = await appliedMigrations(q);
  requireKnown(rows, migrations);
  if (rows.length < migrations.length) {
    const message = `the store lacks migrations of this program: it is at ${rows.at(-1)?.number ?? 0}, this program at ${migrations.at(-1)?.number ?? 0}; start control of this version once, or rehearse with "weft db rehearse"`;
    throw refuse("SCHEMA_OLDER", message);
  }
  return rows.at(-1)?.number ?? 0;
}

/** What was applied, in order; empty for an empty store. Throws `failed_precondition` (SCHEMA_INTERRUPTED). */
export async function appliedMigrations(q: Queryable): Promise<readonly AppliedMigration[]> {
  if (await hasTable(q, ledgerTable)) {
    return await q.query<AppliedMigration>(`select number, sha256 from ${ledgerTable} order by number`);
  }
  if (await hasTable(q, "installation")) {
    const message =
      "the store has tables and no record of migrations: something else stopped half way in it; empty it, or restore a backup into an empty database";
    throw refuse("SCHEMA_INTERRUPTED", message);
  }
  return [];
}

/** Throws `failed_precondition` (SCHEMA_NEWER, SCHEMA_DIVERGED) when this program does not know what was applied. */
export function requireKnown(applied: readonly AppliedMigration[], migrations: readonly Migration[]): void {
  const known = new Map(migrations.map((each) => [each.number, each.sha256]));
  for (const { number, sha256 } of applied) {
    const own = known.get(number);
    if (own === undefined) {
      const message = `the store has migration ${number}, which this program does not know: it belongs to a newer version; run that version, or restore a backup taken before the upgrade`;
      throw refuse("SCHEMA_NEWER", message);
    }
    if (own !== sha256) {
      const message = `migration ${number} of the store is not the one of this program; run the version that made the store`;
      throw refuse("SCHEMA_DIVERGED", message);
    }
  }
}

/** A move that began or ended in this store. */
export interface MoveMark {
  readonly id: string;
  readonly direction: "arriving" | "departed";
  readonly counterpart: string;
  readonly atMs: number;
}

/** The mark of a move, or undefined: nearly always. */
export async function moveMark(q: Queryable): Promise<MoveMark | undefined> {
  if (!(await hasTable(q, "store_move"))) return undefined;
  return one(await q.query<MoveMark>(`select id, direction, counterpart, at_ms as "atMs" from store_move`));
}

/** Throws `failed_precondition` (STORE_MOVED, STORE_ARRIVING) when nobody may work in this store. */
async function requireAtHome(q: Queryable): Promise<void> {
  const mark = await moveMark(q);
  if (mark === undefined) return;
  if (mark.direction === "departed") {
    const message = `this store has moved to ${mark.counterpart}; start control with postgresUrlFile in place of dataDir, and keep this folder only as an old copy`;
    throw refuse("STORE_MOVED", message);
  }
  const message = `a move from ${mark.counterpart} into this store was interrupted; run the same "weft db migrate" again, it goes on where it stopped`;
  throw refuse("STORE_ARRIVING", message);
}

async function createLedger(tx: Tx): Promise<void> {
  await lock(tx);
  await tx.query(
    `create table if not exists ${ledgerTable} (
       number integer primary key, name text not null, sha256 text not null,
       applied_at_ms bigint not null default floor(extract(epoch from clock_timestamp()) * 1000)::bigint)`,
  );
}

async function applyOne(tx: Tx, migration: Migration): Promise<boolean> {
  await lock(tx);
  const inserted = await tx.query(
    "insert into schema_migration (number, name, sha256) values ($1, $2, $3) on conflict (number) do nothing returning number",
    [migration.number, migration.name, migration.sha256],
  );
  if (inserted.length === 0) return false;
  for (const statement of statementsOf(migration.text)) await tx.query(statement);
  return true;
}

/**
 * Waits for other starters, longer than any single statement may take: by asking again, so that a starter that hangs is
 * noticed. Throws `unavailable` (STORE_BUSY).
 */
async function lock(tx: Tx): Promise<void> {
  for (let waitedMs = 0; waitedMs < limits.migrationLockWaitMs; waitedMs += LOCK_POLL_MS) {
    const rows = await tx.query<{ got: boolean }>("select pg_try_advisory_xact_lock($1) as got", [ADVISORY_LOCK]);
    if (one(rows)?.got === true) return;
    await tx.query("select 1 as waited from pg_sleep($1)", [LOCK_POLL_MS / 1_000]);
  }
  throw new WeftError("unavailable", "another process has been migrating the store for too long", {
    detail: "STORE_BUSY",
  });
}

/** Splits a script at semicolons that end a line, outside of `$$` bodies; comments between statements are dropped. */
export function statementsOf(script: string): readonly string[] {
  const statements: string[] = [];
  let lines: string[] = [];
  let quoted = false;
  for (const line of script.split("\n")) {
    if (!quoted && /^\s*(--.*)?$/.test(line)) continue;
    lines.push(line);
    if ((line.split("$$").length - 1) % 2 === 1) quoted = !quoted;
    if (quoted || !/;\s*$/.test(line)) continue;
    statements.push(lines.join("\n"));
    lines = [];
  }
  if (lines.length > 0) throw new Error("a migration ends inside a statement");
  return statements;
}

function refuse(detail: string, message: string): WeftError {
  return new WeftError("failed_precondition", message, { detail });
}
