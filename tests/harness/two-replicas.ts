/** Two replicas of one control on one PostgreSQL, and a few nodes of two organizations. */

import { openPostgres } from "../../control/store/pg.ts";
import { silentLog } from "../../lib/log.ts";
import {
  type AddedNode,
  addNode,
  addOrganization,
  type ControlCluster,
  controlCluster,
  openCluster,
  storeContext,
} from "./control-cluster.ts";
import { sharedPostgres } from "./shared-stores.ts";

export interface TwoReplicas {
  readonly cluster: ControlCluster;
  readonly replica: ControlCluster;
  readonly orgX: string;
  readonly orgY: string;
  /** An entry of each organization. */
  readonly entryX: AddedNode;
  readonly entryY: AddedNode;
  readonly relay: AddedNode;
  readonly egress: AddedNode;
  stop(): Promise<void>;
}

export async function startTwoReplicas(): Promise<TwoReplicas> {
  const server = await sharedPostgres();
  const url = await server.migrated();
  const stores = [openPostgres({ url, log: silentLog }), openPostgres({ url, log: silentLog })] as const;
  const cluster = await controlCluster(stores[0]);
  const replica = await openCluster(storeContext(stores[1]), cluster.clusterId, cluster.operator.id?.id ?? "");
  const [orgX, orgY] = [await addOrganization(cluster, "org-x"), await addOrganization(cluster, "org-y")];
  return {
    ...{ cluster, replica, orgX, orgY },
    entryX: await addNode(cluster, "entry-1", { roles: [`entry@${orgX}`] }),
    entryY: await addNode(cluster, "entry-2", { roles: [`entry@${orgY}`] }),
    relay: await addNode(cluster, "relay-1", { roles: ["relay"] }),
    egress: await addNode(cluster, "egress-1", { roles: ["egress"], dialOutOnly: true }),
    async stop() {
      for (const sql of stores) await sql.close();
      await server.stop();
    },
  };
}
