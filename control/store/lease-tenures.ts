/**
 * What operators see of leases: the rows as they stand, and the tenures that are kept (control/store/leases.ts writes them).
 * Of each lease the newest `limits.leaseTenuresKeptCount` fences are kept; renewals are counted in their tenure.
 */

import { limits } from "../../lib/limits.ts";
import { one, type Queryable } from "./sql.ts";

export interface LeaseOverview {
  readonly name: string;
  /** Empty: an operator fenced it, and nobody has held it since. */
  readonly holderNodeId: string;
  readonly bootId: string;
  readonly epoch: number;
  readonly counter: number;
  readonly acquiredAtMs: number;
  readonly expiresAtMs: number;
  /** Milliseconds left when the statement ran; not positive once expired. */
  readonly leftMs: number;
  readonly renewedCount: number;
}

export type TenureEndName = "" | "released" | "expired" | "fenced" | "superseded";

export interface TenureRow {
  readonly epoch: number;
  readonly counter: number;
  /** Empty: an operator's fence. */
  readonly holderNodeId: string;
  readonly bootId: string;
  readonly acquiredAtMs: number;
  readonly expiresAtMs: number;
  readonly renewedCount: number;
  readonly renewedAtMs: number;
  readonly ended: TenureEndName;
  readonly endedAtMs: number;
  readonly endedBy: string;
}

const overview = `select lease.name, lease.holder_node_id as "holderNodeId", lease.boot_id as "bootId",
  lease.fence_epoch as epoch, lease.fence_counter as counter, lease.acquired_at_ms as "acquiredAtMs",
  lease.expires_at_ms as "expiresAtMs", lease.expires_at_ms - now_ms() as "leftMs",
  coalesce(tenure.renewed_count, 0) as "renewedCount"
  from lease left join lease_tenure tenure on (tenure.cluster_id, tenure.name, tenure.fence_epoch, tenure.fence_counter)
    = (lease.cluster_id, lease.name, lease.fence_epoch, lease.fence_counter)`;

/** Leases of a cluster by name: a page of those that begin with `prefix`, after `afterName`. */
export async function listLeases(
  q: Queryable,
  clusterId: string,
  page: { readonly prefix: string; readonly afterName: string; readonly limit: number },
): Promise<readonly LeaseOverview[]> {
  return await q.query<LeaseOverview>(
    `${overview} where lease.cluster_id = $1 and starts_with(lease.name, $2) and lease.name > $3
     order by lease.name limit $4`,
    [clusterId, page.prefix, page.afterName, page.limit],
  );
}

/** One lease as operators see it; undefined when nobody ever held it. */
export async function leaseOverview(q: Queryable, clusterId: string, name: string): Promise<LeaseOverview | undefined> {
  return one(
    await q.query<LeaseOverview>(`${overview} where lease.cluster_id = $1 and lease.name = $2`, [clusterId, name]),
  );
}

/** What is kept of a lease's past, newest fence first. */
export async function listTenures(q: Queryable, clusterId: string, name: string): Promise<readonly TenureRow[]> {
  return await q.query<TenureRow>(
    `select fence_epoch as epoch, fence_counter as counter, holder_node_id as "holderNodeId", boot_id as "bootId",
       acquired_at_ms as "acquiredAtMs", expires_at_ms as "expiresAtMs", renewed_count as "renewedCount",
       renewed_at_ms as "renewedAtMs", ended, ended_at_ms as "endedAtMs", ended_by as "endedBy"
     from lease_tenure where cluster_id = $1 and name = $2 order by fence_epoch desc, fence_counter desc limit $3`,
    [clusterId, name, limits.leaseTenuresKeptCount],
  );
}

export interface FenceRow {
  readonly epoch: number;
  readonly counter: number;
}

/** The newest fence that an operator put on each lease whose name begins with `prefix`, by name, as far as it is kept. */
export async function newestFences(
  q: Queryable,
  clusterId: string,
  prefix: string,
): Promise<ReadonlyMap<string, FenceRow>> {
  const rows = await q.query<FenceRow & { readonly name: string }>(
    `select distinct on (name) name, fence_epoch as epoch, fence_counter as counter from lease_tenure
     where cluster_id = $1 and holder_node_id = '' and starts_with(name, $2)
     order by name, fence_epoch desc, fence_counter desc`,
    [clusterId, prefix],
  );
  return new Map(rows.map(({ name, epoch, counter }) => [name, { epoch, counter }]));
}
