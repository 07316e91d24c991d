/** Snapshots and feeds built from a real store by two replicas on one PostgreSQL: what is in them, when they change. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { changeMembership, grantRole, revokeNode, withdrawRole } from "../../control/domain/node-changes.ts";
import { refreshMeasurements, sweep } from "../../control/domain/upkeep.ts";
import { recordSamples } from "../../control/store/links.ts";
import { bumpSnapshot, keepPayloads, refreshAgedSnapshots } from "../../control/store/snapshots.ts";
import { indexRevocations, isRevoked, verifyFeed } from "../../fabric/feed.ts";
import { verifySnapshot } from "../../fabric/snapshot/verify.ts";
import type { Snapshot } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import {
  type AddedNode,
  addNode,
  addOrganization,
  type ControlCluster,
  openCluster,
} from "../harness/control-cluster.ts";
import { addListener, addResource, createPool } from "../harness/placed.ts";
import { startTwoReplicas, type TwoReplicas } from "../harness/two-replicas.ts";

let stage: TwoReplicas;
let cluster: ControlCluster;
let replica: ControlCluster;
let orgX: string;
let orgY: string;
let entry: AddedNode;
let entryY: AddedNode;
let relay: AddedNode;
let egress: AddedNode;

beforeAll(async () => {
  stage = await startTwoReplicas();
  ({ cluster, replica, orgX, orgY, entryX: entry, entryY, relay, egress } = stage);
});
afterAll(() => stage.stop());

async function snapshotOf(node: AddedNode, at: ControlCluster = cluster): Promise<Snapshot> {
  const { envelope } = await at.snapshots.build(cluster.clusterId, node.id);
  const { installationSpki, clusterId } = cluster;
  return verifySnapshot(envelope, { installationSpki, clusterId, nodeId: node.id, nowMs: Date.now() });
}

/** Runs a change and returns by how much the version grew. */
async function growth(change: () => Promise<unknown>): Promise<number> {
  const before = (await cluster.snapshots.position(cluster.clusterId)).version;
  await change();
  return (await cluster.snapshots.position(cluster.clusterId)).version - before;
}

describe("one version, one content", () => {
  it("two replicas building at once send the same bytes to a node, also after the audit log has moved on", async () => {
    await growth(() =>
      grantRole(cluster.ctx, {
        clusterId: cluster.clusterId,
        node: relay.id,
        actor: "t",
        role: "storage",
        organizationId: "",
      }),
    );
    const both = await Promise.all([cluster, replica].map((at) => at.snapshots.build(cluster.clusterId, entry.id)));
    await addOrganization(cluster, "org-unseen");
    await cluster.ctx.sql.query("update audit_head set seq = seq");
    const later = await openCluster(cluster.ctx, cluster.clusterId, "op");
    const third = await later.snapshots.build(cluster.clusterId, entry.id);
    const payloads = [...both, third].map(({ envelope }) => Buffer.from(envelope.payload).toString("hex"));
    expect(new Set(payloads).size).toBe(1);
    expect(new Set([...both, third].map(({ version }) => version)).size).toBe(1);
  });

  it("a replica that read the audit head later keeps to the first payload of a version", async () => {
    await growth(() =>
      cluster.ctx.sql.tx((tx) => tx.query("update cluster set snapshot_version = snapshot_version + 1")),
    );
    const first = await snapshotOf(relay);
    await cluster.ctx.sql.query("update audit_head set seq = seq + 1000");
    const second = await snapshotOf(relay, await openCluster(replica.ctx, cluster.clusterId, "op"));
    await cluster.ctx.sql.query("update audit_head set seq = seq - 1000");
    expect(second.auditHead?.seq).toBe(first.auditHead?.seq);
    expect(second.version).toBe(first.version);
  });

  it("a replica that makes something else of a version sends nothing for it, and makes another version, once", async () => {
    const { ctx, clusterId } = cluster;
    const before = await snapshotOf(entry);
    // Published without a version of its own: only somebody who edits the database does that.
    const edit = "insert into published_node (node_id, cluster_id, load, health) values ($1, $2, $3, 'online')";
    await ctx.sql.query(`${edit} on conflict (node_id) do update set load = $3`, [relay.id, clusterId, 0.625]);
    const other = await openCluster(replica.ctx, clusterId, "op");
    const refused = () => other.snapshots.build(clusterId, entry.id);
    await expect(refused()).rejects.toMatchObject({ reason: "unavailable", detail: "SNAPSHOT_DISAGREED" });
    const after = await snapshotOf(entry, other);
    expect(after.version).toBe(before.version + 1n);
    expect(after.graph?.nodes.find(({ nodeId }) => nodeId === relay.id)?.load).toBe(0.625);
    expect(await snapshotOf(entry)).toEqual(after);
    await ctx.sql.query("delete from published_node where node_id = $1", [relay.id]);
    await ctx.sql.tx((tx) => bumpSnapshot(tx, ctx.hints, clusterId));
  });

  it("a node that asks twice at once gets the same payload twice, in the statement of everybody else", async () => {
    const { clusterId, ctx } = cluster;
    const auditHead = { seq: 1, hash: new Uint8Array(32) };
    const payload = (nodeId: string, text: string) => ({
      key: { clusterId, nodeId, epoch: 1, version: 0 },
      payloadHash: new TextEncoder().encode(text),
      auditHead,
    });
    const asked = [payload(relay.id, "first"), payload(relay.id, "second"), payload(entry.id, "other")];
    const kept = await keepPayloads(ctx.sql, ctx.seal, asked);
    expect(kept.map(({ payloadHash }) => new TextDecoder().decode(payloadHash))).toEqual(["first", "first", "other"]);
  });
});

