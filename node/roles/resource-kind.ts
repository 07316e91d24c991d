/** What an entry needs to know about a resource beside the way to it: whether bytes or messages travel there. */

import { ResourceKind } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { Snapshot } from "../../gen/weft/fabric/v1/snapshot_pb.ts";

/** Whether a name means a message resource for an organization, as far as this node knows. */
export function carriesMessages(snapshot: Snapshot | undefined, name: string, organizationId: string): boolean {
  const routes = snapshot?.resourceRoutes ?? [];
  return routes.some(
    (route) => route.name === name && route.organizationId === organizationId && route.kind === ResourceKind.MESSAGE,
  );
}
