/**
 * Roots of clusters that were made after an operator's context: fetched from control's public port, which anybody may ask,
 * and believed because the installation key pinned in the context signed them.
 */

import { rootsOf, verifyTrustBundle } from "../certs/bundle.ts";
import { tlsOptions } from "../certs/tls-options.ts";
import { joinServerName } from "../fabric/server-names.ts";
import { EnrollmentService } from "../gen/weft/enrollment/v1/enrollment_pb.ts";
import type { TrustBundle } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import { WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import { rpcClient } from "../rpc/client.ts";
import { joinTransport } from "../rpc/join-transport.ts";
import {
  loadOperatorContext,
  type OperatorCluster,
  type OperatorContext,
  saveOperatorClusters,
} from "../rpc/operator-context.ts";
import { asOnlyWriter } from "./context-lock.ts";

function clusterOf(bundle: TrustBundle): OperatorCluster {
  const roots = (kind: "control" | "node"): string[] =>
    rootsOf(bundle, kind).roots.map(({ der }) => Buffer.from(der).toString("base64"));
  return {
    id: bundle.clusterId,
    slug: bundle.clusterSlug,
    controlRoots: roots("control"),
    nodeRoots: roots("node"),
    bundleVersion: Number(bundle.version),
  };
}

/**
 * A cluster's trust bundle as control gives it now.
 * @throws WeftError unauthenticated when the answer is not this installation's word about this cluster.
 */
export async function fetchBundle(context: OperatorContext, slug: string): Promise<TrustBundle> {
  const transport = joinTransport({
    address: context.publicAddress,
    tls: tlsOptions("first-contact", { serverName: joinServerName(slug) }),
  });
  try {
    const answer = await rpcClient(EnrollmentService, transport).getTrustBundle(
      { clusterSlug: slug },
      { timeoutMs: limits.contextRootsWithinMs },
    );
    const bundle = verifyTrustBundle(
      { bytes: answer.bundle, signature: answer.signature },
      answer.installationPublicKey,
      context.installationKeyHash,
    );
    if (bundle.clusterSlug !== slug || bundle.trustDomain !== context.trustDomain)
      throw new WeftError("unauthenticated", "control answered for another cluster", {
        detail: "BUNDLE_WRONG_CLUSTER",
      });
    return bundle;
  } finally {
    transport.close();
  }
}

/** The context with the roots of these clusters as control gives them now, kept in its folder. */
export async function learnClusters(context: OperatorContext, slugs: readonly string[]): Promise<OperatorContext> {
  return await learnBundles(context, await Promise.all(slugs.map((slug) => fetchBundle(context, slug))));
}

/** The context with the roots of these bundles, kept in its folder; `saved`: what else is to be noted in there. */
export async function learnBundles(
  context: OperatorContext,
  bundles: readonly TrustBundle[],
  saved: { readonly rootsCheckedAtMs?: number } = {},
): Promise<OperatorContext> {
  const learnt = bundles.map(clusterOf);
  // A bundle never goes back: an older one may be somebody's wish to have an old root believed again.
  const isOlder = (cluster: OperatorCluster, known: readonly OperatorCluster[]): boolean =>
    known.some(({ id, bundleVersion = 0 }) => id === cluster.id && bundleVersion > (cluster.bundleVersion ?? 0));
  const merged = (known: readonly OperatorCluster[]): OperatorCluster[] => {
    const newer = learnt.filter((cluster) => !isOlder(cluster, known));
    return [...known.filter(({ id }) => !newer.some((cluster) => cluster.id === id)), ...newer];
  };
  await asOnlyWriter(context.dir, async () => {
    const stored = loadOperatorContext(context.dir);
    saveOperatorClusters({ ...stored, ...saved }, merged(stored.clusters));
  });
  return { ...context, clusters: merged(context.clusters) };
}
