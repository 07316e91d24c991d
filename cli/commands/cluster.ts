/** `weft cluster`: control and trust domains. */

import type { Command } from "commander";
import { ClusterService } from "../../gen/weft/admin/v1/cluster_pb.ts";
import { print, table, when } from "../output.ts";
import { action, type GlobalOptions, withSession } from "../session.ts";

export function addClusterCommands(program: Command): void {
  const cluster = program.command("cluster").description("control and trust domains");
  cluster
    .command("create <slug>")
    .description("create a cluster with roots and signing keys of its own")
    .option("--name <name>", "name for people")
    .option("--region <region>", "region", "")
    .addHelpText("after", '\nExample:\n  weft cluster create lab --name "Test lab"')
    .action(
      action(async (options: GlobalOptions & { name?: string; region?: string }, slug: string) => {
        const answer = await withSession(options, (session) =>
          session
            .client(ClusterService)
            .createCluster({ slug, name: options.name ?? slug, region: options.region ?? "" }),
        );
        print(options, answer, () => `cluster ${answer.cluster?.slug} has id ${answer.cluster?.id}`);
      }),
    );
  cluster
    .command("list")
    .description("list clusters")
    .addHelpText("after", "\nExample:\n  weft cluster list")
    .action(
      action(async (options) => {
        const answer = await withSession(options, (session) => session.client(ClusterService).listClusters({}));
        print(options, answer, () =>
          table(
            ["ID", "SLUG", "NAME", "STATUS", "SNAPSHOT"],
            answer.clusters.map((row) => [
              row.id,
              row.slug,
              row.name,
              row.status,
              `${row.snapshotEpoch}.${row.snapshotVersion}`,
            ]),
          ),
        );
      }),
    );
  cluster
    .command("show [cluster]")
    .description("show one cluster, by slug or id")
    .addHelpText("after", "\nExample:\n  weft cluster show default --json")
    .action(
      action(async (options, wanted: string | undefined) => {
        const answer = await withSession(options, async (session) =>
          session.client(ClusterService).getCluster({ clusterId: wanted ?? (await session.clusterId()) }),
        );
        const row = answer.cluster;
        print(options, answer, () =>
          table(
            ["FIELD", "VALUE"],
            [
              ["id", row?.id ?? ""],
              ["slug", row?.slug ?? ""],
              ["name", row?.name ?? ""],
              ["status", row?.status ?? ""],
              ["region", row?.region ?? ""],
              ["snapshot", `${row?.snapshotEpoch}.${row?.snapshotVersion}`],
              ["created", when(row?.createdAtMs ?? 0n)],
            ],
          ),
        );
      }),
    );
}
