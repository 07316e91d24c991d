/** M-A7 workloads at control, on both stores: set, approved, reported, removed; and what an altered row starts: nothing. */

import { fromBinary } from "@bufbuild/protobuf";
import { beforeAll, describe, expect, it } from "vitest";
import { changeMembership } from "../../control/domain/node-changes.ts";
import { watchNodes } from "../../control/jobs/node-watch.ts";
import { controlService } from "../../control/services/control.ts";
import { workloadService } from "../../control/services/workload.ts";
import { listAlerts, openAlert } from "../../control/store/alerts.ts";
import { listAudit } from "../../control/store/audit.ts";
import { WorkloadService } from "../../gen/weft/admin/v1/workload_pb.ts";
import { ControlService, WorkloadState } from "../../gen/weft/control/v1/control_pb.ts";
import { SnapshotSchema } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { WorkloadKind } from "../../gen/weft/fabric/v1/workload_pb.ts";
import { limits } from "../../lib/limits.ts";
import { rpcClient } from "../../rpc/client.ts";
import { type AddedNode, addNode, type ControlCluster, callAs, controlCluster } from "../harness/control-cluster.ts";
import { serviceDeps } from "../harness/placed.ts";
import { describeStores } from "./stores.ts";

describeStores("workloads", (store) => {
  let cluster: ControlCluster;
  let web: AddedNode;
  let other: AddedNode;

  beforeAll(async () => {
    cluster = await controlCluster(await store.migrated());
    web = await addNode(cluster, "web-1", { roles: ["egress"] });
    other = await addNode(cluster, "other-1");
  });

  const spec = { kind: WorkloadKind.NATIVE, command: "/opt/app/server", version: "1" };
  const at = (name = "app") => ({ clusterId: cluster.clusterId, nodeId: web.id, name });
  const admin = () =>
    rpcClient(
      WorkloadService,
      callAs(cluster.operator, (router) => router.service(WorkloadService, workloadService(serviceDeps(cluster)))),
    );
  const report = (node: AddedNode, ...workloads: { name: string; state: WorkloadState; kind?: WorkloadKind }[]) => {
    const deps = serviceDeps(cluster);
    const service = controlService({ ...deps, ...cluster, hold: deps.allowlist.hold });
    const transport = callAs(node.caller, (router) => router.service(ControlService, service));
    return rpcClient(ControlService, transport).reportWorkloads({ workloads });
  };
  const snapshotOf = async (node: AddedNode) =>
    fromBinary(SnapshotSchema, (await cluster.snapshots.build(cluster.clusterId, node.id)).envelope.payload);
  const lastRecord = async () => (await listAudit(cluster.ctx.sql, { clusterId: "", afterSeq: 0, limit: 1 }))[0];
  const alerts = async () => listAlerts(cluster.ctx.sql, cluster.clusterId, { all: false, limit: 10 });

  it("travel to their own node and to nobody else, and every change is recorded without values", async () => {
    const environment = [{ name: "APP_COLOR", value: "unlikely-blue" }];
    const { workload } = await admin().setWorkload({ ...at(), spec: { ...spec, environment } });
    expect(workload).toMatchObject({ nodeName: "web-1", running: true, privilegesApprovedBy: "" });
    expect(workload?.reported).toBeUndefined();
    const record = await lastRecord();
    expect(record).toMatchObject({ action: "workload.set", object: `workload/${workload?.id}`, result: "ok" });
    expect(record?.afterJson).toContain("APP_COLOR");
    expect(record?.afterJson).not.toContain("unlikely-blue");
    const [sent] = (await snapshotOf(web)).workloads;
    expect(sent).toMatchObject({
      name: "app",
      running: true,
      fingerprint: workload?.fingerprint,
      privilegesApproved: false,
    });
    expect(sent?.spec).toMatchObject({ command: "/opt/app/server", version: "1" });
    expect((await snapshotOf(other)).workloads).toEqual([]);

    const again = await admin().setWorkload({ ...at(), spec: { ...spec, version: "2" }, stopped: true });
    expect(again.workload).toMatchObject({ id: workload?.id, running: false });
    expect(again.workload?.fingerprint).not.toBe(workload?.fingerprint);
    expect((await snapshotOf(web)).workloads).toMatchObject([{ running: false, spec: { version: "2" } }]);
  });

  it("are not changed under the eyes of who looked at another definition", async () => {
    const stale = admin().setWorkload({ ...at(), spec, expectedFingerprint: "0".repeat(64) });
    await expect(stale).rejects.toMatchObject({ reason: "aborted", detail: "WORKLOAD_CHANGED" });
    const unknown = admin().setWorkload({ ...at("new"), spec, expectedFingerprint: "0".repeat(64) });
    await expect(unknown).rejects.toMatchObject({ detail: "WORKLOAD_CHANGED" });
  });

  it("host privileges are approved for exactly one definition, on record, and gone with any change of it", async () => {
    const asked = { ...spec, hostPrivileges: true };
    const { workload } = await admin().setWorkload({ ...at("root"), spec: asked });
    const approved = async () =>
      (await snapshotOf(web)).workloads.find(({ name }) => name === "root")?.privilegesApproved;
    expect(await approved()).toBe(false);
    const wrong = admin().approveWorkload({ ...at("root"), fingerprint: "0".repeat(64) });
    await expect(wrong).rejects.toMatchObject({ detail: "FINGERPRINT_DIFFERS" });
    expect(await lastRecord()).toMatchObject({
      action: "workload.privileges-approved",
      result: "refused:FINGERPRINT_DIFFERS",
    });
    const fingerprint = workload?.fingerprint ?? "";
    await expect(admin().approveWorkload({ ...at(), fingerprint })).rejects.toMatchObject({
      detail: "PRIVILEGES_NOT_ASKED",
    });
    const done = await admin().approveWorkload({ ...at("root"), fingerprint });
    expect(done.workload?.privilegesApprovedBy).toBe(cluster.operator.spiffe);
    expect(await lastRecord()).toMatchObject({ action: "workload.privileges-approved", result: "ok" });
    expect(await approved()).toBe(true);
    // The same definition, stopped and started, keeps it; another one does not, nor does the old one when it comes back.
    await admin().setWorkload({ ...at("root"), spec: asked, stopped: true });
    expect(await approved()).toBe(true);
    await admin().setWorkload({ ...at("root"), spec: { ...asked, args: ["-v"] } });
    expect(await approved()).toBe(false);
    await admin().setWorkload({ ...at("root"), spec: asked });
    expect(await approved()).toBe(false);
    await admin().removeWorkload(at("root"));
  });

  it("are listed with what nodes report, roles among them; what is stuck is an alert until it is not", async () => {
    const { NATIVE, BUILTIN } = WorkloadKind;
    await report(
      web,
      { name: "egress", state: WorkloadState.RUNNING, kind: BUILTIN },
      { name: "app", state: WorkloadState.DEGRADED, kind: NATIVE },
      { name: "unasked", state: WorkloadState.FAILED, kind: NATIVE },
    );
    const { workloads } = await admin().listWorkloads({ clusterId: cluster.clusterId });
    expect(workloads.map(({ name, reported }) => [name, reported?.state])).toEqual([
      ["app", WorkloadState.DEGRADED],
      ["egress", WorkloadState.RUNNING],
    ]);
    const id = workloads[0]?.id ?? "";
    expect(await alerts()).toMatchObject([{ kind: "workload-not-running", object: `workload/${id}` }]);
    await report(web, { name: "app", state: WorkloadState.RUNNING, kind: NATIVE });
    expect(await alerts()).toEqual([]);
    await report(web, { name: "app", state: WorkloadState.FAILED, kind: NATIVE });
    expect(await alerts()).toHaveLength(1);
    await admin().removeWorkload(at());
    expect(await alerts()).toEqual([]);
    expect(await lastRecord()).toMatchObject({ action: "workload.removed", object: `workload/${id}` });
    expect((await snapshotOf(web)).workloads).toEqual([]);
    await expect(admin().removeWorkload(at())).rejects.toMatchObject({ detail: "WORKLOAD_NOT_FOUND" });
  });

  it("of a disabled member are asked of nobody, and nothing about them is left to look at", async () => {
    await admin().setWorkload({ ...at(), spec });
    await report(web, { name: "app", state: WorkloadState.FAILED, kind: WorkloadKind.NATIVE });
    await watchNodes(cluster.ctx, cluster.clusterId);
    const stuck = async () => (await alerts()).filter(({ kind }) => kind === "workload-not-running").length;
    expect(await stuck()).toBe(1);
    const change = { clusterId: cluster.clusterId, node: web.id, actor: "test" };
    await changeMembership(cluster.ctx, { ...change, status: "disabled" });
    expect((await snapshotOf(web)).workloads).toEqual([]);
    await watchNodes(cluster.ctx, cluster.clusterId);
    expect(await stuck()).toBe(0);
    await expect(admin().setWorkload({ ...at("late"), spec })).rejects.toMatchObject({ detail: "MEMBERSHIP_DISABLED" });
    await changeMembership(cluster.ctx, { ...change, status: "active" });
    expect((await snapshotOf(web)).workloads).toHaveLength(1);
  });

  it("are at most so many for a node", async () => {
    const names = Array.from({ length: limits.workloadsPerNodeMaxCount }, (_, n) => `w-${n}`);
    const place = (name: string) => ({ clusterId: cluster.clusterId, nodeId: other.id, name });
    for (const name of names) await admin().setWorkload({ ...place(name), spec });
    await expect(admin().setWorkload({ ...place("more"), spec })).rejects.toMatchObject({ detail: "WORKLOADS_MAX" });
    await admin().setWorkload({ ...place("w-0"), spec: { ...spec, version: "2" } });
    for (const name of names) await admin().removeWorkload(place(name));
  });

  describe("altered behind control's back", () => {
    const alterations = [
      ["a command", `set spec = jsonb_set(spec, '{command}', '"/bin/sh"')`],
      ["a user", `set spec = jsonb_set(spec, '{runAs}', '"root"')`],
      ["an approval", `set privileges_fingerprint = 'x', privileges_by = 'somebody'`],
      ["its node", `set node_id = (select id from node where name = 'other-1')`],
      ["its name", `set name = 'cache'`],
      ["being wished for", `set running = false`],
      ["who set it", `set changed_by = 'somebody'`],
    ] as const;

    it.each(alterations)("LAW-C6 %s: no snapshot is signed from it, loudly", async (_what, change) => {
      const { sql } = cluster.ctx;
      await admin().setWorkload({ ...at(), spec });
      const version = (await snapshotOf(web)).version;
      await sql.query(`update workload ${change}`);
      await sql.query("update cluster set snapshot_version = snapshot_version + 1");
      const unauthentic = { reason: "data_loss", detail: "TRUST_ROW_UNAUTHENTIC" };
      await expect(snapshotOf(web)).rejects.toMatchObject(unauthentic);
      await expect(snapshotOf(other)).rejects.toMatchObject(unauthentic);
      await expect(admin().listWorkloads({ clusterId: cluster.clusterId })).rejects.toMatchObject(unauthentic);
      await sql.query("delete from workload");
      expect((await snapshotOf(web)).version).toBeGreaterThan(version);
    });

    it("LAW-C6 a row that somebody wrote himself is no workload", async () => {
      const { sql } = cluster.ctx;
      await admin().setWorkload({ ...at(), spec });
      await sql.query(
        `insert into workload (id, cluster_id, node_id, name, running, spec, changed_by, mac)
         select 'wl-forged', cluster_id, node_id, 'forged', running, spec, changed_by, mac from workload limit 1`,
      );
      await sql.query("update cluster set snapshot_version = snapshot_version + 1");
      await expect(snapshotOf(web)).rejects.toMatchObject({ detail: "TRUST_ROW_UNAUTHENTIC" });
      await sql.query("delete from workload");
    });
  });

  it("that are gone while their node reports leave no alert", async () => {
    const { clusterId, ctx } = cluster;
    await openAlert(ctx.sql, { clusterId, kind: "workload-not-running", object: "workload/wl-gone", detail: "" });
    await watchNodes(ctx, clusterId);
    expect((await alerts()).filter(({ kind }) => kind === "workload-not-running")).toEqual([]);
  });

  it("a report of an unknown state or kind is refused or taken for a role", async () => {
    await expect(report(web, { name: "x", state: 99 as WorkloadState })).rejects.toMatchObject({
      reason: "invalid_argument",
    });
    await report(web, { name: "egress", state: WorkloadState.RUNNING, kind: 77 as WorkloadKind });
    const { workloads } = await admin().listWorkloads({ clusterId: cluster.clusterId, nodeId: "web-1" });
    expect(workloads).toMatchObject([{ id: "", name: "egress", spec: { kind: WorkloadKind.BUILTIN } }]);
  });
});
