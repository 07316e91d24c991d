/** weft.admin.v1.OrganizationService. */

import type { ServiceImpl } from "@connectrpc/connect";
import type { OrganizationService } from "../../gen/weft/admin/v1/organization_pb.ts";
import { randomLabel } from "../../lib/random.ts";
import { checkName } from "../domain/placement.ts";
import { audited } from "../store/audit.ts";
import { requireCluster } from "../store/clusters.ts";
import { insertOrganization, listOrganizations, type OrganizationRow } from "../store/organizations.ts";
import { callerOf, type ServiceDeps } from "./service-context.ts";

export function organizationService(deps: ServiceDeps): ServiceImpl<typeof OrganizationService> {
  return {
    async createOrganization(request, context) {
      const name = checkName(request.name);
      const cluster = await requireCluster(deps.sql, request.clusterId);
      const id = `org-${randomLabel(deps.random, 16)}`;
      const row = await audited(
        deps.sql,
        {
          actor: callerOf(context).spiffe,
          action: "organization.created",
          object: `organization/${id}`,
          clusterId: cluster.id,
          organizationId: id,
          after: { name },
        },
        (tx) => insertOrganization(tx, { id, clusterId: cluster.id, name }),
      );
      return { organization: organizationMessage(row) };
    },
    async listOrganizations(request) {
      const cluster = await requireCluster(deps.sql, request.clusterId);
      return { organizations: (await listOrganizations(deps.sql, cluster.id)).map(organizationMessage) };
    },
  };
}

function organizationMessage(row: OrganizationRow) {
  return { id: row.id, clusterId: row.clusterId, name: row.name, createdAtMs: BigInt(row.createdAtMs) };
}
