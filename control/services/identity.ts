/** weft.admin.v1.IdentityService: clients and operators. Their keys are made by them; only a CSR gets here. */

import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { rootKinds } from "../../certs/bundle.ts";
import { judgeCsr } from "../../certs/csr.ts";
import { formatSpiffe, INSTALLATION, type SpiffeKind } from "../../certs/spiffe.ts";
import {
  type AddIdentityRequest,
  IdentityKind,
  type IdentityService,
  type RevokeIdentityRequest,
} from "../../gen/weft/admin/v1/identity_pb.ts";
import type { RootKind } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { randomLabel } from "../../lib/random.ts";
import { operatorOf } from "../../rpc/caller.ts";
import { issueAndRecord, requireFreshKey, subjectOf } from "../domain/issue.ts";
import { endLeasesOf } from "../domain/lease-endings.ts";
import { recordRevoked } from "../domain/node-changes.ts";
import { checkName } from "../domain/placement.ts";
import { appendAudit } from "../store/audit.ts";
import { type CertificateRow, liveCertificates, revokeCertificates } from "../store/certificates.ts";
import { type ClusterRow, listClusters, requireCluster } from "../store/clusters.ts";
import {
  getIdentity,
  type IdentityRow,
  type IdentityView,
  identityNotFound,
  insertIdentity,
  listIdentities,
  lockActiveOperators,
  markIdentityRevoked,
} from "../store/identities.ts";
import { requireOrganization } from "../store/organizations.ts";
import { addRevocations, addRevocationsEverywhere, type FeedMark, feedMarks } from "../store/revocations.ts";
import { bumpSnapshot } from "../store/snapshots.ts";
import type { Tx } from "../store/sql.ts";
import { feedPositionMessage } from "./certificate.ts";
import { callerOf, invalid, issuerOf, plainText, recordingRefusal, type ServiceDeps } from "./service-context.ts";

const REASON_MAX_CHARS = 500;
/** Whose servers an identity talks to: clients to entries and pools, operators to control and nodes. */
const rootsNeeded: Readonly<Record<"client" | "operator", readonly SpiffeKind[]>> = {
  client: ["node", "pool"],
  operator: ["control", "node"],
};

export function identityService(deps: ServiceDeps): ServiceImpl<typeof IdentityService> {
  return {
    addIdentity: (request, context) => addIdentity(deps, request, context),
    async listIdentities(request) {
      const scopes = request.clusterId === "" ? [] : [(await requireCluster(deps.sql, request.clusterId)).id];
      return { identities: (await listIdentities(deps.sql, deps.seal, scopes)).map(identityMessage) };
    },
    revokeIdentity: (request, context) => revokeIdentity(deps, request, context),
    async renewOperator(request, context) {
      const caller = callerOf(context);
      const { operatorId } = operatorOf(caller);
      const { spkiDer, keyHash } = judgeCsr(request.csr);
      return await deps.sql.tx(async (tx) => {
        const row = await getIdentity(tx, deps.seal, operatorId);
        if (row?.status !== "active")
          throw new WeftError("permission_denied", "this identity is revoked", { detail: "IDENTITY_REVOKED" });
        await requireFreshKey(tx, keyHash, operatorId);
        const order = {
          kind: "operator",
          clusterId: INSTALLATION,
          subjectId: operatorId,
          spkiDer,
          status: "next",
        } as const;
        const leaf = await issueAndRecord(tx, await issuerOf(deps, tx), order);
        await appendAudit(tx, {
          actor: caller.spiffe,
          action: "certificate.issued",
          object: `operator/${operatorId}`,
          after: { serial: leaf.serialHex, keyHash, notAfterMs: leaf.notAfterMs },
        });
        return { certificateDer: Uint8Array.from(leaf.certificateDer), notAfterMs: BigInt(leaf.notAfterMs) };
      });
    },
  };
}

async function addIdentity(deps: ServiceDeps, request: AddIdentityRequest, context: HandlerContext) {
  const actor = callerOf(context).spiffe;
  const kind = kindOf(request.kind);
  const name = checkName(request.name);
  const { spkiDer, keyHash } = judgeCsr(request.csr);
  const cluster = await clusterOf(deps, kind, request.clusterId);
  const organizationId =
    kind === "client" ? (await requireOrganization(deps.sql, cluster.id, request.organizationId)).id : "";
  const id = `${kind === "client" ? "ct" : "op"}-${randomLabel(deps.random, 16)}`;
  const scope = kind === "client" ? cluster.id : INSTALLATION;
  const about = kind === "client" ? { clusterId: cluster.id, organizationId } : {};
  const entry = { actor, action: "identity.added", object: `${kind}/${name}`, ...about, after: { name, keyHash } };
  return await recordingRefusal(deps, entry, async () => {
    const leaf = await deps.sql.tx(async (tx) => {
      await requireFreshKey(tx, keyHash);
      await insertIdentity(tx, deps.seal, { id, kind, scope, organizationId, name, keyHash, createdBy: actor });
      const order = { kind, clusterId: cluster.id, subjectId: id, spkiDer, status: "current" } as const;
      const leaf = await issueAndRecord(tx, await issuerOf(deps, tx), order);
      if (kind === "client") await bumpSnapshot(tx, deps.hints, cluster.id);
      const after = { name, keyHash, serial: leaf.serialHex };
      await appendAudit(tx, { ...entry, object: `${kind}/${id}`, after });
      return leaf;
    });
    return {
      identity: await identityView(deps, id),
      certificateDer: Uint8Array.from(leaf.certificateDer),
      roots: await rootsFor(deps, cluster, kind),
      trustDomain: leaf.id.trustDomain,
      clusterSlug: cluster.slug,
    };
  });
}

