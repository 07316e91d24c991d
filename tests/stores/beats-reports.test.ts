/** What nodes report, through the services they call, on both stores: beats, leases, links; and the routes made of it. */

import { beforeAll, describe, expect, it } from "vitest";
import { BundleAcks } from "../../control/domain/bundle-acks.ts";
import { FeedReceiptBook } from "../../control/domain/feed-receipts.ts";
import { changeMembership } from "../../control/domain/node-changes.ts";
import { refreshMeasurements } from "../../control/domain/upkeep.ts";
import { heartbeatService } from "../../control/services/heartbeat.ts";
import { leaseService } from "../../control/services/lease.ts";
import { nodeMessageOf } from "../../control/services/node-messages.ts";
import { routingService } from "../../control/services/routing.ts";
import { listAudit } from "../../control/store/audit.ts";
import { storeNowMs, sweepBeatLog } from "../../control/store/beats.ts";
import { listSamples } from "../../control/store/links.ts";
import { NodeCapability, NodeHealth, NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { HeartbeatService } from "../../gen/weft/heartbeat/v1/heartbeat_pb.ts";
import { LeaseService } from "../../gen/weft/lease/v1/lease_pb.ts";
import { RoutingService } from "../../gen/weft/routing/v1/routing_pb.ts";
import type { Caller } from "../../rpc/caller.ts";
import { rpcClient } from "../../rpc/client.ts";
import {
  type AddedNode,
  addNode,
  addOrganization,
  type ControlCluster,
  callAs,
  controlCluster,
} from "../harness/control-cluster.ts";
import { addResource, createPool } from "../harness/placed.ts";
import { describeStores } from "./stores.ts";

describeStores("reports", (store) => {
  let cluster: ControlCluster;
  let orgX: string;
  let orgY: string;
  let entry: AddedNode;
  let relays: AddedNode[];
  let egress: AddedNode;

  beforeAll(async () => {
    cluster = await controlCluster(await store.migrated());
    orgX = await addOrganization(cluster, "org-x");
    orgY = await addOrganization(cluster, "org-y");
    entry = await addNode(cluster, "entry-1", { roles: [`entry@${orgX}`] });
    relays = [
      await addNode(cluster, "relay-1", { roles: ["relay"] }),
      await addNode(cluster, "relay-2", { roles: ["relay"] }),
    ];
    egress = await addNode(cluster, "egress-1", { roles: ["egress"] });
    await addResource(cluster, orgX, "web", await createPool(cluster, orgX, "pool-x", [egress.id]));
    await addResource(cluster, orgY, "ledger", await createPool(cluster, orgY, "pool-y", [egress.id]));
  });

  const as = (caller: Caller) => {
    const bundleAcks = new BundleAcks({ ...cluster.ctx, authority: cluster.authority });
    const deps = {
      ...cluster.ctx,
      authority: cluster.authority,
      snapshots: cluster.snapshots,
      hold: cluster.hold,
      bundleAcks,
      feedReceipts: new FeedReceiptBook(cluster.ctx),
    };
    const transport = callAs(caller, (router) => {
      router.service(HeartbeatService, heartbeatService(deps));
      router.service(LeaseService, leaseService(deps));
      router.service(RoutingService, routingService(deps));
    });
    return {
      beats: rpcClient(HeartbeatService, transport),
      leases: rpcClient(LeaseService, transport),
      routing: rpcClient(RoutingService, transport),
    };
  };
  const foreign = (node: AddedNode): Caller => ({
    ...node.caller,
    id: { trustDomain: cluster.trustDomain, clusterId: "cl-other", kind: "node", id: node.id },
  });
  const relay = (i: number): AddedNode => relays[i] as AddedNode;
  const view = (node: AddedNode) => nodeMessageOf(cluster.ctx, cluster.clusterId, node.id);

  describe("M-A6 beats", () => {
    const beat = async (
      node: AddedNode,
      fields: {
        seq: bigint;
        bootId?: string;
        load?: number;
        draining?: boolean;
        capabilities?: NodeCapability[];
        sentAtMs?: bigint;
        listeners?: { listenerId: string; boundAddress: string }[];
      },
    ) => as(node.caller).beats.beat({ bootId: "boot-1", sentAtMs: BigInt(Date.now()), ...fields });

    it("tell the node where snapshots stand, how it is and how far its clock is off", async () => {
      const node = await addNode(cluster, "beating");
      const nowMs = await storeNowMs(cluster.ctx.sql);
      const answer = await beat(node, { seq: 1n, sentAtMs: BigInt(nowMs - 60_000), draining: true });
      const { version } = await cluster.snapshots.position(cluster.clusterId);
      expect(answer).toMatchObject({
        snapshotVersion: BigInt(version),
        health: NodeHealth.DRAINING,
        nextBeatMs: 5_000n,
      });
      expect(answer.skewMs).toBeGreaterThanOrEqual(60_000);
      expect(answer.skewMs).toBeLessThan(65_000);
    });

    it("keep the newest of a boot, whatever order they come in, and a new boot at once", async () => {
      const node = await addNode(cluster, "unordered");
      await beat(node, { seq: 7n, load: 0.7 });
      await beat(node, { seq: 6n, load: 0.6 });
      expect((await view(node)).load).toBe(0.7);
      await beat(node, { seq: 1n, bootId: "boot-2", load: 0.1 });
      expect((await view(node)).load).toBe(0.1);
      const logged = await cluster.ctx.sql.query("select seq from beat_log where node_id = $1 order by id", [node.id]);
      expect(logged).toEqual([{ seq: 7 }, { seq: 6 }, { seq: 1 }]);
    });

    it("M-A5 change reported capabilities, never roles", async () => {
      const node = await addNode(cluster, "poorer", { roles: ["relay"] });
      await beat(node, { seq: 1n, capabilities: [NodeCapability.CAN_EGRESS_INTERNET] });
      expect(await view(node)).toMatchObject({
        capabilities: [NodeCapability.CAN_EGRESS_INTERNET],
        roles: [{ role: NodeRole.RELAY }],
      });
    });

    it("say what became of listeners", async () => {
      const node = await addNode(cluster, "listening");
      await beat(node, { seq: 1n, listeners: [{ listenerId: "ls-1", boundAddress: "127.0.0.1:7000" }] });
      expect((await view(node)).listeners).toMatchObject([
        { listenerId: "ls-1", boundAddress: "127.0.0.1:7000", error: "" },
      ]);
    });

    it("age: the node is stale, offline, missing by the store's clock", async () => {
      const node = await addNode(cluster, "ageing");
      await beat(node, { seq: 1n });
      const ages = [
        [0, NodeHealth.ONLINE],
        [20_000, NodeHealth.STALE],
        [61_000, NodeHealth.OFFLINE],
        [25 * 3_600_000, NodeHealth.MISSING],
      ] as const;
      for (const [ageMs, health] of ages) {
        await cluster.ctx.sql.query(
          "update beat_latest set received_at_ms = now_ms() - $2::bigint where node_id = $1",
          [node.id, ageMs],
        );
        expect((await view(node)).health, `${ageMs} ms`).toBe(health);
      }
    });

    it("record a change of health once, when snapshots learn of it", async () => {
      const node = await addNode(cluster, "noticed");
      const refresh = async () => {
        await cluster.ctx.sql.query(
          "update cluster set graph_refreshed_at_ms = now_ms() - 10001, listening_since_ms = 0",
        );
        await refreshMeasurements(cluster.ctx, cluster.clusterId);
      };
      await beat(node, { seq: 1n });
      await refresh();
      await cluster.ctx.sql.query("update beat_latest set received_at_ms = now_ms() - 61000 where node_id = $1", [
        node.id,
      ]);
      await refresh();
      await refresh();
      const records = await listAudit(cluster.ctx.sql, { clusterId: cluster.clusterId, afterSeq: 0, limit: 500 });
      const own = records.filter((row) => row.action === "health.changed" && row.object === `node/${node.id}`);
      expect(own.map((row) => row.afterJson)).toEqual(['{"health":"online"}', '{"health":"offline"}']);
    });

    it("of a draining node reach snapshots at once", async () => {
      const node = await addNode(cluster, "draining", { roles: [`relay@${orgX}`] });
      const shown = async () =>
        (await cluster.snapshots.view(cluster.clusterId)).view.nodes.find((each) => each.nodeId === node.id)?.health;
      expect(await shown()).toBe(NodeHealth.UNSPECIFIED);
      await cluster.ctx.sql.query("update cluster set graph_refreshed_at_ms = now_ms() - 1001");
      await beat(node, { seq: 1n, draining: true });
      expect(await shown()).toBe(NodeHealth.DRAINING);
      // Another beat within the second waits for its turn.
      await beat(node, { seq: 2n });
      expect(await shown()).toBe(NodeHealth.DRAINING);
    });

    it("that nobody could hear count against no node", async () => {
      const node = await addNode(cluster, "unheard", { roles: [`relay@${orgX}`] });
      const refresh = async (since: string) => {
        await cluster.ctx.sql.query(`update cluster set graph_refreshed_at_ms = ${since}, listening_since_ms = 0`);
        await refreshMeasurements(cluster.ctx, cluster.clusterId);
        return (await cluster.snapshots.view(cluster.clusterId)).view.nodes.find((each) => each.nodeId === node.id)
          ?.health;
      };
      await beat(node, { seq: 1n });
      expect(await refresh("now_ms() - 10001")).toBe(NodeHealth.ONLINE);
      await cluster.ctx.sql.query("update beat_latest set received_at_ms = now_ms() - 600000 where node_id = $1", [
        node.id,
      ]);
      // Control itself was away for those ten minutes.
      expect(await refresh("now_ms() - 600000")).toBe(NodeHealth.ONLINE);
      expect(await refresh("now_ms() - 10001")).toBe(NodeHealth.OFFLINE);
    });

    it("are refused when malformed, from disabled members and from nodes of another cluster", async () => {
      const node = await addNode(cluster, "refused");
      for (const bad of [
        { load: 1.5 },
        { load: Number.NaN },
        { bootId: "" },
        { sentAtMs: -1n },
        { bootId: "a\u202Eb" },
      ]) {
        await expect(beat(node, { seq: 1n, ...bad })).rejects.toMatchObject({ reason: "invalid_argument" });
      }
      await expect(as(foreign(node)).beats.beat({ bootId: "b" })).rejects.toMatchObject({ reason: "not_found" });
      await expect(as(cluster.operator).beats.beat({ bootId: "b" })).rejects.toMatchObject({
        reason: "permission_denied",
      });
      await changeMembership(cluster.ctx, {
        clusterId: cluster.clusterId,
        node: node.id,
        actor: "t",
        status: "disabled",
      });
      await expect(beat(node, { seq: 2n })).rejects.toMatchObject({ detail: "MEMBERSHIP_DISABLED" });
      expect((await view(node)).lastSeenAtMs).toBe(0n);
    });

    it("leave the log after its retention and the newest alone", async () => {
      const node = await addNode(cluster, "logged");
      await beat(node, { seq: 1n });
      await beat(node, { seq: 2n });
      await cluster.ctx.sql.query("update beat_log set received_at_ms = 0 where node_id = $1 and seq = 1", [node.id]);
      await sweepBeatLog(cluster.ctx.sql);
      expect(await cluster.ctx.sql.query("select seq from beat_log where node_id = $1", [node.id])).toEqual([
        { seq: 2 },
      ]);
      expect((await view(node)).health).toBe(NodeHealth.ONLINE);
    });
  });

  describe("leases", () => {
    const ttlMs = 30_000n;

    it("are held by the calling node, recorded, and told by name", async () => {
      const [mine, theirs] = [as(entry.caller).leases, as(egress.caller).leases];
      const { lease } = await mine.acquire({ name: "vpn/a", bootId: "boot-1", ttlMs });
      expect(lease).toMatchObject({ holderNodeId: entry.id, fence: { epoch: 1n, counter: 1n }, expired: false });
      await expect(theirs.acquire({ name: "vpn/a", bootId: "boot-1", ttlMs })).rejects.toMatchObject({
        detail: "LEASE_HELD",
      });
      expect((await theirs.get({ name: "vpn/a" })).lease?.holderNodeId).toBe(entry.id);
      expect((await as(cluster.operator).leases.get({ name: "vpn/a" })).lease?.holderNodeId).toBe(entry.id);
      const hold = { name: "vpn/a", bootId: "boot-1", fence: { epoch: 1n, counter: 1n } };
      await expect(theirs.renew({ ...hold, ttlMs })).rejects.toMatchObject({ detail: "LEASE_LOST" });
      for (let count = 0; count < 5; count += 1) await mine.renew({ ...hold, ttlMs });
      await mine.release(hold);
      await mine.release(hold);
      const records = await listAudit(cluster.ctx.sql, { clusterId: cluster.clusterId, afterSeq: 0, limit: 500 });
      const actions = records.filter((row) => row.object === "lease/vpn/a").map((row) => row.action);
      // Renewals give nothing out: the first, the second and the fourth are recorded, all are counted in the tenure.
      const renewals = ["lease.renewed", "lease.renewed", "lease.renewed"];
      expect(actions).toEqual(["lease.acquired", ...renewals, "lease.released"]);
      const next = await theirs.acquire({ name: "vpn/a", bootId: "boot-1", ttlMs });
      expect(next.lease?.fence?.counter).toBe(2n);
    });

    it("M-A9 that ran out are recorded when somebody else takes them", async () => {
      const [mine, theirs] = [as(entry.caller).leases, as(egress.caller).leases];
      await mine.acquire({ name: "vpn/b", bootId: "boot-1", ttlMs });
      const { sql } = cluster.ctx;
      await sql.query("update lease set expires_at_ms = now_ms() - 1 where name = 'vpn/b'");
      await sql.query("update lease_tenure set expires_at_ms = now_ms() - 1 where name = 'vpn/b'");
      await theirs.acquire({ name: "vpn/b", bootId: "boot-2", ttlMs });
      const records = await listAudit(sql, { clusterId: cluster.clusterId, afterSeq: 0, limit: 500 });
      const about = records.filter((row) => row.object === "lease/vpn/b");
      expect(about.map((row) => row.action)).toEqual(["lease.acquired", "lease.expired", "lease.acquired"]);
      expect(JSON.parse(about[1]?.beforeJson ?? "")).toEqual({ nodeId: entry.id, epoch: 1, counter: 1 });
    });

    it("have bounded lives, names and holders", async () => {
      const { leases } = as(entry.caller);
      for (const bad of [
        { ttlMs: 4_999n },
        { ttlMs: 86_400_001n },
        { name: "" },
        { name: "n".repeat(201) },
        { bootId: "" },
      ]) {
        await expect(leases.acquire({ name: "bounds", bootId: "b", ttlMs, ...bad })).rejects.toMatchObject({
          reason: "invalid_argument",
        });
      }
      await expect(leases.renew({ name: "bounds", bootId: "b", ttlMs })).rejects.toMatchObject({
        reason: "invalid_argument",
      });
      await expect(leases.get({ name: "bounds" })).rejects.toMatchObject({ reason: "not_found" });
      await expect(as(foreign(entry)).leases.acquire({ name: "bounds", bootId: "b", ttlMs })).rejects.toMatchObject({
        reason: "not_found",
      });
    });
  });

  describe("links and routes", () => {
    const measured = (node: AddedNode, toNodeId: string, rttMs: number, measuredAtMs = Date.now()) =>
      as(node.caller).routing.reportLinks({
        links: [{ fromNodeId: node.id, toNodeId, rttMs, measuredAtMs: BigInt(measuredAtMs) }],
      });
    const resolve = async () => (await as(entry.caller).routing.resolveRoutes({ resource: "web" })).primary;

    it("M-A21 keep the newest sample of a direction, from its own end only", async () => {
      await measured(egress, relay(0).id, 5, 2_000);
      await measured(egress, relay(0).id, 9, 1_000);
      expect(await listSamples(cluster.ctx.sql, cluster.clusterId, egress.id)).toEqual([
        { fromNodeId: egress.id, toNodeId: relay(0).id, rttMs: 5, measuredAtMs: 2_000 },
      ]);
      const lying = as(egress.caller).routing.reportLinks({
        links: [{ fromNodeId: entry.id, toNodeId: relay(0).id, rttMs: 1, measuredAtMs: 3_000n }],
      });
      await expect(lying).rejects.toMatchObject({ reason: "not_found" });
      await expect(measured(egress, entry.id, 1)).rejects.toMatchObject({ reason: "not_found" });
      await expect(measured(egress, relay(0).id, -1)).rejects.toMatchObject({ reason: "invalid_argument" });
    });

    it("M-A21 the inventory holds what each end last proved of each of its links, and nothing it no longer keeps", async () => {
      const proof = (toNodeId: string, more: object = {}) => ({ toNodeId, state: "up", lastSuccessAtMs: 5n, ...more });
      const report = (...proofs: object[]) => as(egress.caller).routing.reportLinks({ proofs });
      const listed = async () =>
        (await as(cluster.operator).routing.listLinks({ clusterId: "default", nodeId: egress.id })).links;
      await report(
        proof(relay(0).id, { reverse: true }),
        proof(relay(1).id, { state: "waiting", lastFailure: "refused", lastFailureAtMs: 7n }),
        proof(entry.id),
      );
      const byPeer = new Map((await listed()).map((link) => [link.toNodeId, link]));
      // No link leads from an egress to an entry: what is said of one is not kept.
      expect([...byPeer.keys()].sort()).toEqual([relay(0).id, relay(1).id].sort());
      expect(byPeer.get(relay(0).id)).toMatchObject({
        fromNodeId: egress.id,
        state: "up",
        reverse: true,
        lastFailure: "",
      });
      expect(byPeer.get(relay(1).id)).toMatchObject({ state: "waiting", lastFailure: "refused", lastFailureAtMs: 7n });
      await report(proof(relay(1).id, { lastSuccessAtMs: BigInt(Date.now() + 3_600_000) }));
      const [left, ...others] = await listed();
      expect(others).toEqual([]);
      expect(Number(left?.lastSuccessAtMs)).toBeLessThanOrEqual(await storeNowMs(cluster.ctx.sql));
      await expect(report(proof(relay(0).id, { fromNodeId: entry.id }))).rejects.toMatchObject({ reason: "not_found" });
      await expect(report(proof(relay(0).id, { state: "dreaming" }))).rejects.toMatchObject({
        reason: "invalid_argument",
      });
    });

    it("a clock ahead of the store's cannot keep later samples out", async () => {
      await measured(egress, relay(1).id, 5, Date.now() + 3_600_000);
      const [before] = await listSamples(cluster.ctx.sql, cluster.clusterId, egress.id);
      expect(before?.measuredAtMs).toBeLessThanOrEqual(await storeNowMs(cluster.ctx.sql));
    });

    it("M-A11 the entry's own newest measurements decide its route", async () => {
      await measured(entry, relay(0).id, 200);
      await measured(entry, relay(1).id, 5);
      expect(await resolve()).toEqual([entry.id, relay(1).id, egress.id]);
      await measured(entry, relay(0).id, 5, Date.now() + 1);
      await measured(entry, relay(1).id, 400, Date.now() + 1);
      expect(await resolve()).toEqual([entry.id, relay(0).id, egress.id]);
      const { routes } = await as(cluster.operator).routing.explainRoute({ clusterId: "default", resource: "web" });
      expect(routes.map((route) => route.fromName)).toEqual(["entry-1"]);
      expect(routes[0]?.candidates.map((each) => [each.outcome, each.names[1]]).slice(0, 2)).toEqual([
        ["primary", "relay-1"],
        ["standby", "relay-2"],
      ]);
    });

    it("LAW-C3 an entry resolves nothing for an organization it does not serve, nor from elsewhere", async () => {
      const { routing } = as(entry.caller);
      await expect(routing.resolveRoutes({ resource: "ledger" })).rejects.toMatchObject({
        detail: "RESOURCE_NOT_FOUND",
      });
      await expect(routing.resolveRoutes({ resource: "nothing" })).rejects.toMatchObject({
        detail: "RESOURCE_NOT_FOUND",
      });
      await expect(routing.resolveRoutes({ resource: "web", fromNodeId: egress.id })).rejects.toMatchObject({
        reason: "not_found",
      });
      await expect(routing.resolveRoutes({ resource: "web", clusterId: "cl-other" })).rejects.toMatchObject({
        reason: "not_found",
      });
      await expect(as(relay(0).caller).routing.resolveRoutes({ resource: "web" })).rejects.toMatchObject({
        reason: "not_found",
      });
    });
  });
});
