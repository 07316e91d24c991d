/** weft.admin.v1.RouteIntentService: what operators want of routes, over and above what measurements say. */

import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { AddRouteIntentRequest, RouteIntentService } from "../../gen/weft/admin/v1/intent_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { randomLabel } from "../../lib/random.ts";
import { grantsRoleFor } from "../domain/placement.ts";
import { checkIntent, type IntentActionName, intentsFull } from "../domain/route-intent.ts";
import { appendAudit } from "../store/audit.ts";
import { storeNowMs } from "../store/beats.ts";
import { requireCluster } from "../store/clusters.ts";
import { requireNode } from "../store/nodes.ts";
import { requireOrganization } from "../store/organizations.ts";
import { requirePool } from "../store/pools.ts";
import { requireResource } from "../store/resources.ts";
import { rolesOf } from "../store/roles.ts";
import {
  insertRouteIntent,
  intentNotFound,
  listRouteIntents,
  markRouteIntentRemoved,
  type NewRouteIntent,
  type RouteIntentRow,
  requireRouteIntent,
} from "../store/route-intents.ts";
import { bumpSnapshot } from "../store/snapshots.ts";
import type { Tx } from "../store/sql.ts";
import { intentActions, serviceClasses } from "../store/vocabulary.ts";
import { callerOf, invalid, recordingRefusal, type ServiceDeps } from "./service-context.ts";

export function routeIntentService(deps: ServiceDeps): ServiceImpl<typeof RouteIntentService> {
  return {
    addRouteIntent: (request, context) => addRouteIntent(deps, request, context),
    async listRouteIntents(request) {
      const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
      return { intents: (await listRouteIntents(deps.sql, deps.seal, clusterId)).map(intentMessage) };
    },
    async removeRouteIntent(request, context) {
      const actor = callerOf(context).spiffe;
      const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
      const row = await requireRouteIntent(deps.sql, deps.seal, clusterId, request.intentId);
      const { id, organizationId, name } = row;
      const object = `intent/${id}`;
      const entry = { actor, action: "intent.removed", object, clusterId, organizationId, before: { name } };
      return await recordingRefusal(deps, entry, async () => {
        await deps.sql.tx(async (tx) => {
          if (!(await markRouteIntentRemoved(tx, clusterId, id))) throw intentNotFound();
          await bumpSnapshot(tx, deps.hints, clusterId);
          await appendAudit(tx, entry);
        });
        return {};
      });
    },
  };
}

async function addRouteIntent(deps: ServiceDeps, request: AddRouteIntentRequest, context: HandlerContext) {
  const actor = callerOf(context).spiffe;
  const { sql, seal } = deps;
  const { id: clusterId } = await requireCluster(sql, request.clusterId);
  checkIntent({
    name: request.name,
    serviceClass: serviceClasses.text(request.serviceClass),
    action: intentActions.text(request.action) as IntentActionName | undefined,
    hasPool: request.poolId !== "",
    hasResource: request.resourceId !== "",
    hasNode: request.nodeId !== "",
    region: request.region,
    expiresAtMs: request.expiresAtMs,
    nowMs: await storeNowMs(sql),
  });
  if (request.serviceClass !== 0 && serviceClasses.text(request.serviceClass) === undefined) {
    throw invalid("service_class", "unknown service_class");
  }
  const row = await resolved(deps, clusterId, request, actor);
  const { organizationId } = row;
  const { id, clusterId: _cluster, createdBy: _actor, ...after } = row;
  const entry = { actor, action: "intent.added", object: `intent/${id}`, clusterId, organizationId, after };
  return await recordingRefusal(deps, entry, async () => {
    await sql.tx(async (tx) => {
      if (intentsFull((await listRouteIntents(tx, seal, clusterId)).length)) {
        const message = "the cluster has no room for another route intent";
        throw new WeftError("resource_exhausted", message, { detail: "ROUTE_INTENTS_MAX" });
      }
      if (row.sourceNodeId !== "") await requireEntry(tx, deps, row);
      await insertRouteIntent(tx, seal, row);
      await bumpSnapshot(tx, deps.hints, clusterId);
      await appendAudit(tx, entry);
    });
    return { intent: intentMessage(await requireRouteIntent(sql, seal, clusterId, id)) };
  });
}

/** The intent with every name as an id. A pool or resource belongs to one organization; with another one it is unknown (C3). */
async function resolved(
  deps: ServiceDeps,
  clusterId: string,
  request: AddRouteIntentRequest,
  createdBy: string,
): Promise<NewRouteIntent> {
  const { sql, seal } = deps;
  const asked =
    request.organizationId === "" ? undefined : (await requireOrganization(sql, clusterId, request.organizationId)).id;
  const pool = request.poolId === "" ? undefined : await requirePool(sql, seal, clusterId, request.poolId);
  if (pool !== undefined && asked !== undefined && pool.organizationId !== asked) {
    throw new WeftError("not_found", "the organization has no such pool", { detail: "POOL_NOT_FOUND" });
  }
  const within = asked === undefined ? {} : { organizationId: asked };
  const resource =
    request.resourceId === ""
      ? undefined
      : await requireResource(sql, seal, { clusterId, idOrName: request.resourceId, ...within });
  const nodeId = async (idOrName: string): Promise<string> =>
    idOrName === "" ? "" : (await requireNode(sql, seal, clusterId, idOrName)).id;
  return {
    id: `ri-${randomLabel(deps.random, 16)}`,
    clusterId,
    name: request.name,
    organizationId: asked ?? pool?.organizationId ?? resource?.organizationId ?? "",
    sourceNodeId: await nodeId(request.sourceNodeId),
    poolId: pool?.id ?? "",
    resourceId: resource?.id ?? "",
    serviceClass: serviceClasses.text(request.serviceClass) ?? "",
    action: intentActions.text(request.action) as IntentActionName,
    nodeId: await nodeId(request.nodeId),
    region: request.region,
    expiresAtMs: Number(request.expiresAtMs),
    createdBy,
  };
}

/** Only where channels begin are routes chosen. */
async function requireEntry(tx: Tx, deps: ServiceDeps, row: NewRouteIntent): Promise<void> {
  const grants = await rolesOf(tx, deps.seal, row.sourceNodeId);
  const isEntry =
    row.organizationId === ""
      ? grants.some((grant) => grant.role === "entry")
      : grantsRoleFor(grants, "entry", row.organizationId);
  if (isEntry) return;
  const message = "the source of an intent is a node with the entry role for the organization";
  throw new WeftError("failed_precondition", message, { detail: "ENTRY_ROLE_MISSING" });
}

function intentMessage(row: RouteIntentRow) {
  const { id, clusterId, name, organizationId, sourceNodeId, poolId, resourceId, nodeId, region } = row;
  return {
    ...{ id, clusterId, name, organizationId, sourceNodeId, poolId, resourceId, nodeId, region },
    serviceClass: serviceClasses.value(row.serviceClass),
    action: intentActions.value(row.action),
    expiresAtMs: BigInt(row.expiresAtMs),
    createdAtMs: BigInt(row.createdAtMs),
  };
}
