/**
 * weft.admin.v1.RequestService: what an operator sees is what an operator approves.
 *
 * - An approval names the key, the addresses, the roles and the name; it fails if key or addresses are not those stored.
 * - Approving makes node, membership, roles and first leaf in one transaction: all of it exists, or nothing does.
 * - Approvals and rejections of one request meet at its row lock: one of them decides, the others are told so.
 */

import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { judgeCsr } from "../../certs/csr.ts";
import { isAssignableRole, missingCapabilities } from "../../fabric/members.ts";
import { isNodeName } from "../../fabric/server-names.ts";
import type { ApproveRequestRequest, RequestService } from "../../gen/weft/admin/v1/request_pb.ts";
import { RequestState } from "../../gen/weft/enrollment/v1/enrollment_pb.ts";
import type { RoleGrant } from "../../gen/weft/fabric/v1/role_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { randomLabel } from "../../lib/random.ts";
import { issueAndRecord, nodeLeafOrder, requireFreshKey } from "../domain/issue.ts";
import { checkAddresses, keyFingerprint } from "../domain/join.ts";
import type { GrantRow } from "../domain/placement.ts";
import { appendAudit, audited } from "../store/audit.ts";
import { type ClusterRow, requireCluster } from "../store/clusters.ts";
import { type AddressRow, insertNode } from "../store/nodes.ts";
import { requireOrganization } from "../store/organizations.ts";
import {
  decideRequest,
  listRequests,
  lockPending,
  type RequestRow,
  type RequestStateText,
  requireRequest,
} from "../store/requests.ts";
import { assignRole } from "../store/roles.ts";
import { bumpSnapshot } from "../store/snapshots.ts";
import { isUniqueViolation, type Tx } from "../store/sql.ts";
import { canonicalJson } from "../store/trust.ts";
import { capabilities, roles } from "../store/vocabulary.ts";
import { callerOf, invalid, issuerOf, plainText, recordingRefusal, type ServiceDeps } from "./service-context.ts";

const REASON_MAX_CHARS = 500;

const states: Readonly<Record<RequestStateText, RequestState>> = {
  pending: RequestState.PENDING,
  approved: RequestState.APPROVED,
  rejected: RequestState.REJECTED,
  expired: RequestState.EXPIRED,
};

export function requestService(deps: ServiceDeps): ServiceImpl<typeof RequestService> {
  return {
    async listRequests(request) {
      const cluster = await requireCluster(deps.sql, request.clusterId);
      const [state] = (Object.keys(states) as RequestStateText[]).filter((each) => states[each] === request.state);
      return { requests: (await listRequests(deps.sql, cluster.id, state)).map(requestMessage) };
    },
    async getRequest(request) {
      const cluster = await requireCluster(deps.sql, request.clusterId);
      return { request: requestMessage(await requireRequest(deps.sql, cluster.id, request.requestId)) };
    },
    approveRequest: (request, context) => approve(deps, request, context),
    async rejectRequest(request, context) {
      const actor = callerOf(context).spiffe;
      const reason = plainText("reason", request.reason, REASON_MAX_CHARS);
      const cluster = await requireCluster(deps.sql, request.clusterId);
      const object = `request/${request.requestId}`;
      const entry = { actor, action: "request.rejected", object, clusterId: cluster.id, after: { reason } };
      const row = await recordingRefusal(deps, entry, () =>
        audited(deps.sql, entry, async (tx) => {
          const pending = await lockPending(tx, cluster.id, request.requestId);
          return await decideRequest(tx, pending.id, { state: "rejected", reviewer: actor, reason, nodeId: null });
        }),
      );
      return { request: requestMessage(row) };
    },
  };
}

interface Approval {
  readonly cluster: ClusterRow;
  readonly actor: string;
  readonly keyHash: string;
  readonly addresses: readonly AddressRow[];
  readonly grants: readonly GrantRow[];
  readonly name: string;
}

async function approve(deps: ServiceDeps, request: ApproveRequestRequest, context: HandlerContext) {
  const actor = callerOf(context).spiffe;
  const cluster = await requireCluster(deps.sql, request.clusterId);
  if (!isNodeName(request.name))
    throw invalid("name", "a node's name is one lower-case DNS label, at most 63 characters");
  const approval: Approval = {
    cluster,
    actor,
    keyHash: Buffer.from(request.keyHash).toString("hex"),
    addresses: checkAddresses(request.addresses),
    grants: await checkGrants(deps, cluster.id, request.roles),
    name: request.name,
  };
  const { keyHash, addresses, grants, name } = approval;
  const object = `request/${request.requestId}`;
  const entry = {
    actor,
    action: "request.approved",
    object,
    clusterId: cluster.id,
    after: { keyHash, addresses, grants, name },
  };
  const row = await recordingRefusal(deps, entry, () =>
    deps.sql.tx(async (tx) => {
      const pending = await lockPending(tx, cluster.id, request.requestId);
      const approved = await approvePending(tx, deps, pending, approval);
      await appendAudit(tx, { ...entry, after: { ...entry.after, nodeId: approved.nodeId } });
      return approved;
    }),
  );
  return { request: requestMessage(row) };
}