describe("what nodes see", () => {
  it("changes version with everything an operator changes, once each", async () => {
    const at = { clusterId: cluster.clusterId, actor: "t" };
    const role = { ...at, node: relay.id, role: "entry", organizationId: orgY };
    expect(await growth(() => grantRole(cluster.ctx, role))).toBe(1);
    expect(await growth(() => withdrawRole(cluster.ctx, role))).toBe(1);
    expect(await growth(() => changeMembership(cluster.ctx, { ...at, node: relay.id, status: "disabled" }))).toBe(1);
    expect(await growth(() => changeMembership(cluster.ctx, { ...at, node: relay.id, status: "active" }))).toBe(1);
    let poolId = "";
    let resourceId = "";
    const placePool = async () => {
      poolId = await createPool(cluster, orgX, "pool-x", [egress.id]);
    };
    const placeResource = async () => {
      resourceId = await addResource(cluster, orgX, "web", poolId);
    };
    expect(await growth(placePool)).toBe(2);
    expect(await growth(placeResource)).toBe(1);
    expect(
      await growth(() =>
        addListener(cluster, { organizationId: orgX, name: "web", resourceId, entryNodeId: entry.id }),
      ),
    ).toBe(1);
  });

  it("LAW-C3 a role for organization X shows nothing of Y's, and the other way round", async () => {
    const poolY = await createPool(cluster, orgY, "pool-y", [egress.id]);
    const resourceY = await addResource(cluster, orgY, "ledger", poolY);
    await addListener(cluster, { organizationId: orgY, name: "ledger", resourceId: resourceY, entryNodeId: entryY.id });
    const x = await snapshotOf(entry);
    const y = await snapshotOf(entryY);
    expect(x.resourceRoutes.map((route) => route.name)).toEqual(["web"]);
    expect(y.resourceRoutes.map((route) => route.name)).toEqual(["ledger"]);
    expect(x.pools.map((pool) => pool.name)).toEqual(["pool-x"]);
    const text = (snapshot: Snapshot): string =>
      JSON.stringify(snapshot, (_key, value) => (typeof value === "bigint" ? String(value) : value));
    for (const marker of [orgY, "ledger", "pool-y", entryY.id]) expect(text(x)).not.toContain(marker);
    for (const marker of [orgX, "pool-x", entry.id]) expect(text(y)).not.toContain(marker);
    // Targets are the egress's business alone.
    expect(x.resourceTargets).toEqual([]);
    expect((await snapshotOf(egress)).resourceTargets.map((target) => target.name).sort()).toEqual(["ledger", "web"]);
  });

  it("M-A5 disabling a membership takes everything from its snapshot and its node from all others", async () => {
    const at = { clusterId: cluster.clusterId, actor: "t", node: egress.id };
    expect((await snapshotOf(entry)).pools[0]?.egressNodeIds).toEqual([egress.id]);
    await changeMembership(cluster.ctx, { ...at, status: "disabled" });
    const own = await snapshotOf(egress);
    expect(own.self?.roles).toEqual([]);
    expect([own.members, own.neighbours, own.resourceTargets, own.clients, own.pools, own.listenerGrants]).toEqual([
      [],
      [],
      [],
      [],
      [],
      [],
    ]);
    expect((await snapshotOf(relay)).neighbours.map((other) => other.nodeId)).not.toContain(egress.id);
    const seen = await snapshotOf(entry);
    expect(seen.pools[0]?.egressNodeIds).toEqual([]);
    expect(seen.graph?.nodes.map((other) => other.nodeId)).not.toContain(egress.id);
    await changeMembership(cluster.ctx, { ...at, status: "active" });
    expect((await snapshotOf(entry)).pools[0]?.egressNodeIds).toEqual([egress.id]);
  });

  it("a listener at a node that is no entry for its organization any more is in nobody's snapshot", async () => {
    const role = { clusterId: cluster.clusterId, actor: "t", node: entry.id, role: "entry", organizationId: orgX };
    expect((await snapshotOf(egress)).listenerGrants.map((grant) => grant.entryNodeId)).toContain(entry.id);
    await withdrawRole(cluster.ctx, role);
    expect((await snapshotOf(entry)).listeners).toEqual([]);
    expect((await snapshotOf(egress)).listenerGrants.map((grant) => grant.entryNodeId)).not.toContain(entry.id);
    await grantRole(cluster.ctx, role);
    expect((await snapshotOf(entry)).listeners).toHaveLength(1);
  });
});

