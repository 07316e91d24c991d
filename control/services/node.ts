/** weft.admin.v1.NodeAdminService: what an operator sees of nodes, and how one is revoked. */

import type { ServiceImpl } from "@connectrpc/connect";
import type { NodeAdminService } from "../../gen/weft/admin/v1/node_pb.ts";
import { limits } from "../../lib/limits.ts";
import { revokeNode } from "../domain/node-changes.ts";
import { requireCluster } from "../store/clusters.ts";
import { nodeMessageOf, nodeMessages, nodeObject } from "./node-messages.ts";
import { callerOf, plainText, recordingRefusal, type ServiceDeps } from "./service-context.ts";

export function nodeAdminService(deps: ServiceDeps): ServiceImpl<typeof NodeAdminService> {
  return {
    async listNodes(request) {
      const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
      return { nodes: await nodeMessages(deps, clusterId) };
    },
    async getNode(request) {
      const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
      return { node: await nodeMessageOf(deps, clusterId, request.nodeId) };
    },
    async revokeNode(request, context) {
      const actor = callerOf(context).spiffe;
      const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
      const reason = plainText("reason", request.reason, limits.reportedTextMaxBytes);
      const object = await nodeObject(deps.sql, clusterId, request.nodeId);
      return await recordingRefusal(deps, { actor, action: "node.revoked", object, clusterId }, async () => {
        const { trustDomain } = await deps.authority.installation();
        const order = { clusterId, node: request.nodeId, actor, reason, trustDomain };
        const { feedEpoch, feedSeq } = await revokeNode(deps, order);
        const node = await nodeMessageOf(deps, clusterId, request.nodeId);
        return { node, feedEpoch: BigInt(feedEpoch), feedSeq: BigInt(feedSeq) };
      });
    },
  };
}
