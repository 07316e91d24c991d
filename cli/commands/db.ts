/**
 * `weft db`: the store of control. Most of it works on the control host with control's own configuration, like `weft control
 * init`; `status`, `backup` and `accept` ask a running control when no configuration is given.
 */

import type { Client } from "@connectrpc/connect";
import type { Command } from "commander";
import { StoreService } from "../../gen/weft/admin/v1/store_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { MiB } from "../../lib/limits.ts";
import { exitCodes, groupExamples, print, when } from "../output.ts";
import { type ProgressOptions, shown, type Tell, withProgressOption } from "../progress.ts";
import { action, withSession } from "../session.ts";
import { rehearsalText, storeFacts, storeText } from "../store-view.ts";
import { type ControlFlags, loadConfig, withControlSettings } from "./control.ts";

interface DbFlags extends ProgressOptions {
  readonly file?: string;
  readonly format?: string;
  readonly replace?: boolean;
  readonly dryRun?: boolean;
  readonly toPostgresUrlFile?: string;
  readonly toPostgresCaFile?: string;
}

type Flags = ControlFlags & DbFlags;

/** Whether control's configuration was named: then the store is opened here, and control is not asked. */
function isLocal(options: Flags): boolean {
  const named = [options.config, options["dataDir"], options["postgresUrlFile"], options["sealingKeyFile"]];
  return named.some((each) => each !== undefined);
}

const db = () => import("../../control/db.ts");

async function status(options: Flags): Promise<void> {
  const found = isLocal(options)
    ? await (await db()).dbStatus(await loadConfig(options))
    : await withSession(options, async ({ client }) => (await client(StoreService).getStoreStatus({})).status);
  if (found === undefined)
    throw new WeftError("internal", "control said nothing of its store", { detail: "EMPTY_ANSWER" });
  print(options, storeFacts(found), () => storeText(found));
}

async function rehearse(options: Flags): Promise<void> {
  const { dbRehearse } = await db();
  const { file } = options;
  const config = await loadConfig(options);
  const found = await shown(options, "rehearsing on a copy", () =>
    dbRehearse(config, file === undefined ? {} : { file }),
  );
  print(options, found, () => rehearsalText(found, file ?? "the store"));
  if (!found.verdict.ok) process.exitCode = exitCodes.failure;
}

async function backup(options: Flags): Promise<void> {
  const { file = "", format = "weft" } = options;
  if (format !== "weft" && format !== "pg_dump") {
    throw new WeftError("invalid_argument", `"${format}" is no format; choose weft or pg_dump`, { detail: "CLI_ENUM" });
  }
  const { dbBackup, dbReceive } = await db();
  if (format === "pg_dump" || isLocal(options)) {
    const config = await loadConfig(options);
    const header = await shown(options, "writing the backup", () => dbBackup(config, { file, format }));
    const facts = header === undefined ? {} : { takenAtMs: header.takenAtMs, epoch: header.epoch, audit: header.audit };
    print(options, { file, format, ...facts }, () => takenText(file, header));
    return;
  }
  const sizeBytes = await shown(options, "receiving the backup", (tell) =>
    withSession(options, async ({ client }) => await dbReceive(file, backupPieces(client(StoreService), tell))),
  );
  print(options, { file, format, sizeBytes }, () => takenText(file, undefined));
}

/** Asks only once the file is open: a file that cannot be written costs control nothing. */
async function* backupPieces(
  { backupStore }: Pick<Client<typeof StoreService>, "backupStore">,
  tell: Tell,
): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const { piece } of backupStore({}, { timeoutMs: 0 })) {
    bytes += piece.length;
    tell(`${(bytes / MiB).toFixed(1)} MiB`);
    yield piece;
  }
}

function takenText(
  file: string,
  header: { readonly takenAtMs: number; readonly audit: { readonly seq: number } } | undefined,
) {
  const about = header === undefined ? "" : ` of ${when(header.takenAtMs)}, audit record ${header.audit.seq}`;
  return `backup${about} is in ${file}\nkeep it apart from the sealing key: with both, it is your certificate authority`;
}

async function restore(options: Flags): Promise<void> {
  const { dbRestore } = await db();
  const { file = "", replace = false, dryRun = false } = options;
  const config = await loadConfig(options);
  const what = dryRun ? "rehearsing the restore" : "restoring";
  const { rehearsal, done, replaced } = await shown(options, what, () => dbRestore(config, { file, replace, dryRun }));
  const { header, ...facts } = rehearsal;
  const about = { takenAtMs: header.takenAtMs, epoch: header.epoch, auditSeq: header.audit.seq };
  print(options, { file, backup: about, rehearsal: facts, replaced, done }, () =>
    [
      rehearsalText(rehearsal, file),
      `the backup is of ${when(header.takenAtMs)}: epoch ${header.epoch}, audit record ${header.audit.seq}`,
      ...(replaced === undefined
        ? []
        : [
            `${done === undefined ? "it would take" : "it took"} the place of a store at audit record ${replaced.auditSeq}, epoch ${replaced.epoch}`,
          ]),
      ...(done === undefined
        ? ["a dry run: nothing was changed"]
        : [
            `restored as ${done.restoreId}, epoch ${done.epoch}`,
            'start control; nodes tell what they know beyond the backup: "weft db status", "weft alert list"',
          ]),
    ].join("\n"),
  );
}

