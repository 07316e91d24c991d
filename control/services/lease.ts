/**
 * weft.lease.v1.LeaseService. The holder is the calling node, never a field of the request; names live in its cluster.
 * Every fence given out, every end of one and every release is recorded with the change itself, so they are in the audit
 * chain. Renewals give nothing out: all are counted in the lease's tenure, and the chain has the first, the second, the
 * fourth and so on, or they would flood what every other change waits for.
 */

import type { ServiceImpl } from "@connectrpc/connect";
import type { Fence } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { LeaseService } from "../../gen/weft/lease/v1/lease_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { type Caller, nodeOf } from "../../rpc/caller.ts";
import { type ExclusiveDeps, exclusiveContract, exclusiveResource } from "../domain/exclusive-lease.ts";
import { appendAudit } from "../store/audit.ts";
import { listClusters, requireCluster } from "../store/clusters.ts";
import type { StoreContext } from "../store/context.ts";
import {
  acquireLease,
  type ExpiredTenure,
  getLease,
  type LeaseClaim,
  type LeaseHold,
  type LeaseRow,
  releaseLease,
  renewLease,
} from "../store/leases.ts";
import { requireActiveMember, requireTakesNew } from "../store/memberships.ts";
import type { ResourceRow } from "../store/resources.ts";
import type { Tx } from "../store/sql.ts";
import { counter, ownId, within } from "./reports.ts";
import { callerOf, invalid } from "./service-context.ts";

export function leaseService(deps: ExclusiveDeps): ServiceImpl<typeof LeaseService> {
  return {
    async acquire(request, context) {
      const caller = callerOf(context);
      const claim = await claimOf(deps, caller, request);
      const resource = await exclusiveResource(deps, claim);
      const ttlMs = resource?.exclusiveLeaseMs ?? ttlOf(request.ttlMs);
      const row = await deps.sql.tx(async (tx) => {
        const taken = await acquireLease(tx, claim, ttlMs);
        if (taken?.fresh === true) {
          await requireTakesNew(tx, claim.nodeId);
          if (taken.expired !== undefined) await recordExpired(tx, claim, taken.expired);
          await record(tx, caller, "lease.acquired", claim, taken);
        }
        return taken;
      });
      if (row === undefined) {
        throw new WeftError("failed_precondition", "another node holds this lease", {
          detail: "LEASE_HELD",
          retry: "later",
        });
      }
      return await answer(deps, row, resource);
    },
    async renew(request, context) {
      const caller = callerOf(context);
      const hold = holdOf(await claimOf(deps, caller, request), request.fence);
      const resource = await exclusiveResource(deps, hold);
      const ttlMs = resource?.exclusiveLeaseMs ?? ttlOf(request.ttlMs);
      const row = await deps.sql.tx(async (tx) => {
        const renewed = await renewLease(tx, hold, ttlMs);
        if (renewed !== undefined && isDoubled(renewed.renewedCount))
          await record(tx, caller, "lease.renewed", hold, hold, { renewedCount: renewed.renewedCount });
        return renewed;
      });
      if (row === undefined) {
        const message = "the lease expired or passed on: stop, then acquire it again";
        throw new WeftError("failed_precondition", message, { detail: "LEASE_LOST" });
      }
      return await answer(deps, row, resource);
    },
    async release(request, context) {
      const caller = callerOf(context);
      const hold = holdOf(await claimOf(deps, caller, request), request.fence);
      await deps.sql.tx(async (tx) => {
        if (await releaseLease(tx, hold)) await record(tx, caller, "lease.released", hold, hold);
      });
      return {};
    },
    async get(request, context) {
      const caller = callerOf(context);
      const name = ownId("name", request.name, limits.leaseNameMaxBytes);
      const rows =
        caller.kind === "node"
          ? [await ownLease(deps, caller, name)]
          : await operatorsLeases(deps, request.clusterId, name);
      const [row, ...others] = rows.filter((each) => each !== undefined);
      if (row === undefined) throw new WeftError("not_found", "no such lease", { detail: "LEASE_NOT_FOUND" });
      if (others.length > 0) {
        const message = "several clusters have a lease of that name: name the one you mean in cluster_id";
        throw new WeftError("failed_precondition", message, { detail: "AMBIGUOUS_NAME" });
      }
      return { lease: leaseMessage(row) };
    },
  };
}

