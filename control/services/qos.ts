/** weft.admin.v1.QosService: what classes of traffic may use, for the cluster, an organization or one resource. */

import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { QosService, SetQosPolicyRequest } from "../../gen/weft/admin/v1/qos_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { randomLabel } from "../../lib/random.ts";
import { type ClassPolicySpec, checkClassPolicy } from "../domain/class-policy.ts";
import type { ClassName } from "../domain/placement.ts";
import { appendAudit } from "../store/audit.ts";
import { requireCluster } from "../store/clusters.ts";
import {
  deleteQosPolicy,
  listQosPolicies,
  lockQosPolicy,
  policyNotFound,
  putQosPolicy,
  type QosPolicyRow,
  requireQosPolicy,
} from "../store/qos-policies.ts";
import { lockResource } from "../store/resources.ts";
import { bumpSnapshot } from "../store/snapshots.ts";
import { classes } from "../store/vocabulary.ts";
import { placeOf } from "./policy-place.ts";
import { callerOf, recordingRefusal, type ServiceDeps } from "./service-context.ts";

export function qosService(deps: ServiceDeps): ServiceImpl<typeof QosService> {
  return {
    setQosPolicy: (request, context) => setQosPolicy(deps, request, context),
    async listQosPolicies(request) {
      const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
      return { policies: (await listQosPolicies(deps.sql, deps.seal, clusterId)).map(policyMessage) };
    },
    async removeQosPolicy(request, context) {
      const actor = callerOf(context).spiffe;
      const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
      const row = await requireQosPolicy(deps.sql, deps.seal, clusterId, request.policyId);
      const { id, organizationId } = row;
      const before = { ...valuesOf(row), resourceId: row.resourceId };
      const entry = { actor, action: "qos.removed", object: `qos/${id}`, clusterId, organizationId, before };
      return await recordingRefusal(deps, entry, async () => {
        await deps.sql.tx(async (tx) => {
          if (!(await deleteQosPolicy(tx, clusterId, id))) throw policyNotFound();
          await bumpSnapshot(tx, deps.hints, clusterId);
          await appendAudit(tx, entry);
        });
        return {};
      });
    },
  };
}

async function setQosPolicy(deps: ServiceDeps, request: SetQosPolicyRequest, context: HandlerContext) {
  const actor = callerOf(context).spiffe;
  const { sql, seal } = deps;
  const { id: clusterId } = await requireCluster(sql, request.clusterId);
  const spec = checkClassPolicy({ ...request, class: classes.text(request.class) as ClassName | undefined });
  const { organizationId, resourceId } = await placeOf(deps, clusterId, request);
  const place = { clusterId, organizationId, resourceId, class: spec.class };
  const fresh = `qp-${randomLabel(deps.random, 16)}`;
  const entry = { actor, action: "qos.set", object: `qos/${fresh}`, clusterId, organizationId };
  const after = { ...valuesOf(spec), resourceId };
  return await recordingRefusal(deps, { ...entry, after }, async () => {
    const id = await sql.tx(async (tx) => {
      if (resourceId !== "") await lockResource(tx, resourceId);
      const known = await lockQosPolicy(tx, seal, place);
      if (known === undefined && (await listQosPolicies(tx, seal, clusterId)).length >= limits.qosPoliciesMaxCount) {
        throw new WeftError("resource_exhausted", "the cluster has no room for another QoS policy", {
          detail: "QOS_POLICIES_MAX",
        });
      }
      const rowId = known?.id ?? fresh;
      await putQosPolicy(tx, seal, { ...spec, ...place, id: rowId, changedBy: actor });
      await bumpSnapshot(tx, deps.hints, clusterId);
      const before = known === undefined ? {} : { before: { ...valuesOf(known), resourceId } };
      await appendAudit(tx, { ...entry, object: `qos/${rowId}`, ...before, after });
      return rowId;
    });
    return { policy: policyMessage(await requireQosPolicy(sql, seal, clusterId, id)) };
  });
}

function valuesOf({ class: className, priority, rateBytesPerSecond, burstBytes }: ClassPolicySpec) {
  return { class: className, priority, rateBytesPerSecond, burstBytes };
}

function policyMessage(row: QosPolicyRow) {
  return {
    id: row.id,
    clusterId: row.clusterId,
    organizationId: row.organizationId,
    resourceId: row.resourceId,
    class: classes.value(row.class),
    priority: row.priority,
    rateBytesPerSecond: BigInt(row.rateBytesPerSecond),
    burstBytes: BigInt(row.burstBytes),
    changedAtMs: BigInt(row.changedAtMs),
  };
}
