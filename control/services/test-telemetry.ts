/** weft.admin.v1.TestTelemetryService: where synthetic measurements may be made. */

import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { SetTestTelemetryRequest, TestTelemetryService } from "../../gen/weft/admin/v1/telemetry_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { appendAudit } from "../store/audit.ts";
import { requireCluster } from "../store/clusters.ts";
import { requireNode } from "../store/nodes.ts";
import { requireOrganization } from "../store/organizations.ts";
import { bumpSnapshot } from "../store/snapshots.ts";
import {
  listTestTelemetry,
  lockTestTelemetry,
  putTestTelemetry,
  type TelemetryPlace,
  type TelemetryRow,
} from "../store/test-telemetry.ts";
import { callerOf, recordingRefusal, type ServiceDeps } from "./service-context.ts";

export function testTelemetryService(deps: ServiceDeps): ServiceImpl<typeof TestTelemetryService> {
  return {
    setTestTelemetry: (request, context) => setTestTelemetry(deps, request, context),
    async listTestTelemetry(request) {
      const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
      return { switches: (await listTestTelemetry(deps.sql, clusterId)).map(switchMessage) };
    },
  };
}

async function setTestTelemetry(deps: ServiceDeps, request: SetTestTelemetryRequest, context: HandlerContext) {
  const actor = callerOf(context).spiffe;
  const { enabled } = request;
  const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
  const place = await placeOf(deps, clusterId, request);
  const { kind, subjectId } = place;
  const entry = {
    actor,
    action: "test-telemetry.switched",
    object: `${kind}/${subjectId === "" ? clusterId : subjectId}`,
    clusterId,
    ...(kind === "organization" ? { organizationId: subjectId } : {}),
    after: { enabled },
  };
  const row = await recordingRefusal(deps, entry, () =>
    deps.sql.tx(async (tx) => {
      const known = await lockTestTelemetry(tx, place);
      const set = await putTestTelemetry(tx, { ...place, enabled, changedBy: actor });
      await bumpSnapshot(tx, deps.hints, clusterId);
      await appendAudit(tx, { ...entry, before: { enabled: known?.enabled ?? true } });
      return set;
    }),
  );
  return { switch: switchMessage(row) };
}

/** Throws `not_found` for what is not there, `invalid_argument` (TELEMETRY_PLACE) for two places at once. */
async function placeOf(
  { sql, seal }: ServiceDeps,
  clusterId: string,
  { organizationId, nodeId }: SetTestTelemetryRequest,
): Promise<TelemetryPlace> {
  if (organizationId !== "" && nodeId !== "")
    throw new WeftError("invalid_argument", "name an organization or a node, not both", { detail: "TELEMETRY_PLACE" });
  if (organizationId !== "") {
    const { id } = await requireOrganization(sql, clusterId, organizationId);
    return { clusterId, kind: "organization", subjectId: id };
  }
  if (nodeId === "") return { clusterId, kind: "cluster", subjectId: "" };
  const { id } = await requireNode(sql, seal, clusterId, nodeId);
  return { clusterId, kind: "node", subjectId: id };
}

function switchMessage({ clusterId, kind, subjectId, enabled, changedAtMs, changedBy }: TelemetryRow) {
  return {
    ...{ clusterId, enabled, changedBy },
    organizationId: kind === "organization" ? subjectId : "",
    nodeId: kind === "node" ? subjectId : "",
    changedAtMs: BigInt(changedAtMs),
  };
}
