/**
 * weft.enrollment.v1.EnrollmentService: how a host becomes a node.
 *
 * J1. Everything that can be refused without the token is refused before the token is looked at.
 * J2. A token that is unknown, wrong, expired, used up, revoked, of another cluster or installation, or too narrow for what
 *     is asked is refused in one way: same code, same words, the same statements run.
 * J3. A refused enrollment uses nothing up: the use is rolled back with the transaction it was made in.
 */

import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { type JudgedCsr, judgeCsr } from "../../certs/csr.ts";
import { hashJoinSecret, type JoinToken, parseJoinToken } from "../../certs/join-token.ts";
import { p256FromSpki, verifyEs256 } from "../../certs/keys.ts";
import {
  type EnrollmentService,
  type EnrollRequest,
  type PollEnrollmentRequest,
  RequestState,
} from "../../gen/weft/enrollment/v1/enrollment_pb.ts";
import { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { randomLabel } from "../../lib/random.ts";
import { type Caller, nodeOf } from "../../rpc/caller.ts";
import { approvePending } from "../domain/approval.ts";
import { judgeClientRenewal, renewClient } from "../domain/client-renewal.ts";
import { requireFreshKey } from "../domain/issue.ts";
import { checkJoinWish, isWithinScope, type JoinWish, keyFingerprint } from "../domain/join.ts";
import { clockSkew, fetchApproved, issuedIdentity, recover, renew } from "../domain/renewal.ts";
import { type AuditEntry, appendAudits } from "../store/audit.ts";
import { type ClusterRow, getCluster, requireCluster } from "../store/clusters.ts";
import { requireOrganization } from "../store/organizations.ts";
import { getRequest, insertRequest, lockPending, type RequestRow, requestOfKey } from "../store/requests.ts";
import { isUniqueViolation, type Tx } from "../store/sql.ts";
import { claimedToken, type TokenClaim, useToken } from "../store/tokens.ts";
import { shortText } from "./reports.ts";
import { callerOf, issuerOf, recordingRefusal, type ServiceDeps } from "./service-context.ts";

export function enrollmentService(deps: ServiceDeps): ServiceImpl<typeof EnrollmentService> {
  return {
    async getTrustBundle(request, context) {
      const cluster = await requireCluster(deps.sql, joinCluster(callerOf(context), request.clusterSlug));
      if (request.clusterSlug !== "" && request.clusterSlug !== cluster.slug) throw noSuchCluster();
      const { bytes, signature } = await deps.authority.bundle(cluster.id);
      const { publicKeySpki } = await deps.authority.installation();
      return {
        bundle: Uint8Array.from(bytes),
        installationPublicKey: Uint8Array.from(publicKeySpki),
        signature: Uint8Array.from(signature),
      };
    },
    enroll: (request, context) => enroll(deps, request, context),
    pollEnrollment: (request, context) => poll(deps, request, context),
    async renew(request, context) {
      const caller = callerOf(context);
      const { clusterId, nodeId } = nodeOf(caller);
      const csr = judgeCsr(request.csr);
      const about = { clusterId, nodeId, spiffe: caller.spiffe };
      const issuer = await issuerOf(deps, deps.sql);
      const entry = { actor: caller.spiffe, action: "certificate.issued", object: `node/${nodeId}`, clusterId };
      const done = await recordingRefusal(deps, entry, () => deps.sql.tx((tx) => renew(tx, issuer, about, csr)));
      return {
        identity: await issuedIdentity(issuer, done.cluster, done.node, done.leaf),
        poolCertificates: done.poolLeaves.map(({ poolId, certificateDer, notAfterMs }) => ({
          poolId,
          certificateDer: Uint8Array.from(certificateDer),
          notAfterMs: BigInt(notAfterMs),
        })),
      };
    },
    async recover(request, context) {
      const caller = callerOf(context);
      judgeCsr(request.csr);
      const cluster = await requireCluster(deps.sql, joinCluster(caller, ""));
      const issuer = await issuerOf(deps, deps.sql);
      const entry = {
        actor: "anonymous",
        action: "certificate.recovered",
        object: "node/unknown",
        clusterId: cluster.id,
        after: { source: caller.sourceAddress },
        source: caller.sourceAddress,
      };
      const { node, leaf } = await recordingRefusal(deps, entry, () =>
        deps.sql.tx((tx) => recover(tx, issuer, cluster, request)),
      );
      return { identity: await issuedIdentity(issuer, cluster, node, leaf) };
    },
    async renewClient(request, context) {
      const caller = callerOf(context);
      const { clusterId } = nodeOf(caller);
      shortText("source_address", request.sourceAddress);
      const issuer = await issuerOf(deps, deps.sql);
      const after = { entry: caller.spiffe, source: request.sourceAddress };
      const entry = { actor: caller.spiffe, action: "certificate.issued", object: "client/unknown", clusterId, after };
      const leaf = await recordingRefusal(deps, entry, async () => {
        if (caller.roles?.includes(NodeRole.ENTRY) !== true) throw notAnEntry();
        const who = await judgeClientRenewal(issuer, deps.allowlist, clusterId, request);
        return await deps.sql.tx((tx) => renewClient(tx, issuer, who, request));
      });
      return { certificateDer: Uint8Array.from(leaf.certificateDer), notAfterMs: BigInt(leaf.notAfterMs) };
    },
  };
}

function notAnEntry(): WeftError {
  return new WeftError("permission_denied", "clients come by entries", { detail: "ROLE_MISSING" });
}

/** The cluster of the join door; without one (a door for all clusters) the named one. */
function joinCluster(caller: Caller, named: string): string {
  const id = caller.clusterId ?? named;
  if (id === "") throw noSuchCluster();
  return id;
}

function noSuchCluster(): WeftError {
  return new WeftError("not_found", "no such cluster", { detail: "CLUSTER_NOT_FOUND" });
}

const tokenRefused = () =>
  new WeftError("permission_denied", "the join token was not accepted", { detail: "JOIN_TOKEN_REFUSED" });

/** Stands in for a token that cannot be one, so that it costs what any wrong one costs (J2). */
const NO_CLAIM: TokenClaim = { clusterId: "-", tokenId: "-", secretHash: "0".repeat(64) };

async function enroll(deps: ServiceDeps, request: EnrollRequest, context: HandlerContext) {
  const caller = callerOf(context);
  const csr = judgeCsr(request.csr);
  const wish = checkJoinWish(request);
  const claim = await claimOf(deps, caller, request.token);
  const entry = {
    actor: "anonymous",
    action: "request.received",
    object: `token/${claim.tokenId}`,
    ...(claim === NO_CLAIM ? {} : { clusterId: claim.clusterId }),
    after: { source: caller.sourceAddress, nodeName: wish.nodeName, keyHash: csr.keyHash },
    source: caller.sourceAddress,
  };
  const row = await recordingRefusal(deps, entry, async () => {
    const claiming = { claim, csr, request, wish, source: caller.sourceAddress };
    const attempt = () => deps.sql.tx((tx) => claimAndInsert(tx, deps, claiming));
    try {
      return await attempt();
    } catch (thrown) {
      // The same token and key at the same time: the other one made the request.
      if (!isUniqueViolation(thrown)) throw thrown;
      return await attempt();
    }
  });
  return {
    requestId: row,
    keyFingerprint: keyFingerprint(csr.keyHash),
    pollAfterMs: BigInt(limits.joinPollEveryMs),
  };
}

/** Which stored token the text claims to be. The same reads for every text. */
async function claimOf(deps: ServiceDeps, caller: Caller, text: string): Promise<TokenClaim> {
  const token: JoinToken | undefined = text.length <= limits.joinTokenMaxBytes ? parseJoinToken(text) : undefined;
  const [{ keyHash }, cluster] = [
    await deps.authority.installation(),
    await getCluster(deps.sql, caller.clusterId ?? token?.clusterSlug ?? "-"),
  ];
  const ours = token?.installationKeyHash === keyHash && cluster !== undefined && cluster.slug === token.clusterSlug;
  if (token === undefined || cluster === undefined || !ours || cluster.status !== "active") return NO_CLAIM;
  const secretHash = Buffer.from(hashJoinSecret(token.secret)).toString("hex");
  return { clusterId: cluster.id, tokenId: token.tokenId, secretHash };
}

interface Claiming {
  readonly claim: TokenClaim;
  readonly csr: JudgedCsr;
  readonly request: EnrollRequest;
  readonly wish: JoinWish;
  readonly source: string;
}

/** Uses the token and makes the request, or finds the request this token and key made before. Returns its id. */
async function claimAndInsert(tx: Tx, deps: ServiceDeps, claiming: Claiming): Promise<string> {
  const { claim, csr, request, wish, source } = claiming;
  const known = await claimedToken(tx, claim);
  const before = await requestOfKey(tx, claim.tokenId, csr.keyHash);
  if (known !== undefined && before !== undefined) return before.id;
  const token = await useToken(tx, deps.seal, claim);
  // The update waited for whoever used the token up; that may have been the same host.
  const meanwhile = await requestOfKey(tx, claim.tokenId, csr.keyHash);
  if (token === undefined && known !== undefined && meanwhile !== undefined) return meanwhile.id;
  if (token === undefined || !isWithinScope(token, wish)) throw tokenRefused();
  await requireFreshKey(tx, csr.keyHash);
  const id = randomLabel(deps.random, 26);
  await insertRequest(tx, {
    ...wish,
    id,
    clusterId: claim.clusterId,
    tokenId: claim.tokenId,
    keyHash: csr.keyHash,
    csr: request.csr,
  });
  const { nodeName, requestedRoles, addresses, capabilities } = wish;
  const received = {
    actor: "anonymous",
    action: "request.received",
    object: `request/${id}`,
    clusterId: claim.clusterId,
    after: { tokenId: claim.tokenId, source, nodeName, requestedRoles, addresses, capabilities, keyHash: csr.keyHash },
  };
  const approved = token.autoApprove ? await approveByToken(tx, deps, id, claiming) : [];
  await appendAudits(tx, [received, ...approved]);
  return id;
}

/** What an operator who made the token said beforehand: whoever comes with it, as it asks (M-A3). Returns the records of it. */
async function approveByToken(
  tx: Tx,
  deps: ServiceDeps,
  requestId: string,
  { claim, csr, wish }: Claiming,
): Promise<readonly AuditEntry[]> {
  const cluster = await requireCluster(tx, claim.clusterId);
  const pending = await lockPending(tx, cluster.id, requestId);
  const { addresses, requestedRoles: grants, nodeName: name } = wish;
  for (const { organizationId } of grants)
    if (organizationId !== "") await requireOrganization(tx, cluster.id, organizationId);
  const { keyHash } = csr;
  const actor = `token/${claim.tokenId}`;
  const approval = { cluster, actor, keyHash, addresses, grants, name };
  const { request, records } = await approvePending(tx, await issuerOf(deps, tx), pending, approval);
  const after = { keyHash, addresses, grants, name, nodeId: request.nodeId };
  const about = { actor, action: "request.approved", object: `request/${requestId}`, clusterId: cluster.id };
  return [...records, { ...about, after }];
}

const pollRefused = () =>
  new WeftError("permission_denied", "no such request, or not signed by its key", { detail: "POLL_REFUSED" });

async function poll(deps: ServiceDeps, request: PollEnrollmentRequest, context: HandlerContext) {
  const cluster = await requireCluster(deps.sql, joinCluster(callerOf(context), ""));
  const row = await getRequest(deps.sql, cluster.id, request.requestId);
  if (row === undefined) throw pollRefused();
  const csr = judgeCsr(row.csr);
  const key = p256FromSpki(csr.spkiDer);
  const data = Buffer.from(`weft/poll/v1\0${request.requestId}\0${request.issuedAtMs}`);
  if (key === undefined || csr.keyHash !== row.keyHash || !verifyEs256(key, data, request.signature))
    throw pollRefused();
  const nowMs = deps.clock.nowMs();
  if (Math.abs(nowMs - Number(request.issuedAtMs)) > limits.proofSkewMaxMs)
    throw clockSkew(nowMs, Number(request.issuedAtMs));
  return await outcomeOf(deps, cluster, row, csr);
}

async function outcomeOf(deps: ServiceDeps, cluster: ClusterRow, row: RequestRow, csr: JudgedCsr) {
  const pollAfterMs = BigInt(limits.joinPollEveryMs);
  if (row.state === "pending") return { state: RequestState.PENDING, pollAfterMs };
  if (row.state === "rejected") return { state: RequestState.REJECTED, reason: row.reason };
  const { nodeId } = row;
  if (row.state === "expired" || nodeId === null) return { state: RequestState.EXPIRED };
  const issuer = await issuerOf(deps, deps.sql);
  const { node, leaf } = await deps.sql.tx((tx) => fetchApproved(tx, issuer, cluster, nodeId, csr));
  return { state: RequestState.APPROVED, identity: await issuedIdentity(issuer, cluster, node, leaf) };
}
