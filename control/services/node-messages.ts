/** Nodes, memberships and grants as messages, and what requests say about them as stored text. */

import type { NodeRole, RoleGrant } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { GrantRow } from "../domain/placement.ts";
import type { StoreContext } from "../store/context.ts";
import type { MembershipRow } from "../store/memberships.ts";
import {
  getNode,
  healthOfStatus,
  listNodes,
  type NodeRow,
  type NodeStatusRow,
  nodeStatuses,
  requireNode,
} from "../store/nodes.ts";
import { requireOrganization } from "../store/organizations.ts";
import { listRoles } from "../store/roles.ts";
import type { Queryable } from "../store/sql.ts";
import { capabilities, healths, roles } from "../store/vocabulary.ts";
import { invalid } from "./service-context.ts";

/** The stored text of a role from the wire. Throws `invalid_argument`. */
function roleText(role: NodeRole): string {
  const text = roles.text(role);
  if (text === undefined) throw invalid("role", "no such role");
  return text;
}

/** A grant from the wire, its organization looked up in the cluster. */
export async function grantFromWire(q: Queryable, clusterId: string, grant: RoleGrant | undefined): Promise<GrantRow> {
  if (grant === undefined) throw invalid("grant", "a role is needed");
  const role = roleText(grant.role);
  if (grant.organizationId === "") return { role, organizationId: "" };
  return { role, organizationId: (await requireOrganization(q, clusterId, grant.organizationId)).id };
}

export function grantMessage({ role, organizationId }: GrantRow) {
  return { role: roles.value(role), organizationId };
}

function nodeMessage(node: NodeRow, status: NodeStatusRow | undefined, grants: readonly GrantRow[]) {
  return {
    id: node.id,
    clusterId: node.clusterId,
    name: node.name,
    identityStatus: node.identityStatus,
    roles: grants.map(grantMessage),
    capabilities: node.capabilities.map((each) => capabilities.value(each)),
    addresses: node.addresses.map(({ host, port }) => ({ host, port })),
    dialOutOnly: node.dialOutOnly,
    region: node.region,
    health: healths.value(healthOfStatus(status)),
    joinedAtMs: BigInt(node.joinedAtMs),
    lastSeenAtMs: BigInt(status?.lastSeenAtMs ?? 0),
    load: status?.load ?? 0,
    skewMs: status?.skewMs ?? 0,
    ...(typeof status?.driftPpm === "number" ? { driftPpm: status.driftPpm } : {}),
    snapshotEpoch: BigInt(status?.snapshotEpoch ?? 0),
    snapshotVersion: BigInt(status?.snapshotVersion ?? 0),
    certificateSerial: status?.certificateSerial ?? "",
    certificateNotAfterMs: BigInt(status?.certificateNotAfterMs ?? 0),
    operatorAddress: status?.operatorAddress ?? "",
    version: status?.version ?? "",
    membershipStatus: status?.membershipStatus ?? "",
    revokedAtMs: BigInt(node.revokedAtMs ?? 0),
    ...(typeof status?.beatAgeMs === "number" ? { beatAgeMs: BigInt(status.beatAgeMs) } : {}),
    draining: status?.draining ?? false,
    healthSinceMs: BigInt(status?.healthSinceMs ?? 0),
    groupId: status?.groupId ?? "",
    alerts: [...(status?.alerts ?? [])],
    placementState: status?.placementState ?? "",
    listeners: (status?.listeners ?? []).map(({ listenerId, boundAddress, error }) => ({
      listenerId,
      boundAddress,
      error,
    })),
  };
}

/** Every node of a cluster. */
export async function nodeMessages({ sql, seal }: Pick<StoreContext, "sql" | "seal">, clusterId: string) {
  const nodes = await listNodes(sql, seal, clusterId);
  const statuses = await nodeStatuses(sql, clusterId);
  const grants = Map.groupBy(await listRoles(sql, seal, clusterId), (row) => row.nodeId);
  return nodes.map((node) => nodeMessage(node, statuses.get(node.id), grants.get(node.id) ?? []));
}

/** One node by id or name; NOT_FOUND when the cluster has none. */
export async function nodeMessageOf(
  { sql, seal }: Pick<StoreContext, "sql" | "seal">,
  clusterId: string,
  idOrName: string,
) {
  const node = await requireNode(sql, seal, clusterId, idOrName);
  const statuses = await nodeStatuses(sql, clusterId, node.id);
  return nodeMessage(node, statuses.get(node.id), await listRoles(sql, seal, clusterId, node.id));
}

/** "node/<id>" for records of what was refused about a node that may not even exist. */
export async function nodeObject(q: Queryable, clusterId: string, idOrName: string): Promise<string> {
  return `node/${(await getNode(q, clusterId, idOrName))?.id ?? "unknown"}`;
}

export function membershipMessage(row: MembershipRow) {
  return {
    clusterId: row.clusterId,
    nodeId: row.nodeId,
    nodeName: row.nodeName,
    status: row.status,
    joinedAtMs: BigInt(row.joinedAtMs),
    lastSeenAtMs: BigInt(row.lastSeenAtMs ?? 0),
  };
}
