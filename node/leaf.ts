/** Certificates as the node keeps them, from what control issued. */

import { X509Certificate } from "node:crypto";
import type { IssuedIdentity, PoolCertificate } from "../gen/weft/enrollment/v1/enrollment_pb.ts";
import { WeftError } from "../lib/errors.ts";
import type { Leaf, NodeIdentity } from "./ports.ts";

/**
 * A leaf from its key and DER certificate.
 * @throws WeftError data_loss when the bytes are no certificate, or not one for this key.
 */
export function leafFrom(keyPem: string, publicKeyPem: string, certDer: Uint8Array): Leaf {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(certDer);
  } catch (cause) {
    throw new WeftError("data_loss", "control sent something that is not a certificate", { detail: "LEAF_MALFORMED", cause });
  }
  if (certificate.publicKey.export({ type: "spki", format: "pem" }) !== publicKeyPem) {
    throw new WeftError("data_loss", "control sent a certificate for another key", { detail: "LEAF_WRONG_KEY" });
  }
  return {
    keyPem,
    certPem: certificate.toString(),
    certDer: Buffer.from(certDer),
    serialHex: certificate.serialNumber.toLowerCase(),
    notAfterMs: certificate.validToDate.getTime(),
  };
}

/** When a leaf became valid, ms since the epoch. */
export function notBeforeMs(leaf: Leaf): number {
  return new X509Certificate(leaf.certDer).validFromDate.getTime();
}

/**
 * The identity control issued for a key.
 * @throws WeftError data_loss when parts are missing or do not fit the key.
 */
export function identityFrom(
  issued: IssuedIdentity,
  keyPem: string,
  publicKeyPem: string,
  pools: readonly PoolCertificate[],
): NodeIdentity {
  if (issued.bundle === undefined) throw new WeftError("data_loss", "control sent no trust bundle", { detail: "BUNDLE_MISSING" });
  return {
    trustDomain: issued.trustDomain,
    clusterId: issued.clusterId,
    clusterSlug: issued.clusterSlug,
    nodeId: issued.nodeId,
    name: issued.name,
    controlName: issued.controlName,
    leaf: leafFrom(keyPem, publicKeyPem, issued.certificateDer),
    poolLeaves: new Map(pools.map((pool) => [pool.poolId, leafFrom(keyPem, publicKeyPem, pool.certificateDer)])),
    bundle: issued.bundle,
  };
}
