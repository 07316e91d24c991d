/** Offline policies through their service; what nodes show of snapshots through control's. Run by policy.test.ts. */

import { createHash } from "node:crypto";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { sweepSnapshotEvidence } from "../../control/domain/snapshot-evidence.ts";
import { controlService } from "../../control/services/control.ts";
import { policyService } from "../../control/services/policy.ts";
import { openAlertsOf } from "../../control/store/alerts.ts";
import { listAudit } from "../../control/store/audit.ts";
import { scopeSnapshot } from "../../fabric/snapshot/scope.ts";
import { signSnapshotPayload } from "../../fabric/snapshot/sign.ts";
import { PolicyService } from "../../gen/weft/admin/v1/policy_pb.ts";
import { ControlService } from "../../gen/weft/control/v1/control_pb.ts";
import { OfflineMode } from "../../gen/weft/fabric/v1/role_pb.ts";
import { SnapshotSchema } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { limits } from "../../lib/limits.ts";
import { rpcClient } from "../../rpc/client.ts";
import { type AddedNode, type ControlCluster, callAs } from "../harness/control-cluster.ts";
import { placement, serviceDeps } from "../harness/placed.ts";

/** What the file around has placed: an organization with a resource behind a relay, and another organization. */
export interface OfflineStage {
  readonly cluster: ControlCluster;
  readonly orgX: string;
  readonly orgY: string;
  readonly entry: AddedNode;
  readonly relay: AddedNode;
  readonly desk: string;
}

const { CONTINUE, CONTINUE_FOR, EXISTING_ONLY, FAIL_CLOSED } = OfflineMode;

/** What the tests of policies do again and again. */
function policyStage(stage: () => OfflineStage) {
  const at = () => ({ clusterId: stage().cluster.clusterId });
  const lastRecord = async () =>
    (await listAudit(stage().cluster.ctx.sql, { clusterId: "", afterSeq: 0, limit: 1 }))[0];
  const policies = () => {
    const { cluster } = stage();
    const transport = callAs(cluster.operator, (router) =>
      router.service(PolicyService, policyService(serviceDeps(cluster))),
    );
    return rpcClient(PolicyService, transport);
  };
  const shownTo = async ({ id }: AddedNode) => {
    const { cluster } = stage();
    const { envelope } = await cluster.snapshots.build(cluster.clusterId, id);
    return fromBinary(SnapshotSchema, envelope.payload);
  };
  const removeAll = async () => {
    const client = policies();
    for (const { id } of (await client.listOfflinePolicies(at())).rules)
      await client.removeOfflinePolicy({ ...at(), ruleId: id });
  };
  return { at, lastRecord, policies, shownTo, removeAll };
}

export function offlinePolicyTests(stage: () => OfflineStage): void {
  const { at, lastRecord, policies, shownTo, removeAll } = policyStage(stage);

  it("M-A12 are set once per place, the most specific counts, and each node is told what it needs", async () => {
    const { orgX, orgY, entry, relay, desk } = stage();
    const client = policies();
    expect((await client.getOfflinePolicy(at())).rule).toBeUndefined();
    const { rule: whole } = await client.setOfflinePolicy({ ...at(), policy: { mode: FAIL_CLOSED, graceMs: 30_000n } });
    expect(whole).toMatchObject({ organizationId: "", resourceId: "", policy: { mode: FAIL_CLOSED } });
    const { rule: again } = await client.setOfflinePolicy({ ...at(), policy: { mode: FAIL_CLOSED } });
    expect(again).toMatchObject({ id: whole?.id, policy: { graceMs: 0n } });
    await client.setOfflinePolicy({ ...at(), organizationId: "org-x", policy: { mode: EXISTING_ONLY } });
    const forMs = 3_600_000n;
    const own = { mode: CONTINUE_FOR, continueForMs: forMs };
    const { rule } = await client.setOfflinePolicy({ ...at(), resourceId: "desk", policy: own });
    expect(rule).toMatchObject({ organizationId: orgX, resourceId: desk });
    const object = `offline-policy/${rule?.id}`;
    expect(await lastRecord()).toMatchObject({ action: "offline-policy.set", object, organizationId: orgX });
    const resource = await client.getOfflinePolicy({ ...at(), resourceId: desk });
    expect(resource).toMatchObject({ rule: { id: rule?.id }, paths: { newForMs: forMs, existingForMs: forMs } });
    expect(await client.getOfflinePolicy({ ...at(), organizationId: orgY })).toMatchObject({
      rule: { id: whole?.id },
      paths: { newForMs: BigInt(limits.failClosedAfterMs), existingForMs: BigInt(limits.failClosedAfterMs) },
    });
    const paths = [{ organizationId: orgX, newForMs: forMs, existingForMs: forMs }];
    const entryRows = { pathOffline: paths, resourceOffline: [{ resourceId: desk, policy: own }] };
    expect(await shownTo(entry)).toMatchObject({ offline: { mode: FAIL_CLOSED }, ...entryRows });
    expect(await shownTo(relay)).toMatchObject({ pathOffline: paths, resourceOffline: [] });
    await client.removeOfflinePolicy({ ...at(), ruleId: rule?.id ?? "" });
    expect((await shownTo(relay)).pathOffline).toMatchObject([{ organizationId: orgX, existingForMs: -1n }]);
    await removeAll();
    expect(await shownTo(relay)).toMatchObject({ offline: { mode: CONTINUE_FOR }, pathOffline: [] });
    await expect(client.removeOfflinePolicy({ ...at(), ruleId: rule?.id ?? "" })).rejects.toMatchObject({
      detail: "OFFLINE_POLICY_NOT_FOUND",
    });
  });

  it("LAW-C3 are set for a resource in its own organization only, and leave with it", async () => {
    const { cluster, orgY, desk } = stage();
    const client = policies();
    const wish = { ...at(), resourceId: "desk", policy: { mode: CONTINUE } };
    await expect(client.setOfflinePolicy({ ...wish, organizationId: orgY })).rejects.toMatchObject({
      reason: "not_found",
    });
    const { resources } = placement(cluster);
    const { resources: all } = await resources.listResources(at());
    const poolId = all.find(({ id }) => id === desk)?.poolId ?? "";
    const fields = { name: "gone-soon", organizationId: stage().orgX, poolId, host: "127.0.0.1", port: 1 };
    const { resource } = await resources.addResource({ ...at(), ...fields });
    await client.setOfflinePolicy({ ...wish, resourceId: "gone-soon" });
    await resources.removeResource({ ...at(), resourceId: resource?.id ?? "" });
    expect((await client.listOfflinePolicies(at())).rules).toEqual([]);
  });
}

