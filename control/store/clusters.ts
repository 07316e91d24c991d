/** Clusters: the control and trust domains of an installation. */

import { WeftError } from "../../lib/errors.ts";
import { isUniqueViolation, one, type Queryable, type Tx } from "./sql.ts";

export interface ClusterRow {
  readonly id: string;
  readonly slug: string;
  readonly name: string;
  readonly status: "active" | "disabled";
  readonly region: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly createdAtMs: number;
  readonly snapshotEpoch: number;
  readonly snapshotVersion: number;
  readonly feedEpoch: number;
  readonly feedSeq: number;
  readonly bundleVersion: number;
}

export interface NewCluster {
  readonly id: string;
  readonly slug: string;
  readonly name: string;
  readonly region: string;
  readonly metadata: Readonly<Record<string, string>>;
}

const columns = `id, slug, name, status, region, metadata, created_at_ms as "createdAtMs", snapshot_epoch as "snapshotEpoch",
  snapshot_version as "snapshotVersion", feed_epoch as "feedEpoch", feed_seq as "feedSeq", bundle_version as "bundleVersion"`;

/** The cluster with that id or slug, or undefined. */
export async function getCluster(q: Queryable, idOrSlug: string): Promise<ClusterRow | undefined> {
  const text = `select ${columns} from cluster where id = $1 or slug = $1 order by (id = $1) desc limit 1`;
  return one(await q.query<ClusterRow>(text, [idOrSlug]));
}

/** The cluster with that id or slug. Throws `not_found` (CLUSTER_NOT_FOUND). */
export async function requireCluster(q: Queryable, idOrSlug: string): Promise<ClusterRow> {
  const row = await getCluster(q, idOrSlug);
  if (row === undefined) throw new WeftError("not_found", "no such cluster", { detail: "CLUSTER_NOT_FOUND" });
  return row;
}

/** Every cluster, oldest first. */
export async function listClusters(q: Queryable): Promise<readonly ClusterRow[]> {
  return await q.query<ClusterRow>(`select ${columns} from cluster order by created_at_ms, id`);
}

/** Adds a cluster. Throws `already_exists` (CLUSTER_EXISTS) for a slug in use. */
export async function insertCluster(tx: Tx, cluster: NewCluster): Promise<void> {
  try {
    await tx.query(
      `insert into cluster (id, slug, name, region, metadata, snapshot_epoch, feed_epoch)
       select $1, $2, $3, $4, $5::jsonb, epoch, epoch from installation`,
      [cluster.id, cluster.slug, cluster.name, cluster.region, JSON.stringify(cluster.metadata)],
    );
  } catch (thrown) {
    if (!isUniqueViolation(thrown)) throw thrown;
    throw new WeftError("already_exists", "a cluster with this slug exists", {
      detail: "CLUSTER_EXISTS",
      cause: thrown,
    });
  }
}

/** Holds a cluster's row until the transaction ends: whoever makes what a cluster has once takes it first. */
export async function lockCluster(tx: Tx, clusterId: string): Promise<void> {
  await tx.query(`select id from cluster where id = $1 for update`, [clusterId]);
}

/**
 * Gives a cluster the next version of its trust bundle and returns it: for whoever changes a root or retires a key, in the
 * same transaction. Versions of an epoch begin above every version of the epochs before it, so that a restored store is
 * not behind what nodes hold.
 */
export async function bumpBundle(tx: Tx, clusterId: string): Promise<number> {
  const row = one(
    await tx.query<{ version: number }>(
      `update cluster set bundle_version = greatest(bundle_version + 1,
         (coalesce((select epoch from installation), 1) - 1) * 4294967296 + 1)
       where id = $1 returning bundle_version as version`,
      [clusterId],
    ),
  );
  if (row === undefined) throw new WeftError("not_found", "no such cluster", { detail: "CLUSTER_NOT_FOUND" });
  return row.version;
}
