/** `weft audit`: who changed what, kept and checked. */

import { existsSync } from "node:fs";
import type { Command } from "commander";
import type { AuditFault } from "../../fabric/audit/chain.ts";
import type { WitnessFault } from "../../fabric/audit/witness.ts";
import { AuditService } from "../../gen/weft/admin/v1/audit_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { wholeNumber } from "../arguments.ts";
import { AuditFileWriter, auditFileHeader, checkAuditFile } from "../audit-file.ts";
import { streamAudit, verifyLive } from "../audit-stream.ts";
import { readTestimonies } from "../audit-witness.ts";
import { actorName, exitCodes, groupExamples, print, safeText, table, when } from "../output.ts";
import { type ProgressOptions, shown, type Tell, withProgressOption } from "../progress.ts";
import { action, type GlobalOptions, withSession } from "../session.ts";

export function addAuditCommands(program: Command): void {
  const audit = program
    .command("audit")
    .description("the audit log: who changed what, kept and checked")
    .addHelpText(
      "after",
      groupExamples("weft audit list --limit 20", "weft audit export audit.jsonl", "weft audit verify audit.jsonl"),
    );
  audit
    .command("list")
    .description("newest records, or those after a sequence number")
    .option("--after <seq>", "records after this one", wholeNumber(), 0)
    .option("--limit <count>", "at most this many (500)", wholeNumber(limits.listPageMaxCount), 100)
    .option("--all-clusters", "of the whole installation")
    .addHelpText("after", "\nExample:\n  weft audit list --limit 20")
    .action(action(listRecords));
  withProgressOption(
    audit
      .command("export <file>")
      .description(
        "write the log of the whole installation into a file, one JSON object per line, for keeping and checking",
      ),
  )
    .option("--from <seq>", "from this record on", wholeNumber(), 1)
    .option("--to <seq>", "up to this record (the head)", wholeNumber(), 0)
    .addHelpText(
      "after",
      "\nWhat broke off is left in <file>.part; the same command goes on from there.\n\nExample:\n  weft audit export audit.jsonl",
    )
    .action(action(exportLog));
  withProgressOption(
    audit
      .command("verify [file]")
      .description("check an exported log without any server, or (no file) the log of the running control"),
  )
    .option("--witness <path>", "what nodes witnessed: a node's data folder, or one of several; repeat it", several, [])
    .addHelpText("after", "\nExample:\n  weft audit verify audit.jsonl")
    .action(action(verifyLog));
}

/** A flag that may be given again. */
const several = (path: string, before: readonly string[]): string[] => [...before, path];

async function listRecords(options: GlobalOptions & { after?: number; limit?: number; allClusters?: boolean }) {
  const answer = await withSession(options, async (session) =>
    session.client(AuditService).listAudit({
      clusterId: options.allClusters === true ? "" : await session.clusterId(),
      afterSeq: BigInt(options.after ?? 0),
      limit: options.limit ?? 100,
    }),
  );
  print(options, answer, () =>
    table(
      ["SEQ", "AT", "ACTION", "OBJECT", "RESULT", "ACTOR"],
      answer.records.map((row) => [
        String(row.seq),
        when(row.atMs),
        row.action,
        row.object,
        row.result,
        actorName(row.actor),
      ]),
    ),
  );
}

interface ExportOptions extends GlobalOptions, ProgressOptions {
  readonly from?: number;
  readonly to?: number;
}

async function exportLog(options: ExportOptions, file: string): Promise<void> {
  const afterSeq = Math.max(1, options.from ?? 1) - 1;
  const untilSeq = options.to ?? 0;
  if (untilSeq !== 0 && untilSeq <= afterSeq) {
    throw new WeftError("invalid_argument", "--to comes before --from", { detail: "CLI_RANGE" });
  }
  if (existsSync(file)) {
    throw new WeftError("already_exists", `${file} exists; name another file`, { detail: "AUDIT_FILE_EXISTS" });
  }
  await shown(options, "exporting the log", (tell) => exportTo(options, file, { afterSeq, untilSeq }, tell));
}

