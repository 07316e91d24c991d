/**
 * A node's identity after it was approved: what it is handed, how it renews, how it comes back after too long an absence.
 *
 * - An answer that got lost can be asked for again: an unused renewal for the same key is handed out again, and so is a
 *   recovery, so that no retry leaves a node without a leaf that may act.
 * - Recovery is for expired leaves only, of unrevoked nodes, for `limits.recoverWithinMs`, by whoever holds the enrolled key.
 */

import { createHash } from "node:crypto";
import { readCertificate } from "../../certs/certificate.ts";
import { type JudgedCsr, judgeCsr } from "../../certs/csr.ts";
import { p256FromSpki, verifyEs256 } from "../../certs/keys.ts";
import { leafLifeMs } from "../../certs/leaf-life.ts";
import { openRoot } from "../../certs/material.ts";
import { controlServerName } from "../../fabric/server-names.ts";
import type { RecoverRequest } from "../../gen/weft/enrollment/v1/enrollment_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { appendAudit } from "../store/audit.ts";
import { activeKeyId, allAuthorities, issuingScope } from "../store/authorities.ts";
import { type CertificateRow, findCertificate, liveCertificates } from "../store/certificates.ts";
import { type ClusterRow, requireCluster } from "../store/clusters.ts";
import { type NodeRow, requireNode, setNodeKey } from "../store/nodes.ts";
import { poolsOfNode } from "../store/pools.ts";
import { acceptProofOnce } from "../store/requests.ts";
import type { Tx } from "../store/sql.ts";
import { type Issuer, issueAndRecord, nodeLeafOrder, requireFreshKey, subjectOf } from "./issue.ts";

/** A leaf as it goes out: what the store knows of it. */
export interface HandedLeaf {
  readonly certificateDer: Uint8Array;
  readonly notAfterMs: number;
}

/** What a node gets together with its leaf. */
export async function issuedIdentity(issuer: Issuer, cluster: ClusterRow, node: NodeRow, leaf: HandedLeaf) {
  const bundle = await issuer.authority.bundle(cluster.id);
  return {
    nodeId: node.id,
    name: node.name,
    clusterId: cluster.id,
    clusterSlug: cluster.slug,
    trustDomain: issuer.trustDomain,
    certificateDer: Uint8Array.from(leaf.certificateDer),
    notAfterMs: BigInt(leaf.notAfterMs),
    bundle: bundle.message,
    controlName: controlServerName(cluster.slug),
  };
}

/**
 * The node, authenticated, and kept from being revoked until the transaction ends. Throws `permission_denied`
 * (IDENTITY_REVOKED) when it is revoked.
 */
export async function requireActiveNode(tx: Tx, issuer: Issuer, clusterId: string, nodeId: string): Promise<NodeRow> {
  await tx.query("select 1 as held from node where id = $1 for share", [nodeId]);
  const node = await requireNode(tx, issuer.ctx.seal, clusterId, nodeId);
  if (node.identityStatus === "active") return node;
  throw new WeftError("permission_denied", "this identity is revoked", { detail: "IDENTITY_REVOKED" });
}

export interface Renewal {
  readonly cluster: ClusterRow;
  readonly node: NodeRow;
  readonly leaf: HandedLeaf;
  readonly poolLeaves: readonly (HandedLeaf & { readonly poolId: string })[];
}

/** A new leaf for a calling node, and one for each pool it is in, all for the key of the request. */
export async function renew(
  tx: Tx,
  issuer: Issuer,
  caller: { clusterId: string; nodeId: string; spiffe: string },
  csr: JudgedCsr,
): Promise<Renewal> {
  const { clusterId, nodeId } = caller;
  const cluster = await requireCluster(tx, clusterId);
  const node = await requireActiveNode(tx, issuer, clusterId, nodeId);
  await requireFreshKey(tx, csr.keyHash, nodeId);
  const live = await liveCertificates(tx, issuer.ctx.seal, subjectOf("node", clusterId, nodeId));
  let leaf: HandedLeaf | undefined = await reusable(tx, issuer, live.next, csr.keyHash);
  if (leaf === undefined) {
    const issued = await issueAndRecord(tx, issuer, nodeLeafOrder(cluster, node, csr.spkiDer, "next"));
    await auditIssued(tx, caller.spiffe, cluster, `node/${nodeId}`, {
      serial: issued.serialHex,
      keyHash: csr.keyHash,
      notAfterMs: issued.notAfterMs,
    });
    leaf = issued;
  }
  const poolLeaves: (HandedLeaf & { poolId: string })[] = [];
  for (const { poolId } of await poolsOfNode(tx, issuer.ctx.seal, clusterId, nodeId)) {
    poolLeaves.push({
      poolId,
      ...(await poolLeaf(tx, issuer, { cluster, nodeId, poolId, actor: caller.spiffe }, csr)),
    });
  }
  return { cluster, node, leaf, poolLeaves };
}

