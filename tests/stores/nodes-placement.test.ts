/** Pools, resources, listeners and node lists through their services, on both stores. */

import { beforeAll, describe, expect, it } from "vitest";
import { membershipService } from "../../control/services/membership.ts";
import { nodeAdminService } from "../../control/services/node.ts";
import { roleService } from "../../control/services/role.ts";
import { listAudit } from "../../control/store/audit.ts";
import { MembershipService, NodeAdminService } from "../../gen/weft/admin/v1/node_pb.ts";
import { RoleService } from "../../gen/weft/admin/v1/role_pb.ts";
import { ChannelClass, NodeHealth, NodeRole, OriginAssurance, ResourceKind } from "../../gen/weft/fabric/v1/role_pb.ts";
import { rpcClient } from "../../rpc/client.ts";
import {
  type AddedNode,
  addNode,
  addOrganization,
  type ControlCluster,
  callAs,
  controlCluster,
} from "../harness/control-cluster.ts";
import { addListener, addResource, createPool, placement, serviceDeps } from "../harness/placed.ts";
import { describeStores } from "./stores.ts";

describeStores("placement", (store) => {
  let cluster: ControlCluster;
  let orgX: string;
  let orgY: string;
  let entry: AddedNode;
  let egress: AddedNode;
  let poolX: string;
  let count = 0;
  const fresh = (): string => {
    count += 1;
    return `name-${count}`;
  };

  beforeAll(async () => {
    cluster = await controlCluster(await store.migrated());
    orgX = await addOrganization(cluster, "org-x");
    orgY = await addOrganization(cluster, "org-y");
    entry = await addNode(cluster, "entry-1", { roles: [`entry@${orgX}`] });
    egress = await addNode(cluster, "egress-1", { roles: [`egress@${orgX}`] });
    poolX = await createPool(cluster, orgX, "pool-x", [egress.id]);
  });

  const at = () => ({ clusterId: cluster.clusterId });
  const lastRecord = async () => (await listAudit(cluster.ctx.sql, { clusterId: "", afterSeq: 0, limit: 1 }))[0];

  describe("pools", () => {
    it("M-A20 take only nodes that are egresses for their organization", async () => {
      const { pools } = placement(cluster);
      const poolY = await createPool(cluster, orgY, "pool-y", []);
      for (const nodeId of [egress.id, entry.id]) {
        await expect(pools.addPoolNode({ ...at(), poolId: poolY, nodeId })).rejects.toMatchObject({
          detail: "EGRESS_ROLE_MISSING",
        });
      }
      expect(await lastRecord()).toMatchObject({ action: "pool.node_added", result: "refused:EGRESS_ROLE_MISSING" });
      const { pool } = await pools.addPoolNode({ ...at(), poolId: poolX, nodeId: egress.id });
      expect(pool?.nodeIds).toEqual([egress.id]);
    });

    it("have one name per organization, and belong to an organization of the cluster", async () => {
      const { pools } = placement(cluster);
      await expect(pools.createPool({ ...at(), organizationId: orgX, name: "pool-x" })).rejects.toMatchObject({
        detail: "POOL_EXISTS",
      });
      await expect(pools.createPool({ ...at(), organizationId: "org-none", name: fresh() })).rejects.toMatchObject({
        reason: "not_found",
      });
      await expect(pools.createPool({ ...at(), organizationId: orgX, name: "Pool X" })).rejects.toMatchObject({
        reason: "invalid_argument",
      });
      await expect(
        pools.createPool({ clusterId: "cl-none", organizationId: orgX, name: fresh() }),
      ).rejects.toMatchObject({ reason: "not_found" });
    });
  });

  describe("resources", () => {
    it("fill in what the operator left open", async () => {
      const { resources } = placement(cluster);
      const { resource } = await resources.addResource({
        ...at(),
        organizationId: orgX,
        name: fresh(),
        poolId: poolX,
        host: "db.internal",
        port: 5432,
        service: "database",
      });
      expect(resource).toMatchObject({
        kind: ResourceKind.TCP,
        defaultClass: ChannelClass.INTERACTIVE,
        allowedClasses: [ChannelClass.INTERACTIVE],
        minimumAssurance: OriginAssurance.ANONYMOUS,
      });
    });

    it("LAW-C3 know nothing of another organization's pools and names", async () => {
      const { resources } = placement(cluster);
      const name = fresh();
      await addResource(cluster, orgX, name, poolX);
      await expect(addResource(cluster, orgX, name, poolX)).rejects.toMatchObject({ detail: "RESOURCE_EXISTS" });
      await expect(addResource(cluster, orgY, name, poolX)).rejects.toMatchObject({
        reason: "not_found",
        detail: "POOL_NOT_FOUND",
      });
      const poolY = await createPool(cluster, orgY, fresh(), []);
      await addResource(cluster, orgY, name, poolY);
      await expect(resources.removeResource({ ...at(), resourceId: name })).rejects.toMatchObject({
        detail: "AMBIGUOUS_NAME",
      });
    });

    it("cannot be removed under a listener; removed, their name is free again", async () => {
      const { resources, listeners } = placement(cluster);
      const name = fresh();
      const resourceId = await addResource(cluster, orgX, name, poolX);
      const listenerId = await addListener(cluster, { organizationId: orgX, name, resourceId, entryNodeId: entry.id });
      await expect(resources.removeResource({ ...at(), resourceId })).rejects.toMatchObject({
        detail: "RESOURCE_IN_USE",
      });
      await listeners.removeListener({ ...at(), listenerId });
      await resources.removeResource({ ...at(), resourceId });
      await expect(resources.removeResource({ ...at(), resourceId })).rejects.toMatchObject({ reason: "not_found" });
      expect(await addResource(cluster, orgX, name, poolX)).not.toBe(resourceId);
    });
  });

  describe("listeners", () => {
    it("need the entry role for their organization, and the resource to be that organization's", async () => {
      const resourceId = await addResource(cluster, orgX, fresh(), poolX);
      const wrong = [
        [{ organizationId: orgX, entryNodeId: egress.id }, "ENTRY_ROLE_MISSING"],
        [{ organizationId: orgY, entryNodeId: entry.id }, "RESOURCE_NOT_FOUND"],
        [{ organizationId: orgX, entryNodeId: "nd-none" }, "NODE_NOT_FOUND"],
      ] as const;
      for (const [fields, detail] of wrong) {
        await expect(addListener(cluster, { name: fresh(), resourceId, ...fields }), detail).rejects.toMatchObject({
          detail,
        });
      }
    });

    it("share no bind at one entry, except any free port", async () => {
      const { listeners } = placement(cluster);
      const resourceId = await addResource(cluster, orgX, fresh(), poolX);
      const fields = { ...at(), organizationId: orgX, resourceId, entryNodeId: entry.id };
      const first = await listeners.addListener({ ...fields, name: fresh(), bindPort: 7000 });
      expect(first.listener?.bindHost).toBe("127.0.0.1");
      await expect(listeners.addListener({ ...fields, name: fresh(), bindPort: 7000 })).rejects.toMatchObject({
        detail: "LISTENER_BIND_TAKEN",
      });
      await listeners.addListener({ ...fields, name: fresh() });
      await listeners.addListener({ ...fields, name: fresh() });
      await listeners.removeListener({ ...at(), listenerId: first.listener?.id ?? "" });
      await listeners.addListener({ ...fields, name: fresh(), bindPort: 7000 });
    });

    it("beyond loopback need a list of sources", async () => {
      const { listeners } = placement(cluster);
      const resourceId = await addResource(cluster, orgX, fresh(), poolX);
      const fields = {
        ...at(),
        organizationId: orgX,
        resourceId,
        entryNodeId: entry.id,
        bindHost: "0.0.0.0",
        bindPort: 7001,
      };
      await expect(listeners.addListener({ ...fields, name: fresh() })).rejects.toMatchObject({
        detail: "SOURCES_REQUIRED",
      });
      const { listener } = await listeners.addListener({ ...fields, name: fresh(), allowedSources: ["10.0.0.0/8"] });
      expect(listener?.allowedSources).toEqual(["10.0.0.0/8"]);
    });
  });

  describe("nodes and memberships", () => {
    const admin = () => {
      const deps = serviceDeps(cluster);
      const transport = callAs(cluster.operator, (router) => {
        router.service(NodeAdminService, nodeAdminService(deps));
        router.service(MembershipService, membershipService(deps));
        router.service(RoleService, roleService(deps));
      });
      return {
        nodes: rpcClient(NodeAdminService, transport),
        members: rpcClient(MembershipService, transport),
        roles: rpcClient(RoleService, transport),
      };
    };

    it("are found by id and by name, with roles, certificate and health", async () => {
      const { nodes } = admin();
      const byName = await nodes.getNode({ ...at(), nodeId: "egress-1" });
      expect(byName).toEqual(await nodes.getNode({ ...at(), nodeId: egress.id }));
      expect(byName.node).toMatchObject({
        id: egress.id,
        identityStatus: "active",
        membershipStatus: "active",
        certificateSerial: egress.serialHex,
        health: NodeHealth.MISSING,
        roles: [{ role: NodeRole.EGRESS, organizationId: orgX }],
      });
      expect((await nodes.listNodes({ clusterId: "default" })).nodes.map((node) => node.name)).toEqual(
        expect.arrayContaining(["egress-1", "entry-1"]),
      );
      await expect(nodes.getNode({ ...at(), nodeId: "nd-none" })).rejects.toMatchObject({ reason: "not_found" });
    });

    it("are revoked by name, and say so from then on", async () => {
      const { nodes, members } = admin();
      const name = fresh();
      await addNode(cluster, name);
      const { node, feedSeq } = await nodes.revokeNode({ ...at(), nodeId: name, reason: "sold" });
      expect(node).toMatchObject({ identityStatus: "revoked", certificateSerial: "" });
      expect(node?.revokedAtMs).toBeGreaterThan(0n);
      expect(feedSeq).toBeGreaterThan(0n);
      await expect(members.enableMembership({ ...at(), nodeId: name })).rejects.toMatchObject({
        detail: "IDENTITY_REVOKED",
      });
    });

    it("are disabled, listed as such, refused as places, and enabled", async () => {
      const { members } = admin();
      const off = await members.disableMembership({ ...at(), nodeId: entry.id });
      expect(off.membership).toMatchObject({ nodeName: "entry-1", status: "disabled" });
      const resourceId = await addResource(cluster, orgX, fresh(), poolX);
      const add = addListener(cluster, { organizationId: orgX, name: fresh(), resourceId, entryNodeId: entry.id });
      await expect(add).rejects.toMatchObject({ detail: "MEMBERSHIP_DISABLED" });
      expect((await members.enableMembership({ ...at(), nodeId: entry.id })).membership?.status).toBe("active");
    });

    it("M-A5 are given roles through the service, by organization name too, and lose them again", async () => {
      const { roles } = admin();
      const grant = { role: NodeRole.RELAY, organizationId: "org-y" };
      const { assignment } = await roles.assignRole({ ...at(), nodeId: "egress-1", grant });
      expect(assignment).toMatchObject({
        nodeName: "egress-1",
        grant: { role: NodeRole.RELAY, organizationId: orgY },
        assignedBy: cluster.operator.spiffe,
      });
      expect((await roles.listRoles({ ...at(), nodeId: egress.id })).assignments).toHaveLength(2);
      await roles.removeRole({ ...at(), nodeId: egress.id, grant });
      await expect(roles.removeRole({ ...at(), nodeId: egress.id, grant })).rejects.toMatchObject({
        detail: "ROLE_NOT_FOUND",
      });
      await expect(
        roles.assignRole({ ...at(), nodeId: egress.id, grant: { role: 99 as NodeRole, organizationId: "" } }),
      ).rejects.toMatchObject({ reason: "invalid_argument" });
      await expect(
        roles.assignRole({ ...at(), nodeId: egress.id, grant: { role: NodeRole.VPN_EXIT, organizationId: "" } }),
      ).rejects.toMatchObject({ detail: "CAPABILITY_MISSING" });
      expect(await lastRecord()).toMatchObject({ action: "role.assigned", result: "refused:CAPABILITY_MISSING" });
    });
  });
});