async function approvePending(tx: Tx, deps: ServiceDeps, pending: RequestRow, approval: Approval): Promise<RequestRow> {
  const { cluster, actor, grants, name } = approval;
  const { spkiDer, keyHash } = judgeCsr(pending.csr);
  requireUnchanged(pending, keyHash, approval);
  await requireFreshKey(tx, keyHash);
  for (const grant of grants) requireCapabilities(grant, pending.capabilities);
  const node = {
    id: `nd-${randomLabel(deps.random, 16)}`,
    clusterId: cluster.id,
    name,
    keyHash,
    linkLabel: `link-${randomLabel(deps.random, 26)}`,
    addresses: pending.addresses,
    dialOutOnly: pending.dialOutOnly,
    region: pending.region,
    capabilities: pending.capabilities,
    requestId: pending.id,
  };
  await insertNamedNode(tx, deps, node);
  // Before the first record: everybody locks the cluster's row, then the audit head.
  await bumpSnapshot(tx, deps.hints, cluster.id);
  const about = { actor, object: `node/${node.id}`, clusterId: cluster.id };
  for (const { role, organizationId } of grants) {
    await assignRole(tx, deps, { clusterId: cluster.id, nodeId: node.id, role, organizationId, assignedBy: actor });
    await appendAudit(tx, { ...about, action: "role.assigned", organizationId, after: { role, organizationId } });
  }
  const leaf = await issueAndRecord(tx, await issuerOf(deps, tx), nodeLeafOrder(cluster, node, spkiDer, "current"));
  const after = { serial: leaf.serialHex, keyHash, notAfterMs: leaf.notAfterMs };
  await appendAudit(tx, { ...about, action: "certificate.issued", after });
  return await decideRequest(tx, pending.id, { state: "approved", reviewer: actor, reason: "", nodeId: node.id });
}

/** A role needs what the host reports; reporting alone gives nothing. */
function requireCapabilities(grant: GrantRow, reported: readonly string[]): void {
  const role = roles.value(grant.role);
  const values = reported.map((each) => capabilities.value(each));
  if (isAssignableRole(role) && missingCapabilities(role, values).length === 0) return;
  const options = { detail: "CAPABILITY_MISSING", metadata: { role: grant.role } };
  throw new WeftError("failed_precondition", `the host does not report what the role ${grant.role} needs`, options);
}

/** What the operator saw must be what is stored, and what is stored must be what the host signed. */
function requireUnchanged(pending: RequestRow, csrKeyHash: string, approval: Approval): void {
  const changed: string[] = [];
  if (approval.keyHash !== pending.keyHash || approval.keyHash !== csrKeyHash) changed.push("key_hash");
  if (canonicalJson(approval.addresses) !== canonicalJson(pending.addresses)) changed.push("addresses");
  if (changed.length === 0) return;
  const options = { detail: "REQUEST_CHANGED", metadata: { fields: changed.join(",") } };
  throw new WeftError("failed_precondition", "the request is not what was reviewed; look at it again", options);
}

async function insertNamedNode(tx: Tx, deps: ServiceDeps, node: Parameters<typeof insertNode>[2]): Promise<void> {
  try {
    await insertNode(tx, deps, node);
  } catch (thrown) {
    if (!isUniqueViolation(thrown, "node_cluster_id_name_key")) throw thrown;
    const options = { detail: "NODE_NAME_TAKEN", cause: thrown };
    throw new WeftError("already_exists", "a node with this name exists in the cluster", options);
  }
}

async function checkGrants(
  deps: ServiceDeps,
  clusterId: string,
  grants: readonly RoleGrant[],
): Promise<readonly GrantRow[]> {
  if (grants.length > limits.joinListItemsMaxCount) throw invalid("roles", "too many roles");
  const rows = new Map<string, GrantRow>();
  for (const grant of grants) {
    const role = roles.text(grant.role);
    if (role === undefined) throw invalid("roles", "an unknown role");
    const organizationId =
      grant.organizationId === "" ? "" : (await requireOrganization(deps.sql, clusterId, grant.organizationId)).id;
    rows.set(`${role} ${organizationId}`, { role, organizationId });
  }
  return [...rows.values()];
}

function requestMessage(row: RequestRow) {
  return {
    id: row.id,
    clusterId: row.clusterId,
    tokenId: row.tokenId,
    nodeName: row.nodeName,
    keyHash: Uint8Array.from(Buffer.from(row.keyHash, "hex")),
    keyFingerprint: keyFingerprint(row.keyHash),
    capabilities: row.capabilities.map((each) => capabilities.value(each)),
    requestedRoles: row.requestedRoles.map(({ role, organizationId }) => ({ role: roles.value(role), organizationId })),
    addresses: row.addresses.map(({ host, port }) => ({ host, port })),
    dialOutOnly: row.dialOutOnly,
    region: row.region,
    facts: { ...row.facts },
    state: states[row.state],
    reason: row.reason,
    reviewer: row.reviewer,
    createdAtMs: BigInt(row.createdAtMs),
    reviewedAtMs: BigInt(row.reviewedAtMs ?? 0),
    nodeId: row.nodeId ?? "",
  };
}