describe("measurements", () => {
  const report = (rttMs: number) =>
    recordSamples(cluster.ctx.sql, cluster.clusterId, [
      { fromNodeId: entry.id, toNodeId: relay.id, rttMs, measuredAtMs: Date.now() },
    ]);
  const refresh = async (at = cluster) => {
    await at.ctx.sql.query("update cluster set graph_refreshed_at_ms = now_ms() - 10001");
    return await refreshMeasurements(at.ctx, cluster.clusterId);
  };
  const rttSeen = async () =>
    (await snapshotOf(entry)).graph?.links.find((link) => link.fromNodeId === entry.id && link.toNodeId === relay.id)
      ?.rttMs;

  it("make a new version when they change materially, and none while they only tremble", async () => {
    await report(20);
    expect(await rttSeen()).toBeUndefined();
    expect(await growth(() => refresh())).toBe(1);
    expect(await rttSeen()).toBe(20);
    await report(22);
    expect(await growth(() => refresh())).toBe(0);
    expect(await rttSeen()).toBe(20);
    await report(40);
    expect(await growth(() => refresh())).toBe(1);
    expect(await rttSeen()).toBe(40);
  });

  it("are looked after by one replica at a time, not more often than every ten seconds", async () => {
    await report(90);
    await cluster.ctx.sql.query("update cluster set graph_refreshed_at_ms = now_ms() - 10001");
    const turns = await Promise.all(
      [cluster, replica, cluster].map((at) => refreshMeasurements(at.ctx, cluster.clusterId)),
    );
    expect(turns.filter(Boolean)).toHaveLength(1);
    await report(10);
    expect(await refreshMeasurements(replica.ctx, cluster.clusterId)).toBe(false);
  });
});

describe("age", () => {
  it("renews snapshots older than an hour, all replicas together once", async () => {
    await cluster.ctx.sql.query("update cluster set snapshot_changed_at_ms = snapshot_changed_at_ms - 3600000");
    const before = await snapshotOf(relay);
    const renewed = await Promise.all(
      [cluster, replica].map((at) => at.ctx.sql.tx((tx) => refreshAgedSnapshots(tx, at.ctx.hints))),
    );
    expect(renewed.flat()).toEqual([cluster.clusterId]);
    const after = await snapshotOf(relay);
    expect(after.version).toBe(before.version + 1n);
    expect(after.notAfterMs).toBeGreaterThan(before.notAfterMs);
  });

  it("LAW-C4 forgets old payloads and keeps the current one", async () => {
    const kept = await cluster.snapshots.build(cluster.clusterId, relay.id);
    await cluster.ctx.sql.query("update snapshot_payload set created_at_ms = 0");
    await sweep(cluster.ctx);
    const left = await cluster.ctx.sql.query<{ version: number }>("select distinct version from snapshot_payload");
    expect(left).toEqual([{ version: kept.version }]);
  });
});

