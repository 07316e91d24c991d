/**
 * Leases (LAW-F1, LAW-F2). Each operation is one statement; time is the database's `now_ms()` and nothing else.
 *
 * F1. A row holds one holder under one fence; it passes to another only when it has expired, and then under a higher one.
 * F2. Rows are never deleted, so a counter never starts over; the epoch is the installation's, which a restore raises, so
 *     a fence given out before a restore is below every one given out after it. Renewal under an old epoch is refused.
 * F3. The same node with the same boot id keeps its fence while its lease lives. A restarted process waits like anybody
 *     else: the one before it may still act.
 */

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

/** Takes a free or expired lease, or prolongs the caller's own; undefined when somebody else holds it. */
export async function acquireLease(q: Queryable, claim: LeaseClaim, ttlMs: number): Promise<LeaseRow | undefined> {
  const rows = await q.query<LeaseRow>(
    `insert into lease (cluster_id, name, holder_node_id, boot_id, fence_epoch, fence_counter, expires_at_ms)
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
     returning ${columns}`,
    [claim.clusterId, claim.name, claim.nodeId, claim.bootId, ttlMs],
  );
  return one(rows);
}

const heldText = `cluster_id = $1 and name = $2 and holder_node_id = $3 and boot_id = $4
  and fence_epoch = $5 and fence_counter = $6 and expires_at_ms > now_ms()`;

function heldParams(hold: LeaseHold): (string | number)[] {
  return [hold.clusterId, hold.name, hold.nodeId, hold.bootId, hold.epoch, hold.counter];
}

/** Prolongs a lease that has not expired, under its fence; undefined when the caller does not hold it so. */
export async function renewLease(q: Queryable, hold: LeaseHold, ttlMs: number): Promise<LeaseRow | undefined> {
  const rows = await q.query<LeaseRow>(
    `update lease set expires_at_ms = now_ms() + $7::bigint
     where ${heldText} and fence_epoch >= ${installationEpoch} returning ${columns}`,
    [...heldParams(hold), ttlMs],
  );
  return one(rows);
}

/** Ends a lease now; false when the caller did not hold it so, which changes nothing. */
export async function releaseLease(q: Queryable, hold: LeaseHold): Promise<boolean> {
  const rows = await q.query<{ name: string }>(
    `update lease set expires_at_ms = now_ms() where ${heldText} returning name`,
    heldParams(hold),
  );
  return rows.length === 1;
}

/** The lease of that name, expired or not; undefined when nobody ever held it. */
export async function getLease(q: Queryable, clusterId: string, name: string): Promise<LeaseRow | undefined> {
  return one(
    await q.query<LeaseRow>(`select ${columns} from lease where cluster_id = $1 and name = $2`, [clusterId, name]),
  );
}
