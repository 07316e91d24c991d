/** QoS policies, route intents and offline policies through their services, on both stores. */

import { beforeAll, describe, expect, it } from "vitest";
import { snapshotSource } from "../../control/domain/snapshot.ts";
import { sweep } from "../../control/domain/upkeep.ts";
import { routeIntentService } from "../../control/services/intent.ts";
import { qosService } from "../../control/services/qos.ts";
import { listAudit } from "../../control/store/audit.ts";
import { RouteIntentService } from "../../gen/weft/admin/v1/intent_pb.ts";
import { QosService } from "../../gen/weft/admin/v1/qos_pb.ts";
import { ChannelClass, IntentAction, ServiceClass } from "../../gen/weft/fabric/v1/role_pb.ts";
import { rpcClient } from "../../rpc/client.ts";
import {
  type AddedNode,
  addNode,
  addOrganization,
  type ControlCluster,
  callAs,
  controlCluster,
} from "../harness/control-cluster.ts";
import { addResource, createPool, serviceDeps } from "../harness/placed.ts";
import { offlinePolicyRefusals, offlinePolicyTests, rolledBackTests, snapshotForkTests } from "./offline-policies.ts";
import { describeStores } from "./stores.ts";

describeStores("policies", (store) => {
  let cluster: ControlCluster;
  let orgX: string;
  let orgY: string;
  let entry: AddedNode;
  let relay: AddedNode;
  let poolX: string;
  let desk: string;

  beforeAll(async () => {
    cluster = await controlCluster(await store.migrated());
    orgX = await addOrganization(cluster, "org-x");
    orgY = await addOrganization(cluster, "org-y");
    entry = await addNode(cluster, "entry-1", { roles: [`entry@${orgX}`] });
    relay = await addNode(cluster, "relay-1", { roles: ["relay"] });
    const egress = await addNode(cluster, "egress-1", { roles: [`egress@${orgX}`] });
    poolX = await createPool(cluster, orgX, "pool-x", [egress.id]);
    desk = await addResource(cluster, orgX, "desk", poolX, { service: "rdp" });
  });

  const at = () => ({ clusterId: cluster.clusterId });
  const lastRecord = async () => (await listAudit(cluster.ctx.sql, { clusterId: "", afterSeq: 0, limit: 1 }))[0];
  const view = async () => (await snapshotSource(serviceDeps(cluster)).view(cluster.clusterId)).view;
  const clients = () => {
    const deps = serviceDeps(cluster);
    const transport = callAs(cluster.operator, (router) => {
      router.service(QosService, qosService(deps));
      router.service(RouteIntentService, routeIntentService(deps));
    });
    return { qos: rpcClient(QosService, transport), intents: rpcClient(RouteIntentService, transport) };
  };

  describe("QoS", () => {
    it("M-A21 is set once per place and class, recorded before and after, and reaches snapshots", async () => {
      const { qos } = clients();
      const before = (await view()).version;
      const rate = { class: ChannelClass.BULK, rateBytesPerSecond: 5_000_000n, burstBytes: 1_048_576n };
      const { policy: first } = await qos.setQosPolicy({ ...at(), organizationId: "org-x", ...rate });
      expect(first).toMatchObject({ organizationId: orgX, resourceId: "", priority: 1, ...rate });
      const second = await qos.setQosPolicy({ ...at(), organizationId: orgX, class: ChannelClass.BULK, priority: 7 });
      expect(second.policy).toMatchObject({ id: first?.id, priority: 7, rateBytesPerSecond: 0n });
      expect(await lastRecord()).toMatchObject({ action: "qos.set", object: `qos/${first?.id}`, organizationId: orgX });
      const now = await view();
      expect(now.version).toBe(before + 2n);
      expect(now.qos).toEqual([
        {
          class: ChannelClass.BULK,
          priority: 7,
          rateBytesPerSecond: 0n,
          burstBytes: 0n,
          organizationId: orgX,
          resourceId: "",
        },
      ]);
      await qos.removeQosPolicy({ ...at(), policyId: first?.id ?? "" });
      expect((await view()).qos).toEqual([]);
      await expect(qos.removeQosPolicy({ ...at(), policyId: first?.id ?? "" })).rejects.toMatchObject({
        detail: "QOS_POLICY_NOT_FOUND",
      });
    });

    it("LAW-C3 finds a resource only in its own organization", async () => {
      const { qos } = clients();
      const wish = { ...at(), class: ChannelClass.INTERACTIVE, priority: 16, resourceId: "desk" };
      await expect(qos.setQosPolicy({ ...wish, organizationId: orgY })).rejects.toMatchObject({ reason: "not_found" });
      const { policy } = await qos.setQosPolicy(wish);
      expect(policy).toMatchObject({ organizationId: orgX, resourceId: desk });
      expect((await qos.listQosPolicies(at())).policies).toHaveLength(1);
      await qos.removeQosPolicy({ ...at(), policyId: policy?.id ?? "" });
    });

    it("names every problem, and changes nothing", async () => {
      const wrong = clients().qos.setQosPolicy({ ...at(), priority: 65, rateBytesPerSecond: 1n, burstBytes: 1n });
      await expect(wrong).rejects.toMatchObject({
        reason: "invalid_argument",
        message: expect.stringMatching(/class: .*; priority: .*; rate_bytes_per_second: .*; burst_bytes: /),
      });
      expect((await view()).qos).toEqual([]);
    });

    it("is set by many at once and is one policy", async () => {
      const { qos } = clients();
      const wishes = [1, 2, 3, 4, 5].map((priority) => ({ ...at(), class: ChannelClass.DROPPABLE, priority }));
      const done = await Promise.allSettled(wishes.map((wish) => qos.setQosPolicy(wish)));
      expect(done.some(({ status }) => status === "fulfilled")).toBe(true);
      for (const each of done) if (each.status === "rejected") expect(each.reason).toMatchObject({ reason: "aborted" });
      const { policies } = await qos.listQosPolicies(at());
      expect(policies).toHaveLength(1);
      await qos.removeQosPolicy({ ...at(), policyId: policies[0]?.id ?? "" });
    });

    it("altered behind control's back stops snapshots, loudly", async () => {
      const { qos } = clients();
      const { policy } = await qos.setQosPolicy({ ...at(), class: ChannelClass.BULK, rateBytesPerSecond: 70_000n });
      await cluster.ctx.sql.query("update qos_policy set rate_bytes_per_second = 0 where id = $1", [policy?.id ?? ""]);
      const unauthentic = { reason: "data_loss", detail: "TRUST_ROW_UNAUTHENTIC" };
      await expect(qos.listQosPolicies(at())).rejects.toMatchObject(unauthentic);
      await cluster.ctx.sql.query("update qos_policy set rate_bytes_per_second = 70000 where id = $1", [
        policy?.id ?? "",
      ]);
      await qos.removeQosPolicy({ ...at(), policyId: policy?.id ?? "" });
    });
  });

  describe("route intents", () => {
    it("M-A21 resolve names, belong to the organization of what they lead to, and reach snapshots", async () => {
      const { intents } = clients();
      const { intent } = await intents.addRouteIntent({
        ...at(),
        name: "spare",
        action: IntentAction.AVOID,
        nodeId: "relay-1",
        sourceNodeId: "entry-1",
        resourceId: "desk",
        serviceClass: ServiceClass.REMOTE_WORKSPACE,
      });
      expect(intent).toMatchObject({
        organizationId: orgX,
        sourceNodeId: entry.id,
        resourceId: desk,
        nodeId: relay.id,
      });
      expect(await lastRecord()).toMatchObject({ action: "intent.added", organizationId: orgX });
      expect((await view()).intents).toMatchObject([{ name: "spare", serviceClass: ServiceClass.REMOTE_WORKSPACE }]);
      const again = { ...at(), name: "spare", action: IntentAction.DIRECT };
      await expect(intents.addRouteIntent(again)).rejects.toMatchObject({ detail: "ROUTE_INTENT_EXISTS" });
      expect(await lastRecord()).toMatchObject({ result: "refused:ROUTE_INTENT_EXISTS" });
      await intents.removeRouteIntent({ ...at(), intentId: "spare" });
      expect((await intents.listRouteIntents(at())).intents).toEqual([]);
      // The name is free again.
      const { intent: second } = await intents.addRouteIntent(again);
      await intents.removeRouteIntent({ ...at(), intentId: second?.id ?? "" });
    });

    it("begin at entries of the organization only, and know nothing of another one's pools", async () => {
      const { intents } = clients();
      const wish = { ...at(), name: "wrong", action: IntentAction.DIRECT };
      await expect(intents.addRouteIntent({ ...wish, sourceNodeId: relay.id })).rejects.toMatchObject({
        detail: "ENTRY_ROLE_MISSING",
      });
      await expect(intents.addRouteIntent({ ...wish, organizationId: orgY, poolId: poolX })).rejects.toMatchObject({
        detail: "POOL_NOT_FOUND",
      });
    });

    it("names every problem of a wrong one", async () => {
      const { intents } = clients();
      const wrong = { ...at(), name: "No", action: IntentAction.PREFER, poolId: "a", resourceId: "b", expiresAtMs: 5n };
      await expect(intents.addRouteIntent(wrong)).rejects.toMatchObject({
        reason: "invalid_argument",
        message: expect.stringMatching(/name: .*; pool_id: .*; node_id: .*; expires_at_ms: /),
      });
    });

    it("leave by themselves when their time is over, with a record and a new snapshot", async () => {
      const { intents } = clients();
      const { sql, hints } = cluster.ctx;
      const expiresAtMs = BigInt(Date.now() + 3_600_000);
      await intents.addRouteIntent({ ...at(), name: "for-now", action: IntentAction.DIRECT, expiresAtMs });
      await sweep({ sql, hints });
      expect((await view()).intents).toMatchObject([{ name: "for-now", expiresAtMs: Number(expiresAtMs) }]);
      const { version } = await view();
      await sql.query("update route_intent set expires_at_ms = now_ms() where name = 'for-now'");
      await sweep({ sql, hints });
      const after = await view();
      expect(after.intents).toEqual([]);
      expect(after.version).toBe(version + 1n);
      expect(await lastRecord()).toMatchObject({ actor: "system", action: "intent.expired" });
    });
  });

  const stage = () => ({ cluster, orgX, orgY, entry, relay, desk });
  describe("offline policies", () => {
    offlinePolicyTests(stage);
    offlinePolicyRefusals(stage);
  });
  describe("what nodes show of snapshots", () => {
    snapshotForkTests(stage);
    rolledBackTests(stage);
  });
});
