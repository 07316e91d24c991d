/** `weft telemetry`: where synthetic measurements (`weft probe`) may be made. */

import type { Command } from "commander";
import { NodeAdminService } from "../../gen/weft/admin/v1/node_pb.ts";
import { OrganizationService } from "../../gen/weft/admin/v1/organization_pb.ts";
import { TestTelemetryService, type TestTelemetrySwitch } from "../../gen/weft/admin/v1/telemetry_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { actorName, groupExamples, print, table, when } from "../output.ts";
import { action, findNode, findOrganization, type GlobalOptions, namer, withSession } from "../session.ts";

interface TelemetryOptions extends GlobalOptions {
  readonly node?: string;
  readonly organization?: string;
}

function placeText(
  { organizationId, nodeId }: Pick<TestTelemetrySwitch, "organizationId" | "nodeId">,
  nameOf: (id: string) => string,
): string {
  if (nodeId !== "") return `node ${nameOf(nodeId)}`;
  return organizationId === "" ? "the cluster" : `organization ${nameOf(organizationId)}`;
}

async function setTelemetry(options: TelemetryOptions, state: string): Promise<void> {
  if (state !== "on" && state !== "off")
    throw new WeftError("invalid_argument", `"${state}" is neither on nor off`, { detail: "CLI_ENUM" });
  const { node, organization } = options;
  const answer = await withSession(options, async (session) =>
    session.client(TestTelemetryService).setTestTelemetry({
      clusterId: await session.clusterId(),
      nodeId: node === undefined ? "" : (await findNode(session, node)).id,
      organizationId: organization === undefined ? "" : (await findOrganization(session, organization)).id,
      enabled: state === "on",
    }),
  );
  const named = placeText({ nodeId: node ?? "", organizationId: organization ?? "" }, (name) => name);
  print(options, answer, () => `test telemetry of ${named} is ${state}; nodes obey with their next snapshot`);
}

async function listTelemetry(options: TelemetryOptions): Promise<void> {
  await withSession(options, async (session) => {
    const clusterId = await session.clusterId();
    const { switches } = await session.client(TestTelemetryService).listTestTelemetry({ clusterId });
    const { nodes } = await session.client(NodeAdminService).listNodes({ clusterId });
    const { organizations } = await session.client(OrganizationService).listOrganizations({ clusterId });
    const nameOf = namer([...nodes, ...organizations]);
    print(options, { switches }, () =>
      switches.length === 0
        ? "nothing was ever switched: test telemetry is on everywhere"
        : table(
            ["PLACE", "TEST TELEMETRY", "SINCE", "BY"],
            switches.map((row) => [
              ...[placeText(row, nameOf), row.enabled ? "on" : "off"],
              ...[when(row.changedAtMs), actorName(row.changedBy)],
            ]),
          ),
    );
  });
}

export function addTelemetryCommands(program: Command): void {
  const group = program
    .command("telemetry")
    .description("where synthetic measurements (weft probe) may be made; on unless switched off")
    .addHelpText("after", groupExamples("weft telemetry set off --node entry-1", "weft telemetry list"));
  group
    .command("set <on|off>")
    .description("switch the cluster, an organization or a node; a probe needs all that it touches to be on")
    .option("--node <node>", "one node, as either end of a probe")
    .option("--organization <name>", "probes of one organization's paths")
    .addHelpText("after", "\nExamples:\n  weft telemetry set off\n  weft telemetry set on --node entry-1")
    .action(action(setTelemetry));
  group
    .command("list")
    .description("what was switched, when and by whom")
    .addHelpText("after", "\nExample:\n  weft telemetry list --json")
    .action(action(listTelemetry));
}
