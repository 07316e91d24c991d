/**
 * weft.admin.v1.ServiceChannelService: leases of service channels. Issuing, introspection and maintenance hand out one
 * message, the signed contract; it is enforced by entries and egresses, which ask nobody.
 */

import { fromBinary } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  type IntrospectLeaseRequest,
  type IssueLeaseRequest,
  type MaintainLeaseRequest,
  type ReleaseLeaseRequest,
  type ServiceChannelService,
  ServiceLeaseState,
} from "../../gen/weft/admin/v1/service_channel_pb.ts";
import { LeaseContractSchema, SignedContractSchema } from "../../gen/weft/fabric/v1/contract_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { randomLabel } from "../../lib/random.ts";
import { type Caller, nodeOf } from "../../rpc/caller.ts";
import { checkName, grantsRoleFor } from "../domain/placement.ts";
import { serviceClassOf } from "../domain/service-class.ts";
import { contractOf, leaseTtlMs } from "../domain/service-lease.ts";
import { appendAudit } from "../store/audit.ts";
import { requireCluster } from "../store/clusters.ts";
import { requireActiveMember } from "../store/memberships.ts";
import { requireNode } from "../store/nodes.ts";
import { requireOrganization } from "../store/organizations.ts";
import { requirePool } from "../store/pools.ts";
import { requireResource } from "../store/resources.ts";
import { rolesOf } from "../store/roles.ts";
import {
  holdClient,
  insertServiceLease,
  leaseNotFound,
  listServiceLeases,
  lockServiceLease,
  nextFence,
  requireClientId,
  requireServiceLease,
  type ServiceLeaseFacts,
  type ServiceLeaseRow,
  type ServiceLeaseState as StateName,
  setTerm,
  stateOf,
} from "../store/service-leases.ts";
import { bumpSnapshot } from "../store/snapshots.ts";
import type { Tx } from "../store/sql.ts";
import { classes, serviceClasses } from "../store/vocabulary.ts";
import { callerOf, invalid, recordingRefusal, type ServiceDeps } from "./service-context.ts";

const states: Readonly<Record<StateName, ServiceLeaseState>> = {
  active: ServiceLeaseState.ACTIVE,
  expired: ServiceLeaseState.EXPIRED,
  superseded: ServiceLeaseState.SUPERSEDED,
  released: ServiceLeaseState.RELEASED,
  "client-revoked": ServiceLeaseState.CLIENT_REVOKED,
  "resource-removed": ServiceLeaseState.RESOURCE_REMOVED,
};

export function serviceChannelService(deps: ServiceDeps): ServiceImpl<typeof ServiceChannelService> {
  return {
    issueLease: (request, context) => issueLease(deps, request, context),
    introspectLease: (request, context) => introspectLease(deps, request, callerOf(context)),
    maintainLease: (request, context) => maintainLease(deps, request, context),
    releaseLease: (request, context) => releaseLease(deps, request, context),
    async listLeases(request) {
      const { sql, seal } = deps;
      const { id: clusterId } = await requireCluster(sql, request.clusterId);
      const { resourceId: resource, clientId: client, all, afterId } = request;
      const resourceId =
        resource === "" ? "" : (await requireResource(sql, seal, { clusterId, idOrName: resource })).id;
      const clientId = client === "" ? "" : await requireClientId(sql, clusterId, client);
      const rows = await listServiceLeases(sql, seal, { clusterId, resourceId, clientId, all, afterId });
      const nextAfterId = rows.length < limits.listPageMaxCount ? "" : (rows.at(-1)?.id ?? "");
      return { leases: rows.map(leaseMessage), nextAfterId };
    },
  };
}

async function issueLease(deps: ServiceDeps, request: IssueLeaseRequest, context: HandlerContext) {
  const actor = callerOf(context).spiffe;
  const { sql, seal } = deps;
  const { id: clusterId } = await requireCluster(sql, request.clusterId);
  const ttlMs = leaseTtlMs(request.ttlMs, limits.serviceLeaseTtlDefaultMs);
  const asked = await resolved(deps, clusterId, request, actor);
  const { keyId, privateKey, signed: statement } = await deps.authority.signingKey(clusterId, "contract");
  const { organizationId, id } = asked;
  const about = { resourceId: asked.resourceId, clientId: asked.clientId, entryNodeId: asked.entryNodeId, ttlMs };
  const entry = { actor, action: "service_lease.issued", object: `service_lease/${id}`, clusterId, organizationId };
  return await recordingRefusal(deps, { ...entry, after: about }, async () => {
    await sql.tx(async (tx) => {
      const fence = await nextFence(tx, asked.resourceId);
      if (asked.clientId !== "") await holdClient(tx, asked);
      await requireEntryFor(tx, deps, asked);
      const facts = { ...asked, fenceEpoch: fence.epoch, fenceCounter: fence.counter, createdAtMs: fence.nowMs };
      const term = { issuedAtMs: fence.nowMs, notAfterMs: fence.nowMs + ttlMs };
      const contract = contractOf({ keyId, privateKey, statement }, facts, term);
      const open = { maintainedCount: 0, endedAtMs: 0, endedBy: "", endedWhy: "" } as const;
      await insertServiceLease(tx, seal, { ...facts, ...term, ...open, contract });
      const after = { ...about, epoch: fence.epoch, counter: fence.counter, notAfterMs: term.notAfterMs };
      await appendAudit(tx, { ...entry, after });
    });
    return { lease: leaseMessage(await requireServiceLease(sql, seal, clusterId, id)) };
  });
}

