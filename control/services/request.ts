/**
 * weft.admin.v1.RequestService: what an operator sees is what an operator approves.
 *
 * - An approval names the key, the addresses, the roles and the name; it fails if key or addresses are not those stored.
 * - Approving makes node, membership, roles and first leaf in one transaction: all of it exists, or nothing does.
 * - Approvals and rejections of one request meet at its row lock: one of them decides, the others are told so.
 */

import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { isNodeName } from "../../fabric/server-names.ts";
import type { ApproveRequestRequest, RequestService } from "../../gen/weft/admin/v1/request_pb.ts";
import { RequestState } from "../../gen/weft/enrollment/v1/enrollment_pb.ts";
import type { RoleGrant } from "../../gen/weft/fabric/v1/role_pb.ts";
import { limits } from "../../lib/limits.ts";
import { type Approval, approvePending } from "../domain/approval.ts";
import { checkAddresses, keyFingerprint } from "../domain/join.ts";
import type { GrantRow } from "../domain/placement.ts";
import { appendAudits, audited } from "../store/audit.ts";
import { requireCluster } from "../store/clusters.ts";
import { requireOrganization } from "../store/organizations.ts";
import {
  decideRequest,
  listRequests,
  lockPending,
  type RequestRow,
  type RequestStateText,
  requireRequest,
} from "../store/requests.ts";
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
      const { request: approved, records } = await approvePending(tx, await issuerOf(deps, tx), pending, approval);
      await appendAudits(tx, [...records, { ...entry, after: { ...entry.after, nodeId: approved.nodeId } }]);
      return approved;
    }),
  );
  return { request: requestMessage(row) };
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
