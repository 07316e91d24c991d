/** weft.admin.v1.GroupService: a tree of nodes for people, which grants nothing. */

import type { ServiceImpl } from "@connectrpc/connect";
import type { GroupService } from "../../gen/weft/admin/v1/group_pb.ts";
import { assignGroup, createGroup, moveGroup, removeGroup } from "../domain/group-changes.ts";
import { checkName } from "../domain/placement.ts";
import { requireCluster } from "../store/clusters.ts";
import { type GroupRow, getGroup, listGroups } from "../store/groups.ts";
import { nodeObject } from "./node-messages.ts";
import { callerOf, recordingRefusal, type ServiceDeps } from "./service-context.ts";

export function groupService(deps: ServiceDeps): ServiceImpl<typeof GroupService> {
  return {
    async createGroup(request, context) {
      const actor = callerOf(context).spiffe;
      const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
      const name = checkName(request.name);
      const entry = { actor, action: "group.created", object: `group/${name}`, clusterId };
      const order = { clusterId, actor, name, parent: request.parentId };
      return await recordingRefusal(deps, entry, async () => ({ group: groupMessage(await createGroup(deps, order)) }));
    },
    async listGroups(request) {
      const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
      return { groups: (await listGroups(deps.sql, clusterId)).map(groupMessage) };
    },
    async moveGroup(request, context) {
      const actor = callerOf(context).spiffe;
      const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
      const { groupId: group, parentId: parent } = request;
      const entry = { actor, action: "group.moved", object: await groupObject(deps, clusterId, group), clusterId };
      const order = { clusterId, actor, group, parent };
      return await recordingRefusal(deps, entry, async () => ({ group: groupMessage(await moveGroup(deps, order)) }));
    },
    async removeGroup(request, context) {
      const actor = callerOf(context).spiffe;
      const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
      const { groupId: group } = request;
      const entry = { actor, action: "group.removed", object: await groupObject(deps, clusterId, group), clusterId };
      return await recordingRefusal(deps, entry, async () => {
        await removeGroup(deps, { clusterId, actor, group });
        return {};
      });
    },
    async assignGroup(request, context) {
      const actor = callerOf(context).spiffe;
      const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
      const object = await nodeObject(deps.sql, clusterId, request.nodeId);
      return await recordingRefusal(deps, { actor, action: "group.assigned", object, clusterId }, async () => {
        const order = { clusterId, actor, node: request.nodeId, group: request.groupId };
        const { nodeId, before, after } = await assignGroup(deps, order);
        return { nodeId, groupId: after ?? "", previousGroupId: before ?? "" };
      });
    },
  };
}

/** "group/<id>" for records of what was refused about a group that may not even exist: never a text from the request. */
async function groupObject({ sql }: ServiceDeps, clusterId: string, idOrName: string): Promise<string> {
  return `group/${(await getGroup(sql, clusterId, idOrName))?.id ?? "unknown"}`;
}

function groupMessage({ id, clusterId, name, parentId, createdAtMs, nodeIds }: GroupRow) {
  return { id, clusterId, name, parentId: parentId ?? "", createdAtMs: BigInt(createdAtMs), nodeIds: [...nodeIds] };
}
