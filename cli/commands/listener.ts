/** `weft listener`: plain TCP listeners at entries. */

import type { Command } from "commander";
import { ListenerService } from "../../gen/weft/admin/v1/listener_pb.ts";
import { NodeAdminService } from "../../gen/weft/admin/v1/node_pb.ts";
import { ResourceService } from "../../gen/weft/admin/v1/resource_pb.ts";
import { hostPortText, wholeNumber } from "../arguments.ts";
import { batchAction } from "../batch.ts";
import { groupExamples, print, table } from "../output.ts";
import { action, findNode, findResource, type GlobalOptions, namer, pick, withSession } from "../session.ts";

interface ListenerOptions extends GlobalOptions {
  readonly resource?: string;
  readonly entry?: string;
  readonly bind?: string;
  readonly port?: number;
  readonly allowSource?: string[];
}

async function addListener(options: ListenerOptions, name: string): Promise<void> {
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
  const { host, port } = { host: options.bind ?? "127.0.0.1", port: options.port ?? 0 };
  const where = port === 0 ? "a free port" : hostPortText({ host, port });
  print(
    options,
    answer,
    () =>
      `listener ${answer.listener?.name} has id ${answer.listener?.id}; ${options.entry} will listen at ${where} (weft listener list says where, and whether it could)`,
  );
}

export function addListenerCommands(program: Command): void {
  const listener = program
    .command("listener")
    .description("plain TCP listeners at entries")
    .addHelpText(
      "after",
      groupExamples("weft listener list", "weft listener add db-local --resource db --entry entry-1 --port 5432"),
    );
  listener
    .command("add <name>")
    .description("let an entry listen for a resource; loopback unless told otherwise")
    .requiredOption("--resource <name>", "what it leads to")
    .requiredOption("--entry <node>", "the entry node that listens")
    .option("--bind <host>", "address to bind", "127.0.0.1")
    .option("--port <port>", "port to bind; 0 picks a free one", wholeNumber(65_535), 0)
    .option("--allow-source <cidr...>", "sources that may connect; required beyond loopback")
    .addHelpText("after", "\nExample:\n  weft listener add db-local --resource db --entry entry-1 --port 5432")
    .action(action(addListener));
  listener
    .command("list")
    .description("list listeners and where they listen")
    .addHelpText("after", "\nExample:\n  weft listener list")
    .action(
      action(async (options) => {
        const { listeners, nodes, resources } = await withSession(options, async (session) => {
          const clusterId = await session.clusterId();
          return {
            ...(await session.client(ListenerService).listListeners({ clusterId })),
            nodes: (await session.client(NodeAdminService).listNodes({ clusterId })).nodes,
            resources: (await session.client(ResourceService).listResources({ clusterId })).resources,
          };
        });
        const [nodeName, resourceName] = [namer(nodes), namer(resources)];
        print(options, { listeners }, () =>
          table(
            ["ID", "NAME", "ENTRY", "RESOURCE", "LISTENS AT", "ERROR"],
            listeners.map((row) => [
              row.id,
              row.name,
              nodeName(row.entryNodeId),
              resourceName(row.resourceId),
              row.boundAddress || `${row.bindHost}:${row.bindPort}`,
              row.error,
            ]),
          ),
        );
      }),
    );
  listener
    .command("remove <listener...>")
    .description("remove listeners")
    .addHelpText("after", "\nExample:\n  weft listener remove db-local")
    .action(
      batchAction({
        work: async (session, wanted) => {
          const clusterId = await session.clusterId();
          const { listeners } = await session.client(ListenerService).listListeners({ clusterId });
          return await session
            .client(ListenerService)
            .removeListener({ clusterId, listenerId: pick(listeners, wanted, "listener").id });
        },
        text: (_answer, wanted) => `removed ${wanted}`,
      }),
    );
}
