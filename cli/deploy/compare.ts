/** An inventory beside what the running control knows: what would have to be done to make them the same. Pure. */

import type { Node } from "../../gen/weft/admin/v1/node_pb.ts";
import { NodeHealth, NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { hostPortText } from "../arguments.ts";
import { enumName } from "../output.ts";
import { type DeployNode, deployRoles, type Inventory } from "./inventory.ts";

/** What control tells. */
export interface Running {
  readonly nodes: readonly Node[];
  readonly pools: readonly { readonly name: string; readonly nodeIds: readonly string[] }[];
}

/** What differs, and what it is now. */
export interface Difference {
  readonly what: "roles" | "addresses" | "region" | "pool" | "version";
  readonly now: string;
  readonly wanted: string;
}

/**
 * join: control knows no such node. rejoin: what differs is part of its approval. change: the rest. keep: nothing differs.
 */
export type PlannedAction = "join" | "rejoin" | "change" | "keep";

export interface Compared {
  readonly node: DeployNode;
  readonly action: PlannedAction;
  readonly differences: readonly Difference[];
  /** Absent: it has none yet. */
  readonly nodeId?: string;
  /** Why the gate of its host is shut, though nothing differs. */
  readonly unwell: readonly string[];
}

const sorted = (words: readonly string[]): string => [...new Set(words)].sort().join(",");

function differencesOf(node: DeployNode, found: Node, running: Running, version: string | undefined): Difference[] {
  const known: ReadonlySet<string> = new Set(deployRoles);
  const rolesNow = found.roles.map(({ role }) => enumName(NodeRole, role)).filter((role) => known.has(role));
  const pools = running.pools.filter(({ nodeIds }) => nodeIds.includes(found.id)).map((pool) => pool.name);
  const pairs: readonly Difference[] = [
    { what: "roles", now: sorted(rolesNow), wanted: sorted(node.roles) },
    {
      what: "addresses",
      now: found.dialOutOnly ? "dial-out only" : sorted(found.addresses.map(hostPortText)),
      wanted: node.dialOutOnly ? "dial-out only" : sorted(node.advertise.map(hostPortText)),
    },
    { what: "region", now: found.region, wanted: node.region },
    // It may be in more pools than the file is about.
    {
      what: "pool",
      now: node.pool === undefined || pools.includes(node.pool) ? (node.pool ?? "") : sorted(pools),
      wanted: node.pool ?? "",
    },
    // A node that never beat has told no version.
    { what: "version", now: found.version, wanted: found.version === "" ? "" : (version ?? found.version) },
  ];
  return pairs.filter(({ now, wanted }) => now !== wanted);
}

function unwellOf(found: Node): string[] {
  return [
    ...(found.membershipStatus === "active" ? [] : [`its membership is ${found.membershipStatus}`]),
    ...(found.health === NodeHealth.ONLINE ? [] : [`it is ${enumName(NodeHealth, found.health)}`]),
    ...(found.draining ? ["it is draining"] : []),
    ...found.alerts.map((kind) => `alert ${kind}`),
  ];
}

/** Each node of the inventory, compared; without `running` nothing is known of any. */
export function compare(inventory: Inventory, running: Running | undefined): readonly Compared[] {
  return inventory.nodes.map((node) => {
    const found = running?.nodes.find((each) => each.name === node.name && each.identityStatus !== "revoked");
    if (running === undefined || found === undefined) return { node, action: "join", differences: [], unwell: [] };
    const differences = differencesOf(node, found, running, inventory.version);
    const isRejoin = differences.some(({ what }) => what === "addresses" || what === "region");
    const action = isRejoin ? "rejoin" : differences.length > 0 ? "change" : "keep";
    return { node, action, differences, nodeId: found.id, unwell: unwellOf(found) };
  });
}

/** Names of nodes that control has and the file does not: they are left alone. */
export function unlisted(inventory: Inventory, running: Running | undefined): readonly string[] {
  const listed = new Set(inventory.nodes.map((node) => node.name));
  return (running?.nodes ?? [])
    .filter((node) => node.identityStatus !== "revoked" && !listed.has(node.name))
    .map((node) => node.name)
    .sort();
}