async function poolLeaf(
  tx: Tx,
  issuer: Issuer,
  about: { readonly cluster: ClusterRow; readonly nodeId: string; readonly poolId: string; readonly actor: string },
  csr: JudgedCsr,
): Promise<HandedLeaf> {
  const { cluster, nodeId, poolId, actor } = about;
  const { current } = await liveCertificates(tx, issuer.ctx.seal, subjectOf("pool", cluster.id, poolId, nodeId));
  const kept = await reusable(tx, issuer, current, csr.keyHash);
  if (kept !== undefined) return kept;
  const issued = await issueAndRecord(tx, issuer, {
    kind: "pool",
    clusterId: cluster.id,
    subjectId: poolId,
    holderId: nodeId,
    spkiDer: csr.spkiDer,
    status: "current",
  });
  const after = { serial: issued.serialHex, holder: nodeId, keyHash: csr.keyHash, notAfterMs: issued.notAfterMs };
  await auditIssued(tx, actor, cluster, `pool/${poolId}`, after);
  return { certificateDer: issued.certificateDer, notAfterMs: issued.notAfterMs };
}

/** A leaf for the same key, of the root that signs now, with most of its life before it is as good as a new one. */
async function reusable(
  tx: Tx,
  issuer: Issuer,
  row: CertificateRow | undefined,
  keyHash: string,
): Promise<CertificateRow | undefined> {
  if (row === undefined || row.keyHash !== keyHash) return undefined;
  const scope = issuingScope(row.subjectKind, row.scope);
  if ((await activeKeyId(tx, scope, row.subjectKind)) !== row.issuerKeyId) return undefined;
  const leftMs = row.notAfterMs - issuer.ctx.clock.nowMs();
  return leftMs > (1 - limits.renewAtShare) * leafLifeMs(row) ? row : undefined;
}

/** The leaf of an approved request's key, for its poll. A new one when it has expired before anybody fetched it. */
export async function fetchApproved(tx: Tx, issuer: Issuer, cluster: ClusterRow, nodeId: string, csr: JudgedCsr) {
  const node = await requireActiveNode(tx, issuer, cluster.id, nodeId);
  const live = await liveCertificates(tx, issuer.ctx.seal, subjectOf("node", cluster.id, nodeId));
  const leaf = [live.next, live.current].find((row) => row?.keyHash === csr.keyHash);
  if (leaf === undefined || node.keyHash !== csr.keyHash) {
    const message = "the node has another key by now; this request is done with";
    throw new WeftError("failed_precondition", message, { detail: "ENROLLMENT_FINISHED" });
  }
  if (leaf.notAfterMs > issuer.ctx.clock.nowMs()) return { node, leaf };
  requireRecent(issuer, leaf);
  return { node, leaf: await reissue(tx, issuer, cluster, node, csr, "system") };
}

const refusal = () =>
  new WeftError("permission_denied", "this node cannot be recovered; it has to join again", {
    detail: "RECOVER_REFUSED",
  });