/** A lease that was given or prolonged; of an exclusive resource, with the contract that channels carry. */
async function answer(deps: ExclusiveDeps, row: LeaseRow, resource: ResourceRow | undefined) {
  const lease = leaseMessage(row);
  return resource === undefined ? { lease } : { lease, contract: await exclusiveContract(deps, resource, row) };
}

async function ownLease(deps: StoreContext, caller: Caller, name: string): Promise<LeaseRow | undefined> {
  const { nodeId, clusterId } = nodeOf(caller);
  await requireActiveMember(deps.sql, deps.seal, clusterId, nodeId);
  return await getLease(deps.sql, clusterId, name);
}

/** Of the cluster that was named, or of every one. */
async function operatorsLeases(
  { sql }: StoreContext,
  named: string,
  name: string,
): Promise<readonly (LeaseRow | undefined)[]> {
  const clusters = named === "" ? await listClusters(sql) : [await requireCluster(sql, named)];
  return await Promise.all(clusters.map(({ id }) => getLease(sql, id, name)));
}

async function claimOf(
  deps: StoreContext,
  caller: Caller,
  request: { readonly name: string; readonly bootId: string },
): Promise<LeaseClaim> {
  const { nodeId, clusterId } = nodeOf(caller);
  const name = ownId("name", request.name, limits.leaseNameMaxBytes);
  const bootId = ownId("boot_id", request.bootId, limits.bootIdMaxBytes);
  await requireActiveMember(deps.sql, deps.seal, clusterId, nodeId);
  return { clusterId, nodeId, name, bootId };
}

function holdOf(claim: LeaseClaim, fence: Fence | undefined): LeaseHold {
  if (fence === undefined) throw invalid("fence", "a fence is needed");
  return { ...claim, epoch: counter("fence", fence.epoch), counter: counter("fence", fence.counter) };
}

function ttlOf(ttlMs: bigint): number {
  return within("ttl_ms", Number(ttlMs), limits.leaseTtlMinMs, limits.leaseTtlMaxMs);
}

/** Whether a renewal is written down: the first of a tenure, the second, the fourth, and so on. The rest is a count. */
function isDoubled(renewedCount: number): boolean {
  return Number.isInteger(Math.log2(renewedCount));
}

type LeaseAction = "lease.acquired" | "lease.renewed" | "lease.released";

async function record(
  tx: Tx,
  caller: Caller,
  action: LeaseAction,
  { clusterId, name, nodeId }: LeaseClaim,
  { epoch, counter }: { readonly epoch: number; readonly counter: number },
  facts: Readonly<Record<string, number>> = {},
): Promise<void> {
  const after = { nodeId, epoch, counter, ...facts };
  await appendAudit(tx, { actor: caller.spiffe, action, object: `lease/${name}`, clusterId, after });
}

/** Nobody was there when it ran out: it is written down when somebody else takes the lease. */
async function recordExpired(tx: Tx, { clusterId, name }: LeaseClaim, expired: ExpiredTenure): Promise<void> {
  const entry = { actor: "system", action: "lease.expired", object: `lease/${name}`, clusterId };
  await appendAudit(tx, { ...entry, before: { ...expired } });
}

function leaseMessage(row: LeaseRow) {
  return {
    name: row.name,
    holderNodeId: row.holderNodeId,
    bootId: row.bootId,
    fence: { epoch: BigInt(row.epoch), counter: BigInt(row.counter) },
    expiresAtMs: BigInt(row.expiresAtMs),
    ttlMs: BigInt(Math.max(0, row.leftMs)),
    expired: row.leftMs <= 0,
  };
}
