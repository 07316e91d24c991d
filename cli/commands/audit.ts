/** `weft audit`: who changed what. */

import type { Command } from "commander";
import { AuditService } from "../../gen/weft/admin/v1/audit_pb.ts";
import { limits } from "../../lib/limits.ts";
import { wholeNumber } from "../arguments.ts";
import { actorName, groupExamples, print, table, when } from "../output.ts";
import { action, type GlobalOptions, withSession } from "../session.ts";

export function addAuditCommands(program: Command): void {
  const audit = program
    .command("audit")
    .description("the audit log")
    .addHelpText("after", groupExamples("weft audit list --limit 20"));
  audit
    .command("list")
    .description("newest records, or those after a sequence number")
    .option("--after <seq>", "records after this one", wholeNumber(), 0)
    .option("--limit <count>", "at most this many (500)", wholeNumber(limits.listPageMaxCount), 100)
    .option("--all-clusters", "of the whole installation")
    .addHelpText("after", "\nExample:\n  weft audit list --limit 20")
    .action(
      action(async (options: GlobalOptions & { after?: number; limit?: number; allClusters?: boolean }) => {
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
      }),
    );
}
