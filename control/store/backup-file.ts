/**
 * Backups: one file that any store of this installation can be made from again, whatever database it was taken from.
 *
 * One JSON value a line: a header, then for each table its name and columns followed by its rows as texts (control/store/
 * rows.ts), then an end with a SHA-256 over everything before it and a MAC of that by the sealing key.
 *
 * K1. A file appears under its name whole, mode 0600, durable; one that is there is never replaced.
 * K2. It is of one moment: a repeatable-read transaction. It holds what the store holds, so nothing unsealed.
 * K3. Nothing of it counts before its end has been read and is right: a cut, altered or foreign file changes nothing.
 */

import { createHash } from "node:crypto";
import { existsSync, rmSync } from "node:fs";
import { type FileHandle, link, open } from "node:fs/promises";
import { dirname } from "node:path";
import { z } from "zod";
import { errnoOf, messageOf, WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { rowCounts, type TableShape, tableShapes } from "./catalog.ts";
import { appliedMigrations } from "./migrate.ts";
import { readRows, type TextRow } from "./rows.ts";
import type { Sql, Tx } from "./sql.ts";
import type { TrustSeal } from "./trust.ts";

/** What can be made again from the rest: which snapshots were built, and the log of beats behind the newest of each node. */
export const leftOut: ReadonlySet<string> = new Set(["snapshot_payload", "beat_log"]);

const count = z.number().int().nonnegative();
const hex = z.string().regex(/^([0-9a-f]{2})*$/);

const headerSchema = z.object({
  weft: z.literal("backup"),
  format: z.literal(1),
  takenAtMs: count,
  trustDomain: z.string(),
  epoch: count,
  sealingKeyId: hex,
  schemaVersion: count,
  migrations: z.array(z.object({ number: count, sha256: hex })),
  audit: z.object({ seq: count, hash: hex }),
  positions: z.array(
    z.object({
      clusterId: z.string(),
      snapshotEpoch: count,
      snapshotVersion: count,
      feedEpoch: count,
      feedSeq: count,
    }),
  ),
  tables: z.record(z.string(), count),
  leftOut: z.array(z.string()),
});

export type BackupHeader = Readonly<z.output<typeof headerSchema>>;

const tableSchema = z.object({ table: z.string(), columns: z.array(z.string()) });
const endSchema = z.object({ end: z.object({ rows: count, sha256: hex, mac: hex }) });

const MAC_TABLE = "backup-file";
/** More than the last line takes. */
const END_MAX_BYTES = 1_024;

/** Where clusters stand: what is compared with what nodes witnessed. */
export type ClusterPosition = BackupHeader["positions"][number];

export async function clusterPositions(tx: Tx): Promise<readonly ClusterPosition[]> {
  return await tx.query<ClusterPosition>(
    `select id as "clusterId", snapshot_epoch as "snapshotEpoch", snapshot_version as "snapshotVersion",
       feed_epoch as "feedEpoch", feed_seq as "feedSeq" from cluster order by id`,
  );
}

async function headerOf(tx: Tx, shapes: readonly TableShape[]): Promise<BackupHeader> {
  const [row] = await tx.query<{ trustDomain: string; epoch: number; sealingKeyId: string; nowMs: number }>(
    `select trust_domain as "trustDomain", epoch, sealing_key_id as "sealingKeyId", now_ms() as "nowMs" from installation`,
  );
  if (row === undefined) {
    const message = "this store has no installation: there is nothing to back up";
    throw new WeftError("failed_precondition", message, { detail: "NOT_INITIALIZED" });
  }
  const { nowMs, ...installation } = row;
  const [head] = await tx.query<{ seq: number; hash: Uint8Array }>("select seq, hash from audit_head");
  const migrations = await appliedMigrations(tx);
  return {
    weft: "backup",
    format: 1,
    takenAtMs: nowMs,
    ...installation,
    schemaVersion: migrations.at(-1)?.number ?? 0,
    migrations: migrations.map(({ number, sha256 }) => ({ number, sha256 })),
    audit: { seq: head?.seq ?? 0, hash: Buffer.from(head?.hash ?? []).toString("hex") },
    positions: [...(await clusterPositions(tx))],
    tables: await rowCounts(tx, shapes),
    leftOut: [...leftOut],
  };
}

/** The lines of a backup, in pieces of about a batch. One transaction: the store is read as it is at one moment (K2). */
export async function streamBackup(
  sql: Sql,
  seal: TrustSeal,
  write: (piece: Uint8Array) => Promise<void>,
): Promise<BackupHeader> {
  return await sql.tx(
    async (tx) => {
      const digest = createHash("sha256");
      const lines = async (values: readonly unknown[]): Promise<void> => {
        const piece = Buffer.from(values.map((value) => `${JSON.stringify(value)}\n`).join(""), "utf8");
        digest.update(piece);
        await write(piece);
      };
      const shapes = (await tableShapes(tx)).filter(({ name }) => !leftOut.has(name));
      const header = await headerOf(tx, shapes);
      await lines([header]);
      let rows = 0;
      for (const shape of shapes) {
        await lines([{ table: shape.name, columns: shape.columns.map(({ name }) => name) }]);
        for await (const batch of readRows(tx, shape)) {
          await lines(batch);
          rows += batch.length;
        }
      }
      const sha256 = digest.digest("hex");
      const mac = Buffer.from(seal.mac(MAC_TABLE, [sha256])).toString("hex");
      await write(Buffer.from(`${JSON.stringify({ end: { rows, sha256, mac } })}\n`, "utf8"));
      return header;
    },
    { mode: "read only" },
  );
}

/** Writes a backup file (K1). Throws `already_exists` (BACKUP_EXISTS), `failed_precondition` (BACKUP_UNWRITABLE). */
export async function writeBackupFile(path: string, sql: Sql, seal: TrustSeal): Promise<BackupHeader> {
  return await createFile(path, (write) => streamBackup(sql, seal, write));
}

/**
 * Keeps a backup that is sent in pieces (K1); resolves with its size in bytes. Throws what `writeBackupFile` throws, and
 * `unavailable` (BACKUP_TRUNCATED) for pieces that stop before its end.
 */
export async function receiveBackupFile(path: string, pieces: AsyncIterable<Uint8Array>): Promise<number> {
  return await createFile(path, async (write) => {
    let sizeBytes = 0;
    let last: Uint8Array = new Uint8Array();
    for await (const piece of pieces) {
      await write(piece);
      sizeBytes += piece.length;
      last = Buffer.concat([last, piece]).subarray(-END_MAX_BYTES);
    }
    const text = Buffer.from(last).toString("utf8");
    const end = text.slice(text.lastIndexOf("\n", text.length - 2) + 1);
    if (text.endsWith("\n") && end.startsWith('{"end":')) return sizeBytes;
    throw new WeftError("unavailable", "the backup broke off; try again", { detail: "BACKUP_TRUNCATED" });
  });
}

/** Makes a file out of what `fill` writes; whole and durable under its name, or not there at all (K1). */
async function createFile<T>(
  path: string,
  fill: (write: (piece: Uint8Array) => Promise<void>) => Promise<T>,
): Promise<T> {
  const exists = new WeftError("already_exists", `${path} exists; a backup is never written over another file`, {
    detail: "BACKUP_EXISTS",
  });
  if (existsSync(path)) throw exists;
  const partial = `${path}.partial`;
  const file = await openFile(partial, "w", 0o600, "BACKUP_UNWRITABLE");
  try {
    await file.chmod(0o600);
    const result = await fill(async (piece) => {
      await file.writeFile(piece);
    });
    await file.sync();
    // A link appears under the name with its full content, and only when nothing has that name.
    await link(partial, path);
    await syncFolder(dirname(path));
    return result;
  } catch (thrown) {
    if (errnoOf(thrown) === "EEXIST") throw exists;
    throw thrown;
  } finally {
    await file.close();
    rmSync(partial, { force: true });
  }
}

async function openFile(path: string, flags: string, mode: number, detail: string): Promise<FileHandle> {
  try {
    return await open(path, flags, mode);
  } catch (cause) {
    throw new WeftError("failed_precondition", `${path}: ${messageOf(cause)}`, { detail, cause });
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  await folder.sync().finally(() => folder.close());
}

/** Takes the records of a backup in their order. */
export interface BackupSink {
  header(header: BackupHeader): Promise<void>;
  table(name: string, columns: readonly string[]): Promise<void>;
  rows(rows: readonly TextRow[]): Promise<void>;
}

/**
 * Reads a backup file to its end. What a sink was given counts only once this has resolved (K3). Throws
 * `failed_precondition` (BACKUP_UNREADABLE, BACKUP_MALFORMED, SEALING_KEY_WRONG) or `data_loss` (BACKUP_TRUNCATED,
 * BACKUP_ALTERED).
 */
export async function readBackupFile(path: string, seal: TrustSeal, sink?: BackupSink): Promise<BackupHeader> {
  const file = await openFile(path, "r", 0, "BACKUP_UNREADABLE");
  try {
    return await readRecords(linesOf(file), seal, sink);
  } finally {
    await file.close();
  }
}

async function readRecords(lines: AsyncIterable<string>, seal: TrustSeal, sink?: BackupSink): Promise<BackupHeader> {
  const digest = createHash("sha256");
  let header: BackupHeader | undefined;
  let batch: TextRow[] = [];
  let rows = 0;
  const flush = async (): Promise<void> => {
    rows += batch.length;
    if (batch.length > 0) await sink?.rows(batch);
    batch = [];
  };
  for await (const line of lines) {
    const value = parsed(line);
    if (header === undefined) {
      header = judgeHeader(value, seal);
      await sink?.header(header);
    } else if (Array.isArray(value)) {
      batch.push(value as TextRow);
      if (batch.length >= limits.storeCopyBatchCount) await flush();
    } else {
      await flush();
      const end = endSchema.safeParse(value);
      if (end.success) {
        const { sha256, mac, rows: written } = end.data.end;
        const right = digest.digest("hex") === sha256 && rows === written;
        if (!right || !seal.verify(MAC_TABLE, [sha256], Buffer.from(mac, "hex"))) throw altered();
        return header;
      }
      const table = tableSchema.safeParse(value);
      if (!table.success) throw altered();
      await sink?.table(table.data.table, table.data.columns);
    }
    digest.update(line).update("\n");
  }
  throw new WeftError("data_loss", "the backup ends before its end: it was cut off, and nothing of it is used", {
    detail: "BACKUP_TRUNCATED",
  });
}

function judgeHeader(value: unknown, seal: TrustSeal): BackupHeader {
  const header = headerSchema.safeParse(value);
  if (!header.success) {
    const newer = z.object({ weft: z.literal("backup"), format: z.number() }).safeParse(value).data?.format;
    const why = newer === undefined || newer === 1 ? "" : `: format ${newer} belongs to a newer version`;
    throw new WeftError("failed_precondition", `not a backup that this program reads${why}`, {
      detail: "BACKUP_MALFORMED",
    });
  }
  const { sealingKeyId } = header.data;
  if (sealingKeyId !== seal.keyId) {
    const message = `the backup was sealed under key ${sealingKeyId}, and sealingKeyFile holds ${seal.keyId}; bring the sealing key that belongs to the backup`;
    throw new WeftError("failed_precondition", message, { detail: "SEALING_KEY_WRONG" });
  }
  return header.data;
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    throw altered();
  }
}

function altered(): WeftError {
  const message = "the backup is not what was written: it was altered, or damaged; nothing of it is used";
  return new WeftError("data_loss", message, { detail: "BACKUP_ALTERED" });
}

async function* linesOf(file: FileHandle): AsyncGenerator<string> {
  let held: Buffer[] = [];
  let heldBytes = 0;
  for await (const piece of file.createReadStream({ highWaterMark: 1 << 20, autoClose: false })) {
    let rest = piece as Buffer;
    for (let at = rest.indexOf(10); at >= 0; at = rest.indexOf(10)) {
      yield Buffer.concat([...held, rest.subarray(0, at)]).toString("utf8");
      held = [];
      heldBytes = 0;
      rest = rest.subarray(at + 1);
    }
    held.push(rest);
    heldBytes += rest.length;
    if (heldBytes > limits.backupLineMaxBytes) throw altered();
  }
  // A last line without its end is a cut one: it is not looked at.
}
