/** `weft resource`: what clients ask for by name. */

import type { Command } from "commander";
import { PoolService } from "../../gen/weft/admin/v1/pool_pb.ts";
import { type Resource, ResourceService } from "../../gen/weft/admin/v1/resource_pb.ts";
import { ChannelClass, OriginAssurance, ResourceKind } from "../../gen/weft/fabric/v1/role_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { durationMs, type HostPort, hostPort } from "../arguments.ts";
import { batchAction } from "../batch.ts";
import { enumName, enumValue, groupExamples, print, table } from "../output.ts";
import { action, findPool, findResource, type GlobalOptions, namer, withSession } from "../session.ts";

interface ResourceOptions extends GlobalOptions {
  readonly pool?: string;
  readonly target?: HostPort;
  readonly unix?: string;
  readonly kind?: string;
  readonly service?: string;
  readonly class?: string;
  readonly allowClass?: string[];
  readonly assurance?: string;
  readonly exclusive?: boolean;
  readonly lease?: number;
  readonly requiresLease?: boolean;
}

/** 0: not exclusive. */
function exclusiveLeaseMs({ exclusive, lease }: ResourceOptions): bigint {
  if (lease !== undefined && exclusive !== true) {
    throw new WeftError("invalid_argument", "--lease is for --exclusive resources", { detail: "CLI_OPTIONS" });
  }
  return exclusive === true ? BigInt(lease ?? limits.exclusiveLeaseMs) : 0n;
}

async function addResource(options: ResourceOptions, name: string): Promise<void> {
  const lease = exclusiveLeaseMs(options);
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
      exclusiveLeaseMs: lease,
      requiresLease: options.requiresLease === true,
    });
  });
  print(options, answer, () => `resource ${answer.resource?.name} has id ${answer.resource?.id}`);
}

function leaseText({ exclusiveLeaseMs, requiresLease }: Resource): string {
  if (exclusiveLeaseMs !== 0n) return `exclusive, ${Number(exclusiveLeaseMs) / 1_000}s`;
  return requiresLease ? "needed" : "-";
}

function addAddCommand(resource: Command): void {
  resource
    .command("add <name>")
    .description("add a resource behind a pool")
    .requiredOption("--pool <pool>", "the egress pool that reaches it")
    .option("--target <host:port>", "where the egress dials", hostPort)
    .option("--unix <path>", "a Unix socket instead (kind message)")
    .option("--kind <kind>", "tcp or message", "tcp")
    .option("--service <service>", "ssh, rdp, vnc, database, http, ...: sets the default class")
    .option("--class <class>", "default class: bulk, interactive, droppable")
    .option("--allow-class <class...>", "further classes an opener may choose")
    .option("--assurance <assurance>", "least assurance of who asks: anonymous, entry-asserted, proved", "anonymous")
    .option("--exclusive", "through one entry at a time: it holds a lease, and egresses refuse every other")
    .option(
      "--lease <duration>",
      `how long another entry waits when the holder dies (default: ${limits.exclusiveLeaseMs / 1_000}s)`,
      durationMs,
    )
    .option("--requires-lease", "channels need a lease of a service channel: weft service-lease issue")
    .addHelpText(
      "after",
      "\nExamples:\n  weft resource add db --pool office --target db.internal:5432 --service database\n  weft resource add plc --pool office --target 10.0.0.7:502 --exclusive --lease 10s",
    )
    .action(action(addResource));
}

export function addResourceCommands(program: Command): void {
  const resource = program
    .command("resource")
    .description("resources: what clients ask for by name")
    .addHelpText("after", groupExamples("weft resource list", "weft resource add db --pool office --target db:5432"));
  addAddCommand(resource);
  resource
    .command("list")
    .description("list resources")
    .addHelpText("after", "\nExample:\n  weft resource list --json")
    .action(
      action(async (options) => {
        const { resources, pools } = await withSession(options, async (session) => {
          const clusterId = await session.clusterId();
          return {
            ...(await session.client(ResourceService).listResources({ clusterId })),
            pools: (await session.client(PoolService).listPools({ clusterId })).pools,
          };
        });
        const poolName = namer(pools);
        print(options, { resources }, () =>
          table(
            ["ID", "NAME", "KIND", "CLASS", "TARGET", "POOL", "LEASE"],
            resources.map((row) => [
              row.id,
              row.name,
              enumName(ResourceKind, row.kind),
              enumName(ChannelClass, row.defaultClass),
              row.unixPath || `${row.host}:${row.port}`,
              poolName(row.poolId),
              leaseText(row),
            ]),
          ),
        );
      }),
    );
  resource
    .command("remove <resource...>")
    .description("remove resources")
    .addHelpText("after", "\nExample:\n  weft resource remove db")
    .action(
      batchAction({
        work: async (session, wanted) =>
          session.client(ResourceService).removeResource({
            clusterId: await session.clusterId(),
            resourceId: (await findResource(session, wanted)).id,
          }),
        text: (_answer, wanted) => `removed ${wanted}`,
      }),
    );
}
