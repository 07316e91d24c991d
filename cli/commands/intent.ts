/** `weft intent`: what operators want of routes, over and above what measurements say. */

import type { Command } from "commander";
import { RouteIntentService } from "../../gen/weft/admin/v1/intent_pb.ts";
import { NodeAdminService } from "../../gen/weft/admin/v1/node_pb.ts";
import { OrganizationService } from "../../gen/weft/admin/v1/organization_pb.ts";
import { PoolService } from "../../gen/weft/admin/v1/pool_pb.ts";
import { ResourceService } from "../../gen/weft/admin/v1/resource_pb.ts";
import { IntentAction, ServiceClass } from "../../gen/weft/fabric/v1/role_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { durationMs } from "../arguments.ts";
import { enumName, enumValue, groupExamples, print, table, when } from "../output.ts";
import { action, type GlobalOptions, namer, withSession } from "../session.ts";

interface IntentOptions extends GlobalOptions {
  readonly action?: string;
  readonly node?: string;
  readonly region?: string;
  readonly organization?: string;
  readonly from?: string;
  readonly pool?: string;
  readonly resource?: string;
  readonly service?: string;
  readonly for?: number;
}

/** What control calls the fields that these options fill. */
const flagOf: Readonly<Record<string, string>> = {
  name: "<name>",
  action: "--action",
  node_id: "--node",
  region: "--region",
  organization_id: "--organization",
  source_node_id: "--from",
  pool_id: "--pool",
  resource_id: "--resource",
  service_class: "--service",
  expires_at_ms: "--for",
};

/** A refusal of the request in the words of the command line: `node_id: …; region: …` names its fields. */
export function inFlags(thrown: unknown): unknown {
  if (!(thrown instanceof WeftError) || thrown.reason !== "invalid_argument") return thrown;
  const message = thrown.message.replace(/(^|; )([a-z_]+)(?=: )/g, (all, before: string, field: string) => {
    const flag = flagOf[field];
    return flag === undefined ? all : `${before}${flag}`;
  });
  return new WeftError(thrown.reason, message, { detail: thrown.detail, metadata: thrown.metadata, cause: thrown });
}

async function addIntent(options: IntentOptions, name: string): Promise<void> {
  const service = options.service?.replaceAll("_", "-");
  const answer = await withSession(options, async (session) =>
    session.client(RouteIntentService).addRouteIntent({
      clusterId: await session.clusterId(),
      name,
      action: enumValue(IntentAction, options.action ?? "", "action"),
      nodeId: options.node ?? "",
      region: options.region ?? "",
      organizationId: options.organization ?? "",
      sourceNodeId: options.from ?? "",
      poolId: options.pool ?? "",
      resourceId: options.resource ?? "",
      serviceClass:
        service === undefined ? ServiceClass.UNSPECIFIED : enumValue(ServiceClass, service, "service class"),
      expiresAtMs: options.for === undefined ? 0n : BigInt(Date.now() + options.for),
    }),
  ).catch((thrown: unknown) => {
    throw inFlags(thrown);
  });
  print(options, answer, () => `route intent ${answer.intent?.name} has id ${answer.intent?.id}`);
}

async function listIntents(options: GlobalOptions): Promise<void> {
  const { intents, ...known } = await withSession(options, async (session) => {
    const clusterId = await session.clusterId();
    return {
      ...(await session.client(RouteIntentService).listRouteIntents({ clusterId })),
      nodes: (await session.client(NodeAdminService).listNodes({ clusterId })).nodes,
      pools: (await session.client(PoolService).listPools({ clusterId })).pools,
      resources: (await session.client(ResourceService).listResources({ clusterId })).resources,
      organizations: (await session.client(OrganizationService).listOrganizations({ clusterId })).organizations,
    };
  });
  const [node, pool, resource, organization] = [known.nodes, known.pools, known.resources, known.organizations].map(
    (rows) => namer(rows),
  ) as [Namer, Namer, Namer, Namer];
  print(options, { intents }, () =>
    table(
      ["ID", "NAME", "ACTION", "MEANT", "FROM", "TO", "SERVICE", "EXPIRES"],
      intents.map((row) => [
        row.id,
        row.name,
        enumName(IntentAction, row.action),
        row.nodeId === "" ? row.region || "-" : node(row.nodeId),
        row.sourceNodeId === "" ? "every entry" : node(row.sourceNodeId),
        row.resourceId !== ""
          ? `resource ${resource(row.resourceId)}`
          : row.poolId !== ""
            ? `pool ${pool(row.poolId)}`
            : row.organizationId !== ""
              ? `organization ${organization(row.organizationId)}`
              : "everything",
        row.serviceClass === ServiceClass.UNSPECIFIED ? "every" : enumName(ServiceClass, row.serviceClass),
        when(row.expiresAtMs),
      ]),
    ),
  );
}

type Namer = (id: string) => string;

export function addIntentCommands(program: Command): void {
  const intent = program
    .command("intent")
    .description("route intents: what operators want of routes")
    .addHelpText(
      "after",
      groupExamples("weft intent add spare-relay --action avoid --node relay-2 --for 8h", "weft intent list"),
    );
  intent
    .command("add <name>")
    .description("add a route intent; entries obey it with their next snapshot")
    .requiredOption("--action <action>", "prefer, avoid, require-region or direct")
    .option("--node <node>", "the node to prefer or avoid")
    .option("--region <region>", "the region to prefer, avoid or require")
    .option("--from <entry>", "for routes of this entry (default: every entry)")
    .option("--organization <organization>", "for this organization (default: every one, or the destination's)")
    .option("--pool <pool>", "for routes to this egress pool")
    .option("--resource <resource>", "for routes to this resource")
    .option("--service <class>", "remote-workspace, database, web, file-transfer, messaging or other")
    .option("--for <duration>", "how long it holds: 90s, 8h, 7d (default: until it is removed)", durationMs)
    .addHelpText(
      "after",
      "\nExamples:\n  weft intent add spare-relay --action avoid --node relay-2 --for 8h\n  weft intent add stay-in-eu --action require-region --region eu --resource db\n  weft intent add desks-short --action prefer --region eu --service remote-workspace\n  weft intent add straight --action direct --pool office --from entry-1",
    )
    .action(action(addIntent));
  intent
    .command("list")
    .description("list route intents in force")
    .addHelpText("after", "\nExample:\n  weft intent list --json")
    .action(action(listIntents));
  intent
    .command("remove <intent>")
    .description("remove a route intent, by name or id")
    .addHelpText("after", "\nExample:\n  weft intent remove spare-relay")
    .action(
      action(async (options: GlobalOptions, wanted: string) => {
        const answer = await withSession(options, async (session) =>
          session
            .client(RouteIntentService)
            .removeRouteIntent({ clusterId: await session.clusterId(), intentId: wanted }),
        );
        print(options, answer, () => `removed ${wanted}`);
      }),
    );
}
