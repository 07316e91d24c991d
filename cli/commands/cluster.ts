/** `weft cluster`: control and trust domains. */

import type { Command } from "commander";
import { ClusterService, type RoleCoverage } from "../../gen/weft/admin/v1/cluster_pb.ts";
import { groupExamples, print, table, when } from "../output.ts";
import { action, type GlobalOptions, withSession } from "../session.ts";

async function createCluster(options: GlobalOptions & { name?: string; region?: string }, slug: string): Promise<void> {
  const answer = await withSession(options, async (session) => {
    const made = await session
      .client(ClusterService)
      .createCluster({ slug, name: options.name ?? slug, region: options.region ?? "" });
    // Its nodes can be verified at once. Whoever cannot reach the public port learns the roots when they are needed.
    await session.learn([slug]).catch(() => {});
    return made;
  });
  print(options, answer, () => `cluster ${answer.cluster?.slug} has id ${answer.cluster?.id}`);
}

async function listClusters(options: GlobalOptions & { refresh?: boolean }): Promise<void> {
  const { clusters, known } = await withSession(options, async (session) => {
    const answer = await session.client(ClusterService).listClusters({});
    if (options.refresh === true) await session.learn(answer.clusters.map(({ slug }) => slug));
    return { clusters: answer.clusters, known: new Set(session.context.clusters.map(({ id }) => id)) };
  });
  print(options, { clusters: clusters.map((row) => ({ ...row, rootsKnown: known.has(row.id) })) }, () =>
    table(
      ["ID", "SLUG", "NAME", "STATUS", "SNAPSHOT", "ROOTS"],
      clusters.map((row) => [
        row.id,
        row.slug,
        row.name,
        row.status,
        `${row.snapshotEpoch}.${row.snapshotVersion}`,
        known.has(row.id) ? "known" : "not fetched",
      ]),
    ),
  );
}

/** "3 online, 1 stale". */
function healthText(counts: Readonly<Record<string, number>>): string {
  const order = ["online", "draining", "stale", "offline", "missing"];
  return (
    order.flatMap((health) => (counts[health] === undefined ? [] : [`${counts[health]} ${health}`])).join(", ") || "-"
  );
}

function coverageName({ role, organizationName, organizationId }: RoleCoverage): string {
  return organizationId === "" ? `role ${role}` : `role ${role} for ${organizationName || organizationId}`;
}

function coverageText({ able, holders, gap }: RoleCoverage): string {
  return `${gap ? "GAP: " : ""}${able} of ${holders} able`;
}

export function addClusterCommands(program: Command): void {
  const cluster = program
    .command("cluster")
    .description("control and trust domains")
    .addHelpText("after", groupExamples("weft cluster list", "weft cluster show default --json"));
  cluster
    .command("create <slug>")
    .description("create a cluster with roots and signing keys of its own")
    .option("--name <name>", "name for people")
    .option("--region <region>", "region", "")
    .addHelpText("after", '\nExample:\n  weft cluster create lab --name "Test lab"')
    .action(action(createCluster));
  cluster
    .command("list")
    .description("list clusters")
    .option("--refresh", "fetch the roots of every cluster into the context")
    .addHelpText("after", "\nExample:\n  weft cluster list")
    .action(action(listClusters));
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
              ["nodes", healthText(answer.health)],
              ["open alerts", String(answer.openAlerts)],
              ...answer.coverage.map((each) => [coverageName(each), coverageText(each)]),
            ],
          ),
        );
      }),
    );
}
