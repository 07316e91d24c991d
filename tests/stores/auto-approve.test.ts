/** M-A3: tokens that approve what comes with them, and how tightly they are held. */

import { beforeEach, expect, it } from "vitest";
import { createWorld, enrollRequest, freshHost, signedPoll, type World } from "../../conformance/stores/plane.ts";
import { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { describeStores } from "./stores.ts";

describeStores("tokens that approve by themselves", (store) => {
  let world: World;
  const tight = { autoApprove: true, namePrefix: "edge-", roles: [NodeRole.RELAY], maxUses: 2, lifeMs: 60_000n };
  const make = async (over: Partial<typeof tight> = {}) =>
    await world.operator.tokens.createToken({ clusterId: world.clusterId, ...tight, ...over });
  const count = async (table: string): Promise<number> =>
    (await world.sql.query<{ n: number }>(`select count(*)::int as n from ${table}`))[0]?.n ?? -1;

  beforeEach(async () => {
    world = await createWorld(await store.migrated());
  });

  it("M-A3 M-A9 give a certificate at the first poll, and leave the record an operator's approval leaves", async () => {
    const { text, token } = await make();
    expect(token).toMatchObject({ autoApprove: true, namePrefix: "edge-" });
    const host = await freshHost();
    const requestedRoles = [{ role: NodeRole.RELAY }];
    const { requestId } = await world.stranger.enrollment.enroll(
      enrollRequest(text, host, { nodeName: "edge-1", requestedRoles }),
    );
    const polled = await world.stranger.enrollment.pollEnrollment(signedPoll(requestId, host.keys));
    expect(polled.identity?.certificateDer.length).toBeGreaterThan(100);
    const { records } = await world.operator.audit.listAudit({});
    const mine = records.filter(({ actor }) => actor === `token/${token?.id}`).map(({ action }) => action);
    expect(mine).toEqual(["role.assigned", "certificate.issued", "request.approved"]);
  });

  it("are refused unless they say which roles, which names, how many and for how long", async () => {
    const loose = [{ roles: [] }, { namePrefix: "" }, { namePrefix: "-a" }, { maxUses: 101 }, { lifeMs: 3_600_001n }];
    for (const over of loose) await expect(make(over)).rejects.toMatchObject({ detail: "INVALID_FIELD" });
    expect(await count("join_token")).toBe(0);
  });

  it("a host by another name, or that asks for another role, is refused as any wrong token is", async () => {
    const { text } = await make();
    const relay = [{ role: NodeRole.RELAY }];
    for (const wish of [
      { nodeName: "core-1", requestedRoles: relay },
      { nodeName: "edge-1", requestedRoles: [{ role: NodeRole.ENTRY }] },
    ]) {
      const enrolling = world.stranger.enrollment.enroll(enrollRequest(text, await freshHost(), wish));
      await expect(enrolling).rejects.toMatchObject({ detail: "JOIN_TOKEN_REFUSED" });
    }
    expect(await count("node")).toBe(0);
  });

  it("a name that is taken uses nothing up and leaves no request behind", async () => {
    const { text } = await make();
    const wish = { nodeName: "edge-1", requestedRoles: [{ role: NodeRole.RELAY }] };
    await world.stranger.enrollment.enroll(enrollRequest(text, await freshHost(), wish));
    const again = world.stranger.enrollment.enroll(enrollRequest(text, await freshHost(), wish));
    await expect(again).rejects.toMatchObject({ detail: "NODE_NAME_TAKEN" });
    expect(await count("node")).toBe(1);
    expect(await count("join_request")).toBe(1);
    expect(await world.sql.query("select used_count from join_token")).toEqual([{ used_count: 1 }]);
  });

  it("REVIEW-16 a token made wider by a writer of the database gives nothing", async () => {
    const wish = { nodeName: "edge-1", requestedRoles: [{ role: NodeRole.RELAY }] };
    for (const change of [
      "auto_approve = true, name_prefix = ''",
      "auto_approve = true, max_uses = 1000",
      "roles = '{}'",
      "expires_at_ms = expires_at_ms + 1",
      "mac = null",
    ]) {
      const { text, token } = await make();
      await world.sql.query(`update join_token set ${change} where id = $1`, [token?.id ?? ""]);
      const enrolling = world.stranger.enrollment.enroll(enrollRequest(text, await freshHost(), wish));
      await expect(enrolling, change).rejects.toMatchObject({ reason: "data_loss" });
    }
    const { text: ordinary, token } = await world.operator.tokens.createToken({ clusterId: world.clusterId });
    await world.sql.query("update join_token set auto_approve = true where id = $1", [token?.id ?? ""]);
    const enrolling = world.stranger.enrollment.enroll(enrollRequest(ordinary, await freshHost(), wish));
    await expect(enrolling).rejects.toMatchObject({ reason: "data_loss" });
    expect(await count("node")).toBe(0);
    expect(await count("join_request")).toBe(0);
  });
});
