/**
 * Leases (LAW-F1, LAW-F2). Each operation is one statement; time is the database's `now_ms()` and nothing else.
 *
 * F1. A row holds one holder under one fence; it passes to another only when it has expired or was fenced, and then under a
 *     higher one. Every fence given out has its own row in `lease_tenure`, whose key refuses a second one.
 * F2. Rows are never deleted, so a counter never starts over; the epoch is the installation's, which a restore raises, so
 *     a fence given out before a restore is below every one given out after it. Renewal under an old epoch is refused.
 * F3. The same node with the same boot id keeps its fence while its lease lives. A restarted process waits like anybody
 *     else: the one before it may still act.
 */

import { assert } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { Queryable } from "./sql.ts";
import { one } from "./sql.ts";

export interface LeaseRow {
  readonly name: string;
  readonly holderNodeId: string;
  readonly bootId: string;
  readonly epoch: number;
  readonly counter: number;
  readonly expiresAtMs: number;
  /** Milliseconds left when the statement ran; not positive once expired. */
  readonly leftMs: number;
}

/** Who asks for what. */
export interface LeaseClaim {
  readonly clusterId: string;
  readonly name: string;
  readonly nodeId: string;
  readonly bootId: string;
}

export interface LeaseHold extends LeaseClaim {
  readonly epoch: number;
  readonly counter: number;
}

const installationEpoch = `coalesce((select epoch from installation), 1)`;

const columns = `name, holder_node_id as "holderNodeId", boot_id as "bootId", fence_epoch as epoch,
  fence_counter as counter, expires_at_ms as "expiresAtMs", expires_at_ms - now_ms() as "leftMs"`;

/** A lease as it was just acquired. */
export interface AcquiredLease extends LeaseRow {
  /** False: the caller's own, prolonged under its old fence. */
  readonly fresh: boolean;
  /** Whose time had run out before. */
  readonly expired?: ExpiredTenure;
}

export interface ExpiredTenure {
  readonly nodeId: string;
  readonly epoch: number;
  readonly counter: number;
}

/** Takes a free or expired lease, or prolongs the caller's own; undefined when somebody else holds it. */
export async function acquireLease(q: Queryable, claim: LeaseClaim, ttlMs: number): Promise<AcquiredLease | undefined> {
  const rows = await q.query<
    LeaseRow & { readonly renewedCount: number | null; readonly expired: ExpiredTenure | null }
  >(
    `with taken as (
       insert into lease (cluster_id, name, holder_node_id, boot_id, fence_epoch, fence_counter, expires_at_ms)
       values ($1, $2, $3, $4, ${installationEpoch}, 1, now_ms() + $5::bigint)
       on conflict (cluster_id, name) do update set
         holder_node_id = excluded.holder_node_id,
         boot_id = excluded.boot_id,
         fence_epoch = greatest(lease.fence_epoch, excluded.fence_epoch),
         fence_counter = lease.fence_counter + case
           when (lease.holder_node_id, lease.boot_id) = (excluded.holder_node_id, excluded.boot_id)
             and lease.expires_at_ms > now_ms() and lease.fence_epoch >= excluded.fence_epoch then 0 else 1 end,
         acquired_at_ms = case
           when (lease.holder_node_id, lease.boot_id) = (excluded.holder_node_id, excluded.boot_id)
             and lease.expires_at_ms > now_ms() then lease.acquired_at_ms else now_ms() end,
         expires_at_ms = now_ms() + $5::bigint
       where lease.expires_at_ms <= now_ms()
         or (lease.holder_node_id, lease.boot_id) = (excluded.holder_node_id, excluded.boot_id)
       returning *
     ), closed as (
       update lease_tenure old set
         ended = case when old.expires_at_ms <= now_ms() then 'expired' else 'superseded' end,
         ended_at_ms = least(old.expires_at_ms, now_ms())
       from taken
       where (old.cluster_id, old.name, old.ended) = (taken.cluster_id, taken.name, '')
         and (old.fence_epoch, old.fence_counter) < (taken.fence_epoch, taken.fence_counter)
       returning old.holder_node_id, old.fence_epoch, old.fence_counter, old.ended
     ), forgotten as (
       delete from lease_tenure old using taken
       where (old.cluster_id, old.name) = (taken.cluster_id, taken.name)
         and old.fence_counter <= taken.fence_counter - ${limits.leaseTenuresKeptCount}
     ), opened as (
       insert into lease_tenure (cluster_id, name, fence_epoch, fence_counter, holder_node_id, boot_id, expires_at_ms)
       select cluster_id, name, fence_epoch, fence_counter, holder_node_id, boot_id, expires_at_ms from taken
       on conflict (cluster_id, name, fence_epoch, fence_counter) do update set
         expires_at_ms = excluded.expires_at_ms, renewed_count = lease_tenure.renewed_count + 1, renewed_at_ms = now_ms()
       where (lease_tenure.holder_node_id, lease_tenure.boot_id) = (excluded.holder_node_id, excluded.boot_id)
       returning renewed_count
     )
     select ${columns}, renewed_count as "renewedCount",
       (select json_build_object('nodeId', holder_node_id, 'epoch', fence_epoch, 'counter', fence_counter)
        from closed where ended = 'expired' limit 1) as expired
     from taken left join opened on true`,
    [claim.clusterId, claim.name, claim.nodeId, claim.bootId, ttlMs],
  );
  const row = one(rows);
  if (row === undefined) return undefined;
  const { renewedCount, expired, ...lease } = row;
  // F1: within a transaction this takes the statement back.
  assert(renewedCount !== null, "a fence was about to be given out twice");
  return { ...lease, fresh: renewedCount === 0, ...(expired === null ? {} : { expired }) };
}