describe("the revocation feed", () => {
  it("carries a revoked node at once, from every replica, and no snapshot contains it", async () => {
    const victim = await addNode(cluster, "victim", { roles: ["relay"] });
    expect((await snapshotOf(entry)).neighbours.map((other) => other.nodeId)).toContain(victim.id);
    const before = await replica.feeds.current(cluster.clusterId);
    await revokeNode(cluster.ctx, {
      clusterId: cluster.clusterId,
      node: victim.id,
      actor: "t",
      reason: "stolen",
      trustDomain: cluster.trustDomain,
    });
    for (const at of [cluster, replica]) {
      const issued = await at.feeds.current(cluster.clusterId);
      expect(issued.feedSeq).toBe(before.feedSeq + 1);
      const { installationSpki, clusterId } = cluster;
      const feed = verifyFeed(issued.feed, { installationSpki, clusterId, nowMs: Date.now() });
      const nobody = { issuerKeyIdHex: "", serialHex: "", keyHashHex: "", spiffe: "" };
      const index = indexRevocations(feed.revocations);
      expect(isRevoked(index, { ...nobody, spiffe: victim.caller.spiffe })).toBe(true);
      expect(isRevoked(index, { ...nobody, keyHashHex: victim.keyHash })).toBe(true);
      expect(isRevoked(index, { ...nobody, spiffe: relay.caller.spiffe, keyHashHex: relay.keyHash })).toBe(false);
    }
    expect((await snapshotOf(entry)).neighbours.map((other) => other.nodeId)).not.toContain(victim.id);
    await expect(cluster.snapshots.build(cluster.clusterId, victim.id)).rejects.toMatchObject({ reason: "not_found" });
  });

  it("is issued again under the same position with the same revocations", async () => {
    const first = await cluster.feeds.current(cluster.clusterId);
    const again = await (await openCluster(replica.ctx, cluster.clusterId, "op")).feeds.current(cluster.clusterId);
    expect([again.feedEpoch, again.feedSeq]).toEqual([first.feedEpoch, first.feedSeq]);
    const read = (issued: typeof first) =>
      verifyFeed(issued.feed, {
        installationSpki: cluster.installationSpki,
        clusterId: cluster.clusterId,
        nowMs: Date.now(),
      });
    expect(read(again).revocations).toEqual(read(first).revocations);
  });

  it("LAW-C1 a payload somebody wrote into the database is not signed", async () => {
    const { payloadHash } = await cluster.snapshots.build(cluster.clusterId, relay.id);
    const plant = `update snapshot_payload set payload_hash = $1 where node_id = $2`;
    await cluster.ctx.sql.query(plant, [payloadHash.map((byte) => byte ^ 1), relay.id]);
    const refused = cluster.snapshots.build(cluster.clusterId, relay.id);
    await expect(refused).rejects.toMatchObject({ detail: "TRUST_ROW_UNAUTHENTIC" });
    await cluster.ctx.sql.query(plant, [payloadHash, relay.id]);
    // An audit head is as much part of it.
    const change = "update snapshot_payload set audit_seq = audit_seq + $1 where node_id = $2";
    await cluster.ctx.sql.query(change, [1, relay.id]);
    const otherHead = cluster.snapshots.build(cluster.clusterId, relay.id);
    await expect(otherHead).rejects.toMatchObject({ detail: "TRUST_ROW_UNAUTHENTIC" });
    await cluster.ctx.sql.query(change, [-1, relay.id]);
    // A payload of another version or node is authentic only where it belongs.
    await cluster.ctx.sql.query("update snapshot_payload set node_id = $1 where node_id = $2", [egress.id, relay.id]);
    const moved = cluster.snapshots.build(cluster.clusterId, egress.id);
    await expect(moved).rejects.toMatchObject({ detail: "TRUST_ROW_UNAUTHENTIC" });
    await cluster.ctx.sql.query("delete from snapshot_payload");
  });

  it("LAW-C1 nothing is signed from a row somebody wrote into the database", async () => {
    await cluster.ctx.sql.query("update role_assignment set organization_id = '' where node_id = $1", [entry.id]);
    await cluster.ctx.sql.query("update cluster set snapshot_version = snapshot_version + 1");
    await expect(cluster.snapshots.build(cluster.clusterId, relay.id)).rejects.toMatchObject({
      detail: "TRUST_ROW_UNAUTHENTIC",
    });
    await cluster.ctx.sql.query("delete from role_assignment where node_id = $1", [entry.id]);
  });
});