/** A new leaf for a node whose own has expired. Throws `permission_denied` (RECOVER_REFUSED), the same whyever. */
export async function recover(tx: Tx, issuer: Issuer, cluster: ClusterRow, request: RecoverRequest) {
  const csr = judgeCsr(request.csr);
  const { seal, clock } = issuer.ctx;
  const nowMs = clock.nowMs();
  const facts = readCertificate(request.expiredCertificateDer);
  if (typeof facts === "string") throw refusal();
  // Of any root there ever was: a node that slept through a rotation has a leaf of one that is trusted no more.
  const own = await allAuthorities(tx, seal, cluster.id);
  const roots = own.filter(({ kind }) => kind === "node").map((each) => ({ ...openRoot(each.certificateDer), each }));
  const root = roots.find(({ publicKey }) => facts.signedBy(publicKey));
  const row = root === undefined ? undefined : await findCertificate(tx, seal, root.keyId, facts.serialHex);
  const enrolled = p256FromSpki(facts.spkiDer);
  if (root === undefined || row === undefined || enrolled === undefined) throw refusal();
  if (!verifyEs256(enrolled, recoverData(request), request.signature)) throw refusal();
  if (Math.abs(nowMs - Number(request.issuedAtMs)) > limits.proofSkewMaxMs)
    throw clockSkew(nowMs, Number(request.issuedAtMs));
  const expected = row.scope === cluster.id && row.subjectKind === "node" && row.keyHash === facts.keyHash;
  const node = expected ? await requireNode(tx, seal, cluster.id, row.subjectId) : undefined;
  const dropped = new Set(roots.flatMap(({ keyId, each }) => (each.status === "dropped" ? [keyId] : [])));
  // A leaf that ended, or whose root did: neither can act.
  const isOver = (leaf: CertificateRow): boolean => leaf.notAfterMs <= nowMs || dropped.has(leaf.issuerKeyId);
  if (node?.identityStatus !== "active" || row.status === "revoked" || !isOver(row)) throw refusal();
  const live = await liveCertificates(tx, seal, subjectOf("node", cluster.id, node.id));
  const valid = [live.next, live.current].find((each) => each !== undefined && !isOver(each));
  // Only the answer to an earlier recovery with this very key, or nobody has a leaf that may act.
  if (valid !== undefined) {
    if (valid.keyHash !== csr.keyHash) throw refusal();
    return { node, leaf: valid };
  }
  // A renewed leaf that ended before it was ever used here is as good a proof as the one before it.
  if (facts.keyHash !== node.keyHash && row.status !== "next") throw refusal();
  requireRecent(issuer, row);
  await requireFreshKey(tx, csr.keyHash, node.id);
  const proofHash = createHash("sha256").update(recoverData(request)).digest("hex");
  if (!(await acceptProofOnce(tx, proofHash, 2 * limits.proofSkewMaxMs))) throw refusal();
  const leaf = await reissue(tx, issuer, cluster, node, csr, row.spiffe);
  return { node, leaf };
}

function requireRecent(issuer: Issuer, row: CertificateRow): void {
  if (issuer.ctx.clock.nowMs() - row.notAfterMs > limits.recoverWithinMs) throw refusal();
}

async function reissue(
  tx: Tx,
  issuer: Issuer,
  cluster: ClusterRow,
  node: NodeRow,
  csr: JudgedCsr,
  actor: string,
): Promise<HandedLeaf> {
  const issued = await issueAndRecord(tx, issuer, nodeLeafOrder(cluster, node, csr.spkiDer, "current"));
  if (node.keyHash !== csr.keyHash) await setNodeKey(tx, issuer.ctx, node.id, csr.keyHash);
  const after = { serial: issued.serialHex, keyHash: csr.keyHash, notAfterMs: issued.notAfterMs };
  await auditIssued(tx, actor, cluster, `node/${node.id}`, after);
  return issued;
}

function recoverData(request: RecoverRequest): Uint8Array {
  return Buffer.concat([Buffer.from("weft/recover/v1\0"), request.csr, Buffer.from(request.issuedAtMs.toString())]);
}

/** The caller's clock is too far from ours for its signature to count; says how far, since nothing else would help it. */
export function clockSkew(nowMs: number, signedMs: number): WeftError {
  const offsetMs = Math.round(nowMs - signedMs);
  const metadata = { server_time_ms: String(Math.floor(nowMs)), offset_ms: String(offsetMs) };
  const seconds = Math.min(Math.abs(offsetMs) / 1_000, 1e9).toFixed(1);
  const message = `the clock of this host is ${seconds} s ${offsetMs > 0 ? "behind" : "ahead of"} control's`;
  return new WeftError("failed_precondition", message, { detail: "CLOCK_SKEW", metadata });
}

async function auditIssued(tx: Tx, actor: string, cluster: ClusterRow, object: string, after: unknown): Promise<void> {
  await appendAudit(tx, { actor, action: "certificate.issued", object, clusterId: cluster.id, after });
}
