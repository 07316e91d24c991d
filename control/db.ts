/**
 * What `weft db` does on the control host, with control's own configuration: it opens the store that control would, and never
 * makes, migrates or changes one except where the name says so.
 *
 * The embedded store belongs to one process: control must be stopped for these. On PostgreSQL it may run, except for a
 * restore.
 */

import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { create } from "@bufbuild/protobuf";
import { type StoreStatus, StoreStatusSchema } from "../gen/weft/admin/v1/store_pb.ts";
import { Closers } from "../lib/closers.ts";
import { messageOf, WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import type { ControlConfig } from "./config.ts";
import { type MoveReport, type MoveStage, moveStore } from "./domain/store-move.ts";
import { type Rehearsal, type RehearsalDeps, rehearseRestore, rehearseUpgrade } from "./domain/store-rehearsal.ts";
import { type RestoreOutcome, restoreStore } from "./domain/store-restore.ts";
import { storeStatus } from "./domain/store-status.ts";
import { type ControlOverrides, openOutside, openSeal, postgresUrlOf, readCaFile } from "./open-context.ts";
import { statusMessage } from "./services/store.ts";
import { type BackupHeader, receiveBackupFile, writeBackupFile } from "./store/backup-file.ts";
import { openPostgres } from "./store/pg.ts";
import { dumpWithPostgres } from "./store/pg-dump.ts";
import { openPglite } from "./store/pglite.ts";
import type { Sql } from "./store/sql.ts";
import { trustSeal } from "./store/trust.ts";

type Place = Pick<ControlConfig, "dataDir" | "postgresUrl" | "postgresUrlFile" | "postgresCaFile">;

/** Opens a store without making one: an embedded one has to be there, unless it may be made. */
async function open(place: Place, closers: Closers, over: ControlOverrides, config: ControlConfig, mayMake = false) {
  const { log } = openOutside(config, over);
  const sql = await openPlace(place, log, mayMake);
  closers.add("store", () => sql.close());
  await reached(place, sql);
  return sql;
}

async function openPlace(place: Place, log: ReturnType<typeof openOutside>["log"], mayMake: boolean): Promise<Sql> {
  const { postgresCaFile, dataDir = "" } = place;
  const url = postgresUrlOf(place);
  if (url !== undefined) {
    return openPostgres({
      url,
      log,
      // One connection: these commands do one thing at a time, and find others by theirs.
      connectionsMaxCount: 1,
      statementTimeoutMs: limits.storeCopyStatementTimeoutMs,
      ...(postgresCaFile === undefined ? {} : { caPem: readCaFile(postgresCaFile) }),
    });
  }
  if (!mayMake && !existsSync(join(dataDir, "PG_VERSION"))) {
    const message = `there is no store in ${dataDir}; is dataDir right?`;
    throw new WeftError("not_found", message, { detail: "STORE_MISSING" });
  }
  return await openPglite({ directory: dataDir });
}

/** Where a store is, for people: no user, no password. */
export function placeName(place: Place): string {
  const url = postgresUrlOf(place);
  if (url === undefined) return resolve(place.dataDir ?? "");
  const parts = /^postgres(?:ql)?:\/\/(?:[^/?#]*@)?([^/?#@]*)(\/[^?#]*)?/.exec(url);
  return `postgres://${parts?.[1] ?? ""}${parts?.[2] ?? ""}`;
}

/** What cannot be reached is said with where it was looked for, and what the network said. */
async function reached(place: Place, sql: Sql): Promise<void> {
  try {
    await sql.query("select 1 as answer");
  } catch (thrown) {
    if (!(thrown instanceof WeftError) || thrown.detail !== "STORE_UNAVAILABLE") throw thrown;
    const said = thrown.cause === undefined ? "" : ` (${messageOf(thrown.cause)})`;
    const message = `${placeName(place)} cannot be reached${said}; is the server running, and are host, port, database and user in its URL right?`;
    throw new WeftError("unavailable", message, { detail: "STORE_UNAVAILABLE", cause: thrown });
  }
}

async function depsOf(config: ControlConfig, over: ControlOverrides, sql: Sql): Promise<RehearsalDeps> {
  const { clock, random } = openOutside(config, over);
  return { sql, seal: trustSeal(openSeal(config)), clock, random };
}

/** Throws STORE_MISSING, STORE_IN_USE, STORE_UNAVAILABLE and the like, SCHEMA_INTERRUPTED. */
export async function dbStatus(config: ControlConfig, over: ControlOverrides = {}): Promise<StoreStatus> {
  await using closers = new Closers();
  return create(StoreStatusSchema, statusMessage(await storeStatus(await open(config, closers, over, config))));
}

/** Rehearses the start of this program on the store, or the restore of a backup. Changes nothing. */
export async function dbRehearse(
  config: ControlConfig,
  order: { readonly file?: string } = {},
  over: ControlOverrides = {},
): Promise<Rehearsal & { readonly header?: BackupHeader }> {
  await using closers = new Closers();
  const sql =
    order.file !== undefined && postgresUrlOf(config) === undefined
      ? await scratchStore(closers)
      : await open(config, closers, over, config);
  const deps = await depsOf(config, over, sql);
  return order.file === undefined ? await rehearseUpgrade(deps) : await rehearseRestore(deps, order.file);
}

/** A backup of an embedded installation is rehearsed beside it, in memory: control may go on running. */
async function scratchStore(closers: Closers): Promise<Sql> {
  const sql = await openPglite();
  closers.add("scratch", () => sql.close());
  return sql;
}

export async function dbBackup(
  config: ControlConfig,
  order: { readonly file: string; readonly format: "weft" | "pg_dump" },
  over: ControlOverrides = {},
): Promise<BackupHeader | undefined> {
  if (order.format === "pg_dump") {
    const url = postgresUrlOf(config);
    if (url === undefined) {
      const message = "pg_dump reads a PostgreSQL server; the embedded store has only the own format";
      throw new WeftError("invalid_argument", message, { detail: "BACKUP_FORMAT" });
    }
    const { postgresCaFile } = config;
    await dumpWithPostgres({ url, file: order.file, ...(postgresCaFile === undefined ? {} : { postgresCaFile }) });
    return undefined;
  }
  await using closers = new Closers();
  const sql = await open(config, closers, over, config);
  return await writeBackupFile(order.file, sql, trustSeal(openSeal(config)));
}

/** Keeps the backup that a running control sends; its size in bytes. Errors of `receiveBackupFile`. */
export async function dbReceive(file: string, pieces: AsyncIterable<Uint8Array>): Promise<number> {
  return await receiveBackupFile(file, pieces);
}

/** Makes the configured store from a backup; an embedded one may not exist yet. */
export async function dbRestore(
  config: ControlConfig,
  order: { readonly file: string; readonly replace: boolean; readonly dryRun: boolean },
  over: ControlOverrides = {},
): Promise<RestoreOutcome> {
  await using closers = new Closers();
  // The key first: without the right one nothing is made.
  openSeal(config);
  const sql = await open(config, closers, over, config, true);
  return await restoreStore(await depsOf(config, over, sql), order);
}

export interface MigrateOrder {
  readonly toPostgresUrlFile: string;
  readonly toPostgresCaFile?: string;
  readonly dryRun: boolean;
  readonly onStage?: (stage: MoveStage) => void;
}

/** Moves the configured embedded installation to PostgreSQL, or goes on moving it. */
export async function dbMigrate(
  config: ControlConfig,
  order: MigrateOrder,
  over: ControlOverrides = {},
): Promise<MoveReport> {
  if (config.dataDir === undefined) {
    const message =
      'the configuration names PostgreSQL already; from one server to another go by "weft db backup" and "weft db restore"';
    throw new WeftError("invalid_argument", message, { detail: "MIGRATE_SOURCE" });
  }
  await using closers = new Closers();
  const to: Place = {
    postgresUrlFile: order.toPostgresUrlFile,
    ...(order.toPostgresCaFile === undefined ? {} : { postgresCaFile: order.toPostgresCaFile }),
  };
  const seal = trustSeal(openSeal(config));
  // What cannot be reached is said before the old store is opened.
  const target = await open(to, closers, over, config);
  const source = await open(config, closers, over, config);
  const { random } = openOutside(config, over);
  return await moveStore(
    {
      source,
      target,
      seal,
      random,
      sourceName: placeName(config),
      targetName: placeName(to),
      ...(order.onStage === undefined ? {} : { onStage: order.onStage }),
    },
    order.dryRun,
  );
}
