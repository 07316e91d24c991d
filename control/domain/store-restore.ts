/**
 * A store from a backup.
 *
 * R1. Only into an empty database, or in place of a store of the same installation when that is said; never over anything
 *     else, never while a control uses it, never into one that moved away.
 * R2. One transaction: what was there is there until everything new is, verified. A restore that was killed did nothing.
 * R3. The epoch ends above every one that was ever given out (LAW-F2): past the backup's, past the replaced store's, and at
 *     least the minutes since 2026, for two restores of one backup must not meet in one epoch and the store that knew of the
 *     first may be gone.
 * R4. Nothing revoked comes back: what the replaced store still says of revocations goes over, join tokens end, and the
 *     store remembers where the backup stood, so that nodes are held back until they have told what they know
 *     (control/domain/restore-hold.ts).
 */

import { WeftError } from "../../lib/errors.ts";
import { randomLabel } from "../../lib/random.ts";
import { memoryHints } from "../hints/memory.ts";
import { appendAudit, auditHead } from "../store/audit.ts";
import type { BackupHeader } from "../store/backup-file.ts";
import { hasTable, ledgerTable, quoted, tableShapes } from "../store/catalog.ts";
import { raiseEpoch } from "../store/installation.ts";
import { type Migration, moveMark, ownMigrations, requireServer } from "../store/migrate.ts";
import { newestRestore } from "../store/restores.ts";
import { type RevocationRow, survivingRevocations } from "../store/revocations.ts";
import { one, type Queryable, type Tx } from "../store/sql.ts";
import { tellGap } from "./restore-gap.ts";
import { learnRevocations } from "./restore-learn.ts";
import { copyFromBackup, finishCopy, isEmptyDatabase, requireVerified } from "./store-copy.ts";
import { type Rehearsal, type RehearsalDeps, rehearseRestore } from "./store-rehearsal.ts";

export interface RestoreOrder {
  readonly file: string;
  /** Take the place of the store that is there. */
  readonly replace: boolean;
  readonly dryRun: boolean;
}

export interface RestoreOutcome {
  readonly rehearsal: Rehearsal & { readonly header: BackupHeader };
  /** Absent after a dry run. */
  readonly done?: { readonly restoreId: string; readonly epoch: number };
  /** What the store that is replaced knows and the backup does not: it goes with it. */
  readonly replaced?: { readonly epoch: number; readonly auditSeq: number };
}

const firstMinuteMs = Date.UTC(2026, 0, 1);
const minuteMs = 60_000;

/**
 * Rehearses and, unless it is a dry run, restores. Throws `failed_precondition` (STORE_NOT_EMPTY, STORE_FOREIGN,
 * STORE_OF_ANOTHER, STORE_IN_USE, STORE_MOVED), `data_loss` (STORE_ALTERED), and what reading a backup throws.
 */
export async function restoreStore(
  deps: RehearsalDeps,
  order: RestoreOrder,
  migrations: readonly Migration[] = ownMigrations(),
): Promise<RestoreOutcome> {
  const replaced = await judgeTarget(deps.sql, order.replace);
  const rehearsal = await rehearseRestore(deps, order.file, migrations);
  requireVerified(rehearsal);
  requireSameInstallation(replaced, rehearsal.header);
  const facts = replaced === undefined ? {} : { replaced: { epoch: replaced.epoch, auditSeq: replaced.auditSeq } };
  if (order.dryRun) return { rehearsal, ...facts };
  const restoreId = `rs-${randomLabel(deps.random, 16)}`;
  const epoch = await deps.sql.tx(async (tx) => {
    const before = await judgeTarget(tx, order.replace);
    const revoked = (await hasTable(tx, "revocation")) ? await survivingRevocations(tx, deps.seal) : [];
    await dropEverything(tx);
    const header = await copyFromBackup(tx, order.file, deps.seal, migrations);
    requireSameInstallation(before, header);
    requireVerified(await finishCopy(tx, deps.seal, migrations));
    return await beginAgain(tx, deps, { restoreId, header, revoked, leastEpoch: (before?.epoch ?? 0) + 1 });
  });
  return { rehearsal, done: { restoreId, epoch }, ...facts };
}

interface StoreThere {
  readonly trustDomain: string;
  readonly epoch: number;
  readonly auditSeq: number;
}

