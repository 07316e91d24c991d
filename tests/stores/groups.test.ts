/** Groups of nodes on both stores: a tree, one group per membership, and no permission in sight. */

import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createGroup, moveGroup } from "../../control/domain/group-changes.ts";
import { groupService } from "../../control/services/group.ts";
import { nodeMessageOf } from "../../control/services/node-messages.ts";
import { listAudit } from "../../control/store/audit.ts";
import { insertCluster } from "../../control/store/clusters.ts";
import { listGroups } from "../../control/store/groups.ts";
import { snapshotPosition } from "../../control/store/snapshots.ts";
import { GroupService } from "../../gen/weft/admin/v1/group_pb.ts";
import { SnapshotSchema } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { limits } from "../../lib/limits.ts";
import { rpcClient } from "../../rpc/client.ts";
import {
  type AddedNode,
  addNode,
  addOrganization,
  type ControlCluster,
  callAs,
  controlCluster,
  openCluster,
} from "../harness/control-cluster.ts";
import { runs } from "../harness/counts.ts";
import { addListener, addResource, createPool, serviceDeps } from "../harness/placed.ts";
import { describeStores } from "./stores.ts";

describeStores("M-A8 groups", (store) => {
  let cluster: ControlCluster;
  let node: AddedNode;
  let count = 0;
  let names: { a: string; b: string; c: string };

  beforeAll(async () => {
    cluster = await controlCluster(await store.migrated());
  });
  beforeEach(async () => {
    count += 1;
    names = { a: `a-${count}`, b: `b-${count}`, c: `c-${count}` };
  });

  const groups = () =>
    rpcClient(
      GroupService,
      callAs(cluster.operator, (router) => router.service(GroupService, groupService(serviceDeps(cluster)))),
    );
  const clusterId = () => cluster.clusterId;
  const create = async (name: string, parentId = "") =>
    (await groups().createGroup({ clusterId: clusterId(), name, parentId })).group?.id ?? "";
  const move = (groupId: string, parentId: string) => groups().moveGroup({ clusterId: clusterId(), groupId, parentId });
  const assign = (groupId: string) => groups().assignGroup({ clusterId: clusterId(), nodeId: node.id, groupId });
  const parents = async () =>
    new Map((await listGroups(cluster.ctx.sql, clusterId())).map(({ name, parentId }) => [name, parentId]));
  const lastRecord = async () => (await listAudit(cluster.ctx.sql, { clusterId: "", afterSeq: 0, limit: 1 }))[0];

  it("are made, moved and removed, by id or name, each change recorded", async () => {
    const a = await create(names.a);
    const b = await create(names.b, names.a);
    expect(await lastRecord()).toMatchObject({ action: "group.created", object: `group/${b}`, result: "ok" });
    await move(names.b, "");
    expect(await lastRecord()).toMatchObject({ action: "group.moved", beforeJson: JSON.stringify({ parentId: a }) });
    expect((await parents()).get(names.b)).toBeNull();
    const { seq } = (await lastRecord()) ?? {};
    await move(b, "");
    expect((await lastRecord())?.seq).toBe(seq);
    await groups().removeGroup({ clusterId: clusterId(), groupId: b });
    expect((await parents()).has(names.b)).toBe(false);
  });

  it("refuse a ring, a name taken, a group in use, a name that is none and a group of nobody, and record the refusal", async () => {
    await create(names.a);
    await create(names.b, names.a);
    await create(names.c, names.b);
    for (const under of [names.a, names.b, names.c]) {
      await expect(move(names.a, under), under).rejects.toMatchObject({ detail: "GROUP_CYCLE" });
    }
    expect(await lastRecord()).toMatchObject({ action: "group.moved", result: "refused:GROUP_CYCLE" });
    await expect(create(names.a)).rejects.toMatchObject({ reason: "already_exists", detail: "GROUP_EXISTS" });
    const remove = groups().removeGroup({ clusterId: clusterId(), groupId: names.b });
    await expect(remove).rejects.toMatchObject({ detail: "GROUP_IN_USE" });
    for (const name of ["", "-a", "A", "a".repeat(64), "a\u202eb", "../a"]) {
      await expect(create(name), name).rejects.toMatchObject({ reason: "invalid_argument" });
    }
    await expect(move("nobody", "")).rejects.toMatchObject({ reason: "not_found", detail: "GROUP_NOT_FOUND" });
    await expect(create(`d-${count}`, "nobody")).rejects.toMatchObject({ reason: "not_found" });
    expect((await parents()).get(names.a)).toBeNull();
  });

  it("refuse a tree deeper than its bound", async () => {
    let parent = "";
    for (let depth = 0; depth < limits.groupDepthMaxCount; depth += 1)
      parent = await create(`deep-${count}-${depth}`, parent);
    await expect(create(`deep-${count}-more`, parent)).rejects.toMatchObject({ detail: "GROUP_DEPTH" });
  });

  it("never become a ring under moves made at the same time", async () => {
    const ctx = cluster.ctx;
    const rounds = runs(6, 200);
    const ids = await Promise.all(
      [0, 1, 2, 3].map((at) =>
        createGroup(ctx, { clusterId: clusterId(), actor: "t", name: `r${at}-${count}`, parent: "" }),
      ),
    ).then((made) => made.map(({ id }) => id));
    let refused = 0;
    for (let round = 0; round < rounds; round += 1) {
      for (const id of ids) await moveGroup(ctx, { clusterId: clusterId(), actor: "t", group: id, parent: "" });
      // Each alone is harmless; all of them are a ring.
      const moves = ids.map((group, at) =>
        moveGroup(ctx, { clusterId: clusterId(), actor: "t", group, parent: ids[(at + 1) % ids.length] ?? "" }),
      );
      const outcomes = await Promise.allSettled(moves);
      refused += outcomes.filter((each) => each.status === "rejected" && each.reason.detail === "GROUP_CYCLE").length;
      const rows = new Map((await listGroups(ctx.sql, clusterId())).map(({ id, parentId }) => [id, parentId]));
      for (const id of ids) {
        let [at, steps] = [rows.get(id) ?? null, 0];
        for (; at !== null && steps <= rows.size; steps += 1) at = rows.get(at) ?? null;
        expect(steps, `round ${round}`).toBeLessThan(ids.length);
      }
    }
    expect(refused).toBe(rounds);
    console.info(`concurrent moves: ${rounds} rounds of ${ids.length}, ${refused} refused, 0 rings`);
  });

  describe("and their members", () => {
    beforeEach(async () => {
      node = await addNode(cluster, `node-${count}`, { roles: ["relay"] });
    });

    it("are in one group at most", async () => {
      const [a, b] = [await create(names.a), await create(names.b)];
      expect(await assign(a)).toMatchObject({ groupId: a, previousGroupId: "" });
      expect(await assign(names.b)).toMatchObject({ groupId: b, previousGroupId: a });
      const rows = await listGroups(cluster.ctx.sql, clusterId());
      expect(rows.filter(({ nodeIds }) => nodeIds.includes(node.id)).map(({ id }) => id)).toEqual([b]);
      expect((await nodeMessageOf(cluster.ctx, clusterId(), node.id)).groupId).toBe(b);
      expect(await lastRecord()).toMatchObject({ action: "group.assigned", object: `node/${node.id}` });
      await expect(groups().removeGroup({ clusterId: clusterId(), groupId: b })).rejects.toMatchObject({
        detail: "GROUP_IN_USE",
      });
      expect(await assign("")).toMatchObject({ groupId: "", previousGroupId: b });
      await groups().removeGroup({ clusterId: clusterId(), groupId: b });
    });

    it("of two assignments at once are in one of the two groups", async () => {
      const ids = [await create(names.a), await create(names.b)];
      await Promise.all(ids.map(assign));
      const rows = (await listGroups(cluster.ctx.sql, clusterId())).filter(({ nodeIds }) => nodeIds.includes(node.id));
      expect(rows).toHaveLength(1);
      expect(ids).toContain(rows[0]?.id);
    });

    it("are of the group's own cluster", async () => {
      const other = `cl-other-${count}`;
      const facts = { slug: `other-${count}`, name: "other", region: "", metadata: {} };
      await cluster.ctx.sql.tx((tx) => insertCluster(tx, { id: other, ...facts }));
      const a = await create(names.a);
      const foreign = { clusterId: other, nodeId: node.id, groupId: a };
      await expect(groups().assignGroup(foreign)).rejects.toMatchObject({ reason: "not_found" });
      const under = groups().createGroup({ clusterId: other, name: "x", parentId: a });
      await expect(under).rejects.toMatchObject({ reason: "not_found" });
      // And what no service would write, the tables do not take.
      const statement =
        "insert into group_member (cluster_id, node_id, group_id, assigned_by) values ($1, $2, $3, 't')";
      await expect(cluster.ctx.sql.query(statement, [other, node.id, a])).rejects.toThrow();
    });
  });

  it("change no permission: nobody's snapshot differs in a byte, whatever moves", async () => {
    const organizationId = await addOrganization(cluster, `org-${count}`);
    const entry = await addNode(cluster, `entry-${count}`, { roles: [`entry@${organizationId}`] });
    const relay = await addNode(cluster, `relay-${count}`, { roles: ["relay"] });
    const egress = await addNode(cluster, `egress-${count}`, { roles: ["egress"] });
    const poolId = await createPool(cluster, organizationId, `pool-${count}`, [egress.id]);
    const resourceId = await addResource(cluster, organizationId, `web-${count}`, poolId);
    const placed = { organizationId, name: `web-${count}`, resourceId, entryNodeId: entry.id };
    await addListener(cluster, placed);
    const nodes = [entry, relay, egress];
    // Built anew: not the bytes kept of the version, and without the head of the audit log, which every change moves.
    const built = async () => {
      await cluster.ctx.sql.query("delete from snapshot_payload");
      const { snapshots } = await openCluster(cluster.ctx, clusterId(), "op");
      return await Promise.all(
        nodes.map(async ({ id }) => {
          const { envelope } = await snapshots.build(clusterId(), id);
          const { auditHead, ...rest } = fromBinary(SnapshotSchema, envelope.payload);
          expect(auditHead?.seq).toBeGreaterThan(0n);
          return Buffer.from(toBinary(SnapshotSchema, rest)).toString("hex");
        }),
      );
    };
    const [before, position] = [await built(), await snapshotPosition(cluster.ctx.sql, clusterId())];
    expect(new Set(before).size).toBe(3);
    await create(names.a);
    await create(names.b, names.a);
    for (const { id } of nodes) await groups().assignGroup({ clusterId: clusterId(), nodeId: id, groupId: names.a });
    await groups().assignGroup({ clusterId: clusterId(), nodeId: relay.id, groupId: names.b });
    await move(names.b, "");
    expect(await built()).toEqual(before);
    expect(await snapshotPosition(cluster.ctx.sql, clusterId())).toEqual(position);
  });
});
