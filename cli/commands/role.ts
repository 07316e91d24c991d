/** `weft role`: what nodes may do. */

import type { Command } from "commander";
import { RoleService } from "../../gen/weft/admin/v1/role_pb.ts";
import { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { actorName, enumName, enumValue, groupExamples, print, table, when } from "../output.ts";
import { action, findNode, findOrganization, type GlobalOptions, type Session, withSession } from "../session.ts";

type RoleOptions = GlobalOptions & { organization?: string };

async function grantOf(
  session: Session,
  role: string,
  options: RoleOptions,
): Promise<{ role: NodeRole; organizationId: string }> {
  const organizationId =
    options.organization === undefined ? "" : (await findOrganization(session, options.organization)).id;
  return { role: enumValue(NodeRole, role, "role"), organizationId };
}

export function addRoleCommands(program: Command): void {
  const role = program
    .command("role")
    .description("roles of nodes")
    .addHelpText("after", groupExamples("weft role list relay-1", "weft role assign relay-1 relay"));
  role
    .command("assign <node> <role>")
    .description("assign a role; the node must report the capability")
    .option("--organization <name>", "for this organization only")
    .addHelpText(
      "after",
      "\nA capability is what the host says it could do, whatever the node's roles are: one with an inbound port could accept clients and\nnodes, one that only dials out could not. It permits nothing; a role permits, and is refused without the capability it needs.\n\nExample:\n  weft role assign relay-1 relay",
    )
    .action(
      action(async (options: RoleOptions, node: string, name: string) => {
        const answer = await withSession(options, async (session) =>
          session.client(RoleService).assignRole({
            clusterId: await session.clusterId(),
            nodeId: (await findNode(session, node)).id,
            grant: await grantOf(session, name, options),
          }),
        );
        print(options, answer, () => `${node} now has role ${name}`);
      }),
    );
  role
    .command("remove <node> <role>")
    .description("take a role away; the node stops it within one heartbeat")
    .option("--organization <name>", "the grant for this organization")
    .addHelpText("after", "\nExample:\n  weft role remove relay-1 relay")
    .action(
      action(async (options: RoleOptions, node: string, name: string) => {
        const answer = await withSession(options, async (session) =>
          session.client(RoleService).removeRole({
            clusterId: await session.clusterId(),
            nodeId: (await findNode(session, node)).id,
            grant: await grantOf(session, name, options),
          }),
        );
        print(options, answer, () => `${node} no longer has role ${name}`);
      }),
    );
  role
    .command("list [node]")
    .description("list role assignments")
    .addHelpText("after", "\nExample:\n  weft role list relay-1")
    .action(
      action(async (options: RoleOptions, node: string | undefined) => {
        const answer = await withSession(options, async (session) =>
          session.client(RoleService).listRoles({
            clusterId: await session.clusterId(),
            nodeId: node === undefined ? "" : (await findNode(session, node)).id,
          }),
        );
        print(options, answer, () =>
          table(
            ["NODE", "ROLE", "ORGANIZATION", "SINCE", "BY"],
            answer.assignments.map((row) => [
              row.nodeName,
              enumName(NodeRole, row.grant?.role ?? 0),
              row.grant?.organizationId || "every",
              when(row.assignedAtMs),
              actorName(row.assignedBy),
            ]),
          ),
        );
      }),
    );
}
