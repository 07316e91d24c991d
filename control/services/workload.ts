/** weft.admin.v1.WorkloadService: what nodes are to run beside their roles, and what they report of it. */

import { create } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type {
  ApproveWorkloadRequest,
  ListWorkloadsRequest,
  RemoveWorkloadRequest,
  SetWorkloadRequest,
  WorkloadService,
} from "../../gen/weft/admin/v1/workload_pb.ts";
import { WorkloadKind, WorkloadSpecSchema } from "../../gen/weft/fabric/v1/workload_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { randomLabel } from "../../lib/random.ts";
import { forgetWorkload } from "../domain/workload-alerts.ts";
import { checkWorkload, type StoredSpec, specFingerprint, specMessage } from "../domain/workload-spec.ts";
import { appendAudit } from "../store/audit.ts";
import { requireCluster } from "../store/clusters.ts";
import {
  countWorkloads,
  type DesiredWorkload,
  deleteWorkload,
  listDesiredWorkloads,
  lockWorkload,
  privilegesApproved,
  putWorkload,
  workloadNotFound,
  workloadsOfNode,
} from "../store/desired-workloads.ts";
import { requirePlaceable } from "../store/memberships.ts";
import { type NodeRow, nodeNames, requireNode } from "../store/nodes.ts";
import { bumpSnapshot } from "../store/snapshots.ts";
import { workloadStates } from "../store/vocabulary.ts";
import { listClusterWorkloads, type ReportedWorkload } from "../store/workloads.ts";
import { callerOf, recordingRefusal, type ServiceDeps } from "./service-context.ts";

export function workloadService(deps: ServiceDeps): ServiceImpl<typeof WorkloadService> {
  return {
    setWorkload: (request, context) => setWorkload(deps, request, context),
    listWorkloads: (request) => listWorkloads(deps, request),
    approveWorkload: (request, context) => approveWorkload(deps, request, context),
    removeWorkload: (request, context) => removeWorkload(deps, request, context),
  };
}

async function setWorkload(deps: ServiceDeps, request: SetWorkloadRequest, context: HandlerContext) {
  const actor = callerOf(context).spiffe;
  const { sql, seal } = deps;
  const { id: clusterId } = await requireCluster(sql, request.clusterId);
  const running = !request.stopped;
  const spec = checkWorkload(request.name, request.spec ?? create(WorkloadSpecSchema), running);
  const node = await requireNode(sql, seal, clusterId, request.nodeId);
  const fingerprint = specFingerprint(spec);
  const place = { clusterId, nodeId: node.id, name: request.name };
  const fresh = `wl-${randomLabel(deps.random, 16)}`;
  const after = { ...audited(spec), name: request.name, nodeId: node.id, running, fingerprint };
  const entry = { actor, action: "workload.set", object: `workload/${fresh}`, clusterId };
  return await recordingRefusal(deps, { ...entry, after }, async () => {
    const id = await sql.tx(async (tx) => {
      await requirePlaceable(tx, seal, clusterId, node.id);
      const known = await lockWorkload(tx, seal, place);
      requireExpected(request.expectedFingerprint, known);
      if (known === undefined && (await countWorkloads(tx, node.id)) >= limits.workloadsPerNodeMaxCount) {
        const message = `a node has at most ${limits.workloadsPerNodeMaxCount} workloads`;
        throw new WeftError("resource_exhausted", message, { detail: "WORKLOADS_MAX" });
      }
      // An approval is for exactly one spec: another one starts without.
      const keeps = known?.privilegesFingerprint === fingerprint;
      const approval = keeps
        ? { privilegesFingerprint: known.privilegesFingerprint, privilegesBy: known.privilegesBy }
        : { privilegesFingerprint: "", privilegesBy: "" };
      const rowId = known?.id ?? fresh;
      await putWorkload(tx, seal, { id: rowId, ...place, running, spec, ...approval, changedBy: actor });
      await bumpSnapshot(tx, deps.hints, clusterId);
      const before = known === undefined ? {} : { before: { ...audited(known.spec), running: known.running } };
      await appendAudit(tx, { ...entry, object: `workload/${rowId}`, ...before, after });
      return rowId;
    });
    return { workload: await shown(deps, clusterId, node, id) };
  });
}

/** The spec for the audit log. Values of variables are no secrets by rule; the log does not rely on it. */
function audited({ environment, ...spec }: StoredSpec): object {
  return { ...spec, environment: environment.map(({ name }) => name) };
}

/** Throws `aborted` (WORKLOAD_CHANGED) when what is there is not what the caller saw. */
function requireExpected(expected: string, known: DesiredWorkload | undefined): void {
  if (expected === "" || (known !== undefined && specFingerprint(known.spec) === expected)) return;
  const message = "the workload is not as it was when it was looked at; look again";
  throw new WeftError("aborted", message, { detail: "WORKLOAD_CHANGED", retry: "never" });
}

