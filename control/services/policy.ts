/** weft.admin.v1.PolicyService: what goes on while control cannot be heard. */

import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { boundsToWire, defaultTerms, type OfflineRule, pathBounds, ruleFor } from "../../fabric/offline.ts";
import type { PolicyService, SetOfflinePolicyRequest } from "../../gen/weft/admin/v1/policy_pb.ts";
import { OfflineMode } from "../../gen/weft/fabric/v1/role_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { randomLabel } from "../../lib/random.ts";
import { checkOffline } from "../domain/offline-spec.ts";
import { appendAudit } from "../store/audit.ts";
import { requireCluster } from "../store/clusters.ts";
import {
  deleteOfflinePolicy,
  listOfflinePolicies,
  lockOfflinePolicy,
  type OfflinePolicyRow,
  type OfflineSpec,
  offlinePolicyNotFound,
  putOfflinePolicy,
  requireOfflinePolicy,
} from "../store/offline-policies.ts";
import { listResources, lockResource } from "../store/resources.ts";
import { bumpSnapshot } from "../store/snapshots.ts";
import type { Tx } from "../store/sql.ts";
import { offlineModes } from "../store/vocabulary.ts";
import { type NamedPlace, placeOf } from "./policy-place.ts";
import { callerOf, recordingRefusal, type ServiceDeps } from "./service-context.ts";

export function policyService(deps: ServiceDeps): ServiceImpl<typeof PolicyService> {
  return {
    setOfflinePolicy: (request, context) => setOfflinePolicy(deps, request, context),
    async listOfflinePolicies(request) {
      const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
      return { rules: (await listOfflinePolicies(deps.sql, deps.seal, clusterId)).map(ruleMessage) };
    },
    async getOfflinePolicy(request) {
      const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
      return await offlinePolicyAt(deps, clusterId, await placeOf(deps, clusterId, request));
    },
    async removeOfflinePolicy(request, context) {
      const actor = callerOf(context).spiffe;
      const { id: clusterId } = await requireCluster(deps.sql, request.clusterId);
      const row = await requireOfflinePolicy(deps.sql, deps.seal, clusterId, request.ruleId);
      const { id, organizationId } = row;
      const before = { ...specOf(row), resourceId: row.resourceId };
      const object = `offline-policy/${id}`;
      const entry = { actor, action: "offline-policy.removed", object, clusterId, organizationId, before };
      return await recordingRefusal(deps, entry, async () => {
        await deps.sql.tx(async (tx) => {
          if (!(await deleteOfflinePolicy(tx, clusterId, id))) throw offlinePolicyNotFound();
          await bumpSnapshot(tx, deps.hints, clusterId);
          await appendAudit(tx, entry);
        });
        return {};
      });
    },
  };
}

async function setOfflinePolicy(deps: ServiceDeps, request: SetOfflinePolicyRequest, context: HandlerContext) {
  const actor = callerOf(context).spiffe;
  const { sql, seal } = deps;
  const { id: clusterId } = await requireCluster(sql, request.clusterId);
  const { mode = OfflineMode.UNSPECIFIED, continueForMs = 0n, graceMs = 0n } = request.policy ?? {};
  const spec = checkOffline({ mode: offlineModes.text(mode), continueForMs, graceMs });
  const { organizationId, resourceId } = await placeOf(deps, clusterId, request);
  const place = { clusterId, organizationId, resourceId };
  const fresh = `op-${randomLabel(deps.random, 16)}`;
  const entry = { actor, action: "offline-policy.set", clusterId, organizationId };
  const after = { ...spec, resourceId };
  return await recordingRefusal(deps, { ...entry, object: `offline-policy/${fresh}`, after }, async () => {
    const id = await sql.tx(async (tx) => {
      if (resourceId !== "") await lockResource(tx, resourceId);
      const known = await lockOfflinePolicy(tx, seal, place);
      if (known === undefined) await requireRoom(tx, deps, clusterId);
      const rowId = known?.id ?? fresh;
      await putOfflinePolicy(tx, seal, { ...spec, ...place, id: rowId, changedBy: actor });
      await bumpSnapshot(tx, deps.hints, clusterId);
      const before = known === undefined ? {} : { before: { ...specOf(known), resourceId } };
      await appendAudit(tx, { ...entry, object: `offline-policy/${rowId}`, ...before, after });
      return rowId;
    });
    return { rule: ruleMessage(await requireOfflinePolicy(sql, seal, clusterId, id)) };
  });
}

async function requireRoom(tx: Tx, { seal }: ServiceDeps, clusterId: string): Promise<void> {
  const { length } = await listOfflinePolicies(tx, seal, clusterId);
  if (length < limits.offlinePoliciesMaxCount) return;
  throw new WeftError("resource_exhausted", "the cluster has no room for another offline policy", {
    detail: "OFFLINE_POLICIES_MAX",
  });
}

/** What counts at a place, where that was set, and how long the paths below it stay. */
async function offlinePolicyAt({ sql, seal }: ServiceDeps, clusterId: string, place: NamedPlace) {
  const rows = await listOfflinePolicies(sql, seal, clusterId);
  const found = ruleFor(rows, place);
  const { organizationId } = place;
  const { mode, continueForMs, graceMs } = defaultTerms;
  const unset = { mode, continueForMs: BigInt(continueForMs), graceMs: BigInt(graceMs) };
  const policy = found === undefined ? unset : policyMessage(found);
  if (organizationId === "") return { policy, ...(found === undefined ? {} : { rule: ruleMessage(found) }) };
  const resources = (await listResources(sql, seal, clusterId)).filter((row) => row.organizationId === organizationId);
  const bounds = pathBounds(
    rows.map(viewRule),
    organizationId,
    resources.map(({ id }) => id),
  );
  const paths = { organizationId, ...boundsToWire(bounds) };
  return { policy, paths, ...(found === undefined ? {} : { rule: ruleMessage(found) }) };
}

function viewRule({ organizationId, resourceId, mode, continueForMs, graceMs }: OfflinePolicyRow): OfflineRule {
  return { organizationId, resourceId, terms: { mode: offlineModes.value(mode), continueForMs, graceMs } };
}

function specOf({ mode, continueForMs, graceMs }: OfflineSpec): OfflineSpec {
  return { mode, continueForMs, graceMs };
}

function policyMessage({ mode, continueForMs, graceMs }: OfflineSpec) {
  return { mode: offlineModes.value(mode), continueForMs: BigInt(continueForMs), graceMs: BigInt(graceMs) };
}

function ruleMessage(row: OfflinePolicyRow) {
  const { id, clusterId, organizationId, resourceId } = row;
  const changedAtMs = BigInt(row.changedAtMs);
  return { id, clusterId, organizationId, resourceId, policy: policyMessage(row), changedAtMs };
}
