/** `weft organization`: tenants of a cluster. */

import type { Command } from "commander";
import { OrganizationService } from "../../gen/weft/admin/v1/organization_pb.ts";
import { groupExamples, print, table, when } from "../output.ts";
import { action, withSession } from "../session.ts";

export function addOrganizationCommands(program: Command): void {
  const organization = program
    .command("organization")
    .description("tenants of a cluster")
    .addHelpText("after", groupExamples("weft organization list", "weft organization create acme"));
  organization
    .command("create <name>")
    .description("create an organization")
    .addHelpText("after", "\nExample:\n  weft organization create acme")
    .action(
      action(async (options, name: string) => {
        const answer = await withSession(options, async (session) =>
          session.client(OrganizationService).createOrganization({ clusterId: await session.clusterId(), name }),
        );
        print(options, answer, () => `organization ${answer.organization?.name} has id ${answer.organization?.id}`);
      }),
    );
  organization
    .command("list")
    .description("list organizations")
    .addHelpText("after", "\nExample:\n  weft organization list --json")
    .action(
      action(async (options) => {
        const answer = await withSession(options, async (session) =>
          session.client(OrganizationService).listOrganizations({ clusterId: await session.clusterId() }),
        );
        print(options, answer, () =>
          table(
            ["ID", "NAME", "CREATED"],
            answer.organizations.map((row) => [row.id, row.name, when(row.createdAtMs)]),
          ),
        );
      }),
    );
}
