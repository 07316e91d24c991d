/**
 * Many nodes at once: a bulk issuing job that puts approved nodes with roles and leaves into a store, as approvals would,
 * through the same functions; only the requests before them are left out.
 */

import { generateP256, privateKeyPem } from "../../certs/keys.ts";
import { Authority } from "../../control/domain/authority.ts";
import { issueAndRecord, nodeLeafOrder } from "../../control/domain/issue.ts";
import type { ClusterRow } from "../../control/store/clusters.ts";
import type { StoreContext } from "../../control/store/context.ts";
import { insertNode } from "../../control/store/nodes.ts";
import { assignRole } from "../../control/store/roles.ts";
import { bumpSnapshot } from "../../control/store/snapshots.ts";
import type { Tx } from "../../control/store/sql.ts";
import { randomLabel } from "../../lib/random.ts";

export interface FleetNode {
  readonly id: string;
  readonly keyPem: string;
  readonly certificateDer: Uint8Array;
}

const perTransaction = 50;
const transactions = 4;

const relays = 10;
const entries = 10;

/** A core of relays and entries, and connectors beside what they connect: egresses that dial out only. */
function roleOf(index: number): "relay" | "entry" | "egress" {
  return index < relays ? "relay" : index < relays + entries ? "entry" : "egress";
}

const capabilityOf = {
  relay: "can_route_mesh",
  entry: "can_accept_client_ingress",
  egress: "can_egress_private_network",
} as const;

/** Makes `count` nodes; `onProgress` hears how many exist. */
export async function seedFleet(
  ctx: StoreContext,
  cluster: ClusterRow,
  count: number,
  onProgress: (made: number) => void,
): Promise<FleetNode[]> {
  const authority = new Authority(ctx);
  const { trustDomain } = await authority.installation();
  const made: FleetNode[] = [];
  const one = async (tx: Tx, index: number): Promise<FleetNode> => {
    const keys = generateP256();
    const role = roleOf(index);
    const node = {
      id: `nd-${randomLabel(ctx.random, 16)}`,
      clusterId: cluster.id,
      name: `${role}-${index}`,
      keyHash: keys.keyHash,
      linkLabel: `link-${randomLabel(ctx.random, 26)}`,
      addresses:
        role === "egress" ? [] : [{ host: `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`, port: 4433 }],
      dialOutOnly: role === "egress",
      region: "",
      capabilities: [capabilityOf[role]],
      requestId: null,
    };
    await insertNode(tx, ctx, node);
    await assignRole(tx, ctx, {
      clusterId: cluster.id,
      nodeId: node.id,
      role,
      organizationId: "",
      assignedBy: "bench",
    });
    const order = nodeLeafOrder(cluster, node, keys.spkiDer, "current");
    const { certificateDer } = await issueAndRecord(tx, { ctx, authority, trustDomain }, order);
    return { id: node.id, keyPem: privateKeyPem(keys.privateKey), certificateDer };
  };
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      const from = next;
      next = Math.min(count, next + perTransaction);
      const to = next;
      const nodes = await ctx.sql.tx(async (tx) => {
        const batch: FleetNode[] = [];
        for (let index = from; index < to; index += 1) batch.push(await one(tx, index));
        return batch;
      });
      made.push(...nodes);
      onProgress(made.length);
    }
  };
  await Promise.all(Array.from({ length: transactions }, worker));
  await ctx.sql.tx((tx) => bumpSnapshot(tx, ctx.hints, cluster.id));
  return made;
}
