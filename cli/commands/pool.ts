/** `weft pool`: egress pools, where bytes leave the fabric. */

import type { Command } from "commander";
import { NodeAdminService } from "../../gen/weft/admin/v1/node_pb.ts";
import { OrganizationService } from "../../gen/weft/admin/v1/organization_pb.ts";
import { PoolService } from "../../gen/weft/admin/v1/pool_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { groupExamples, print, table } from "../output.ts";
import {
  action,
  findNode,
  findOrganization,
  findPool,
  type GlobalOptions,
  namer,
  organizationName,
  withSession,
} from "../session.ts";

async function createPool(options: GlobalOptions & { organization?: string }, name: string): Promise<void> {
  const organization = organizationName(options);
  if (organization === undefined)
    throw new WeftError("invalid_argument", "name the organization it serves with --organization", {
      detail: "CLI_ORGANIZATION_MISSING",
    });
  const answer = await withSession(options, async (session) =>
    session.client(PoolService).createPool({
      clusterId: await session.clusterId(),
      organizationId: (await findOrganization(session, organization)).id,
      name,
    }),
  );
  print(options, answer, () => `pool ${answer.pool?.name} has id ${answer.pool?.id}`);
}

export function addPoolCommands(program: Command): void {
  const pool = program
    .command("pool")
    .description("egress pools")
    .addHelpText("after", groupExamples("weft pool list", "weft pool add office egress-1"));
  pool
    .command("create <name>")
    .description("create an egress pool for an organization")
    .option("--organization <name>", "the organization it serves (default: the context's)")
    .addHelpText("after", "\nExample:\n  weft pool create office --organization acme")
    .action(action(createPool));
  pool
    .command("list")
    .description("list egress pools")
    .addHelpText("after", "\nExample:\n  weft pool list")
    .action(
      action(async (options) => {
        const { pools, nodes, organizations } = await withSession(options, async (session) => {
          const clusterId = await session.clusterId();
          return {
            ...(await session.client(PoolService).listPools({ clusterId })),
            nodes: (await session.client(NodeAdminService).listNodes({ clusterId })).nodes,
            organizations: (await session.client(OrganizationService).listOrganizations({ clusterId })).organizations,
          };
        });
        const [nodeName, organizationName] = [namer(nodes), namer(organizations)];
        print(options, { pools }, () =>
          table(
            ["ID", "NAME", "ORGANIZATION", "NODES"],
            pools.map((row) => [
              row.id,
              row.name,
              organizationName(row.organizationId),
              row.nodeIds.map(nodeName).join(","),
            ]),
          ),
        );
      }),
    );
  pool
    .command("add <pool> <node>")
    .description("put an egress node into a pool; a pool is one trust class")
    .addHelpText("after", "\nExample:\n  weft pool add office egress-1")
    .action(
      action(async (options, poolName: string, node: string) => {
        const answer = await withSession(options, async (session) =>
          session.client(PoolService).addPoolNode({
            clusterId: await session.clusterId(),
            poolId: (await findPool(session, poolName)).id,
            nodeId: (await findNode(session, node)).id,
          }),
        );
        print(options, answer, () => `pool ${answer.pool?.name} has ${answer.pool?.nodeIds.length} nodes`);
      }),
    );
}
