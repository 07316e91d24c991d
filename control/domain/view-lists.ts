/**
 * The long lists of a view (nodes, links, pools, clients), made from rows by owner. A list, and each of its parts, is the
 * same object as last time for as long as the rows under it are (control/store/remembered-rows.ts, RR3).
 *
 * - A revoked node is in no list. A disabled member is, without any role: its own snapshot then grants nothing, and nobody
 *   else's contains it.
 */

import type { LastingNode, ViewClient, ViewLink, ViewNode, ViewPool } from "../../fabric/snapshot/cluster-view.ts";
import { NodeHealth } from "../../gen/weft/fabric/v1/role_pb.ts";
import { limits } from "../../lib/limits.ts";
import { keepLast } from "../../lib/share-equal.ts";
import type { TrustedIdentity } from "../store/identities.ts";
import { type PublishedLinkRow, type PublishedNodeRow, present } from "../store/links.ts";
import type { TrustedMembership } from "../store/memberships.ts";
import type { TrustedNode } from "../store/nodes.ts";
import type { PoolNodeRow, PoolRow } from "../store/pools.ts";
import type { OwnedRows } from "../store/remembered-rows.ts";
import type { TrustedRole } from "../store/roles.ts";
import type { TrustSeal } from "../store/trust.ts";
import { healths, roles } from "../store/vocabulary.ts";
import { locatorsOf } from "./locators.ts";

/** One by one, whatever the language of the store: replicas sort alike. */
function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Whether a node takes part. */
export function isActiveMember(members: OwnedRows<TrustedMembership>, nodeId: string): boolean {
  return members.get(nodeId)?.[0]?.status === "active";
}

const noGrants: readonly TrustedRole[] = [];

/** Makes the list of a cluster's unrevoked nodes with the roles they may use now, by name. */
export function lastingNodes(): (
  nodes: OwnedRows<TrustedNode>,
  members: OwnedRows<TrustedMembership>,
  grants: OwnedRows<TrustedRole>,
) => readonly LastingNode[] {
  const made = new WeakMap<TrustedNode, { readonly grants: readonly TrustedRole[]; readonly node: LastingNode }>();
  const sorted = keepLast((nodes: OwnedRows<TrustedNode>) =>
    [...nodes.values()]
      .flat()
      .filter((row) => row.identityStatus === "active")
      .sort((a, b) => byText(a.name, b.name) || byText(a.id, b.id)),
  );
  const nodeOf = (row: TrustedNode, grants: readonly TrustedRole[]): LastingNode => {
    const known = made.get(row);
    if (known?.grants === grants) return known.node;
    const node = lastingNode(row, grants);
    made.set(row, { grants, node });
    return node;
  };
  return keepLast((nodes, members, grants) =>
    sorted(nodes).map((row) =>
      nodeOf(row, (isActiveMember(members, row.id) ? grants.get(row.id) : undefined) ?? noGrants),
    ),
  );
}

/** Makes the same list with what the nodes said last of how they are. */
export function viewNodes(): (
  nodes: readonly LastingNode[],
  states: OwnedRows<PublishedNodeRow>,
) => readonly ViewNode[] {
  const made = new WeakMap<LastingNode, { readonly state: PublishedNodeRow | undefined; readonly node: ViewNode }>();
  return keepLast((nodes, states) =>
    nodes.map((lasting) => {
      const state = states.get(lasting.nodeId)?.[0];
      const known = made.get(lasting);
      if (known !== undefined && known.state === state) return known.node;
      const node = viewNode(lasting, state);
      made.set(lasting, { state, node });
      return node;
    }),
  );
}

function lastingNode(row: TrustedNode, grants: readonly TrustedRole[]): LastingNode {
  return {
    nodeId: row.id,
    name: row.name,
    roles: grants.map(({ role, organizationId }) => ({ role: roles.value(role), organizationId })),
    region: row.region,
    addresses: row.addresses,
    linkLabel: row.linkLabel,
    dialOutOnly: row.dialOutOnly,
    trustLevel: row.trustLevel,
  };
}

function viewNode(lasting: LastingNode, state: PublishedNodeRow | undefined): ViewNode {
  return {
    ...lasting,
    // Not known yet is not missing: a node just approved may be tried.
    health: state?.health == null ? NodeHealth.UNSPECIFIED : healths.value(state.health),
    ...(state?.load == null ? {} : { load: state.load }),
  };
}

/** Makes the list of published measurements, by the node that measured. */
export function viewLinks(): (links: OwnedRows<PublishedLinkRow>) => readonly ViewLink[] {
  const made = new WeakMap<PublishedLinkRow, ViewLink>();
  const linkOf = (row: PublishedLinkRow): ViewLink => {
    const link = made.get(row) ?? present<ViewLink>(row);
    made.set(row, link);
    return link;
  };
  return keepLast((links) => [...links].sort(([a], [b]) => byText(a, b)).flatMap(([, rows]) => rows.map(linkOf)));
}

/** Makes the list of clients that may act, by id. */
export function viewClients(): (identities: OwnedRows<TrustedIdentity>) => readonly ViewClient[] {
  return keepLast((identities) =>
    [...identities.values()]
      .flat()
      .filter((row) => row.kind === "client" && row.status === "active")
      .map(({ id, organizationId }) => ({ clientId: id, organizationId }))
      .sort((a, b) => byText(a.clientId, b.clientId)),
  );
}

/** Makes the list of pools with their egresses and how handles lead back to those, for snapshots of `atMs`. */
export function viewPools(
  seal: Pick<TrustSeal, "mac">,
): (pools: readonly PoolRow[], members: OwnedRows<PoolNodeRow>, atMs: number) => readonly ViewPool[] {
  const byPool = keepLast((members: OwnedRows<PoolNodeRow>) =>
    Map.groupBy(
      [...members.values()].flat().sort((a, b) => byText(a.nodeId, b.nodeId)),
      ({ poolId }) => poolId,
    ),
  );
  const ofPeriod = keepLast((pools: readonly PoolRow[], members: OwnedRows<PoolNodeRow>, period: number) =>
    pools.map(({ id, clusterId, name, organizationId }) => {
      const nodeIds = (byPool(members).get(id) ?? []).map(({ nodeId }) => nodeId);
      const atMs = period * limits.locatorPeriodMs;
      const locators = nodeIds.map((nodeId) => locatorsOf(seal, { clusterId, poolId: id, nodeId }, atMs));
      return { poolId: id, name, organizationId, egressNodeIds: nodeIds, locators };
    }),
  );
  return (pools, members, atMs) => ofPeriod(pools, members, Math.floor(atMs / limits.locatorPeriodMs));
}
