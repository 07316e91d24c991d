/** weft.admin.v1.PoolService: the exits organizations see. */

import type { ServiceImpl } from "@connectrpc/connect";
import type { PoolService } from "../../gen/weft/admin/v1/pool_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { randomLabel } from "../../lib/random.ts";
import { checkName, grantsRoleFor } from "../domain/placement.ts";
import { appendAudit } from "../store/audit.ts";
import { requireCluster } from "../store/clusters.ts";
import { requirePlaceable } from "../store/memberships.ts";
import { requireNode } from "../store/nodes.ts";
import { requireOrganization } from "../store/organizations.ts";
import { insertPool, insertPoolNode, listPools, type PoolWithNodes, requirePool } from "../store/pools.ts";
import { rolesOf } from "../store/roles.ts";
import { bumpSnapshot } from "../store/snapshots.ts";
import { callerOf, recordingRefusal, type ServiceDeps } from "./service-context.ts";

export function poolService(deps: ServiceDeps): ServiceImpl<typeof PoolService> {
  return {
    async createPool(request, context) {
      const actor = callerOf(context).spiffe;
      const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
      const { id: organizationId } = await requireOrganization(deps.sql, clusterId, request.organizationId);
      const name = checkName(request.name);
      const id = `pl-${randomLabel(deps.random, 16)}`;
      const entry = { actor, action: "pool.created", object: `pool/${id}`, clusterId, organizationId, after: { name } };
      return await recordingRefusal(deps, entry, async () => {
        await deps.sql.tx(async (tx) => {
          await insertPool(tx, deps.seal, { id, clusterId, organizationId, name });
          await bumpSnapshot(tx, deps.hints, clusterId);
          await appendAudit(tx, entry);
        });
        return { pool: poolMessage(await requirePool(deps.sql, deps.seal, clusterId, id)) };
      });
    },
    async listPools(request) {
      const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
      return { pools: (await listPools(deps.sql, deps.seal, clusterId)).map(poolMessage) };
    },
    async addPoolNode(request, context) {
      const actor = callerOf(context).spiffe;
      const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
      const pool = await requirePool(deps.sql, deps.seal, clusterId, request.poolId);
      const node = await requireNode(deps.sql, deps.seal, clusterId, request.nodeId);
      const { id: poolId, organizationId } = pool;
      const object = `pool/${poolId}`;
      const entry = { actor, action: "pool.node_added", object, clusterId, organizationId, after: { nodeId: node.id } };
      return await recordingRefusal(deps, entry, async () => {
        await deps.sql.tx(async (tx) => {
          await requirePlaceable(tx, deps.seal, clusterId, node.id);
          if (!grantsRoleFor(await rolesOf(tx, deps.seal, node.id), "egress", organizationId)) throw notEgress();
          const row = { poolId, nodeId: node.id, clusterId, addedBy: actor };
          if (!(await insertPoolNode(tx, deps.seal, row))) return;
          await bumpSnapshot(tx, deps.hints, clusterId);
          await appendAudit(tx, entry);
        });
        return { pool: poolMessage(await requirePool(deps.sql, deps.seal, clusterId, poolId)) };
      });
    },
  };
}

function notEgress(): WeftError {
  const message = "only a node with the egress role for the pool's organization can be in it";
  return new WeftError("failed_precondition", message, { detail: "EGRESS_ROLE_MISSING" });
}

function poolMessage(pool: PoolWithNodes) {
  const { id, clusterId, organizationId, name, nodeIds, createdAtMs } = pool;
  return { id, clusterId, organizationId, name, nodeIds: [...nodeIds], createdAtMs: BigInt(createdAtMs) };
}
