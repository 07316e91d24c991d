/**
 * Leases of service channels, and the contract that was last signed for each.
 *
 * SL1. A row's contract is what was handed out, byte for byte; the columns beside it are what it was made from.
 * SL2. Time is the store's: a lease may be used while it was not ended and its date has not come. One from before the
 *      installation's epoch was raised (a restore, another primary) runs to its date and is not maintained: what the store
 *      says of it may be older than what was done with it.
 * SL3. A lease that is over stays over: nothing takes `ended_at_ms` back, and none is maintained after its date.
 */

import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { resourceNotFound } from "./resources.ts";
import type { Queryable, Tx } from "./sql.ts";
import { one } from "./sql.ts";
import { type MacField, requireAuthentic, type TrustSeal } from "./trust.ts";

export type LeaseEnding = "released" | "client-revoked" | "resource-removed";

export interface ServiceLeaseFacts {
  readonly id: string;
  readonly clusterId: string;
  readonly organizationId: string;
  readonly name: string;
  readonly resourceId: string;
  /** Empty: any client of the organization. */
  readonly clientId: string;
  readonly entryNodeId: string;
  readonly serviceClass: string;
  /** Empty: any class that the resource allows. */
  readonly channelClass: string;
  /** Empty: whichever the resource has. */
  readonly poolId: string;
  readonly flowIsolationId: string;
  readonly fenceEpoch: number;
  readonly fenceCounter: number;
  readonly createdAtMs: number;
  readonly createdBy: string;
}

/** What of a lease changes. */
export interface ServiceLeaseTerm {
  readonly issuedAtMs: number;
  readonly notAfterMs: number;
  readonly maintainedCount: number;
  /** A SignedContract, encoded. */
  readonly contract: Uint8Array;
  /** 0: not before its time. */
  readonly endedAtMs: number;
  readonly endedBy: string;
  readonly endedWhy: LeaseEnding | "";
}

export interface ServiceLeaseRow extends ServiceLeaseFacts, ServiceLeaseTerm {
  readonly mac: Uint8Array;
  /** Time left when the statement ran; not positive once expired. */
  readonly leftMs: number;
  /** The installation's epoch when the statement ran. */
  readonly currentEpoch: number;
}

export type ServiceLeaseState = LeaseEnding | "active" | "expired" | "superseded";

/** Where a lease stands (SL2, SL3): it may be used while `active` or `superseded`. */
export function stateOf(row: ServiceLeaseRow): ServiceLeaseState {
  if (row.endedWhy !== "") return row.endedWhy;
  if (row.leftMs <= 0) return "expired";
  return row.fenceEpoch < row.currentEpoch ? "superseded" : "active";
}

export function macFields(row: ServiceLeaseFacts & ServiceLeaseTerm): MacField[] {
  return [
    row.id,
    row.clusterId,
    row.organizationId,
    row.name,
    row.resourceId,
    row.clientId,
    row.entryNodeId,
    row.serviceClass,
    row.channelClass,
    row.poolId,
    row.flowIsolationId,
    row.fenceEpoch,
    row.fenceCounter,
    row.createdAtMs,
    row.createdBy,
    row.issuedAtMs,
    row.notAfterMs,
    row.maintainedCount,
    row.contract,
    row.endedAtMs,
    row.endedBy,
    row.endedWhy,
  ];
}

const currentEpoch = `coalesce((select epoch from installation), 1)`;

const columns = `id, cluster_id as "clusterId", organization_id as "organizationId", name, resource_id as "resourceId",
  client_id as "clientId", entry_node_id as "entryNodeId", service_class as "serviceClass", channel_class as "channelClass",
  pool_id as "poolId", flow_isolation_id as "flowIsolationId", fence_epoch as "fenceEpoch", fence_counter as "fenceCounter",
  created_at_ms as "createdAtMs", created_by as "createdBy", issued_at_ms as "issuedAtMs", not_after_ms as "notAfterMs",
  maintained_count as "maintainedCount", contract, ended_at_ms as "endedAtMs", ended_by as "endedBy",
  ended_why as "endedWhy", mac, not_after_ms - now_ms() as "leftMs", ${currentEpoch} as "currentEpoch"`;

function authentic(seal: TrustSeal, rows: readonly ServiceLeaseRow[]): readonly ServiceLeaseRow[] {
  for (const row of rows) requireAuthentic(seal, "service_lease", macFields(row), row.mac);
  return rows;
}

export interface LeaseFence {
  readonly epoch: number;
  readonly counter: number;
  readonly nowMs: number;
}

