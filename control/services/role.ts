/** weft.admin.v1.RoleService: what nodes may do. */

import type { ServiceImpl } from "@connectrpc/connect";
import type { RoleService } from "../../gen/weft/admin/v1/role_pb.ts";
import { grantRole, withdrawRole } from "../domain/node-changes.ts";
import { requireCluster } from "../store/clusters.ts";
import { requireNode } from "../store/nodes.ts";
import { listRoles, type RoleRow } from "../store/roles.ts";
import { grantFromWire, grantMessage, nodeObject } from "./node-messages.ts";
import { callerOf, recordingRefusal, type ServiceDeps } from "./service-context.ts";

export function roleService(deps: ServiceDeps): ServiceImpl<typeof RoleService> {
  return {
    async assignRole(request, context) {
      const actor = callerOf(context).spiffe;
      const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
      const grant = await grantFromWire(deps.sql, clusterId, request.grant);
      const object = await nodeObject(deps.sql, clusterId, request.nodeId);
      const entry = {
        actor,
        action: "role.assigned",
        object,
        clusterId,
        organizationId: grant.organizationId,
        after: grant,
      };
      return await recordingRefusal(deps, entry, async () => {
        const row = await grantRole(deps, { clusterId, node: request.nodeId, actor, ...grant });
        return { assignment: assignmentMessage(row) };
      });
    },
    async removeRole(request, context) {
      const actor = callerOf(context).spiffe;
      const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
      const grant = await grantFromWire(deps.sql, clusterId, request.grant);
      const object = await nodeObject(deps.sql, clusterId, request.nodeId);
      const entry = {
        actor,
        action: "role.removed",
        object,
        clusterId,
        organizationId: grant.organizationId,
        before: grant,
      };
      return await recordingRefusal(deps, entry, async () => {
        await withdrawRole(deps, { clusterId, node: request.nodeId, actor, ...grant });
        return {};
      });
    },
    async listRoles(request) {
      const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
      const nodeId =
        request.nodeId === "" ? "" : (await requireNode(deps.sql, deps.seal, clusterId, request.nodeId)).id;
      return { assignments: (await listRoles(deps.sql, deps.seal, clusterId, nodeId)).map(assignmentMessage) };
    },
  };
}

function assignmentMessage(row: RoleRow) {
  return {
    clusterId: row.clusterId,
    nodeId: row.nodeId,
    nodeName: row.nodeName,
    grant: grantMessage(row),
    assignedAtMs: BigInt(row.assignedAtMs),
    assignedBy: row.assignedBy,
  };
}
