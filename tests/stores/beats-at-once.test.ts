/** Beats that come faster than they are recorded, or again, on both stores. */

import { beforeAll, expect, it } from "vitest";
import { BundleAcks } from "../../control/domain/bundle-acks.ts";
import { FeedReceiptBook } from "../../control/domain/feed-receipts.ts";
import { heartbeatService } from "../../control/services/heartbeat.ts";
import { NodeHealth } from "../../gen/weft/fabric/v1/role_pb.ts";
import { HeartbeatService } from "../../gen/weft/heartbeat/v1/heartbeat_pb.ts";
import { rpcClient } from "../../rpc/client.ts";
import { type AddedNode, addNode, type ControlCluster, callAs, controlCluster } from "../harness/control-cluster.ts";
import { describeStores } from "./stores.ts";

describeStores("beats", (store) => {
  let cluster: ControlCluster;

  beforeAll(async () => {
    cluster = await controlCluster(await store.migrated());
  });

  /** A node, to one service of its own. */
  const as = ({ caller }: AddedNode) => {
    const bundleAcks = new BundleAcks({ ...cluster.ctx, authority: cluster.authority });
    const feedReceipts = new FeedReceiptBook(cluster.ctx);
    const service = heartbeatService({ ...cluster.ctx, hold: cluster.hold, bundleAcks, feedReceipts });
    return rpcClient(
      HeartbeatService,
      callAs(caller, (router) => router.service(HeartbeatService, service)),
    );
  };

  it("that come at once are one of each boot, the newest, and all of them get its answer", async () => {
    const node = await addNode(cluster, "hasty");
    const beats = as(node);
    const send = (seq: bigint, bootId: string) =>
      beats.beat({ seq, bootId, sentAtMs: BigInt(Date.now()), load: Number(seq) / 100 });
    const boots = ["boot-1", "boot-2"];
    const answers = await Promise.all(Array.from({ length: 20 }, (_, at) => send(BigInt(1 + at), boots[at % 2] ?? "")));
    expect(answers.every(({ health }) => health === NodeHealth.ONLINE)).toBe(true);
    const text = `select boot_id as boot, max(seq) as newest, count(*) as n from beat_log where node_id = $1
      group by boot_id order by boot_id`;
    const logged = await cluster.ctx.sql.query<{ newest: number; n: number }>(text, [node.id]);
    expect(logged.map(({ newest }) => newest)).toEqual([19, 20]);
    // The first one that came found nobody to wait for.
    expect(logged.reduce((sum, { n }) => sum + n, 0)).toBeLessThanOrEqual(3);
  });

  it("that are recorded again are in the log once", async () => {
    const node = await addNode(cluster, "repeated");
    await as(node).beat({ seq: 3n, bootId: "boot-1", sentAtMs: BigInt(Date.now()) });
    await as(node).beat({ seq: 3n, bootId: "boot-1", sentAtMs: BigInt(Date.now()) });
    const logged = await cluster.ctx.sql.query("select seq from beat_log where node_id = $1", [node.id]);
    expect(logged).toEqual([{ seq: 3 }]);
  });
});