/**
 * The next fence of a resource, and the time by the store. Holds the resource until the transaction ends: two leases never
 * get one fence, and none is issued for a resource that is being removed. Throws `not_found` (RESOURCE_NOT_FOUND).
 */
export async function nextFence(tx: Tx, resourceId: string): Promise<LeaseFence> {
  const held = await tx.query(`select id from resource where id = $1 and removed_at_ms is null for update`, [
    resourceId,
  ]);
  if (held.length === 0) throw resourceNotFound();
  const row = one(
    await tx.query<LeaseFence>(
      `select ${currentEpoch} as epoch, now_ms() as "nowMs", coalesce(max(fence_counter), 0) + 1 as counter
       from service_lease where resource_id = $1`,
      [resourceId],
    ),
  );
  if (row === undefined) throw new Error("an aggregate has one row");
  return row;
}

/** Holds an active client identity until the transaction ends; `not_found` (CLIENT_NOT_FOUND) when there is none such. */
export async function holdClient(
  tx: Tx,
  about: { readonly clusterId: string; readonly organizationId: string; readonly clientId: string },
): Promise<void> {
  const held = await tx.query(
    `select id from identity where id = $1 and scope = $2 and organization_id = $3 and kind = 'client'
       and status = 'active' for share`,
    [about.clientId, about.clusterId, about.organizationId],
  );
  if (held.length === 0) throw clientNotFound();
}

export function clientNotFound(): WeftError {
  return new WeftError("not_found", "the organization has no such client", { detail: "CLIENT_NOT_FOUND" });
}

/** The id of a client by id or name, active ones only. Throws `not_found` (CLIENT_NOT_FOUND). */
export async function requireClientId(q: Queryable, clusterId: string, idOrName: string): Promise<string> {
  const row = one(
    await q.query<{ id: string }>(
      `select id from identity where scope = $1 and kind = 'client' and status = 'active' and (id = $2 or name = $2)
       order by (id = $2) desc limit 1`,
      [clusterId, idOrName],
    ),
  );
  if (row === undefined) throw clientNotFound();
  return row.id;
}

/** Stores a lease with its first contract. Throws `resource_exhausted` (SERVICE_LEASES_MAX). */
export async function insertServiceLease(
  tx: Tx,
  seal: TrustSeal,
  row: ServiceLeaseFacts & ServiceLeaseTerm,
): Promise<void> {
  const live = one(
    await tx.query<{ count: number }>(
      `select count(*) as count from service_lease where cluster_id = $1 and not_after_ms > now_ms()`,
      [row.clusterId],
    ),
  );
  if ((live?.count ?? 0) >= limits.serviceLeasesMaxCount) {
    const message = "the cluster has no room for another lease: wait until some have expired";
    throw new WeftError("resource_exhausted", message, { detail: "SERVICE_LEASES_MAX", retry: "later" });
  }
  await tx.query(
    `insert into service_lease (id, cluster_id, organization_id, name, resource_id, client_id, entry_node_id,
       service_class, channel_class, pool_id, flow_isolation_id, fence_epoch, fence_counter, created_at_ms, created_by,
       issued_at_ms, not_after_ms, maintained_count, contract, mac)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)`,
    [
      ...[row.id, row.clusterId, row.organizationId, row.name, row.resourceId, row.clientId, row.entryNodeId],
      ...[row.serviceClass, row.channelClass, row.poolId, row.flowIsolationId, row.fenceEpoch, row.fenceCounter],
      ...[row.createdAtMs, row.createdBy, row.issuedAtMs, row.notAfterMs, row.maintainedCount, row.contract],
      seal.mac("service_lease", macFields(row)),
    ],
  );
}

/** Puts a lease's new term in place of the old one. The row is to be locked (`lockServiceLease`). */
export async function setTerm(
  tx: Tx,
  seal: TrustSeal,
  row: ServiceLeaseFacts & ServiceLeaseTerm,
  term: Partial<ServiceLeaseTerm>,
): Promise<void> {
  const next = { ...row, ...term };
  await tx.query(
    `update service_lease set issued_at_ms = $2, not_after_ms = $3, maintained_count = $4, contract = $5,
       ended_at_ms = $6, ended_by = $7, ended_why = $8, mac = $9 where id = $1`,
    [
      ...[next.id, next.issuedAtMs, next.notAfterMs, next.maintainedCount, next.contract],
      ...[next.endedAtMs, next.endedBy, next.endedWhy],
      seal.mac("service_lease", macFields(next)),
    ],
  );
}