async function approveWorkload(deps: ServiceDeps, request: ApproveWorkloadRequest, context: HandlerContext) {
  const actor = callerOf(context).spiffe;
  const { sql, seal } = deps;
  const { id: clusterId } = await requireCluster(sql, request.clusterId);
  const node = await requireNode(sql, seal, clusterId, request.nodeId);
  const place = { clusterId, nodeId: node.id, name: request.name };
  const known = await sql.tx((tx) => lockWorkload(tx, seal, place));
  if (known === undefined) throw workloadNotFound();
  const after = { name: known.name, nodeId: node.id, fingerprint: request.fingerprint };
  const entry = { actor, action: "workload.privileges-approved", object: `workload/${known.id}`, clusterId, after };
  return await recordingRefusal(deps, entry, async () => {
    await sql.tx(async (tx) => {
      const row = await lockWorkload(tx, seal, place);
      if (row === undefined) throw workloadNotFound();
      if (!row.spec.hostPrivileges) {
        const message = "this workload asks for no host privileges; there is nothing to approve";
        throw new WeftError("failed_precondition", message, { detail: "PRIVILEGES_NOT_ASKED" });
      }
      if (specFingerprint(row.spec) !== request.fingerprint) {
        const message = "the fingerprint is not that of the workload as it is now; look at it again";
        throw new WeftError("failed_precondition", message, { detail: "FINGERPRINT_DIFFERS" });
      }
      const approval = { privilegesFingerprint: request.fingerprint, privilegesBy: actor };
      await putWorkload(tx, seal, { ...row, ...approval });
      await bumpSnapshot(tx, deps.hints, clusterId);
      await appendAudit(tx, entry);
    });
    return { workload: await shown(deps, clusterId, node, known.id) };
  });
}

async function removeWorkload(deps: ServiceDeps, request: RemoveWorkloadRequest, context: HandlerContext) {
  const actor = callerOf(context).spiffe;
  const { sql, seal } = deps;
  const { id: clusterId } = await requireCluster(sql, request.clusterId);
  const node = await requireNode(sql, seal, clusterId, request.nodeId);
  const place = { clusterId, nodeId: node.id, name: request.name };
  await sql.tx(async (tx) => {
    const row = await lockWorkload(tx, seal, place);
    if (row === undefined || !(await deleteWorkload(tx, row.id))) throw workloadNotFound();
    await forgetWorkload(tx, clusterId, row.id);
    await bumpSnapshot(tx, deps.hints, clusterId);
    const before = { ...audited(row.spec), name: row.name, nodeId: node.id, running: row.running };
    await appendAudit(tx, { actor, action: "workload.removed", object: `workload/${row.id}`, clusterId, before });
  });
  return {};
}

async function listWorkloads(deps: ServiceDeps, request: ListWorkloadsRequest) {
  const { sql, seal } = deps;
  const { id: clusterId } = await requireCluster(sql, request.clusterId);
  const only = request.nodeId === "" ? undefined : await requireNode(sql, seal, clusterId, request.nodeId);
  const names = only === undefined ? await nodeNames(sql, clusterId) : new Map([[only.id, only.name]]);
  const isAsked = ({ name }: { readonly name: string }): boolean => request.name === "" || name === request.name;
  const wishes =
    only === undefined
      ? listDesiredWorkloads(sql, seal, clusterId)
      : workloadsOfNode(sql, seal, { clusterId, nodeId: only.id });
  const desired = (await wishes).filter(isAsked);
  const reports = (await listClusterWorkloads(sql, clusterId, only?.id)).filter(isAsked);
  const keyOf = (row: { readonly nodeId: string; readonly name: string }): string => `${row.nodeId} ${row.name}`;
  const reported = new Map(reports.map((row) => [keyOf(row), row]));
  const wanted = new Set(desired.map(keyOf));
  const nodeName = (nodeId: string): string => names.get(nodeId) ?? "";
  const rows = [
    ...desired.map((row) => desiredMessage(row, nodeName(row.nodeId), reported.get(keyOf(row)))),
    // What nobody asked for by name: the roles that nodes run. What was removed is about to stop being reported.
    ...reports
      .filter((row) => !wanted.has(keyOf(row)) && row.kind === "builtin")
      .map((row) => ({
        clusterId,
        nodeId: row.nodeId,
        nodeName: nodeName(row.nodeId),
        name: row.name,
        spec: { kind: WorkloadKind.BUILTIN },
        running: true,
        reported: reportedMessage(row),
      })),
  ];
  rows.sort((a, b) => (`${a.nodeName} ${a.name}` < `${b.nodeName} ${b.name}` ? -1 : 1));
  return { workloads: rows };
}

async function shown(deps: ServiceDeps, clusterId: string, node: NodeRow, id: string) {
  const row = (await workloadsOfNode(deps.sql, deps.seal, { clusterId, nodeId: node.id })).find(
    (each) => each.id === id,
  );
  if (row === undefined) throw workloadNotFound();
  const reports = await listClusterWorkloads(deps.sql, clusterId, node.id);
  const report = reports.find((each) => each.name === row.name);
  return desiredMessage(row, node.name, report);
}

function desiredMessage(row: DesiredWorkload, nodeName: string, report: ReportedWorkload | undefined) {
  const { id, clusterId, nodeId, name, running, spec, changedBy } = row;
  return {
    ...{ id, clusterId, nodeId, nodeName, name, running, changedBy },
    spec: specMessage(spec),
    fingerprint: specFingerprint(spec),
    privilegesApprovedBy: privilegesApproved(row) ? row.privilegesBy : "",
    changedAtMs: BigInt(row.changedAtMs),
    ...(report === undefined ? {} : { reported: reportedMessage(report) }),
  };
}

function reportedMessage({ state, reason, version, restarts, fingerprint, reportedAtMs }: ReportedWorkload) {
  return {
    ...{ reason, version, fingerprint },
    state: workloadStates.value(state),
    restarts: BigInt(restarts),
    reportedAtMs: BigInt(reportedAtMs),
  };
}
