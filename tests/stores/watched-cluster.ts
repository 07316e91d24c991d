/** A cluster whose nodes are looked at: beats as nodes send them, time let pass in the store, and what an operator sees of it. */

import { BundleAcks } from "../../control/domain/bundle-acks.ts";
import { FeedReceiptBook } from "../../control/domain/feed-receipts.ts";
import { watchNodes } from "../../control/jobs/node-watch.ts";
import { clusterService } from "../../control/services/cluster.ts";
import { heartbeatService } from "../../control/services/heartbeat.ts";
import { leaseService } from "../../control/services/lease.ts";
import { nodeMessageOf } from "../../control/services/node-messages.ts";
import { type AlertRow, listAlerts } from "../../control/store/alerts.ts";
import { auditHead, listAudit } from "../../control/store/audit.ts";
import { storeNowMs } from "../../control/store/beats.ts";
import type { Sql } from "../../control/store/sql.ts";
import { ClusterService } from "../../gen/weft/admin/v1/cluster_pb.ts";
import { NodeCapability } from "../../gen/weft/fabric/v1/role_pb.ts";
import { HeartbeatService } from "../../gen/weft/heartbeat/v1/heartbeat_pb.ts";
import { LeaseService } from "../../gen/weft/lease/v1/lease_pb.ts";
import { rpcClient } from "../../rpc/client.ts";
import { type AddedNode, addNode, type ControlCluster, callAs } from "../harness/control-cluster.ts";
import { serviceDeps } from "../harness/placed.ts";

export const hourMs = 3_600_000;

export interface BeatWish {
  readonly load?: number;
  readonly draining?: boolean;
  readonly sentAtMs?: bigint;
  readonly capabilities?: NodeCapability[];
}

const able = [
  NodeCapability.CAN_ACCEPT_CLIENT_INGRESS,
  NodeCapability.CAN_ACCEPT_NODE_INGRESS,
  NodeCapability.CAN_ROUTE_MESH,
  NodeCapability.CAN_EGRESS_PRIVATE_NETWORK,
];

export class WatchedCluster {
  readonly cluster: ControlCluster;
  #startSeq = 0;
  #seq = 0n;

  constructor(cluster: ControlCluster) {
    this.cluster = cluster;
  }

  get sql(): Sql {
    return this.cluster.ctx.sql;
  }

  /** The number of the last beat. */
  get seq(): number {
    return Number(this.#seq);
  }

  /** Forgets every node and organization, and records until now. */
  async empty(): Promise<void> {
    await this.sql.script("truncate node, organization, alert, lease, lease_tenure, beat_log cascade");
    this.#startSeq = (await auditHead(this.sql)).seq;
  }

  /** Forgets all there was, and has one relay that was heard and looked at. */
  async startOver(): Promise<AddedNode> {
    await this.empty();
    const node = await addNode(this.cluster, "relay-1", { roles: ["relay"] });
    await this.beat(node);
    await this.look();
    return node;
  }

  #as(caller: AddedNode["caller"]) {
    const { cluster } = this;
    return callAs(caller, (router) => {
      const hold = { awaits: async () => false };
      const bundleAcks = new BundleAcks({ ...cluster.ctx, authority: cluster.authority });
      router.service(
        HeartbeatService,
        heartbeatService({ ...cluster.ctx, hold, bundleAcks, feedReceipts: new FeedReceiptBook(cluster.ctx) }),
      );
      router.service(LeaseService, leaseService({ ...cluster.ctx, authority: cluster.authority }));
      router.service(ClusterService, clusterService(serviceDeps(cluster)));
    });
  }

  leases(who: AddedNode) {
    return rpcClient(LeaseService, this.#as(who.caller));
  }

  async beat(who: AddedNode, wish: BeatWish = {}): Promise<void> {
    this.#seq += 1n;
    const sentAtMs = BigInt(await storeNowMs(this.sql));
    const report = { bootId: "boot-1", seq: this.#seq, sentAtMs, capabilities: able, ...wish };
    await rpcClient(HeartbeatService, this.#as(who.caller)).beat(report);
  }

  /** Lets a look be due, by somebody who has listened for so long. */
  async due(listenedForMs = 100 * hourMs): Promise<void> {
    await this.sql.query(
      "update cluster set graph_refreshed_at_ms = now_ms() - 10001, listening_since_ms = now_ms() - $1::bigint",
      [listenedForMs],
    );
  }

  async look(listenedForMs?: number): Promise<void> {
    await this.due(listenedForMs);
    await watchNodes(this.cluster.ctx, this.cluster.clusterId);
  }

  /** Lets a node have been silent for so long, and snapshots have shown that for `shownForMs`. */
  async silent(who: AddedNode, beatAgeMs: number, shownForMs = 0): Promise<void> {
    const age = "update beat_latest set received_at_ms = now_ms() - $2::bigint where node_id = $1";
    await this.sql.query(age, [who.id, beatAgeMs]);
    await this.look();
    const shown = "update published_node set health_since_ms = now_ms() - $2::bigint where node_id = $1";
    await this.sql.query(shown, [who.id, shownForMs]);
    await this.look();
  }

  async alerts(all = false): Promise<readonly AlertRow[]> {
    return await listAlerts(this.sql, this.cluster.clusterId, { all, limit: 100 });
  }

  /** The kinds of open alerts. */
  async kinds(): Promise<readonly string[]> {
    return (await this.alerts()).map(({ kind }) => kind).sort();
  }

  async records(action: string) {
    const page = { clusterId: this.cluster.clusterId, afterSeq: this.#startSeq, limit: 500 };
    return (await listAudit(this.sql, page)).filter((row) => row.action === action);
  }

  async shown(who: AddedNode) {
    return await nodeMessageOf(this.cluster.ctx, this.cluster.clusterId, who.id);
  }

  async overview() {
    const { clusterId, operator } = this.cluster;
    return await rpcClient(ClusterService, this.#as(operator)).getCluster({ clusterId });
  }
}
