/** weft.admin.v1.ResourceService: what clients ask for by name. */

import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { AddResourceRequest, ResourceService } from "../../gen/weft/admin/v1/resource_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { randomLabel } from "../../lib/random.ts";
import { endLeasesOf } from "../domain/lease-endings.ts";
import { type AssuranceName, type ClassName, checkResource, type ResourceKindName } from "../domain/placement.ts";
import { appendAudit } from "../store/audit.ts";
import { requireCluster } from "../store/clusters.ts";
import { deleteOfflinePoliciesOf } from "../store/offline-policies.ts";
import { requireOrganization } from "../store/organizations.ts";
import { requirePool } from "../store/pools.ts";
import {
  insertResource,
  listResources,
  markResourceRemoved,
  type ResourceRow,
  requireResource,
  resourceNotFound,
} from "../store/resources.ts";
import { bumpSnapshot } from "../store/snapshots.ts";
import { assurances, classes, resourceKinds, type Vocabulary } from "../store/vocabulary.ts";
import { counter } from "./reports.ts";
import { callerOf, invalid, recordingRefusal, type ServiceDeps } from "./service-context.ts";

export function resourceService(deps: ServiceDeps): ServiceImpl<typeof ResourceService> {
  return {
    addResource: (request, context) => addResource(deps, request, context),
    async listResources(request) {
      const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
      return { resources: (await listResources(deps.sql, deps.seal, clusterId)).map(resourceMessage) };
    },
    async removeResource(request, context) {
      const actor = callerOf(context).spiffe;
      const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
      const row = await requireResource(deps.sql, deps.seal, { clusterId, idOrName: request.resourceId });
      const { id, organizationId, name } = row;
      const object = `resource/${id}`;
      const entry = { actor, action: "resource.removed", object, clusterId, organizationId, before: { name } };
      return await recordingRefusal(deps, entry, async () => {
        await deps.sql.tx(async (tx) => {
          if (!(await markResourceRemoved(tx, clusterId, id))) throw resourceNotFound();
          await deleteOfflinePoliciesOf(tx, clusterId, id);
          await endLeasesOf(tx, deps, { resourceId: id }, actor);
          await bumpSnapshot(tx, deps.hints, clusterId);
          await appendAudit(tx, entry);
        });
        return {};
      });
    },
  };
}

async function addResource(deps: ServiceDeps, request: AddResourceRequest, context: HandlerContext) {
  const actor = callerOf(context).spiffe;
  const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
  const { id: organizationId } = await requireOrganization(deps.sql, clusterId, request.organizationId);
  const spec = checkResource({
    name: request.name,
    kind: chosen(resourceKinds, request.kind, "kind") as ResourceKindName | undefined,
    service: request.service,
    defaultClass: chosen(classes, request.defaultClass, "default_class") as ClassName | undefined,
    allowedClasses: request.allowedClasses.map((each) => {
      const text = chosen(classes, each, "allowed_classes");
      if (text === undefined) throw invalid("allowed_classes", "an allowed class is unspecified");
      return text as ClassName;
    }),
    minimumAssurance: chosen(assurances, request.minimumAssurance, "minimum_assurance") as AssuranceName | undefined,
    host: request.host,
    port: request.port,
    unixPath: request.unixPath,
    exclusiveLeaseMs: counter("exclusive_lease_ms", request.exclusiveLeaseMs),
    requiresLease: request.requiresLease,
  });
  const pool = await requirePool(deps.sql, deps.seal, clusterId, request.poolId);
  // Another organization's pool is as unknown as one that does not exist (C3).
  if (pool.organizationId !== organizationId) {
    throw new WeftError("not_found", "the organization has no such pool", { detail: "POOL_NOT_FOUND" });
  }
  const id = `rs-${randomLabel(deps.random, 16)}`;
  const row = { ...spec, id, clusterId, organizationId, poolId: pool.id, createdBy: actor };
  const after = { ...spec, poolId: pool.id };
  const entry = { actor, action: "resource.added", object: `resource/${id}`, clusterId, organizationId, after };
  return await recordingRefusal(deps, entry, async () => {
    await deps.sql.tx(async (tx) => {
      await insertResource(tx, deps.seal, row);
      await bumpSnapshot(tx, deps.hints, clusterId);
      await appendAudit(tx, entry);
    });
    return { resource: resourceMessage(await requireResource(deps.sql, deps.seal, { clusterId, idOrName: id })) };
  });
}

/** The stored text of an enum; undefined when it was left open. Throws for a number nobody knows. */
function chosen<E extends number>(words: Vocabulary<E>, value: E, field: string): string | undefined {
  const text = words.text(value);
  if (text === undefined && value !== 0) throw invalid(field, `unknown ${field}`);
  return text;
}

function resourceMessage(row: ResourceRow) {
  return {
    id: row.id,
    clusterId: row.clusterId,
    organizationId: row.organizationId,
    name: row.name,
    poolId: row.poolId,
    kind: resourceKinds.value(row.kind),
    defaultClass: classes.value(row.defaultClass),
    allowedClasses: row.allowedClasses.map((each) => classes.value(each)),
    minimumAssurance: assurances.value(row.minimumAssurance),
    host: row.host,
    port: row.port,
    unixPath: row.unixPath,
    createdAtMs: BigInt(row.createdAtMs),
    service: row.service,
    exclusiveLeaseMs: BigInt(row.exclusiveLeaseMs),
    requiresLease: row.requiresLease,
  };
}
