import { beforeEach, expect, it } from "vitest";
import { audited } from "../../control/store/audit.ts";
import { raiseEpoch } from "../../control/store/installation.ts";
import { acquireLease } from "../../control/store/leases.ts";
import type { Primary } from "../../control/store/primary.ts";
import { listTerms, meetPrimary, newestTerm } from "../../control/store/terms.ts";
import { addNode, type ControlCluster, controlCluster } from "../harness/control-cluster.ts";
import { checkTerms } from "../harness/term-checker.ts";
import { describeStores } from "./stores.ts";

describeStores("M-L6 terms", (store) => {
  let cluster: ControlCluster;
  let here: Primary;
  beforeEach(async () => {
    cluster = await controlCluster(await store.migrated());
    here = await cluster.ctx.sql.look();
  });

  const meet = (primary: Primary) => cluster.ctx.sql.tx((tx) => meetPrimary(tx, cluster.ctx, primary));
  const epochs = async (): Promise<string[]> =>
    (await listTerms(cluster.ctx.sql, cluster.ctx.seal)).map(({ epoch, reason }) => `${epoch} ${reason}`);

  it("begin with the first primary, and with every other one, once for all who meet it", async () => {
    await meet(here);
    await meet(here);
    const promoted = { ...here, timeline: here.timeline + 1 };
    await Promise.all([meet(promoted), meet(promoted), meet(promoted)]);
    await meet({ systemIdentifier: "1", timeline: 1 });
    expect(await epochs()).toEqual(["1 first", "2 promoted", "3 moved"]);
    const { wrong } = await checkTerms(cluster.ctx.sql, cluster.ctx.seal);
    expect(wrong).toEqual([]);
  });

  it("follow an epoch that a restore has raised, without raising it again", async () => {
    await meet(here);
    const { sql, seal } = cluster.ctx;
    await audited(sql, { actor: "test", action: "restored", object: "store" }, (tx) => raiseEpoch(tx, seal, 7));
    await meet({ ...here, timeline: here.timeline + 3 });
    expect(await epochs()).toEqual(["1 first", "7 restored"]);
  });

  it("LAW-F2 take feed, snapshots and fences with them", async () => {
    await meet(here);
    const { sql } = cluster.ctx;
    const claim = { clusterId: cluster.clusterId, name: "work/a", nodeId: "nd-a", bootId: "b" };
    const before = await acquireLease(sql, claim, 60_000);
    await meet({ ...here, timeline: here.timeline + 1 });
    const after = await acquireLease(sql, claim, 60_000);
    expect([before?.epoch, after?.epoch]).toEqual([1, 2]);
    expect(await sql.query("select feed_epoch, snapshot_epoch from cluster")).toEqual([
      { feed_epoch: 2, snapshot_epoch: 2 },
    ]);
  });

  it("are carried by trust rows: of their making, and of a change of what they vouch for", async () => {
    await meet(here);
    const { sql } = cluster.ctx;
    const { id } = await addNode(cluster, "relay-1");
    await meet({ ...here, timeline: here.timeline + 1 });
    await sql.query("update node set region = 'eu' where id = $1", [id]);
    expect(await sql.query("select term from node where id = $1", [id])).toEqual([{ term: 1 }]);
    await sql.query("update node set mac = mac where id = $1", [id]);
    expect(await sql.query("select term from node where id = $1", [id])).toEqual([{ term: 2 }]);
  });

  it("REVIEW-16 nobody can make up or edit", async () => {
    await meet(here);
    const { sql, seal } = cluster.ctx;
    await sql.query("update term set timeline = timeline + 1");
    await expect(newestTerm(sql, seal)).rejects.toMatchObject({ detail: "TRUST_ROW_UNAUTHENTIC" });
    await expect(meet(here)).rejects.toMatchObject({ detail: "TRUST_ROW_UNAUTHENTIC" });
  });
});