async function revokeIdentity(deps: ServiceDeps, request: RevokeIdentityRequest, context: HandlerContext) {
  const actor = callerOf(context).spiffe;
  const reason = plainText("reason", request.reason, REASON_MAX_CHARS);
  const row = await getIdentity(deps.sql, deps.seal, request.identityId);
  if (row === undefined) throw identityNotFound();
  // An operator belongs to no cluster; a client only to its own, whatever id is known of it.
  if (row.kind === "client" && row.scope !== (await requireCluster(deps.sql, request.clusterId)).id)
    throw identityNotFound();
  const about = row.kind === "client" ? { clusterId: row.scope, organizationId: row.organizationId } : {};
  const entry = { actor, action: "identity.revoked", object: `${row.kind}/${row.id}`, ...about, after: { reason } };
  return await recordingRefusal(deps, entry, async () => {
    const marks = await deps.sql.tx(async (tx) => {
      if (row.kind === "operator") await requireAnotherOperator(tx, deps, row);
      let said = await feedMarks(tx, row.kind === "client" ? row.scope : "");
      if (await markIdentityRevoked(tx, deps.seal, row.id)) {
        const { leaves, marks } = await cutOff(tx, deps, row, reason, actor);
        if (row.kind === "client") await endLeasesOf(tx, deps, { clientId: row.id }, actor);
        await recordRevoked(tx, { actor, object: entry.object, ...about }, leaves);
        said = marks;
      }
      await appendAudit(tx, { ...entry, before: { status: row.status } });
      return said;
    });
    return { identity: await identityView(deps, row.id), feeds: marks.map(feedPositionMessage) };
  });
}

async function requireAnotherOperator(tx: Tx, deps: ServiceDeps, row: IdentityRow): Promise<void> {
  const active = await lockActiveOperators(tx, deps.seal);
  if (active.some((each) => each.id !== row.id) || row.status === "revoked") return;
  throw new WeftError("failed_precondition", "the last operator cannot be revoked", { detail: "LAST_OPERATOR" });
}

/** Takes every leaf off the allowlist and puts the identity and its keys into the feed of whoever might believe them. */
async function cutOff(
  tx: Tx,
  deps: ServiceDeps,
  row: IdentityRow,
  reason: string,
  actor: string,
): Promise<{ readonly leaves: readonly CertificateRow[]; readonly marks: readonly FeedMark[] }> {
  const leaves = await revokeCertificates(tx, deps, { scope: row.scope, holderId: row.id });
  const nowMs = deps.clock.nowMs();
  // Long enough for a leaf that was being issued at this very moment.
  const notAfterMs = Math.max(nowMs + limits.leafLifeMs, ...leaves.map((leaf) => leaf.notAfterMs));
  const { trustDomain } = await deps.authority.installation(tx);
  const spiffeId = formatSpiffe({ trustDomain, clusterId: row.scope, kind: row.kind, id: row.id });
  const about = { spiffeId, reason, revokedBy: actor, notAfterMs };
  const keyHashes = [...new Set([row.keyHash, ...leaves.map((leaf) => leaf.keyHash)])];
  const entries = [about, ...keyHashes.map((keyHash) => ({ ...about, keyHash }))];
  const living = leaves.filter((leaf) => leaf.notAfterMs > nowMs);
  if (row.kind === "operator") return { leaves: living, marks: await addRevocationsEverywhere(tx, deps, entries) };
  const position = await addRevocations(tx, deps, row.scope, entries);
  await bumpSnapshot(tx, deps.hints, row.scope);
  return { leaves: living, marks: [{ clusterId: row.scope, ...position }] };
}

function kindOf(kind: IdentityKind): "client" | "operator" {
  if (kind === IdentityKind.CLIENT) return "client";
  if (kind === IdentityKind.OPERATOR) return "operator";
  throw invalid("kind", "an identity is a client or an operator");
}

/** Clients need a cluster; operators may name the one whose roots they want first. */
async function clusterOf(deps: ServiceDeps, kind: "client" | "operator", clusterId: string): Promise<ClusterRow> {
  if (kind === "client" || clusterId !== "") return await requireCluster(deps.sql, clusterId);
  const [first] = await listClusters(deps.sql);
  if (first === undefined)
    throw new WeftError("failed_precondition", "there is no cluster yet", { detail: "CLUSTER_NOT_FOUND" });
  return first;
}

async function rootsFor(deps: ServiceDeps, cluster: ClusterRow, kind: "client" | "operator") {
  const { message } = await deps.authority.bundle(cluster.id);
  const wanted: readonly RootKind[] = rootsNeeded[kind].map((each) => rootKinds[each]);
  return message.roots.filter((root) => wanted.includes(root.kind));
}

async function identityView(deps: ServiceDeps, id: string) {
  const row = await getIdentity(deps.sql, deps.seal, id);
  if (row === undefined) throw identityNotFound();
  const { current } = await liveCertificates(deps.sql, deps.seal, subjectOf(row.kind, row.scope, row.id));
  return identityMessage({
    ...row,
    certificateSerial: current?.serial ?? null,
    certificateNotAfterMs: current?.notAfterMs ?? null,
  });
}

function identityMessage(row: IdentityView) {
  return {
    id: row.id,
    kind: row.kind === "client" ? IdentityKind.CLIENT : IdentityKind.OPERATOR,
    clusterId: row.kind === "client" ? row.scope : "",
    organizationId: row.organizationId,
    name: row.name,
    status: row.status,
    certificateSerial: row.certificateSerial ?? "",
    certificateNotAfterMs: BigInt(row.certificateNotAfterMs ?? 0),
    createdAtMs: BigInt(row.createdAtMs),
    revokedAtMs: BigInt(row.revokedAtMs ?? 0),
  };
}
