/** `weft membership`: whether a node takes part in its cluster. */

import type { Command } from "commander";
import { MembershipService } from "../../gen/weft/admin/v1/node_pb.ts";
import { batchAction } from "../batch.ts";
import { groupExamples, print, table, when } from "../output.ts";
import { action, findNode, withSession } from "../session.ts";

export function addMembershipCommands(program: Command): void {
  const membership = program
    .command("membership")
    .description("memberships of nodes in a cluster")
    .addHelpText("after", groupExamples("weft membership list", "weft membership disable relay-1"));
  membership
    .command("list")
    .description("list memberships")
    .addHelpText("after", "\nExample:\n  weft membership list")
    .action(
      action(async (options) => {
        const answer = await withSession(options, async (session) =>
          session.client(MembershipService).listMemberships({ clusterId: await session.clusterId() }),
        );
        print(options, answer, () =>
          table(
            ["NODE", "ID", "STATUS", "JOINED", "LAST SEEN"],
            answer.memberships.map((row) => [
              row.nodeName,
              row.nodeId,
              row.status,
              when(row.joinedAtMs),
              when(row.lastSeenAtMs),
            ]),
          ),
        );
      }),
    );
  for (const verb of ["disable", "enable"] as const) {
    membership
      .command(`${verb} <node...>`)
      .description(
        verb === "disable"
          ? "take nodes out of their cluster without revoking their identities"
          : "let disabled nodes work again",
      )
      .addHelpText("after", `\nExample:\n  weft membership ${verb} relay-1`)
      .action(
        batchAction({
          work: async (session, node) => {
            const request = { clusterId: await session.clusterId(), nodeId: (await findNode(session, node)).id };
            const client = session.client(MembershipService);
            return verb === "disable"
              ? await client.disableMembership(request)
              : await client.enableMembership(request);
          },
          text: ({ membership: its }, node) => `membership of ${node} is ${its?.status}`,
        }),
      );
  }
}
