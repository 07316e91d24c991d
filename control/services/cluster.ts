/** weft.admin.v1.ClusterService. */

import type { ServiceImpl } from "@connectrpc/connect";
import type { ClusterService } from "../../gen/weft/admin/v1/cluster_pb.ts";
import { limits } from "../../lib/limits.ts";
import { createCluster, requireSlug } from "../domain/cluster.ts";
import { coverageOf } from "../domain/coverage.ts";
import { countOpenAlerts } from "../store/alerts.ts";
import { type ClusterRow, listClusters, requireCluster } from "../store/clusters.ts";
import { healthCounts, roleCounts, roleNeeds } from "../store/node-watch.ts";
import { listOrganizations } from "../store/organizations.ts";
import type { Sql } from "../store/sql.ts";
import { callerOf, invalid, plainText, recordingRefusal, type ServiceDeps } from "./service-context.ts";

const NAME_MAX_CHARS = 120;

export function clusterService(deps: ServiceDeps): ServiceImpl<typeof ClusterService> {
  return {
    async createCluster(request, context) {
      requireSlug(request.slug);
      const cluster = {
        slug: request.slug,
        name: plainText("name", request.name === "" ? request.slug : request.name, NAME_MAX_CHARS),
        region: plainText("region", request.region, limits.regionMaxBytes),
        metadata: checkMetadata(request.metadata),
      };
      const actor = callerOf(context).spiffe;
      const entry = {
        actor,
        action: "cluster.created",
        object: `cluster/${cluster.slug}`,
        after: { slug: cluster.slug },
      };
      return await recordingRefusal(deps, entry, async () => {
        // Making five key pairs takes longer than a transaction should.
        const trust = await deps.authority.prepareCluster(cluster.slug);
        const id = await deps.sql.tx(async (tx) => {
          const installation = await deps.authority.installation(tx);
          return await createCluster(tx, deps, { cluster, installation, trust, actor });
        });
        return { cluster: clusterMessage(await requireCluster(deps.sql, id)) };
      });
    },
    async listClusters() {
      return { clusters: (await listClusters(deps.sql)).map(clusterMessage) };
    },
    async getCluster(request) {
      const cluster = await requireCluster(deps.sql, request.clusterId);
      return { cluster: clusterMessage(cluster), ...(await overviewOf(deps.sql, cluster.id)) };
    },
  };
}

/** How a cluster is: who covers which role, its members by health, how many alerts are open. */
async function overviewOf(sql: Sql, clusterId: string) {
  const names = new Map((await listOrganizations(sql, clusterId)).map(({ id, name }) => [id, name]));
  const coverage = coverageOf(await roleCounts(sql, clusterId), await roleNeeds(sql, clusterId));
  return {
    coverage: coverage.map((row) => ({ ...row, organizationName: names.get(row.organizationId) ?? "" })),
    health: Object.fromEntries(await healthCounts(sql, clusterId)),
    openAlerts: await countOpenAlerts(sql, clusterId),
  };
}

function checkMetadata(metadata: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  if (Buffer.byteLength(JSON.stringify(metadata)) > limits.factsMaxBytes)
    throw invalid("metadata", "metadata is too large");
  return metadata;
}

function clusterMessage(row: ClusterRow) {
  return {
    id: row.id,
    slug: row.slug,
    name: row.name,
    status: row.status,
    region: row.region,
    metadata: { ...row.metadata },
    createdAtMs: BigInt(row.createdAtMs),
    snapshotEpoch: BigInt(row.snapshotEpoch),
    snapshotVersion: BigInt(row.snapshotVersion),
  };
}
