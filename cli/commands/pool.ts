/** `weft pool`, `weft resource`, `weft listener`: what can be reached, where it leaves, where it enters. */

import { type Command, InvalidArgumentError } from "commander";
import { ListenerService } from "../../gen/weft/admin/v1/listener_pb.ts";
import { PoolService } from "../../gen/weft/admin/v1/pool_pb.ts";
import { ResourceService } from "../../gen/weft/admin/v1/resource_pb.ts";
import { ChannelClass, OriginAssurance, ResourceKind } from "../../gen/weft/fabric/v1/role_pb.ts";
import { enumName, enumValue, print, table } from "../output.ts";
import {
  action,
  findNode,
  findOrganization,
  findPool,
  findResource,
  type GlobalOptions,
  pick,
  withSession,
} from "../session.ts";
import { wholeNumber } from "../whole-number.ts";

/** `db.internal:5432` or `[::1]:22`. */
function parseTarget(text: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:\s]+)):(\d{1,5})$/.exec(text);
  if (match === null) throw new InvalidArgumentError("write host:port");
  return { host: match[1] ?? match[2] ?? "", port: Number(match[3]) };
}

export function addPoolCommands(program: Command): void {
  const pool = program.command("pool").description("egress pools");
  pool
    .command("create <name>")
    .description("create an egress pool for an organization")
    .requiredOption("--organization <name>", "the organization it serves")
    .addHelpText("after", "\nExample:\n  weft pool create office --organization acme")
    .action(
      action(async (options: GlobalOptions & { organization?: string }, name: string) => {
        const answer = await withSession(options, async (session) =>
          session.client(PoolService).createPool({
            clusterId: await session.clusterId(),
            organizationId: (await findOrganization(session, options.organization ?? "")).id,
            name,
          }),
        );
        print(options, answer, () => `pool ${answer.pool?.name} has id ${answer.pool?.id}`);
      }),
    );
  pool
    .command("list")
    .description("list egress pools")
    .addHelpText("after", "\nExample:\n  weft pool list")
    .action(
      action(async (options) => {
        const answer = await withSession(options, async (session) =>
          session.client(PoolService).listPools({ clusterId: await session.clusterId() }),
        );
        print(options, answer, () =>
          table(
            ["ID", "NAME", "ORGANIZATION", "NODES"],
            answer.pools.map((row) => [row.id, row.name, row.organizationId, row.nodeIds.join(",")]),
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

interface ResourceOptions extends GlobalOptions {
  readonly pool?: string;
  readonly target?: { host: string; port: number };
  readonly unix?: string;
  readonly kind?: string;
  readonly service?: string;
  readonly class?: string;
  readonly allowClass?: string[];
  readonly assurance?: string;
}

export function addResourceCommands(program: Command): void {
  const resource = program.command("resource").description("resources: what clients ask for by name");
  resource
    .command("add <name>")
    .description("add a resource behind a pool")
    .requiredOption("--pool <pool>", "the egress pool that reaches it")
    .option("--target <host:port>", "where the egress dials", parseTarget)
    .option("--unix <path>", "a Unix socket instead (kind message)")
    .option("--kind <kind>", "tcp or message", "tcp")
    .option("--service <service>", "ssh, rdp, vnc, database, http, ...: sets the default class")
    .option("--class <class>", "default class: bulk, interactive, droppable")
    .option("--allow-class <class...>", "further classes an opener may choose")
    .option("--assurance <assurance>", "least assurance of who asks: anonymous, entry-asserted, proved", "anonymous")
    .addHelpText(
      "after",
      "\nExample:\n  weft resource add db --pool office --target db.internal:5432 --service database",
    )
    .action(
      action(async (options: ResourceOptions, name: string) => {
        const answer = await withSession(options, async (session) => {
          const pool = await findPool(session, options.pool ?? "");
          return await session.client(ResourceService).addResource({
            clusterId: await session.clusterId(),
            organizationId: pool.organizationId,
            name,
            poolId: pool.id,
            kind: enumValue(ResourceKind, options.kind ?? "tcp", "kind"),
            defaultClass:
              options.class === undefined ? ChannelClass.UNSPECIFIED : enumValue(ChannelClass, options.class, "class"),
            allowedClasses: (options.allowClass ?? []).map((word) => enumValue(ChannelClass, word, "class")),
            minimumAssurance: enumValue(OriginAssurance, options.assurance ?? "anonymous", "assurance"),
            host: options.target?.host ?? "",
            port: options.target?.port ?? 0,
            unixPath: options.unix ?? "",
            service: options.service ?? "",
          });
        });
        print(options, answer, () => `resource ${answer.resource?.name} has id ${answer.resource?.id}`);
      }),
    );
  resource
    .command("list")
    .description("list resources")
    .addHelpText("after", "\nExample:\n  weft resource list --json")
    .action(
      action(async (options) => {
        const answer = await withSession(options, async (session) =>
          session.client(ResourceService).listResources({ clusterId: await session.clusterId() }),
        );
        print(options, answer, () =>
          table(
            ["ID", "NAME", "KIND", "CLASS", "TARGET", "POOL"],
            answer.resources.map((row) => [
              row.id,
              row.name,
              enumName(ResourceKind, row.kind),
              enumName(ChannelClass, row.defaultClass),
              row.unixPath || `${row.host}:${row.port}`,
              row.poolId,
            ]),
          ),
        );
      }),
    );
  resource
    .command("remove <resource>")
    .description("remove a resource")
    .addHelpText("after", "\nExample:\n  weft resource remove db")
    .action(
      action(async (options, wanted: string) => {
        const answer = await withSession(options, async (session) =>
          session.client(ResourceService).removeResource({
            clusterId: await session.clusterId(),
            resourceId: (await findResource(session, wanted)).id,
          }),
        );
        print(options, answer, () => `removed ${wanted}`);
      }),
    );
}

export function addListenerCommands(program: Command): void {
  const listener = program.command("listener").description("plain TCP listeners at entries");
  listener
    .command("add <name>")
    .description("let an entry listen for a resource; loopback unless told otherwise")
    .requiredOption("--resource <name>", "what it leads to")
    .requiredOption("--entry <node>", "the entry node that listens")
    .option("--bind <host>", "address to bind", "127.0.0.1")
    .option("--port <port>", "port to bind; 0 picks a free one", wholeNumber(65_535), 0)
    .option("--allow-source <cidr...>", "sources that may connect; required beyond loopback")
    .addHelpText("after", "\nExample:\n  weft listener add db-local --resource db --entry entry-1 --port 5432")
    .action(
      action(
        async (
          options: GlobalOptions & {
            resource?: string;
            entry?: string;
            bind?: string;
            port?: number;
            allowSource?: string[];
          },
          name: string,
        ) => {
          const answer = await withSession(options, async (session) => {
            const resource = await findResource(session, options.resource ?? "");
            return await session.client(ListenerService).addListener({
              clusterId: await session.clusterId(),
              organizationId: resource.organizationId,
              name,
              resourceId: resource.id,
              entryNodeId: (await findNode(session, options.entry ?? "")).id,
              bindHost: options.bind ?? "127.0.0.1",
              bindPort: options.port ?? 0,
              allowedSources: options.allowSource ?? [],
            });
          });
          print(options, answer, () => `listener ${answer.listener?.name} has id ${answer.listener?.id}`);
        },
      ),
    );
  listener
    .command("list")
    .description("list listeners and where they listen")
    .addHelpText("after", "\nExample:\n  weft listener list")
    .action(
      action(async (options) => {
        const answer = await withSession(options, async (session) =>
          session.client(ListenerService).listListeners({ clusterId: await session.clusterId() }),
        );
        print(options, answer, () =>
          table(
            ["ID", "NAME", "ENTRY", "RESOURCE", "LISTENS AT", "ERROR"],
            answer.listeners.map((row) => [
              row.id,
              row.name,
              row.entryNodeId,
              row.resourceId,
              row.boundAddress || `${row.bindHost}:${row.bindPort}`,
              row.error,
            ]),
          ),
        );
      }),
    );
  listener
    .command("remove <listener>")
    .description("remove a listener")
    .addHelpText("after", "\nExample:\n  weft listener remove db-local")
    .action(
      action(async (options, wanted: string) => {
        const answer = await withSession(options, async (session) => {
          const clusterId = await session.clusterId();
          const { listeners } = await session.client(ListenerService).listListeners({ clusterId });
          return await session
            .client(ListenerService)
            .removeListener({ clusterId, listenerId: pick(listeners, wanted, "listener").id });
        });
        print(options, answer, () => `removed ${wanted}`);
      }),
    );
}