/** The lease with that id, locked for the transaction, authenticated. Throws `not_found` (SERVICE_LEASE_NOT_FOUND). */
export async function lockServiceLease(tx: Tx, seal: TrustSeal, id: string): Promise<ServiceLeaseRow> {
  const rows = await tx.query<ServiceLeaseRow>(`select ${columns} from service_lease where id = $1 for update`, [id]);
  const row = one(authentic(seal, rows));
  if (row === undefined) throw leaseNotFound();
  return row;
}

export function leaseNotFound(): WeftError {
  return new WeftError("not_found", "no such lease in this cluster", { detail: "SERVICE_LEASE_NOT_FOUND" });
}

/** The lease with that id, or the only active one of that name, authenticated; NOT_FOUND or AMBIGUOUS_NAME otherwise. */
export async function requireServiceLease(
  q: Queryable,
  seal: TrustSeal,
  clusterId: string,
  idOrName: string,
): Promise<ServiceLeaseRow> {
  const rows = await q.query<ServiceLeaseRow>(
    `select ${columns} from service_lease where cluster_id = $1
       and (id = $2 or (name = $2 and ended_at_ms = 0 and not_after_ms > now_ms()))
     order by (id = $2) desc, id limit 2`,
    [clusterId, idOrName],
  );
  const [found, other] = authentic(seal, rows);
  if (found === undefined) throw leaseNotFound();
  if (other !== undefined && found.id !== idOrName) {
    const message = "several active leases have that name: give the id of the one you mean";
    throw new WeftError("failed_precondition", message, { detail: "AMBIGUOUS_NAME" });
  }
  return found;
}

export interface LeaseFilter {
  readonly clusterId: string;
  /** Empty: any. */
  readonly resourceId: string;
  /** Empty: any. */
  readonly clientId: string;
  /** Those that are over as well. */
  readonly all: boolean;
  readonly afterId: string;
}

/** A page of leases by id, authenticated: at most `limits.listPageMaxCount`. */
export async function listServiceLeases(
  q: Queryable,
  seal: TrustSeal,
  filter: LeaseFilter,
): Promise<readonly ServiceLeaseRow[]> {
  const rows = await q.query<ServiceLeaseRow>(
    `select ${columns} from service_lease where cluster_id = $1 and ($2 = '' or resource_id = $2)
       and ($3 = '' or client_id = $3) and id > $5
       and ($4 or (ended_at_ms = 0 and not_after_ms > now_ms()))
     order by id limit $6`,
    [filter.clusterId, filter.resourceId, filter.clientId, filter.all, filter.afterId, limits.listPageMaxCount],
  );
  return authentic(seal, rows);
}

/** Every active lease of a client or for a resource, locked, authenticated. */
export async function lockActiveLeases(
  tx: Tx,
  seal: TrustSeal,
  of: { readonly clientId: string } | { readonly resourceId: string },
): Promise<readonly ServiceLeaseRow[]> {
  const [column, id] = "clientId" in of ? ["client_id", of.clientId] : ["resource_id", of.resourceId];
  const rows = await tx.query<ServiceLeaseRow>(
    `select ${columns} from service_lease where ${column} = $1 and ended_at_ms = 0 and not_after_ms > now_ms()
     order by id for update`,
    [id],
  );
  return authentic(seal, rows);
}

/**
 * Leases that ended before their time and whose contracts would still be believed. `asOfMs` is the snapshot's: one version
 * has one content.
 */
export async function listEndedLeases(
  q: Queryable,
  seal: TrustSeal,
  clusterId: string,
  asOfMs: number,
): Promise<readonly { readonly leaseId: string; readonly organizationId: string }[]> {
  const rows = await q.query<ServiceLeaseRow>(
    `select ${columns} from service_lease where cluster_id = $1 and not_after_ms > $2 and ended_at_ms > 0 order by id`,
    [clusterId, asOfMs],
  );
  return authentic(seal, rows).map(({ id, organizationId }) => ({ leaseId: id, organizationId }));
}

/** Forgets leases that have been over for long, but never the newest of a resource: its fence would start over. */
export async function sweepServiceLeases(q: Queryable): Promise<void> {
  await q.query(
    `delete from service_lease where id in (
       select old.id from service_lease old where old.not_after_ms < now_ms() - $1::bigint
         and exists (select 1 from service_lease newer where newer.resource_id = old.resource_id
           and newer.fence_counter > old.fence_counter)
       order by old.not_after_ms limit $2)`,
    [limits.serviceLeaseRetentionMs, limits.sweepRowsMaxCount],
  );
}
