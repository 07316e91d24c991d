/** weft.admin.v1.AlertService: what an operator should look at. */

import type { ServiceImpl } from "@connectrpc/connect";
import type { AlertService } from "../../gen/weft/admin/v1/alert_pb.ts";
import { limits } from "../../lib/limits.ts";
import { type AlertRow, alertKinds, listAlerts } from "../store/alerts.ts";
import { requireCluster } from "../store/clusters.ts";
import { nodeNames } from "../store/nodes.ts";
import { listOrganizations } from "../store/organizations.ts";
import type { ServiceDeps } from "./service-context.ts";

export function alertService({ sql }: ServiceDeps): ServiceImpl<typeof AlertService> {
  return {
    async listAlerts(request) {
      const { id: clusterId } = await requireCluster(sql, request.clusterId);
      const limit = limits.listPageMaxCount;
      const rows = await listAlerts(sql, clusterId, { all: request.all, limit: limit + 1 });
      const organizations = await listOrganizations(sql, clusterId);
      const names = new Map([
        ...(await nodeNames(sql, clusterId)),
        ...organizations.map(({ id, name }) => [id, name] as const),
      ]);
      return {
        alerts: rows.slice(0, limit).map((row) => alertMessage(row, names)),
        truncated: rows.length > limit,
      };
    },
  };
}

/** The name of "node/<id>"; of "role/relay@<organization id>", "relay for <organization>". Empty: it has none. */
function nameOf(object: string, names: ReadonlyMap<string, string>): string {
  const [, kind = "", id = ""] = /^([a-z-]+)\/(.*)$/.exec(object) ?? [];
  if (kind !== "role") return names.get(id) ?? "";
  const [role = "", organizationId] = id.split("@");
  return organizationId === undefined ? role : `${role} for ${names.get(organizationId) ?? organizationId}`;
}

function alertMessage(row: AlertRow, names: ReadonlyMap<string, string>) {
  return {
    clusterId: row.clusterId,
    kind: row.kind,
    // A newer replica may have opened a kind this one does not know.
    severity: alertKinds[row.kind] ?? "warning",
    object: row.object,
    objectName: nameOf(row.object, names),
    detail: row.detail,
    openedAtMs: BigInt(row.openedAtMs),
    closedAtMs: BigInt(row.closedAtMs ?? 0),
    firstOpenedAtMs: BigInt(row.firstOpenedAtMs),
    timesOpened: BigInt(row.timesOpened),
  };
}
