/** Pools, resources and listeners, placed through the services an operator calls. */

import { create } from "@bufbuild/protobuf";
import { Allowlist } from "../../control/domain/allowlist.ts";
import { listenerService } from "../../control/services/listener.ts";
import { poolService } from "../../control/services/pool.ts";
import { resourceService } from "../../control/services/resource.ts";
import type { ServiceDeps } from "../../control/services/service-context.ts";
import { ListenerService } from "../../gen/weft/admin/v1/listener_pb.ts";
import { PoolService } from "../../gen/weft/admin/v1/pool_pb.ts";
import {
  type AddResourceRequest,
  AddResourceRequestSchema,
  ResourceService,
} from "../../gen/weft/admin/v1/resource_pb.ts";
import { rpcClient } from "../../rpc/client.ts";
import { type ControlCluster, callAs } from "./control-cluster.ts";

/** What the services of a cluster are made from. */
export function serviceDeps({ ctx, authority }: ControlCluster): ServiceDeps {
  return { ...ctx, authority, allowlist: new Allowlist(ctx) };
}

/** The three services, called by the cluster's operator. */
export function placement(cluster: ControlCluster) {
  const deps = serviceDeps(cluster);
  const transport = callAs(cluster.operator, (router) => {
    router.service(PoolService, poolService(deps));
    router.service(ResourceService, resourceService(deps));
    router.service(ListenerService, listenerService(deps));
  });
  return {
    pools: rpcClient(PoolService, transport),
    resources: rpcClient(ResourceService, transport),
    listeners: rpcClient(ListenerService, transport),
  };
}

/** Creates a pool with nodes in it; returns its id. */
export async function createPool(
  cluster: ControlCluster,
  organizationId: string,
  name: string,
  nodeIds: readonly string[],
): Promise<string> {
  const { pools } = placement(cluster);
  const { clusterId } = cluster;
  const { pool } = await pools.createPool({ clusterId, organizationId, name });
  const poolId = pool?.id ?? "";
  for (const nodeId of nodeIds) await pools.addPoolNode({ clusterId, poolId, nodeId });
  return poolId;
}

/** Adds a TCP resource at a loopback target; returns its id. */
export async function addResource(
  cluster: ControlCluster,
  organizationId: string,
  name: string,
  poolId: string,
  fields: Partial<Pick<AddResourceRequest, "service" | "host" | "port">> = {},
): Promise<string> {
  const { clusterId } = cluster;
  const target = { host: "127.0.0.1", port: 8080, ...fields };
  const request = create(AddResourceRequestSchema, { clusterId, organizationId, name, poolId, ...target });
  return (await placement(cluster).resources.addResource(request)).resource?.id ?? "";
}

/** Adds a listener on any free loopback port; returns its id. */
export async function addListener(
  cluster: ControlCluster,
  fields: {
    readonly organizationId: string;
    readonly name: string;
    readonly resourceId: string;
    readonly entryNodeId: string;
  },
): Promise<string> {
  const { clusterId } = cluster;
  return (await placement(cluster).listeners.addListener({ clusterId, ...fields })).listener?.id ?? "";
}
