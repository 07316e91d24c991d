/**
 * Where a policy is set: the whole cluster, an organization, or one resource. One reading of such a place for every kind of
 * policy.
 */

import { requireOrganization } from "../store/organizations.ts";
import { requireResource } from "../store/resources.ts";
import type { ServiceDeps } from "./service-context.ts";

/** As callers name it: an id or a name; empty for all of them. */
export interface NamedPlace {
  readonly organizationId: string;
  readonly resourceId: string;
}

/**
 * The place by ids; empty for all of them. A resource belongs to one organization; naming another one finds nothing (C3).
 * Throws `not_found` for what is not there.
 */
export async function placeOf(
  { sql, seal }: Pick<ServiceDeps, "sql" | "seal">,
  clusterId: string,
  named: NamedPlace,
): Promise<NamedPlace> {
  const organizationId =
    named.organizationId === "" ? "" : (await requireOrganization(sql, clusterId, named.organizationId)).id;
  if (named.resourceId === "") return { organizationId, resourceId: "" };
  const within = organizationId === "" ? {} : { organizationId };
  const resource = await requireResource(sql, seal, { clusterId, idOrName: named.resourceId, ...within });
  return { organizationId: resource.organizationId, resourceId: resource.id };
}
