/** weft.admin.v1.ListenerService: plain TCP listeners at entries. */

import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { AddListenerRequest, ListenerService } from "../../gen/weft/admin/v1/listener_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { randomLabel } from "../../lib/random.ts";
import { checkListener, grantsRoleFor } from "../domain/placement.ts";
import { appendAudit } from "../store/audit.ts";
import { requireCluster } from "../store/clusters.ts";
import {
  insertListener,
  type ListenerRow,
  listListeners,
  markListenerRemoved,
  requireListener,
} from "../store/listeners.ts";
import { requirePlaceable } from "../store/memberships.ts";
import { nodeStatuses, type ReportedListener, requireNode } from "../store/nodes.ts";
import { requireOrganization } from "../store/organizations.ts";
import { lockResource, requireResource } from "../store/resources.ts";
import { rolesOf } from "../store/roles.ts";
import { bumpSnapshot } from "../store/snapshots.ts";
import { callerOf, recordingRefusal, type ServiceDeps } from "./service-context.ts";

export function listenerService(deps: ServiceDeps): ServiceImpl<typeof ListenerService> {
  return {
    addListener: (request, context) => addListener(deps, request, context),
    async listListeners(request) {
      const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
      const rows = await listListeners(deps.sql, deps.seal, clusterId);
      const reports = await reportsOf(deps, clusterId);
      return { listeners: rows.map((row) => listenerMessage(row, reports.get(`${row.entryNodeId}/${row.id}`))) };
    },
    async removeListener(request, context) {
      const actor = callerOf(context).spiffe;
      const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
      const row = await requireListener(deps.sql, deps.seal, clusterId, request.listenerId);
      const { id, organizationId, name } = row;
      const object = `listener/${id}`;
      const entry = { actor, action: "listener.removed", object, clusterId, organizationId, before: { name } };
      return await recordingRefusal(deps, entry, async () => {
        await deps.sql.tx(async (tx) => {
          if (!(await markListenerRemoved(tx, clusterId, id))) {
            throw new WeftError("not_found", "no such listener in this cluster", { detail: "LISTENER_NOT_FOUND" });
          }
          await bumpSnapshot(tx, deps.hints, clusterId);
          await appendAudit(tx, entry);
        });
        return {};
      });
    },
  };
}

async function addListener(deps: ServiceDeps, request: AddListenerRequest, context: HandlerContext) {
  const actor = callerOf(context).spiffe;
  const { sql, seal } = deps;
  const { id: clusterId } = await requireCluster(sql, request.clusterId);
  const { id: organizationId } = await requireOrganization(sql, clusterId, request.organizationId);
  const spec = checkListener(request);
  const resource = await requireResource(sql, seal, { clusterId, idOrName: request.resourceId, organizationId });
  const { id: entryNodeId } = await requireNode(sql, seal, clusterId, request.entryNodeId);
  const id = `ls-${randomLabel(deps.random, 16)}`;
  const row = { ...spec, id, clusterId, organizationId, resourceId: resource.id, entryNodeId, createdBy: actor };
  const after = { ...spec, resourceId: resource.id, entryNodeId };
  const entry = { actor, action: "listener.added", object: `listener/${id}`, clusterId, organizationId, after };
  return await recordingRefusal(deps, entry, async () => {
    if (resource.requiresLease) {
      const message = "the resource needs leases, and who comes by a listener has none to show";
      throw new WeftError("failed_precondition", message, { detail: "RESOURCE_NEEDS_LEASE" });
    }
    await sql.tx(async (tx) => {
      await lockResource(tx, resource.id);
      await requirePlaceable(tx, seal, clusterId, entryNodeId);
      if (!grantsRoleFor(await rolesOf(tx, seal, entryNodeId), "entry", organizationId)) {
        const message = "only a node with the entry role for the organization can have its listeners";
        throw new WeftError("failed_precondition", message, { detail: "ENTRY_ROLE_MISSING" });
      }
      await insertListener(tx, seal, row);
      await bumpSnapshot(tx, deps.hints, clusterId);
      await appendAudit(tx, entry);
    });
    return { listener: listenerMessage(await requireListener(sql, seal, clusterId, id), undefined) };
  });
}

/** What entries reported of their listeners, by "node id/listener id". */
async function reportsOf(deps: ServiceDeps, clusterId: string): Promise<ReadonlyMap<string, ReportedListener>> {
  const statuses = await nodeStatuses(deps.sql, clusterId);
  const reports = [...statuses.values()].flatMap(({ nodeId, listeners }) =>
    (listeners ?? []).map((report) => [`${nodeId}/${report.listenerId}`, report] as const),
  );
  return new Map(reports);
}

function listenerMessage(row: ListenerRow, report: ReportedListener | undefined) {
  return {
    id: row.id,
    clusterId: row.clusterId,
    organizationId: row.organizationId,
    name: row.name,
    resourceId: row.resourceId,
    entryNodeId: row.entryNodeId,
    bindHost: row.bindHost,
    bindPort: row.bindPort,
    allowedSources: [...row.allowedSources],
    createdAtMs: BigInt(row.createdAtMs),
    boundAddress: report?.boundAddress ?? "",
    error: report?.error ?? "",
  };
}