/** What is refused. */
export function offlinePolicyRefusals(stage: () => OfflineStage): void {
  const { at, policies, removeAll } = policyStage(stage);

  it("name every problem, and change nothing", async () => {
    const wrong = policies().setOfflinePolicy({ ...at(), policy: { continueForMs: 1n, graceMs: 1n } });
    await expect(wrong).rejects.toMatchObject({
      reason: "invalid_argument",
      message: expect.stringMatching(/mode: .*; continue_for_ms: .*; grace_ms: .*; continue_for_ms: .*; grace_ms: /),
    });
    const short = { mode: FAIL_CLOSED, graceMs: BigInt(limits.offlineBoundMinMs - 1) };
    const long = { mode: CONTINUE_FOR, continueForMs: BigInt(limits.continueForMaxMs + 1) };
    for (const policy of [short, long])
      await expect(policies().setOfflinePolicy({ ...at(), policy })).rejects.toMatchObject({ detail: "INVALID_FIELD" });
    expect((await policies().listOfflinePolicies(at())).rules).toEqual([]);
  });

  it("altered behind control's back stop snapshots, loudly", async () => {
    const { sql } = stage().cluster.ctx;
    const client = policies();
    const { rule } = await client.setOfflinePolicy({ ...at(), policy: { mode: FAIL_CLOSED } });
    const unauthentic = { reason: "data_loss", detail: "TRUST_ROW_UNAUTHENTIC" };
    await sql.query("update offline_policy set mode = 'continue' where id = $1", [rule?.id ?? ""]);
    await expect(client.listOfflinePolicies(at())).rejects.toMatchObject(unauthentic);
    await expect(client.getOfflinePolicy(at())).rejects.toMatchObject(unauthentic);
    await sql.query("update offline_policy set mode = 'fail-closed' where id = $1", [rule?.id ?? ""]);
    await removeAll();
  });
}

/** What the tests of evidence do again and again. */
function evidenceStage(stage: () => OfflineStage) {
  const as = (node: AddedNode) => {
    const { cluster } = stage();
    const deps = serviceDeps(cluster);
    const service = controlService({ ...deps, ...cluster, hold: deps.allowlist.hold });
    return rpcClient(
      ControlService,
      callAs(node.caller, (router) => router.service(ControlService, service)),
    );
  };
  const open = async (kind: "snapshot-forked" | "node-rolled-back") => {
    const { ctx, clusterId } = stage().cluster;
    return (await openAlertsOf(ctx.sql, clusterId, [kind])).map(({ object }) => object);
  };

  /** The snapshot of a node, and another one of the same version by the same key. */
  async function forked(node: AddedNode) {
    const { cluster } = stage();
    const { clusterId } = cluster;
    const { envelope } = await cluster.snapshots.build(clusterId, node.id);
    const { view, changedAtMs } = await cluster.snapshots.view(clusterId);
    const dates = { issuedAtMs: changedAtMs, notAfterMs: changedAtMs + 1_000 };
    const payload = toBinary(SnapshotSchema, scopeSnapshot(view, node.id, dates));
    const { keyId, privateKey, signed } = await cluster.authority.signingKey(clusterId, "snapshot");
    const signer = { keyId, privateKey, statement: signed };
    return { envelope, other: signSnapshotPayload(signer, { clusterId, nodeId: node.id }, payload), keyId };
  }
  return { as, open, forked };
}

