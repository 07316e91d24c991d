/** What the checks of one store stand on: the server, and an installation in one database of it with two replicas. */

import type { Sql } from "../../control/store/sql.ts";
import { createWorld, enrollRequest, freshHost, Replica, strangerOf, type World } from "./plane.ts";
import type { StoreServer } from "./servers.ts";

export interface StoreWorld {
  readonly server: StoreServer;
  /** Connections of two replicas to the installation's database. */
  readonly connections: readonly [Sql, Sql];
  readonly plane: World;
  readonly replicas: readonly [Replica, Replica];
}

/** Makes an installation on a server. */
export async function openStoreWorld(server: StoreServer): Promise<StoreWorld> {
  const { sql, another } = await server.empty();
  const plane = await createWorld(sql);
  const second = await another();
  return {
    server,
    connections: [sql, second],
    plane,
    replicas: [plane.replica, new Replica(second, plane.sealingKey)],
  };
}

/** The doors strangers knock at, one per replica. */
export function strangers({ plane, replicas }: StoreWorld) {
  return replicas.map((replica) => replica.as(strangerOf(plane.clusterId)).enrollment);
}

/** A host with a request that waits for approval, and what an operator has to repeat to approve it. */
export async function pendingRequest({ plane }: StoreWorld, name: string) {
  const { clusterId } = plane;
  const { text } = await plane.operator.tokens.createToken({ clusterId });
  const host = await freshHost();
  const wish = { nodeName: name };
  const { requestId } = await plane.stranger.enrollment.enroll(enrollRequest(text, host, wish));
  const { request } = await plane.operator.requests.getRequest({ clusterId, requestId });
  if (request === undefined) throw new Error("the request is not there");
  const { keyHash, addresses, requestedRoles: roles } = request;
  return { host, requestId, order: { clusterId, requestId, keyHash, addresses, roles, name } };
}