async function exportTo(
  options: ExportOptions,
  file: string,
  { afterSeq, untilSeq }: { readonly afterSeq: number; readonly untilSeq: number },
  tell: Tell,
): Promise<void> {
  let writer: AuditFileWriter | undefined;
  try {
    const chain = await withSession(options, (session) =>
      streamAudit(
        session,
        { afterSeq, untilSeq },
        async ({ installation, trustDomain, epoch, before }) => {
          const header = { installation, trustDomain, epoch, before, startedAtMs: systemClock.nowMs() };
          writer = await AuditFileWriter.open(file, header);
          return { afterSeq: writer.last.seq };
        },
        (records) => {
          writer?.write(records);
          tell(farText(writer?.last.seq ?? 0, untilSeq));
        },
      ),
    );
    const { head, witnesses, before } = chain;
    const open = writer;
    if (open === undefined) throw new WeftError("internal", "nothing was exported");
    writer = undefined;
    const fault = open.finish({ head, witnesses, finishedAtMs: Math.floor(systemClock.nowMs()) });
    const facts = {
      ok: fault === undefined,
      ...{ file, from: before.seq + 1, to: open.last.seq, records: open.count, head, witnesses: witnesses.length },
      ...(fault === undefined ? {} : { fault }),
    };
    print(
      options,
      facts,
      () => `${file}: records ${before.seq + 1} to ${open.last.seq}, and ${witnesses.length} witnesses`,
    );
    if (fault !== undefined) failed(options, fault, []);
  } finally {
    writer?.leave();
  }
}

async function verifyLog(
  options: GlobalOptions & ProgressOptions & { witness?: string[] },
  file: string | undefined,
): Promise<void> {
  const paths = options.witness ?? [];
  const given = (installation: string) => paths.flatMap((path) => readTestimonies(path, installation));
  if (file === undefined) {
    const report = await shown(options, "checking the log", (tell) =>
      withSession(options, (session) => verifyLive(session, given, (at, of) => tell(farText(at, of)))),
    );
    print(options, report, () => verdictText("the audit log", report));
    if (report.fault !== undefined) failed(options, report.fault, report.witnessFaults);
    return;
  }
  const testimonies = paths.length === 0 ? [] : given((await auditFileHeader(file)).installation);
  const { header, trailer, ...report } = await checkAuditFile(file, testimonies);
  const facts = {
    ...report,
    file,
    ...(header === undefined
      ? {}
      : { installation: header.installation, epoch: header.epoch, from: header.before.seq + 1 }),
    ...(trailer === undefined ? {} : { head: trailer.head }),
  };
  print(options, facts, () => verdictText(file, { ...report, head: trailer?.head ?? report.last }));
  if (report.fault !== undefined) failed(options, report.fault, report.witnessFaults);
}

interface Verdict {
  readonly ok: boolean;
  readonly count: number;
  readonly head: { readonly seq: number; readonly hash: Uint8Array };
  readonly witnessesChecked: number;
}

function verdictText(what: string, { ok, count, head, witnessesChecked }: Verdict): string {
  if (!ok) return `${what}: ${count} records are right before the first that is not`;
  const hash = Buffer.from(head.hash).toString("hex").slice(0, 16);
  const seen = witnessesChecked === 0 ? "no witness was asked" : `${witnessesChecked} witnessed heads are on it`;
  return `${what}: ${count} records, every one as it was written; head ${head.seq} ${hash}; ${seen}`;
}

/** Says what is wrong, the chain's own fault first, then every witness that it contradicts. */
function failed(options: GlobalOptions, fault: AuditFault, witnessFaults: readonly WitnessFault[]): void {
  process.exitCode = exitCodes.failure;
  if (options.json === true) return;
  const lines = [`weft: ${fault.why} [${fault.code}]`];
  for (const { code, why, witnessed, chain } of witnessFaults.slice(0, 20)) {
    const there = chain === undefined ? "nothing" : chain.slice(0, 16);
    lines.push(`  ${code}: ${why} (witnessed ${witnessed.slice(0, 16)}, there is ${there})`);
  }
  if (witnessFaults.length > 20) lines.push(`  and ${witnessFaults.length - 20} more`);
  process.stderr.write(`${lines.map(safeText).join("\n")}\n`);
}

function farText(at: number, of: number): string {
  return `${at}${of > 0 ? ` of ${of}` : ""} records`;
}
