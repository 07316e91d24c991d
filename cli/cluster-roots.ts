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
import { rpcClient } from "../rpc/client.ts";
import { joinTransport } from "../rpc/join-transport.ts";
import {
  loadOperatorContext,
  type OperatorCluster,
  type OperatorContext,
  saveOperatorClusters,
} from "../rpc/operator-context.ts";
import { asOnlyWriter } from "./context-lock.ts";

const withinMs = 5_000;

function clusterOf(bundle: TrustBundle): OperatorCluster {
  const roots = (kind: "control" | "node"): string[] =>
    rootsOf(bundle, kind).roots.map(({ der }) => Buffer.from(der).toString("base64"));
  return {
    id: bundle.clusterId,
    slug: bundle.clusterSlug,
    controlRoots: roots("control"),
    nodeRoots: roots("node"),
  };
}

/** @throws WeftError unauthenticated when the answer is not this installation's word about this cluster. */
async function fetchCluster(context: OperatorContext, slug: string): Promise<OperatorCluster> {
  const transport = joinTransport({
    address: context.publicAddress,
    tls: tlsOptions("first-contact", { serverName: joinServerName(slug) }),
  });
  try {
    const answer = await rpcClient(EnrollmentService, transport).getTrustBundle(
      { clusterSlug: slug },
      { timeoutMs: withinMs },
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
    return clusterOf(bundle);
  } finally {
    transport.close();
  }
}

/** The context with the roots of these clusters as control gives them now, kept in its folder. */
export async function learnClusters(context: OperatorContext, slugs: readonly string[]): Promise<OperatorContext> {
  const learnt = await Promise.all(slugs.map((slug) => fetchCluster(context, slug)));
  const merged = (known: readonly OperatorCluster[]): OperatorCluster[] => [
    ...known.filter(({ id }) => !learnt.some((cluster) => cluster.id === id)),
    ...learnt,
  ];
  await asOnlyWriter(context.dir, async () => {
    const stored = loadOperatorContext(context.dir);
    saveOperatorClusters(stored, merged(stored.clusters));
  });
  return { ...context, clusters: merged(context.clusters) };
}