type AskedLease = Omit<ServiceLeaseFacts, "fenceEpoch" | "fenceCounter" | "createdAtMs">;

/** The lease with every name as an id. What belongs to another organization is unknown (C3). */
async function resolved(
  deps: ServiceDeps,
  clusterId: string,
  request: IssueLeaseRequest,
  createdBy: string,
): Promise<AskedLease> {
  const { sql, seal } = deps;
  const asked =
    request.organizationId === "" ? undefined : (await requireOrganization(sql, clusterId, request.organizationId)).id;
  const within = asked === undefined ? {} : { organizationId: asked };
  const resource = await requireResource(sql, seal, { clusterId, idOrName: request.resourceId, ...within });
  const { organizationId } = resource;
  const serviceClass = serviceClassOf(resource.service, resource.kind);
  if (request.serviceClass !== 0 && request.serviceClass !== serviceClass) {
    throw invalid("service_class", `service_class: the resource serves ${serviceClasses.text(serviceClass)}`);
  }
  const channelClass = classes.text(request.channelClass) ?? "";
  const isKnownClass = request.channelClass === 0 || resource.allowedClasses.some((each) => each === channelClass);
  if (!isKnownClass) throw invalid("channel_class", "channel_class: the resource does not allow it");
  const pool = request.poolId === "" ? undefined : await requirePool(sql, seal, clusterId, request.poolId);
  if (pool !== undefined && pool.id !== resource.poolId) {
    throw invalid("pool_id", "pool_id: the resource is reached through another pool");
  }
  if (resource.exclusiveLeaseMs !== 0) {
    const message = "the resource is exclusive: its entry holds a lease, and channels show that one";
    throw new WeftError("failed_precondition", message, { detail: "RESOURCE_EXCLUSIVE" });
  }
  const flowIsolationId = request.flowIsolationId === "" ? "" : checkName(request.flowIsolationId);
  const label = randomLabel(deps.random, 16);
  return {
    id: `sl-${label}`,
    clusterId,
    organizationId,
    name: request.name === "" ? `lease-${label}` : checkName(request.name),
    resourceId: resource.id,
    clientId: request.clientId === "" ? "" : await requireClientId(sql, clusterId, request.clientId),
    entryNodeId: (await requireNode(sql, seal, clusterId, request.entryNodeId)).id,
    serviceClass: serviceClasses.text(serviceClass) ?? "other",
    channelClass,
    poolId: pool?.id ?? "",
    flowIsolationId,
    createdBy,
  };
}

/** A contract over a node that lets nobody in would be good for nothing. */
async function requireEntryFor(tx: Tx, deps: ServiceDeps, lease: AskedLease): Promise<void> {
  const grants = await rolesOf(tx, deps.seal, lease.entryNodeId);
  if (grantsRoleFor(grants, "entry", lease.organizationId)) return;
  const message = "the entry of a lease is a node with the entry role for the organization";
  throw new WeftError("failed_precondition", message, { detail: "ENTRY_ROLE_MISSING" });
}

async function introspectLease(deps: ServiceDeps, request: IntrospectLeaseRequest, caller: Caller) {
  const row =
    caller.kind === "node"
      ? await enforcedLease(deps, caller, request.leaseId)
      : await operatorsLease(deps, request.clusterId, request.leaseId);
  return { lease: leaseMessage(row), active: mayBeUsed(row) };
}

function mayBeUsed(row: ServiceLeaseRow): boolean {
  const state = stateOf(row);
  return state === "active" || state === "superseded";
}

async function operatorsLease(deps: ServiceDeps, cluster: string, idOrName: string): Promise<ServiceLeaseRow> {
  const { id: clusterId } = await requireCluster(deps.sql, cluster);
  return await requireServiceLease(deps.sql, deps.seal, clusterId, idOrName);
}

