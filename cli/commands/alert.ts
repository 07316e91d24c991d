/** `weft alert`: what an operator should look at. */

import type { Command } from "commander";
import { type Alert, AlertService } from "../../gen/weft/admin/v1/alert_pb.ts";
import { groupExamples, print, table, when } from "../output.ts";
import { action, type GlobalOptions, withSession } from "../session.ts";

function stateText({ closedAtMs, timesOpened }: Alert): string {
  const often = timesOpened > 1n ? ` (${timesOpened} times)` : "";
  return `${closedAtMs === 0n ? "open" : `closed ${when(closedAtMs)}`}${often}`;
}

async function listAlerts(options: GlobalOptions & { readonly all?: boolean }): Promise<void> {
  const answer = await withSession(options, async (session) =>
    session.client(AlertService).listAlerts({ clusterId: await session.clusterId(), all: options.all === true }),
  );
  print(options, answer, () => {
    if (answer.alerts.length === 0) return options.all === true ? "there were no alerts" : "nothing is wrong";
    const rows = answer.alerts.map((row) => [
      row.severity,
      row.kind,
      row.objectName || row.object,
      when(row.openedAtMs),
      stateText(row),
      row.detail,
    ]);
    const text = table(["SEVERITY", "ALERT", "ABOUT", "SINCE", "STATE", "DETAIL"], rows);
    return answer.truncated ? `${text}\nthere are more than these` : text;
  });
}

export function addAlertCommands(program: Command): void {
  const alert = program
    .command("alert")
    .description("what to look at: silent nodes, wrong clocks, roles nobody covers")
    .addHelpText("after", groupExamples("weft alert list", "weft alert list --all --json"));
  alert
    .command("list")
    .description("list open alerts, the newest first")
    .option("--all", "closed ones too (kept for 30 days)")
    .addHelpText("after", "\nExample:\n  weft alert list")
    .action(action(listAlerts));
}
