/** Making a cluster: its row, all its roots and its signing keys, or nothing. */

import { isClusterSlug } from "../../fabric/server-names.ts";
import { WeftError } from "../../lib/errors.ts";
import { randomLabel } from "../../lib/random.ts";
import { CLUSTERS_TOPIC } from "../hints/hints.ts";
import { appendAudit } from "../store/audit.ts";
import { insertCluster, type NewCluster } from "../store/clusters.ts";
import type { StoreContext } from "../store/context.ts";
import type { Installation } from "../store/installation.ts";
import type { Tx } from "../store/sql.ts";
import type { Authority } from "./authority.ts";

const SLUG_MAX_CHARS = 40;

/** Throws `invalid_argument` (CLUSTER_SLUG) unless it can be part of server names and is at most 40 characters. */
export function requireSlug(slug: string): void {
  if (isClusterSlug(slug) && slug.length <= SLUG_MAX_CHARS && slug !== "installation") return;
  const message = "a slug has lower-case letters, digits and inner dashes, at most 40";
  throw new WeftError("invalid_argument", message, { detail: "CLUSTER_SLUG" });
}

/** Makes the cluster; returns its id. Throws `already_exists` (CLUSTER_EXISTS) or `invalid_argument` (CLUSTER_SLUG). */
export async function createCluster(
  tx: Tx,
  ctx: StoreContext,
  order: {
    readonly cluster: Omit<NewCluster, "id">;
    readonly installation: Installation;
    /** From `Authority.prepareCluster`, made before the transaction began. */
    readonly trust: Awaited<ReturnType<Authority["prepareCluster"]>>;
    readonly actor: string;
  },
): Promise<string> {
  const { cluster, installation, trust, actor } = order;
  requireSlug(cluster.slug);
  const id = `cl-${randomLabel(ctx.random, 16)}`;
  await insertCluster(tx, { ...cluster, id });
  await trust.store(tx, installation, id);
  const { slug, name, region } = cluster;
  await appendAudit(tx, {
    actor,
    action: "cluster.created",
    object: `cluster/${id}`,
    clusterId: id,
    after: { slug, name, region },
  });
  tx.afterCommit(() => ctx.hints.publish(CLUSTERS_TOPIC));
  return id;
}
