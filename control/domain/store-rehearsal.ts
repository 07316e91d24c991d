/**
 * What would happen: an upgrade of a store by this program, or the restore of a backup, done on a copy that is taken back.
 *
 * The copy is a schema of the same database inside one transaction: the same server, the same dialect, the real rows, and
 * nothing left behind, also when the rehearsal is killed. Whoever migrates meanwhile waits for it.
 */

import type { Clock } from "../../lib/clock.ts";
import { type Random, randomLabel } from "../../lib/random.ts";
import type { BackupHeader } from "../store/backup-file.ts";
import { appliedMigrations, type Migration, moveMark, ownMigrations } from "../store/migrate.ts";
import type { Sql, Tx } from "../store/sql.ts";
import type { TrustSeal } from "../store/trust.ts";
import {
  type CopyReport,
  copyFromBackup,
  copyFromSchema,
  enterScratchSchema,
  finishCopy,
  sameMigrations,
  withoutTrace,
} from "./store-copy.ts";

export interface RehearsalDeps {
  readonly sql: Sql;
  readonly seal: TrustSeal;
  readonly clock: Clock;
  readonly random: Random;
}

export interface Rehearsal extends CopyReport {
  /** The newest migration the store or the backup has. */
  readonly foundVersion: number;
  readonly copyMs: number;
  readonly migrateAndVerifyMs: number;
  /** The store has moved away, or is still arriving: control would not start on it. */
  readonly moved: string;
}

/** Rehearses the start of this program on the store. Throws SCHEMA_NEWER, SCHEMA_DIVERGED, SCHEMA_INTERRUPTED, STORE_RIGHTS. */
export async function rehearseUpgrade(
  deps: RehearsalDeps,
  migrations: readonly Migration[] = ownMigrations(),
): Promise<Rehearsal> {
  return await inScratch(deps, async (tx, scratch) => {
    const applied = await appliedMigrations(tx);
    const same = sameMigrations(applied, migrations);
    const mark = await moveMark(tx);
    const report = await timed(deps, migrations, tx, async () => {
      const schema = await enterScratchSchema(tx, scratch);
      await copyFromSchema(tx, schema, same);
    });
    const moved = mark === undefined ? "" : `${mark.direction}: ${mark.counterpart}`;
    return { ...report, foundVersion: applied.at(-1)?.number ?? 0, moved };
  });
}

/** Rehearses a restore of a backup in the database of a store, which may be anything. Throws what reading a backup throws. */
export async function rehearseRestore(
  deps: RehearsalDeps,
  path: string,
  migrations: readonly Migration[] = ownMigrations(),
): Promise<Rehearsal & { readonly header: BackupHeader }> {
  return await inScratch(deps, async (tx, scratch) => {
    let header: BackupHeader | undefined;
    const report = await timed(deps, migrations, tx, async () => {
      await enterScratchSchema(tx, scratch);
      header = await copyFromBackup(tx, path, deps.seal, migrations);
    });
    if (header === undefined) throw new Error("a backup that was read has a header");
    return { ...report, foundVersion: header.schemaVersion, moved: "", header };
  });
}

function inScratch<T>({ sql, random }: RehearsalDeps, fn: (tx: Tx, scratch: string) => Promise<T>): Promise<T> {
  return withoutTrace(sql, (tx) => fn(tx, `weft_rehearsal_${randomLabel(random, 8)}`));
}

async function timed(
  { clock, seal }: RehearsalDeps,
  migrations: readonly Migration[],
  tx: Tx,
  copy: () => Promise<void>,
): Promise<CopyReport & { readonly copyMs: number; readonly migrateAndVerifyMs: number }> {
  const startMs = clock.monoMs();
  await copy();
  const copiedMs = clock.monoMs();
  const report = await finishCopy(tx, seal, migrations);
  return {
    ...report,
    copyMs: Math.round(copiedMs - startMs),
    migrateAndVerifyMs: Math.round(clock.monoMs() - copiedMs),
  };
}
