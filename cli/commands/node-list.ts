/** `weft node list`: every node in one table, as it is (`--health`) or as it is placed. */

import type { Command } from "commander";
import { type Group, GroupService } from "../../gen/weft/admin/v1/group_pb.ts";
import { type Node, NodeAdminService } from "../../gen/weft/admin/v1/node_pb.ts";
import { NodeHealth, NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { hostPortText } from "../arguments.ts";
import { enumName, print, table, when } from "../output.ts";
import { action, type GlobalOptions, namer, withSession } from "../session.ts";

export function rolesText(node: Node): string {
  return node.roles
    .map(
      ({ role, organizationId }) => `${enumName(NodeRole, role)}${organizationId === "" ? "" : `@${organizationId}`}`,
    )
    .join(",");
}

export function addressesText(node: Node): string {
  return node.dialOutOnly ? "dial-out only" : node.addresses.map(hostPortText).join(",");
}

function healthText(node: Node): string {
  if (node.identityStatus === "revoked") return "revoked";
  return node.membershipStatus === "disabled" ? "disabled" : enumName(NodeHealth, node.health);
}

/** "3.2 s", "5 m": how old, by control's clock. */
export function ageText(ageMs: bigint | undefined): string {
  if (ageMs === undefined) return "never";
  const seconds = Math.max(0, Number(ageMs) / 1_000);
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} m`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} d`;
}

/** How much faster a clock goes than control's; "-" before it was measured. */
export function driftText(driftPpm: number | undefined): string {
  return driftPpm === undefined ? "-" : `${driftPpm.toFixed(0)} ppm`;
}

function healthTable(nodes: readonly Node[], groups: readonly Group[]): string {
  const groupName = namer(groups);
  return table(
    ["NAME", "HEALTH", "LAST BEAT", "LOAD", "SKEW", "DRIFT", "DRAINING", "GROUP", "PLACEMENTS", "ALERTS"],
    nodes.map((row) => {
      const beaten = row.beatAgeMs !== undefined;
      return [
        row.name,
        healthText(row),
        ageText(row.beatAgeMs),
        beaten ? row.load.toFixed(2) : "-",
        beaten ? `${row.skewMs.toFixed(0)} ms` : "-",
        driftText(row.driftPpm),
        row.draining ? "yes" : "no",
        row.groupId === "" ? "-" : groupName(row.groupId),
        row.placementState || "kept",
        row.alerts.join(",") || "-",
      ];
    }),
  );
}

function placeTable(nodes: readonly Node[]): string {
  return table(
    ["NAME", "ID", "HEALTH", "ROLES", "ADDRESS", "SNAPSHOT", "LAST SEEN"],
    nodes.map((row) => [
      row.name,
      row.id,
      row.identityStatus === "revoked" ? "revoked" : enumName(NodeHealth, row.health),
      rolesText(row),
      addressesText(row),
      `${row.snapshotEpoch}.${row.snapshotVersion}`,
      when(row.lastSeenAtMs),
    ]),
  );
}

async function listNodes(options: GlobalOptions & { readonly health?: boolean }): Promise<void> {
  const { nodes, groups } = await withSession(options, async (session) => {
    const clusterId = await session.clusterId();
    const { nodes } = await session.client(NodeAdminService).listNodes({ clusterId });
    const asked = options.health === true && options.json !== true;
    return { nodes, groups: asked ? (await session.client(GroupService).listGroups({ clusterId })).groups : [] };
  });
  print(options, { nodes }, () => (options.health === true ? healthTable(nodes, groups) : placeTable(nodes)));
}

export function addNodeList(node: Command): void {
  node
    .command("list")
    .description("list nodes with their health")
    .option(
      "--health",
      "how each is: last beat, load, clock skew and drift, draining, group, what became of its placements, alerts",
    )
    .addHelpText("after", "\nExamples:\n  weft node list --json\n  weft node list --health")
    .action(action(listNodes));
}