/** A lease that the calling node has a part in: as its entry, or as an egress of the organization. Any other is unknown. */
async function enforcedLease(deps: ServiceDeps, caller: Caller, leaseId: string): Promise<ServiceLeaseRow> {
  const { nodeId, clusterId } = nodeOf(caller);
  const { sql, seal } = deps;
  await requireActiveMember(sql, seal, clusterId, nodeId);
  const row = await requireServiceLease(sql, seal, clusterId, leaseId);
  const grants = await rolesOf(sql, seal, nodeId);
  const isEntry = row.entryNodeId === nodeId && grantsRoleFor(grants, "entry", row.organizationId);
  if (row.id !== leaseId || !(isEntry || grantsRoleFor(grants, "egress", row.organizationId))) throw leaseNotFound();
  return row;
}

async function maintainLease(deps: ServiceDeps, request: MaintainLeaseRequest, context: HandlerContext) {
  const actor = callerOf(context).spiffe;
  const { sql, seal } = deps;
  const { id, clusterId, organizationId } = await operatorsLease(deps, request.clusterId, request.leaseId);
  leaseTtlMs(request.ttlMs, limits.serviceLeaseTtlDefaultMs);
  const { keyId, privateKey, signed: statement } = await deps.authority.signingKey(clusterId, "contract");
  const entry = { actor, action: "service_lease.maintained", object: `service_lease/${id}`, clusterId, organizationId };
  return await recordingRefusal(deps, entry, async () => {
    await sql.tx(async (tx) => {
      const row = await lockServiceLease(tx, seal, id);
      requireMaintainable(row);
      const issuedAtMs = row.notAfterMs - row.leftMs;
      const ttlMs = leaseTtlMs(request.ttlMs, row.notAfterMs - row.issuedAtMs);
      // What was handed out already holds to its date: a shorter promise would be no promise.
      const term = { issuedAtMs, notAfterMs: Math.max(row.notAfterMs, issuedAtMs + ttlMs) };
      const contract = contractOf({ keyId, privateKey, statement }, row, term);
      await setTerm(tx, seal, row, { ...term, contract, maintainedCount: row.maintainedCount + 1 });
      const before = { notAfterMs: row.notAfterMs };
      await appendAudit(tx, { ...entry, before, after: { notAfterMs: term.notAfterMs } });
    });
    return { lease: leaseMessage(await requireServiceLease(sql, seal, clusterId, id)) };
  });
}

function requireMaintainable(row: ServiceLeaseRow): void {
  const state = stateOf(row);
  if (state === "active") return;
  const message =
    state === "superseded"
      ? "the store was restored, or has another primary, since this lease was issued: issue another one"
      : `the lease is over (${state}): issue another one`;
  throw new WeftError("failed_precondition", message, { detail: "SERVICE_LEASE_OVER", metadata: { state } });
}

async function releaseLease(deps: ServiceDeps, request: ReleaseLeaseRequest, context: HandlerContext) {
  const actor = callerOf(context).spiffe;
  const { sql, seal } = deps;
  const { id, clusterId, organizationId } = await operatorsLease(deps, request.clusterId, request.leaseId);
  const entry = { actor, action: "service_lease.ended", object: `service_lease/${id}`, clusterId, organizationId };
  return await recordingRefusal(deps, entry, async () => {
    const changed = await sql.tx(async (tx) => {
      const row = await lockServiceLease(tx, seal, id);
      if (!mayBeUsed(row)) return false;
      const endedAtMs = row.notAfterMs - row.leftMs;
      await setTerm(tx, seal, row, { endedAtMs, endedBy: actor, endedWhy: "released" });
      await bumpSnapshot(tx, deps.hints, clusterId);
      await appendAudit(tx, { ...entry, after: { why: "released" } });
      return true;
    });
    return { lease: leaseMessage(await requireServiceLease(sql, seal, clusterId, id)), changed };
  });
}

function leaseMessage(row: ServiceLeaseRow) {
  return {
    id: row.id,
    name: row.name,
    state: states[stateOf(row)],
    contract: fromBinary(LeaseContractSchema, fromBinary(SignedContractSchema, row.contract).contract),
    signedContract: row.contract,
    createdAtMs: BigInt(row.createdAtMs),
    createdBy: row.createdBy,
    maintainedCount: BigInt(row.maintainedCount),
    leftMs: BigInt(mayBeUsed(row) ? row.leftMs : 0),
    endedAtMs: BigInt(row.endedAtMs),
    endedBy: row.endedBy,
  };
}
