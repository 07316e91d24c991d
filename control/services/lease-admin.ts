/** weft.admin.v1.LeaseAdminService: who holds what, who held it, and taking it away. */

import type { ServiceImpl } from "@connectrpc/connect";
import { exclusiveLeasePrefix } from "../../fabric/lease.ts";
import { type LeaseAdminService, LeaseState, TenureEnd } from "../../gen/weft/admin/v1/lease_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { appendAudit } from "../store/audit.ts";
import { listClusters, requireCluster } from "../store/clusters.ts";
import {
  type LeaseOverview,
  leaseOverview,
  listLeases,
  listTenures,
  type TenureEndName,
  type TenureRow,
} from "../store/lease-tenures.ts";
import { fenceLease } from "../store/leases.ts";
import { nodeNames } from "../store/nodes.ts";
import { bumpSnapshot } from "../store/snapshots.ts";
import type { Queryable } from "../store/sql.ts";
import { ownId } from "./reports.ts";
import { callerOf, plainText, recordingRefusal, type ServiceDeps } from "./service-context.ts";

export function leaseAdminService(deps: ServiceDeps): ServiceImpl<typeof LeaseAdminService> {
  const nameOf = (name: string): string => ownId("name", name, limits.leaseNameMaxBytes);
  return {
    async listLeases(request) {
      const clusterId = await clusterOf(deps.sql, request.clusterId);
      const prefix = plainText("name_prefix", request.namePrefix, limits.leaseNameMaxBytes);
      const afterName = plainText("after_name", request.afterName, limits.leaseNameMaxBytes);
      const page = { prefix, afterName, limit: limits.leasePageMaxCount };
      const rows = await listLeases(deps.sql, clusterId, page);
      const names = await nodeNames(deps.sql, clusterId);
      return {
        leases: rows.map((row) => entryMessage(row, clusterId, names)),
        nextAfterName: rows.length < limits.leasePageMaxCount ? "" : (rows.at(-1)?.name ?? ""),
      };
    },
    async getLease(request) {
      const clusterId = await clusterOf(deps.sql, request.clusterId);
      const row = await requireLease(deps.sql, clusterId, nameOf(request.name));
      const names = await nodeNames(deps.sql, clusterId);
      const tenures = await listTenures(deps.sql, clusterId, row.name);
      return {
        lease: entryMessage(row, clusterId, names),
        tenures: tenures.map((each) => tenureMessage(each, names)),
      };
    },
    async fenceLease(request, context) {
      const actor = callerOf(context).spiffe;
      const clusterId = await clusterOf(deps.sql, request.clusterId);
      const name = nameOf(request.name);
      const entry = { actor, action: "lease.fenced", object: `lease/${name}`, clusterId };
      const changed = await recordingRefusal(deps, entry, async () => {
        return await deps.sql.tx(async (tx) => {
          const held = await requireLease(tx, clusterId, name);
          const fenced = await fenceLease(tx, { clusterId, name, by: actor });
          if (fenced === undefined) return false;
          // Egresses learn the fence of an exclusive resource from their snapshots, before anybody shows it to them.
          if (name.startsWith(exclusiveLeasePrefix)) await bumpSnapshot(tx, deps.hints, clusterId);
          const { holderNodeId, bootId, epoch, counter } = held;
          const after = { epoch: fenced.epoch, counter: fenced.counter };
          await appendAudit(tx, { ...entry, before: { nodeId: holderNodeId, bootId, epoch, counter }, after });
          return true;
        });
      });
      const row = await requireLease(deps.sql, clusterId, name);
      return { lease: entryMessage(row, clusterId, await nodeNames(deps.sql, clusterId)), changed };
    },
  };
}

/** The cluster meant; an empty name is the only one there is. */
async function clusterOf(q: Queryable, idOrSlug: string): Promise<string> {
  if (idOrSlug !== "") return (await requireCluster(q, idOrSlug)).id;
  const [only, ...others] = await listClusters(q);
  if (only !== undefined && others.length === 0) return only.id;
  throw new WeftError("failed_precondition", "there are several clusters: name the one you mean", {
    detail: "CLUSTER_NEEDED",
  });
}

async function requireLease(q: Queryable, clusterId: string, name: string): Promise<LeaseOverview> {
  const row = await leaseOverview(q, clusterId, name);
  if (row === undefined) throw new WeftError("not_found", "no such lease", { detail: "LEASE_NOT_FOUND" });
  return row;
}

type Names = ReadonlyMap<string, string>;

function stateOf({ holderNodeId, leftMs }: LeaseOverview): LeaseState {
  if (holderNodeId === "") return LeaseState.FENCED;
  return leftMs > 0 ? LeaseState.HELD : LeaseState.FREE;
}

function fenceMessage({ epoch, counter }: { readonly epoch: number; readonly counter: number }) {
  return { epoch: BigInt(epoch), counter: BigInt(counter) };
}

function entryMessage(row: LeaseOverview, clusterId: string, names: Names) {
  return {
    clusterId,
    name: row.name,
    state: stateOf(row),
    holderNodeId: row.holderNodeId,
    holderName: names.get(row.holderNodeId) ?? "",
    bootId: row.bootId,
    fence: fenceMessage(row),
    acquiredAtMs: BigInt(row.acquiredAtMs),
    expiresAtMs: BigInt(row.expiresAtMs),
    leftMs: BigInt(Math.max(0, row.leftMs)),
    renewedCount: BigInt(row.renewedCount),
  };
}

const ends: Readonly<Record<TenureEndName, TenureEnd>> = {
  "": TenureEnd.UNSPECIFIED,
  released: TenureEnd.RELEASED,
  expired: TenureEnd.EXPIRED,
  fenced: TenureEnd.FENCED,
  superseded: TenureEnd.SUPERSEDED,
};

function tenureMessage(row: TenureRow, names: Names) {
  return {
    fence: fenceMessage(row),
    holderNodeId: row.holderNodeId,
    holderName: names.get(row.holderNodeId) ?? "",
    bootId: row.bootId,
    acquiredAtMs: BigInt(row.acquiredAtMs),
    expiresAtMs: BigInt(row.expiresAtMs),
    renewedCount: BigInt(row.renewedCount),
    renewedAtMs: BigInt(row.renewedAtMs),
    end: ends[row.ended],
    endedAtMs: BigInt(row.endedAtMs),
    endedBy: row.endedBy,
  };
}
