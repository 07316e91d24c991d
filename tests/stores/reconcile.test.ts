/** Reconciliation on both stores: what becomes of leases and placements by how their holder is, once. */

import { beforeAll, beforeEach, expect, it } from "vitest";
import { revokeNode } from "../../control/domain/node-changes.ts";
import { startNodeWatch, watchNodes } from "../../control/jobs/node-watch.ts";
import { verifyAudit } from "../../control/store/audit.ts";
import { acquireLease, getLease } from "../../control/store/leases.ts";
import { snapshotPosition } from "../../control/store/snapshots.ts";
import { ManualClock } from "../../lib/clock.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import {
  type AddedNode,
  addNode,
  addOrganization,
  type ControlCluster,
  controlCluster,
  storeContext,
} from "../harness/control-cluster.ts";
import { eventually } from "../harness/eventually.ts";
import { addListener, addResource, createPool } from "../harness/placed.ts";
import { describeStores } from "./stores.ts";
import { hourMs, WatchedCluster } from "./watched-cluster.ts";

describeStores("M-W11 reconciliation", (store) => {
  let cluster: ControlCluster;
  let watched: WatchedCluster;
  let node: AddedNode;

  beforeAll(async () => {
    cluster = await controlCluster(await store.migrated());
    watched = new WatchedCluster(cluster);
  });
  beforeEach(async () => {
    node = await watched.startOver();
  });

  const ttlMs = 30_000n;
  const lease = () => getLease(watched.sql, cluster.clusterId, "vpn/a");
  const expire = () => watched.sql.query("update lease set expires_at_ms = now_ms() - 1");
  const fenced = async () => (await watched.records("lease.fenced")).map(({ afterJson }) => JSON.parse(afterJson).why);

  beforeEach(async () => {
    await watched.leases(node).acquire({ name: "vpn/a", bootId: "boot-1", ttlMs });
  });

  it("online: keeps a lease, expired or not, and what was placed", async () => {
    await watched.look();
    await expire();
    await watched.look();
    expect(await lease()).toMatchObject({ holderNodeId: node.id, counter: 1 });
    expect((await watched.shown(node)).placementState).toBe("");
    expect(await fenced()).toEqual([]);
  });

  it("stale: waits while the lease lasts and a while after, then fences it once", async () => {
    await watched.silent(node, 20_000, limits.placementWaitMs);
    expect((await lease())?.holderNodeId).toBe(node.id);
    await expire();
    await watched.sql.query("update published_node set health_since_ms = now_ms()");
    await watched.look();
    expect((await lease())?.holderNodeId).toBe(node.id);
    expect((await watched.shown(node)).placementState).toBe("fenced");
    await watched.silent(node, 20_000, limits.placementWaitMs);
    await watched.look();
    expect(await lease()).toMatchObject({ holderNodeId: "", counter: 2 });
    expect(await fenced()).toEqual(["fence"]);
    // Who wakes up is told that it lost, and starts over under a higher fence.
    const renew = { name: "vpn/a", bootId: "boot-1", fence: { epoch: 1n, counter: 1n }, ttlMs };
    await expect(watched.leases(node).renew(renew)).rejects.toMatchObject({ detail: "LEASE_LOST" });
    const again = await watched.leases(node).acquire({ name: "vpn/a", bootId: "boot-1", ttlMs });
    expect(again.lease?.fence?.counter).toBe(3n);
  });

  it("draining: keeps what it has, renews it, and gets nothing new until it is done", async () => {
    await watched.beat(node, { draining: true });
    await watched.look();
    expect((await watched.shown(node)).placementState).toBe("nothing-new");
    await watched.leases(node).renew({ name: "vpn/a", bootId: "boot-1", fence: { epoch: 1n, counter: 1n }, ttlMs });
    await watched.leases(node).acquire({ name: "vpn/a", bootId: "boot-1", ttlMs });
    const more = watched.leases(node).acquire({ name: "vpn/b", bootId: "boot-1", ttlMs });
    await expect(more).rejects.toMatchObject({ reason: "failed_precondition", detail: "NODE_DRAINING" });
    expect(await getLease(watched.sql, cluster.clusterId, "vpn/b")).toBeUndefined();
    const organizationId = await addOrganization(cluster, "org");
    const entry = await addNode(cluster, "entry", { roles: ["entry", "egress"] });
    await watched.beat(entry, { draining: true });
    const resourceId = await addResource(
      cluster,
      organizationId,
      "web",
      await createPool(cluster, organizationId, "p", []),
    );
    const draining = expect.objectContaining({ detail: "NODE_DRAINING" });
    const listener = { organizationId, name: "web", resourceId, entryNodeId: entry.id };
    await expect(addListener(cluster, listener)).rejects.toEqual(draining);
    await expect(createPool(cluster, organizationId, "q", [entry.id])).rejects.toEqual(draining);
    await watched.beat(entry);
    await addListener(cluster, listener);
  });

  it("offline: leaves a lease to its TTL, then reclaims it for others; placements after theirs, until it beats", async () => {
    await watched.silent(node, 61_000, limits.placementTtlMs - 1_000);
    expect((await lease())?.holderNodeId).toBe(node.id);
    expect((await watched.shown(node)).placementState).toBe("fenced");
    await expire();
    await watched.silent(node, 61_000, limits.placementTtlMs);
    expect(await lease()).toMatchObject({ holderNodeId: "", counter: 2 });
    expect(await fenced()).toEqual(["reclaim"]);
    expect((await watched.shown(node)).placementState).toBe("reclaimed");
    await watched.beat(node);
    await watched.look();
    expect((await watched.shown(node)).placementState).toBe("");
    const moves = (await watched.records("placement.reconciled")).map(({ afterJson }) => JSON.parse(afterJson).state);
    expect(moves).toEqual(["fenced", "reclaimed", "kept"]);
  });

  it("missing: takes what it holds as an orphan, with an alert that ends when it is back", async () => {
    const before = await snapshotPosition(watched.sql, cluster.clusterId);
    const claim = { clusterId: cluster.clusterId, name: "resource/rs-1", nodeId: node.id, bootId: "boot-1" };
    await acquireLease(watched.sql, claim, Number(ttlMs));
    await watched.silent(node, 25 * hourMs, limits.placementWaitMs);
    expect(await lease()).toMatchObject({ holderNodeId: "", counter: 2 });
    expect(await fenced()).toEqual(["orphan", "orphan"]);
    expect(await watched.kinds()).toEqual(["lease-orphaned", "node-missing", "placement-orphaned", "role-coverage"]);
    const detail = (await watched.alerts()).find(({ kind }) => kind === "lease-orphaned")?.detail;
    expect(detail).toContain("2 of its leases");
    // The fence of an exclusive resource travels in snapshots.
    expect((await snapshotPosition(watched.sql, cluster.clusterId))?.version).toBeGreaterThan(
      (before?.version ?? 0) + 1,
    );
    await watched.look();
    expect(await fenced()).toHaveLength(2);
    await watched.beat(node);
    await watched.look();
    expect(await watched.kinds()).toEqual([]);
    expect((await watched.shown(node)).placementState).toBe("");
  });

  it("revoked: fences at once what its holder can no longer use", async () => {
    const order = { clusterId: cluster.clusterId, actor: "t", node: node.id };
    await revokeNode(cluster.ctx, { ...order, reason: "", trustDomain: cluster.trustDomain });
    await watched.look();
    expect(await lease()).toMatchObject({ holderNodeId: "", counter: 2 });
    expect(await fenced()).toEqual(["fence"]);
  });

  it("takes nothing after an outage of control or its store before everybody had the time to be heard", async () => {
    await expire();
    await watched.silent(node, 20_000, 10 * hourMs);
    // What follows is an outage of an hour; the node was stale when it began.
    await watched.sql.query("update lease set holder_node_id = $1, boot_id = 'boot-1'", [node.id]);
    await watched.sql.query("delete from placement_state");
    const { length } = await fenced();
    await watched.sql.query("update beat_latest set received_at_ms = now_ms() - $1::bigint", [hourMs]);
    await watched.sql.query("update cluster set graph_refreshed_at_ms = now_ms() - $1::bigint", [hourMs]);
    await watchNodes(cluster.ctx, cluster.clusterId);
    expect((await lease())?.holderNodeId).toBe(node.id);
    expect((await watched.shown(node)).placementState).toBe("waiting");
    await watched.look(limits.placementWaitMs - 5_000);
    expect((await lease())?.holderNodeId).toBe(node.id);
    await watched.look(limits.placementWaitMs);
    expect((await lease())?.holderNodeId).toBe("");
    expect(await fenced()).toHaveLength(length + 1);
  });

  it("is idempotent over replicas: all of them at once fence each lease once, and record it once", async () => {
    for (let i = 0; i < 20; i += 1)
      await watched.leases(node).acquire({ name: `vpn/many-${i}`, bootId: "boot-1", ttlMs });
    await expire();
    await watched.sql.query("update beat_latest set received_at_ms = now_ms() - 61000");
    await watched.due();
    await watchNodes(cluster.ctx, cluster.clusterId);
    await watched.sql.query("update published_node set health_since_ms = 0");
    const replicas = [1, 2, 3, 4].map(() => storeContext(watched.sql));
    for (let round = 0; round < 2; round += 1) {
      await watched.due();
      await Promise.all(replicas.map((ctx) => watchNodes(ctx, cluster.clusterId)));
    }
    const counters = await watched.sql.query("select distinct fence_counter as n, holder_node_id as h from lease");
    expect(counters).toEqual([{ n: 2, h: "" }]);
    expect(await fenced()).toHaveLength(21);
    expect(await watched.records("placement.reconciled")).toHaveLength(1);
    expect(await verifyAudit(watched.sql)).toMatchObject({ ok: true });
  });

  it("goes on by itself after an outage of the store", async () => {
    await expire();
    const outage = { on: true, asked: 0 };
    const sql = new Proxy(watched.sql, {
      get(inner, name) {
        const member: unknown = Reflect.get(inner, name);
        if (typeof member !== "function") return member;
        return async (...args: unknown[]) => {
          outage.asked += 1;
          if (outage.on) throw new WeftError("unavailable", "the control store cannot be reached");
          return (await member.apply(inner, args)) as unknown;
        };
      },
    });
    const clock = new ManualClock();
    const watch = startNodeWatch(storeContext(sql, { clock }));
    const failing = () => {
      clock.advance(limits.nodeWatchMs);
      return outage.asked >= 3;
    };
    await eventually(failing, { what: "rounds that fail" });
    await watched.sql.query("update beat_latest set received_at_ms = now_ms() - 61000");
    await watched.sql.query("update published_node set health = 'offline', health_since_ms = 0");
    await watched.due();
    outage.on = false;
    const over = async () => {
      clock.advance(limits.nodeWatchMs);
      return (await lease())?.holderNodeId === "";
    };
    await eventually(over, { what: "the round after the outage" });
    await watch.stop();
    expect(await fenced()).toEqual(["reclaim"]);
  });

  it("runs at once when control starts, and again by the clock", async () => {
    await expire();
    await watched.sql.query("update beat_latest set received_at_ms = now_ms() - 61000");
    await watched.sql.query("update published_node set health = 'offline', health_since_ms = 0");
    await watched.due();
    const clock = new ManualClock();
    const watch = startNodeWatch(storeContext(watched.sql, { clock }));
    await eventually(async () => (await lease())?.holderNodeId === "", { what: "the first round" });
    await watched.beat(node);
    await watched.due();
    clock.advance(limits.nodeWatchMs);
    await eventually(async () => (await watched.shown(node)).placementState === "", { what: "a round by the clock" });
    await watch.stop();
    expect(clock.nextDueInMs()).toBeUndefined();
  });
});