/** THR-S1 and SV4 at control: contents that contradict each other. */
export function snapshotForkTests(stage: () => OfflineStage): void {
  const { as, open, forked } = evidenceStage(stage);

  it("THR-S1 two contents of one version are an alert about the key, and only where the evidence proves itself", async () => {
    const { entry, relay, cluster } = stage();
    const { sql } = cluster.ctx;
    const { envelope, other, keyId } = await forked(entry);
    const hash = (bytes: Uint8Array) => new Uint8Array(createHash("sha256").update(bytes).digest());
    const held = { heldPayloadHash: hash(envelope.payload) };
    // Another node's, an altered one, one that contradicts nothing: none of them says anything.
    const altered = { ...other, payload: other.payload.with(other.payload.length - 1, 0xff) };
    const wrong = [
      as(relay).reportSnapshotFork({ refused: other, ...held }),
      as(entry).reportSnapshotFork({ refused: altered, ...held }),
      as(entry).reportSnapshotFork({ refused: envelope, ...held }),
      as(entry).reportSnapshotFork(held),
    ].map((each) => each.catch((thrown: unknown) => (thrown as { reason: string }).reason));
    expect(await Promise.all(wrong)).toEqual([
      ...["unauthenticated", "unauthenticated", "invalid_argument", "invalid_argument"],
    ]);
    expect(await open("snapshot-forked")).toEqual([]);
    await as(entry).reportSnapshotFork({ refused: other, ...held });
    await as(entry).reportSnapshotFork({ refused: other, ...held });
    expect(await open("snapshot-forked")).toEqual([`signing-key/${keyId}`]);
    const [before, record] = await listAudit(sql, { clusterId: "", afterSeq: 0, limit: 2 });
    expect(record).toMatchObject({ action: "snapshot.forked", object: `signing-key/${keyId}` });
    expect(record?.afterJson).toContain("the one it keeps is this control's");
    expect(before?.action).not.toBe("snapshot.forked");
    // It stays until the key signs no more.
    await sweepSnapshotEvidence(sql);
    expect(await open("snapshot-forked")).toHaveLength(1);
    await sql.query("update signing_key set status = 'old' where key_id = $1", [keyId]);
    await sweepSnapshotEvidence(sql);
    expect(await open("snapshot-forked")).toEqual([]);
    await sql.query("update signing_key set status = 'active' where key_id = $1", [keyId]);
  });
}

/** THR-S1 at control: a node that holds less than it said. */
export function rolledBackTests(stage: () => OfflineStage): void {
  const { as, open } = evidenceStage(stage);

  it("THR-S1 a node that comes back with less than it had is told of: its disk was put back", async () => {
    const { entry, cluster } = stage();
    const { sql } = cluster.ctx;
    const place = await cluster.snapshots.position(cluster.clusterId);
    await sql.query(
      `insert into beat_latest (node_id, cluster_id, boot_id, seq, sent_at_ms, received_at_ms, load, draining, skew_ms,
         snapshot_epoch, snapshot_version, feed_epoch, feed_seq, capabilities, version, operator_address, audit_seq, listeners)
       values ($1, $2, 'boot', 1, 1, now_ms(), 0, false, 0, $3, $4, 1, 1, '{}', '1', '', 0, '[]')
       on conflict (node_id) do update set snapshot_epoch = excluded.snapshot_epoch,
         snapshot_version = excluded.snapshot_version`,
      [entry.id, cluster.clusterId, place.epoch, place.version],
    );
    const watch = async (epoch: number, version: number): Promise<void> => {
      const leaving = new AbortController();
      const stream = as(entry).watchSnapshot(
        { epoch: BigInt(epoch), version: BigInt(version) },
        { signal: leaving.signal },
      );
      for await (const _first of stream) leaving.abort();
    };
    const ended = () => undefined;
    await watch(place.epoch, place.version).catch(ended);
    await watch(0, 0).catch(ended);
    expect(await open("node-rolled-back")).toEqual([]);
    await watch(place.epoch, place.version - 1).catch(ended);
    expect(await open("node-rolled-back")).toEqual([`node/${entry.id}`]);
    const [record] = await listAudit(sql, { clusterId: "", afterSeq: 0, limit: 1 });
    expect(record).toMatchObject({ action: "node.rolled-back", object: `node/${entry.id}` });
    await sweepSnapshotEvidence(sql);
    expect(await open("node-rolled-back")).toHaveLength(1);
    await sql.query("update alert set opened_at_ms = 0 where kind = 'node-rolled-back'");
    await sweepSnapshotEvidence(sql);
    expect(await open("node-rolled-back")).toEqual([]);
  });
}
