/** Nodes, memberships, roles and revocation on both stores: what changes, what is bumped, what is recorded. */

import { beforeAll, beforeEach, expect, it } from "vitest";
import { changeMembership, grantRole, revokeNode, withdrawRole } from "../../control/domain/node-changes.ts";
import { listAudit } from "../../control/store/audit.ts";
import { requireActiveMember } from "../../control/store/memberships.ts";
import { getNode, requireNode } from "../../control/store/nodes.ts";
import {
  addRevocationsEverywhere,
  feedPosition,
  listRevocations,
  sweepRevocations,
} from "../../control/store/revocations.ts";
import { rolesOf } from "../../control/store/roles.ts";
import { snapshotPosition } from "../../control/store/snapshots.ts";
import {
  type AddedNode,
  addNode,
  addOrganization,
  type ControlCluster,
  controlCluster,
} from "../harness/control-cluster.ts";
import { describeStores } from "./stores.ts";

describeStores("nodes", (store) => {
  let cluster: ControlCluster;
  let node: AddedNode;
  let count = 0;

  beforeAll(async () => {
    cluster = await controlCluster(await store.migrated());
  });
  beforeEach(async () => {
    count += 1;
    node = await addNode(cluster, `node-${count}`, { roles: ["relay"] });
  });

  const order = () => ({ clusterId: cluster.clusterId, node: node.id, actor: "test" });
  const version = async () => (await snapshotPosition(cluster.ctx.sql, cluster.clusterId))?.version ?? 0;
  const lastAction = async () => (await listAudit(cluster.ctx.sql, { clusterId: "", afterSeq: 0, limit: 1 }))[0];
  const revoke = () => revokeNode(cluster.ctx, { ...order(), reason: "stolen", trustDomain: cluster.trustDomain });

  it("M-A5 refuses a role whose capability is not reported, and changes nothing", async () => {
    const poor = await addNode(cluster, `poor-${count}`, { capabilities: ["can_route_mesh"] });
    const before = await version();
    for (const role of ["entry", "egress", "relay", "rdp-worker"]) {
      const asked = grantRole(cluster.ctx, { ...order(), node: poor.id, role, organizationId: "" });
      await expect(asked, role).rejects.toMatchObject({ reason: "failed_precondition", detail: "CAPABILITY_MISSING" });
    }
    expect(await rolesOf(cluster.ctx.sql, cluster.ctx.seal, poor.id)).toEqual([]);
    expect(await version()).toBe(before);
  });

  it("assigns and removes a role, each with a new snapshot version and a record; repeating either changes nothing", async () => {
    const organizationId = await addOrganization(cluster, `org-${count}`);
    const before = await version();
    const role = { ...order(), role: "entry", organizationId };
    await grantRole(cluster.ctx, role);
    expect(await version()).toBe(before + 1);
    expect(await lastAction()).toMatchObject({ action: "role.assigned", object: `node/${node.id}`, organizationId });
    await grantRole(cluster.ctx, role);
    expect(await version()).toBe(before + 1);
    await withdrawRole(cluster.ctx, role);
    expect(await version()).toBe(before + 2);
    expect(await lastAction()).toMatchObject({ action: "role.removed", organizationId });
    await expect(withdrawRole(cluster.ctx, role)).rejects.toMatchObject({ reason: "not_found" });
    expect(await version()).toBe(before + 2);
  });

  it("M-A4 disables a membership without touching the identity, and enables it again", async () => {
    const before = await version();
    await changeMembership(cluster.ctx, { ...order(), status: "disabled" });
    await changeMembership(cluster.ctx, { ...order(), status: "disabled" });
    expect(await version()).toBe(before + 1);
    const refused = requireActiveMember(cluster.ctx.sql, cluster.ctx.seal, cluster.clusterId, node.id);
    await expect(refused).rejects.toMatchObject({ detail: "MEMBERSHIP_DISABLED", message: "membership disabled" });
    expect((await getNode(cluster.ctx.sql, cluster.clusterId, node.id))?.identityStatus).toBe("active");
    expect(await rolesOf(cluster.ctx.sql, cluster.ctx.seal, node.id)).toHaveLength(1);
    await changeMembership(cluster.ctx, { ...order(), status: "active" });
    await requireActiveMember(cluster.ctx.sql, cluster.ctx.seal, cluster.clusterId, node.id);
    expect(await version()).toBe(before + 2);
  });

  it("LAW-I4 revokes an identity, its leaf and its key in one transaction with feed, snapshot and record", async () => {
    const [feedBefore, before] = [await feedPosition(cluster.ctx.sql, cluster.clusterId), await version()];
    const position = await revoke();
    expect(position.feedSeq).toBe((feedBefore?.feedSeq ?? 0) + 1);
    expect(await version()).toBe(before + 1);
    const rows = await listRevocations(cluster.ctx.sql, cluster.ctx.seal, cluster.clusterId);
    const own = rows.filter((row) => row.spiffeId === node.caller.spiffe);
    expect(own.some((row) => row.serial === node.serialHex && row.issuerKeyId !== "")).toBe(true);
    expect(own.some((row) => row.keyHash === node.keyHash && row.serial === "")).toBe(true);
    expect(own.some((row) => row.keyHash === "" && row.serial === "")).toBe(true);
    const certificates = await cluster.ctx.sql.query(
      "select 1 from certificate where holder_id = $1 and status <> 'revoked'",
      [node.id],
    );
    expect(certificates).toEqual([]);
    expect(await lastAction()).toMatchObject({ action: "node.revoked", object: `node/${node.id}` });
    expect(await revoke()).toMatchObject({ feedSeq: position.feedSeq });
    const refused = requireActiveMember(cluster.ctx.sql, cluster.ctx.seal, cluster.clusterId, node.id);
    await expect(refused).rejects.toMatchObject({ reason: "permission_denied", detail: "IDENTITY_REVOKED" });
    await expect(grantRole(cluster.ctx, { ...order(), role: "entry", organizationId: "" })).rejects.toMatchObject({
      detail: "IDENTITY_REVOKED",
    });
  });

  it("M-A9 makes no change whose record cannot be written", async () => {
    await cluster.ctx.sql.query(
      "alter table audit add constraint full_disk check (action not in ('node.revoked', 'role.removed', 'membership.disabled')) not valid",
    );
    try {
      const before = await version();
      await expect(revoke()).rejects.toThrow();
      await expect(withdrawRole(cluster.ctx, { ...order(), role: "relay", organizationId: "" })).rejects.toThrow();
      await expect(changeMembership(cluster.ctx, { ...order(), status: "disabled" })).rejects.toThrow();
      expect(await version()).toBe(before);
      const row = await requireNode(cluster.ctx.sql, cluster.ctx.seal, cluster.clusterId, node.id);
      expect(row.identityStatus).toBe("active");
      expect(await rolesOf(cluster.ctx.sql, cluster.ctx.seal, node.id)).toHaveLength(1);
    } finally {
      await cluster.ctx.sql.query("alter table audit drop constraint full_disk");
    }
  });

  it("drops a lapsed revocation only together with a new position of the feed", async () => {
    const { sql, seal, hints } = cluster.ctx;
    const spiffeId = `spiffe://${cluster.trustDomain}/cluster/installation/operator/op-${count}`;
    await sql.tx((tx) =>
      addRevocationsEverywhere(tx, { seal, hints }, [{ spiffeId, reason: "", revokedBy: "test", notAfterMs: 1_000 }]),
    );
    const before = await feedPosition(sql, cluster.clusterId);
    expect(await sql.tx((tx) => sweepRevocations(tx, hints))).toEqual([cluster.clusterId]);
    expect((await feedPosition(sql, cluster.clusterId))?.feedSeq).toBe((before?.feedSeq ?? 0) + 1);
    const left = await listRevocations(sql, seal, cluster.clusterId);
    expect(left.map((row) => row.spiffeId)).not.toContain(spiffeId);
    expect(await sql.tx((tx) => sweepRevocations(tx, hints))).toEqual([]);
  });

  it("knows nothing of nodes of another cluster", async () => {
    await expect(
      revokeNode(cluster.ctx, { ...order(), clusterId: "cl-other", reason: "", trustDomain: "x" }),
    ).rejects.toMatchObject({ reason: "not_found" });
    await expect(requireNode(cluster.ctx.sql, cluster.ctx.seal, "cl-other", node.id)).rejects.toMatchObject({
      reason: "not_found",
    });
    const foreign = requireActiveMember(cluster.ctx.sql, cluster.ctx.seal, "cl-other", node.id);
    await expect(foreign).rejects.toMatchObject({ reason: "not_found" });
  });

  it("refuses to use a node, membership or role that somebody wrote into the database", async () => {
    const { sql, seal } = cluster.ctx;
    const tampered = [
      [
        "node",
        "update node set key_hash = 'aa' where id = $1",
        () => requireNode(sql, seal, cluster.clusterId, node.id),
      ],
      [
        "membership",
        "update membership set mac = '\\x00' where node_id = $1",
        () => requireActiveMember(sql, seal, cluster.clusterId, node.id),
      ],
      [
        "role_assignment",
        "update role_assignment set role = 'egress' where node_id = $1",
        () => rolesOf(sql, seal, node.id),
      ],
    ] as const;
    for (const [table, statement, use] of tampered) {
      await sql.query(statement, [node.id]);
      await expect(use(), table).rejects.toMatchObject({ reason: "data_loss", detail: "TRUST_ROW_UNAUTHENTIC" });
    }
    await sql.query("delete from role_assignment where node_id = $1", [node.id]);
    await sql.query("delete from membership where node_id = $1", [node.id]);
    await sql.query("delete from node where id = $1", [node.id]);
  });
});