/** The tenure of the row a change of `lease` returned as `changed`. */
function tenureOf(changed: string): string {
  return `(lease_tenure.cluster_id, lease_tenure.name, lease_tenure.fence_epoch, lease_tenure.fence_counter)
    = (${changed}.cluster_id, ${changed}.name, ${changed}.fence_epoch, ${changed}.fence_counter)`;
}

const heldText = `cluster_id = $1 and name = $2 and holder_node_id = $3 and boot_id = $4
  and fence_epoch = $5 and fence_counter = $6 and expires_at_ms > now_ms()`;

function heldParams(hold: LeaseHold): (string | number)[] {
  return [hold.clusterId, hold.name, hold.nodeId, hold.bootId, hold.epoch, hold.counter];
}

export interface RenewedLease extends LeaseRow {
  /** How often under this fence, this time included. */
  readonly renewedCount: number;
}

/** Prolongs a lease that has not expired, under its fence; undefined when the caller does not hold it so. */
export async function renewLease(q: Queryable, hold: LeaseHold, ttlMs: number): Promise<RenewedLease | undefined> {
  const rows = await q.query<RenewedLease>(
    `with renewed as (
       update lease set expires_at_ms = now_ms() + $7::bigint
       where ${heldText} and fence_epoch >= ${installationEpoch} returning *
     ), counted as (
       update lease_tenure set expires_at_ms = renewed.expires_at_ms, renewed_count = lease_tenure.renewed_count + 1,
         renewed_at_ms = now_ms()
       from renewed where ${tenureOf("renewed")} returning renewed_count
     )
     select ${columns}, coalesce((select renewed_count from counted), 0) as "renewedCount" from renewed`,
    [...heldParams(hold), ttlMs],
  );
  return one(rows);
}

/** Ends a lease now; false when the caller did not hold it so, which changes nothing. */
export async function releaseLease(q: Queryable, hold: LeaseHold): Promise<boolean> {
  const rows = await q.query<{ name: string }>(
    `with released as (
       update lease set expires_at_ms = now_ms() where ${heldText} returning *
     ), closed as (
       update lease_tenure set ended = 'released', ended_at_ms = now_ms(), expires_at_ms = released.expires_at_ms
       from released where ${tenureOf("released")}
     )
     select name from released`,
    heldParams(hold),
  );
  return rows.length === 1;
}

/**
 * Takes a lease from whoever holds or held it, under a higher fence that is nobody's; undefined when nobody did since the
 * last time, or ever.
 */
export async function fenceLease(
  q: Queryable,
  lease: { readonly clusterId: string; readonly name: string; readonly by: string },
): Promise<LeaseRow | undefined> {
  const rows = await q.query<LeaseRow>(
    `with fenced as (
       update lease set holder_node_id = '', boot_id = '', fence_epoch = greatest(fence_epoch, ${installationEpoch}),
         fence_counter = fence_counter + 1, acquired_at_ms = now_ms(), expires_at_ms = now_ms()
       where cluster_id = $1 and name = $2 and holder_node_id <> '' returning *
     ), closed as (
       update lease_tenure old set
         ended = case when old.expires_at_ms <= now_ms() then 'expired' else 'fenced' end,
         ended_at_ms = least(old.expires_at_ms, now_ms()), ended_by = $3
       from fenced where (old.cluster_id, old.name, old.ended) = (fenced.cluster_id, fenced.name, '')
     ), opened as (
       insert into lease_tenure (cluster_id, name, fence_epoch, fence_counter, holder_node_id, boot_id, expires_at_ms,
         ended, ended_at_ms, ended_by)
       select cluster_id, name, fence_epoch, fence_counter, '', '', expires_at_ms, 'fenced', expires_at_ms, $3 from fenced
     )
     select ${columns} from fenced`,
    [lease.clusterId, lease.name, lease.by],
  );
  return one(rows);
}

/** The lease of that name, expired or not; undefined when nobody ever held it. */
export async function getLease(q: Queryable, clusterId: string, name: string): Promise<LeaseRow | undefined> {
  return one(
    await q.query<LeaseRow>(`select ${columns} from lease where cluster_id = $1 and name = $2`, [clusterId, name]),
  );
}