/** What is in the way (R1); undefined when the database is empty. */
async function judgeTarget(q: Queryable, replace: boolean): Promise<StoreThere | undefined> {
  await requireServer(q);
  if (await isEmptyDatabase(q)) return undefined;
  if (!(await hasTable(q, ledgerTable))) {
    throw refuse("STORE_FOREIGN", "the database has tables that are not Weft's; name an empty database");
  }
  const mark = await moveMark(q);
  if (mark !== undefined) {
    throw refuse("STORE_MOVED", `a move to or from ${mark.counterpart} left its mark in this store; restore elsewhere`);
  }
  const there = one(
    await q.query<StoreThere>(
      `select trust_domain as "trustDomain", epoch, (select seq from audit_head) as "auditSeq" from installation`,
    ),
  );
  if (there !== undefined && !replace) {
    const message =
      "there is an installation in this store; name an empty one, or say --replace to put the backup in its place (what it knows and the backup does not is lost)";
    throw refuse("STORE_NOT_EMPTY", message);
  }
  await requireUnused(q);
  return there;
}

/** Other processes of control in the same database. The embedded store is locked by its folder. */
async function requireUnused(q: Queryable): Promise<void> {
  const rows = await q.query(
    `select 1 as found from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
       and application_name = 'weft-control'`,
  );
  if (rows.length === 0) return;
  const message = `control uses this store (${rows.length} connections); stop every control process first, nodes go on without it`;
  throw refuse("STORE_IN_USE", message);
}

function requireSameInstallation(there: StoreThere | undefined, header: BackupHeader): void {
  if (there === undefined || there.trustDomain === header.trustDomain) return;
  const message = `the store is of installation ${there.trustDomain}, the backup of ${header.trustDomain}`;
  throw refuse("STORE_OF_ANOTHER", message);
}

/** Tables and functions of a store; nothing where there is none. What belongs to extensions stays. */
export async function dropEverything(tx: Tx): Promise<void> {
  if (!(await hasTable(tx, ledgerTable))) return;
  const tables = [...(await tableShapes(tx)).map(({ name }) => name), ledgerTable];
  await tx.query(`drop table ${tables.map(quoted).join(", ")} cascade`);
  const functions = await tx.query<{ name: string }>(
    `select p.oid::regprocedure::text as name from pg_proc p where p.pronamespace = current_schema()::regnamespace
       and not exists (select 1 from pg_depend d where d.objid = p.oid and d.deptype = 'e')`,
  );
  for (const { name } of functions) await tx.query(`drop function ${name} cascade`);
}

/** The restored store starts anew: above every position there was, and knowing where the backup stood (R3, R4). */
async function beginAgain(
  tx: Tx,
  { seal, clock }: RehearsalDeps,
  about: {
    readonly restoreId: string;
    readonly header: BackupHeader;
    /** What the replaced store still says of revocations. */
    readonly revoked: readonly RevocationRow[];
    readonly leastEpoch: number;
  },
): Promise<number> {
  const { restoreId, header, revoked, leastEpoch } = about;
  const [now] = await tx.query<{ ms: number }>("select now_ms() as ms");
  const minutes = Math.floor(((now?.ms ?? 0) - firstMinuteMs) / minuteMs);
  const epoch = await raiseEpoch(tx, seal, Math.max(leastEpoch, minutes));
  await tx.query(
    `update cluster set bundle_version = greatest(bundle_version + 1, ($1::bigint - 1) * 4294967296 + 1),
       snapshot_epoch = $1, snapshot_version = snapshot_version + 1,
       snapshot_changed_at_ms = greatest(now_ms(), snapshot_changed_at_ms + 1), feed_epoch = $1, feed_seq = feed_seq + 1,
       listening_since_ms = now_ms()`,
    [epoch],
  );
  // How often a token was used since, and which were revoked, is forgotten: none of them counts any more.
  await tx.query("update join_token set revoked_at_ms = now_ms() where revoked_at_ms is null");
  const hints = memoryHints(clock);
  for (const { clusterId } of header.positions) {
    const entries = revoked
      .filter((row) => row.clusterId === clusterId)
      .map((row) => ({ ...row, reason: "revoked in the store that was replaced", revokedBy: "system" }));
    await learnRevocations(tx, { seal, clock, hints }, { clusterId, entries, from: `restore/${restoreId}` });
  }
  await hints.close();
  const { seq, hash } = header.audit;
  await tx.query(
    `insert into store_restore (id, taken_at_ms, backup_epoch, backup_audit_seq, backup_audit_hash, positions, epoch)
     values ($1, $2, $3, $4, $5, $6::jsonb, $7)`,
    [restoreId, header.takenAtMs, header.epoch, seq, Buffer.from(hash, "hex"), JSON.stringify(header.positions), epoch],
  );
  await appendAudit(tx, {
    actor: "system",
    action: "store.restored",
    object: `restore/${restoreId}`,
    before: { epoch: header.epoch, auditSeq: (await auditHead(tx)).seq },
    after: { epoch, takenAtMs: header.takenAtMs, schemaVersion: header.schemaVersion },
  });
  const restore = await newestRestore(tx);
  if (restore !== undefined) await tellGap(tx, restore);
  return epoch;
}

function refuse(detail: string, message: string): WeftError {
  return new WeftError("failed_precondition", message, { detail });
}
