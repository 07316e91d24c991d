/** Leases that end because what they are about does: their client is revoked, their resource removed. */

import { appendAudit } from "../store/audit.ts";
import type { StoreContext } from "../store/context.ts";
import { lockActiveLeases, setTerm } from "../store/service-leases.ts";
import type { Tx } from "../store/sql.ts";

/**
 * Ends every active lease of a client or for a resource, with an audit record each. The caller bumps the snapshot: it says
 * which leases are over.
 */
export async function endLeasesOf(
  tx: Tx,
  { seal }: Pick<StoreContext, "seal">,
  of: { readonly clientId: string } | { readonly resourceId: string },
  actor: string,
): Promise<void> {
  const why = "clientId" in of ? "client-revoked" : "resource-removed";
  for (const row of await lockActiveLeases(tx, seal, of)) {
    const endedAtMs = row.notAfterMs - row.leftMs;
    await setTerm(tx, seal, row, { endedAtMs, endedBy: actor, endedWhy: why });
    const { clusterId, organizationId } = row;
    const object = `service_lease/${row.id}`;
    await appendAudit(tx, { actor, action: "service_lease.ended", object, clusterId, organizationId, after: { why } });
  }
}
