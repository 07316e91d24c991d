/** The watch over nodes on both stores: transitions told once, alerts that follow them, roles covered or not. */

import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { changeMembership, revokeNode } from "../../control/domain/node-changes.ts";
import { watchNodes } from "../../control/jobs/node-watch.ts";
import { nodeMessageOf } from "../../control/services/node-messages.ts";
import { sweepBeatLog } from "../../control/store/beats.ts";
import { readMetricFacts } from "../../control/store/metric-facts.ts";
import { NodeCapability } from "../../gen/weft/fabric/v1/role_pb.ts";
import { limits } from "../../lib/limits.ts";
import {
  type AddedNode,
  addNode,
  addOrganization,
  type ControlCluster,
  controlCluster,
  storeContext,
} from "../harness/control-cluster.ts";
import { addResource, createPool } from "../harness/placed.ts";
import { describeStores } from "./stores.ts";
import { hourMs, WatchedCluster } from "./watched-cluster.ts";

describeStores("the watch over nodes", (store) => {
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

  describe("M-A6 health", () => {
    it("opens one alert about a silent node, another when it is silent longer, and closes it with a beat", async () => {
      expect(await watched.kinds()).toEqual([]);
      await watched.silent(node, 16_000);
      expect(await watched.kinds()).toEqual(["node-stale"]);
      await watched.silent(node, 61_000);
      expect(await watched.kinds()).toEqual(["node-offline", "role-coverage"]);
      await watched.silent(node, 25 * hourMs);
      expect(await watched.kinds()).toEqual(["node-missing", "role-coverage"]);
      await watched.beat(node);
      await watched.look();
      expect(await watched.kinds()).toEqual([]);
      expect((await watched.alerts(true)).every(({ closedAtMs }) => closedAtMs !== null)).toBe(true);
      const changes = (await watched.records("health.changed")).map(({ afterJson }) => JSON.parse(afterJson).health);
      expect(changes).toEqual(["online", "stale", "offline", "missing", "online"]);
    });

    it("is what metrics count nodes and alerts by", async () => {
      const counts = async () => {
        const { nodes, alerts } = await readMetricFacts(watched.sql);
        const kinds = alerts.map(({ kind, count }) => `${kind} ${count}`);
        return [...nodes.map(({ health, count }) => `${health} ${count}`).sort(), ...kinds];
      };
      expect(await counts()).toEqual(["online 1"]);
      await watched.beat(node, { draining: true });
      expect(await counts()).toEqual(["draining 1"]);
      for (const [ageMs, health] of [
        [-limits.staleAfterMs - 60_000, "stale"],
        [limits.staleAfterMs + 1_000, "stale"],
        [limits.offlineAfterMs + 1_000, "offline"],
        [limits.missingAfterMs + 1_000, "missing"],
      ] as const) {
        await watched.sql.query("update beat_latest set received_at_ms = now_ms() - $1::bigint", [ageMs]);
        expect(await counts()).toEqual([`${health} 1`]);
      }
      await watched.silent(node, limits.offlineAfterMs + 1_000);
      expect(await counts()).toEqual(["offline 1", "node-offline 1", "role-coverage 1"]);
      await watched.sql.query("truncate beat_latest");
      expect((await counts())[0]).toBe("missing 1");
    });

    it("M-A9 tells a transition once, however many replicas look at the same time", async () => {
      const replicas = [1, 2, 3, 4].map(() => storeContext(watched.sql));
      await watched.sql.query("update beat_latest set received_at_ms = now_ms() - 61000");
      for (let round = 0; round < 3; round += 1) {
        await watched.due();
        await Promise.all(replicas.map((ctx) => watchNodes(ctx, cluster.clusterId)));
      }
      expect(await watched.records("health.changed")).toHaveLength(2);
      expect((await watched.alerts()).filter(({ kind }) => kind === "node-offline")).toMatchObject([
        { timesOpened: 1 },
      ]);
    });

    it("of a node that flaps is one row of each kind", async () => {
      for (let round = 0; round < 12; round += 1) {
        await watched.sql.query("update beat_latest set received_at_ms = now_ms() - 20000");
        await watched.look();
        await watched.beat(node);
        await watched.look();
      }
      const rows = (await watched.alerts(true)).filter(({ object }) => object === `node/${node.id}`);
      expect(rows).toMatchObject([{ kind: "node-stale", timesOpened: 12 }]);
    });

    it("of a node that changes its mind with every beat reaches snapshots at most once in a regular period", async () => {
      const before = await watched.records("health.changed");
      for (let beats = 0; beats < 20; beats += 1) {
        await watched.sql.query("update cluster set graph_refreshed_at_ms = now_ms() - 1001");
        await watched.beat(node, { draining: beats % 2 === 0 });
      }
      expect((await watched.records("health.changed")).length - before.length).toBe(0);
      await watched.sql.query("update published_node set health_since_ms = now_ms() - 10001");
      await watched.sql.query("update cluster set graph_refreshed_at_ms = now_ms() - 1001");
      await watched.beat(node, { draining: true });
      expect((await watched.shown(node)).healthSinceMs).toBeGreaterThan(0n);
      expect((await watched.records("health.changed")).length - before.length).toBe(1);
    });

    it("comes from the store's time: a clock that lies raises a warning, and changes nothing else", async () => {
      const lies = [0n, BigInt(Number.MAX_SAFE_INTEGER), BigInt(Date.now() + 10 * hourMs)];
      for (const sentAtMs of lies) {
        await watched.beat(node, { sentAtMs });
        await watched.look();
        expect(await watched.kinds(), String(sentAtMs)).toEqual(["node-clock-skew"]);
        // Silence is as long as it is.
        await watched.silent(node, 61_000);
        expect(await watched.kinds()).toContain("node-offline");
        expect(await watched.kinds()).not.toContain("node-clock-skew");
      }
      await watched.beat(node);
      await watched.look();
      expect(await watched.kinds()).toEqual([]);
    });

    it("goes on when the store's clock was set back, and lets no beat of the future keep a node alive", async () => {
      await watched.sql.query("update cluster set graph_refreshed_at_ms = now_ms() + $1::bigint", [hourMs]);
      await watched.sql.query("update beat_latest set received_at_ms = now_ms() + $1::bigint", [hourMs]);
      await watchNodes(cluster.ctx, cluster.clusterId);
      // Listening began anew: nobody is judged yet.
      expect(await watched.kinds()).toEqual([]);
      await watched.look(16_000);
      expect(await watched.kinds()).toEqual(["node-stale"]);
      await watched.look(61_000);
      expect(await watched.kinds()).toContain("node-offline");
      await watched.beat(node);
      await watched.look(62_000);
      expect(await watched.kinds()).toEqual([]);
    });

    it("says load, draining, skew and alerts of each node", async () => {
      await watched.beat(node, { load: 0.97, draining: true });
      await watched.look();
      // One busy moment is nothing to look at; a minute of them is.
      expect((await watched.shown(node)).alerts).toEqual([]);
      await watched.sql.query("delete from beat_log");
      for (let beats = 0; beats < 6; beats += 1) await watched.beat(node, { load: 0.97, draining: true });
      await watched.look();
      expect(await watched.shown(node)).toMatchObject({ draining: true, load: 0.97, alerts: ["node-overloaded"] });
      expect((await watched.shown(node)).beatAgeMs).toBeLessThan(60_000n);
      expect((await watched.shown(node)).placementState).toBe("nothing-new");
      const fresh = await addNode(cluster, "never-beat");
      const never = await nodeMessageOf(cluster.ctx, cluster.clusterId, fresh.id);
      expect(never).not.toHaveProperty("beatAgeMs");
    });

    it("leaves alone whoever is disabled or revoked, and closes what was open about it", async () => {
      const other = await addNode(cluster, "relay-2", { roles: ["relay"] });
      await watched.beat(other);
      await watched.silent(node, 61_000, limits.placementTtlMs);
      await watched.silent(other, 25 * hourMs, limits.placementTtlMs);
      expect(await watched.kinds()).toEqual(["node-missing", "node-offline", "placement-orphaned", "role-coverage"]);
      const order = { clusterId: cluster.clusterId, actor: "t" };
      await changeMembership(cluster.ctx, { ...order, node: node.id, status: "disabled" });
      await revokeNode(cluster.ctx, { ...order, node: other.id, reason: "", trustDomain: cluster.trustDomain });
      await watched.look();
      expect(await watched.kinds()).toEqual(["role-coverage"]);
    });

    it("M-A6 the log of beats ends at its stated number too", async () => {
      for (let i = 0; i < 8; i += 1) await watched.beat(node);
      expect(await sweepBeatLog(watched.sql, { maxCount: 3 })).toBe(6);
      expect(await watched.sql.query("select seq from beat_log order by id")).toEqual(
        [2, 1, 0].map((before) => ({ seq: watched.seq - before })),
      );
      expect((await watched.shown(node)).beatAgeMs).toBeDefined();
    });
  });

  describe("M-A6 role coverage", () => {
    const gaps = async () =>
      (await watched.alerts()).filter(({ kind }) => kind === "role-coverage").map(({ object }) => object);

    it("is a gap while the only holder drains, has lost the capability, is disabled or silent, and none again after", async () => {
      expect(await gaps()).toEqual([]);
      const unable = [
        () => watched.beat(node, { draining: true }),
        () => watched.beat(node, { capabilities: [NodeCapability.CAN_ROUTE_MESH] }),
        () => watched.silent(node, 61_000),
      ];
      for (const step of unable) {
        await step();
        await watched.look();
        expect(await gaps(), step.toString()).toEqual(["role/relay"]);
        expect((await watched.overview()).coverage).toMatchObject([{ role: "relay", holders: 1, able: 0, gap: true }]);
        await watched.beat(node);
        await watched.look();
        expect(await gaps()).toEqual([]);
      }
      expect(await watched.overview()).toMatchObject({ health: { online: 1 }, openAlerts: 0 });
      const order = { clusterId: cluster.clusterId, actor: "t", node: node.id, status: "disabled" } as const;
      await changeMembership(cluster.ctx, order);
      await watched.look();
      expect(await gaps()).toEqual(["role/relay"]);
    });

    it("is per organization: what X has a resource for, Y's nodes do not cover", async () => {
      const [x, y] = [await addOrganization(cluster, "x"), await addOrganization(cluster, "y")];
      const egress = await addNode(cluster, "egress-y", { roles: [`egress@${y}`, `entry@${y}`] });
      await addResource(cluster, y, "web", await createPool(cluster, y, "pool", [egress.id]));
      await watched.beat(egress);
      await watched.look();
      expect(await gaps()).toEqual([]);
      await addResource(cluster, x, "web", await createPool(cluster, x, "pool", []));
      await watched.look();
      expect((await gaps()).sort()).toEqual([`role/egress@${x}`, `role/entry@${x}`]);
    });
  });
});