const stageWords = {
  copied: "everything is there; closing the old store",
  departed: "the old store is closed; opening the new one",
  arrived: "the new one is open",
} as const;

async function migrate(options: Flags): Promise<void> {
  const { dbMigrate } = await db();
  const { toPostgresUrlFile = "", toPostgresCaFile, dryRun = false } = options;
  const config = await loadConfig(options);
  const report = await shown(options, "moving to PostgreSQL", (tell) =>
    dbMigrate(config, {
      toPostgresUrlFile,
      dryRun,
      ...(toPostgresCaFile === undefined ? {} : { toPostgresCaFile }),
      onStage: (stage) => tell(stageWords[stage]),
    }),
  );
  const went = report.resumedAfter === "" ? "" : ` (went on after: ${report.resumedAfter})`;
  print(options, report, () =>
    [
      `${report.rows} rows in ${Object.keys(report.tables).length} tables, SHA-256 ${report.digest.slice(0, 16)}, audit record ${report.auditSeq}${went}`,
      dryRun
        ? "a dry run: everything was copied, compared and verified there, and taken back; nothing was changed"
        : `moved as ${report.moveId}: start control with postgresUrlFile in place of dataDir; on the old store it refuses to start`,
    ].join("\n"),
  );
}

async function accept(options: Flags, restoreId: string): Promise<void> {
  await withSession(options, async ({ client }) => await client(StoreService).acceptRestore({ restoreId }));
  print(options, { restoreId, accepted: true }, () => `${restoreId} is settled; nodes are no longer held back by it`);
}

/** The settings of work on a store that takes as long as the store is large. */
function withLongSettings(command: Command): Command {
  return withProgressOption(withControlSettings(command));
}

export function addDbCommands(program: Command): void {
  const group = program
    .command("db")
    .description("the store of control: its state, backup and restore, rehearsal of an upgrade, the move to PostgreSQL")
    .addHelpText(
      "after",
      groupExamples(
        "weft db status",
        "weft db backup --file weft.backup",
        "weft db rehearse --config /etc/weft/control.json",
      ),
    );
  withControlSettings(
    group.command("status").description("what the store runs on, what is in it, what a restore left to do"),
  )
    .addHelpText("after", "\nWithout a configuration it asks the running control.\n\nExample:\n  weft db status")
    .action(action(status));
  withLongSettings(
    group.command("rehearse").description("try an upgrade by this program, or a restore, on a copy; changes nothing"),
  )
    .option("--file <file>", "rehearse the restore of this backup instead")
    .addHelpText("after", "\nExample:\n  weft db rehearse --config /etc/weft/control.json")
    .action(action(rehearse));
  withLongSettings(group.command("backup").description("write everything control knows into one file (0600)"))
    .requiredOption("--file <file>", "where to; must not exist")
    .option("--format <format>", "weft, which restore reads, or pg_dump (PostgreSQL only, for its own tools)", "weft")
    .addHelpText(
      "after",
      "\nWithout a configuration it asks the running control.\n\nExample:\n  weft db backup --file /backup/weft-monday",
    )
    .action(action(backup));
  withLongSettings(group.command("restore").description("make the store from a backup; control must be stopped"))
    .requiredOption("--file <file>", "the backup")
    .option("--replace", "put it in the place of the store that is there")
    .option("--dry-run", "rehearse only")
    .addHelpText(
      "after",
      "\nExample:\n  weft db restore --config /etc/weft/control.json --file /backup/weft-monday --dry-run",
    )
    .action(action(restore));
  withLongSettings(
    group
      .command("migrate")
      .description("move an embedded installation to PostgreSQL; control must be stopped, nodes go on"),
  )
    .requiredOption("--to-postgres-url-file <file>", "file (0600) with the URL of an empty database")
    .option("--to-postgres-ca-file <file>", "CA certificates that server is verified with")
    .option("--dry-run", "copy, compare and verify, and take it back")
    .addHelpText(
      "after",
      "\nWhen it is interrupted, the same command goes on.\n\nExample:\n  weft db migrate --config /etc/weft/control.json --to-postgres-url-file /etc/weft/postgres.url --dry-run",
    )
    .action(action(migrate));
  group
    .command("accept <restore>")
    .description("after a restore: stop waiting for nodes, and close its alert")
    .addHelpText("after", "\nExample:\n  weft db accept rs-2f6wq0k1m9c3xh5t")
    .action(action(accept));
}
