/**
 * Another leaf for a client. Clients never speak to control: an entry hands their signed request on (PathService/RenewIdentity)
 * and is believed nothing.
 *
 * CR1. Who asks is proved inside the request, by the key of a client leaf of the entry's cluster that is on the allowlist and
 *      has not ended. An expired one is not recovered: a client is made anew by an operator.
 * CR2. The fields of the leaf are this side's, as for nodes; the requester contributes a key nobody had before.
 * CR3. A request counts once: an entry cannot repeat one to take the place of a leaf that was issued since.
 * CR4. Nodes learn nothing of it: they know clients by id. What makes a renewed leaf the current one is its first use here,
 *      for the renewal after it.
 */

import { createHash } from "node:crypto";
import { readCertificate } from "../../certs/certificate.ts";
import { judgeCsr } from "../../certs/csr.ts";
import { p256FromSpki, verifyEs256 } from "../../certs/keys.ts";
import { openRoot } from "../../certs/material.ts";
import type { RenewClientRequest } from "../../gen/weft/enrollment/v1/enrollment_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { appendAudit } from "../store/audit.ts";
import { allAuthorities } from "../store/authorities.ts";
import { getIdentity } from "../store/identities.ts";
import { acceptProofOnce } from "../store/requests.ts";
import type { Tx } from "../store/sql.ts";
import type { Allowed, Allowlist } from "./allowlist.ts";
import { type Issuer, issueAndRecord, requireFreshKey } from "./issue.ts";
import { clockSkew, type HandedLeaf } from "./renewal.ts";

const refusal = (detail: string) =>
  new WeftError("permission_denied", "this client identity cannot be renewed; an operator has to make it anew", {
    detail,
  });

/**
 * Who asks. Throws `permission_denied` (CLIENT_RENEWAL_REFUSED, or what the allowlist says), `failed_precondition`
 * (CLOCK_SKEW) and what `judgeCsr` and the allowlist throw.
 */
export async function judgeClientRenewal(
  issuer: Issuer,
  allowlist: Pick<Allowlist, "judge" | "clones">,
  clusterId: string,
  request: RenewClientRequest,
): Promise<Allowed> {
  judgeCsr(request.csr);
  const { seal, sql, clock } = issuer.ctx;
  const facts = readCertificate(request.certificateDer);
  if (typeof facts === "string") throw refusal("CLIENT_RENEWAL_REFUSED");
  const roots = (await allAuthorities(sql, seal, clusterId)).filter(({ kind, status }) => {
    return kind === "client" && status !== "dropped";
  });
  const root = roots.map((each) => openRoot(each.certificateDer)).find(({ publicKey }) => facts.signedBy(publicKey));
  const key = p256FromSpki(facts.spkiDer);
  if (root === undefined || key === undefined || !verifyEs256(key, renewalData(request), request.signature))
    throw refusal("CLIENT_RENEWAL_REFUSED");
  const nowMs = clock.nowMs();
  if (Math.abs(nowMs - Number(request.issuedAtMs)) > limits.proofSkewMaxMs)
    throw clockSkew(nowMs, Number(request.issuedAtMs));
  const verdict = await allowlist.judge(root.keyId, facts.serialHex, request.sourceAddress);
  if (!verdict.allowed) {
    if (verdict.detail === "CERTIFICATE_SUPERSEDED")
      allowlist.clones.reused({ issuerKeyId: root.keyId, serial: facts.serialHex }, request.sourceAddress);
    throw refusal(verdict.detail);
  }
  const isClient = verdict.subjectKind === "client" && verdict.scope === clusterId && verdict.keyHash === facts.keyHash;
  if (!isClient || verdict.notAfterMs <= nowMs) throw refusal("CLIENT_RENEWAL_REFUSED");
  return verdict;
}

/** Issues the leaf for whom `judgeClientRenewal` found, in its transaction. */
export async function renewClient(
  tx: Tx,
  issuer: Issuer,
  who: Allowed,
  request: RenewClientRequest,
): Promise<HandedLeaf> {
  const csr = judgeCsr(request.csr);
  const { scope: clusterId, subjectId } = who;
  await tx.query("select 1 as held from identity where id = $1 for share", [subjectId]);
  const row = await getIdentity(tx, issuer.ctx.seal, subjectId);
  if (row?.status !== "active") throw refusal("IDENTITY_REVOKED");
  await requireFreshKey(tx, csr.keyHash, subjectId);
  const proof = createHash("sha256").update(renewalData(request)).digest("hex");
  if (!(await acceptProofOnce(tx, proof, 2 * limits.proofSkewMaxMs))) throw refusal("CLIENT_RENEWAL_REFUSED");
  const order = { kind: "client", clusterId, subjectId, spkiDer: csr.spkiDer, status: "next" } as const;
  const leaf = await issueAndRecord(tx, issuer, order);
  await appendAudit(tx, {
    actor: who.spiffe,
    action: "certificate.issued",
    object: `client/${subjectId}`,
    clusterId,
    after: { serial: leaf.serialHex, keyHash: csr.keyHash, notAfterMs: leaf.notAfterMs },
  });
  return leaf;
}

function renewalData(request: RenewClientRequest): Uint8Array {
  return Buffer.concat([
    Buffer.from("weft/client-renew/v1\0"),
    request.csr,
    Buffer.from(request.issuedAtMs.toString()),
  ]);
}
