/** weft.admin.v1.MembershipService: taking part in a cluster, apart from being somebody. */

import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { MembershipService } from "../../gen/weft/admin/v1/node_pb.ts";
import { changeMembership } from "../domain/node-changes.ts";
import { requireCluster } from "../store/clusters.ts";
import { getMembership, listMemberships, type MembershipStatus, nodeNotFound } from "../store/memberships.ts";
import { requireNode } from "../store/nodes.ts";
import { membershipMessage, nodeObject } from "./node-messages.ts";
import { callerOf, recordingRefusal, type ServiceDeps } from "./service-context.ts";

export function membershipService(deps: ServiceDeps): ServiceImpl<typeof MembershipService> {
  return {
    async listMemberships(request) {
      const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
      return { memberships: (await listMemberships(deps.sql, deps.seal, clusterId)).map(membershipMessage) };
    },
    disableMembership: (request, context) => change(deps, request, context, "disabled"),
    enableMembership: (request, context) => change(deps, request, context, "active"),
  };
}

async function change(
  deps: ServiceDeps,
  request: { readonly clusterId: string; readonly nodeId: string },
  context: HandlerContext,
  status: MembershipStatus,
) {
  const actor = callerOf(context).spiffe;
  const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
  const object = await nodeObject(deps.sql, clusterId, request.nodeId);
  const action = status === "active" ? "membership.enabled" : "membership.disabled";
  return await recordingRefusal(deps, { actor, action, object, clusterId }, async () => {
    await changeMembership(deps, { clusterId, node: request.nodeId, actor, status });
    const { id } = await requireNode(deps.sql, deps.seal, clusterId, request.nodeId);
    const row = await getMembership(deps.sql, deps.seal, clusterId, id);
    if (row === undefined) throw nodeNotFound();
    return { membership: membershipMessage(row) };
  });
}
