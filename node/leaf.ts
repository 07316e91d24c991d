/** The identity control issued for a key this node made. */

import { leafOfKind } from "../certs/material.ts";
import type { IssuedIdentity, PoolCertificate } from "../gen/weft/enrollment/v1/enrollment_pb.ts";
import { WeftError } from "../lib/errors.ts";
import type { NodeIdentity } from "./ports.ts";

/**
 * Puts an issued identity together with the private key it belongs to.
 * @throws WeftError when parts are missing, are no certificates of the right kind, or belong to another key.
 */
export function identityFrom(issued: IssuedIdentity, keyPem: string, pools: readonly PoolCertificate[]): NodeIdentity {
  if (issued.bundle === undefined)
    throw new WeftError("data_loss", "control sent no trust bundle", { detail: "BUNDLE_MISSING" });
  return {
    trustDomain: issued.trustDomain,
    clusterId: issued.clusterId,
    clusterSlug: issued.clusterSlug,
    nodeId: issued.nodeId,
    name: issued.name,
    controlName: issued.controlName,
    leaf: leafOfKind("node", keyPem, issued.certificateDer),
    poolLeaves: new Map(pools.map((pool) => [pool.poolId, leafOfKind("pool", keyPem, pool.certificateDer)])),
    bundle: issued.bundle,
  };
}
