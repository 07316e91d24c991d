/** `weft node`: hosts as operators see them, and running one. */

import type { Command } from "commander";
import { type Node, NodeAdminService } from "../../gen/weft/admin/v1/node_pb.ts";
import { NodeHealth, NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { NodeService } from "../../gen/weft/node/v1/node_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { WeftError } from "../../lib/errors.ts";
import { rpcClient } from "../../rpc/client.ts";
import { nodePortTls } from "../../rpc/operator-context.ts";
import { operatorTransport } from "../../rpc/operator-transport.ts";
import { enumName, print, table, when } from "../output.ts";
import { action, findNode, type GlobalOptions, withSession } from "../session.ts";

function rolesText(node: Node): string {
  return node.roles
    .map(
      ({ role, organizationId }) => `${enumName(NodeRole, role)}${organizationId === "" ? "" : `@${organizationId}`}`,
    )
    .join(",");
}

async function showNode(options: GlobalOptions, wanted: string): Promise<void> {
  const { node, status } = await withSession(options, async (session) => {
    const clusterId = await session.clusterId();
    const { id } = await findNode(session, wanted);
    const answer = await session.client(NodeAdminService).getNode({ clusterId, nodeId: id });
    if (answer.node === undefined)
      throw new WeftError("not_found", "there is no such node", { detail: "NODE_UNKNOWN" });
    if (answer.node.operatorAddress === "") return { node: answer.node, status: undefined };
    const transport = operatorTransport({
      address: answer.node.operatorAddress,
      tls: nodePortTls(session.context, clusterId, id, () => systemClock.nowMs()),
    });
    try {
      return { node: answer.node, status: await rpcClient(NodeService, transport).getStatus({}, { timeoutMs: 3_000 }) };
    } catch {
      // The node is out of reach from here: what control knows is still worth showing.
      return { node: answer.node, status: undefined };
    } finally {
      transport.close();
    }
  });
  print(options, { node, status }, () => {
    const rows = [
      ["id", node.id],
      ["name", node.name],
      ["health", enumName(NodeHealth, node.health)],
      ["identity", node.identityStatus],
      ["membership", node.membershipStatus],
      ["roles", rolesText(node)],
      [
        "addresses",
        node.dialOutOnly ? "dial-out only" : node.addresses.map(({ host, port }) => `${host}:${port}`).join(","),
      ],
      ["operator port", node.operatorAddress || "-"],
      ["certificate", `${node.certificateSerial} until ${when(node.certificateNotAfterMs)}`],
      ["snapshot", `${node.snapshotEpoch}.${node.snapshotVersion}`],
      ["last seen", when(node.lastSeenAtMs)],
      ["load", node.load.toFixed(2)],
      ["clock skew", `${node.skewMs.toFixed(1)} ms`],
      ...(status?.links.map((link) => [
        `link ${link.peerName || link.peerNodeId}`,
        `${link.state}${link.reverse ? " (reverse)" : ""} ${link.rttMs?.toFixed(2) ?? "-"} ms`,
      ]) ?? []),
      ...(status?.listeners.map((row) => [`listener ${row.name}`, row.error === "" ? row.boundAddress : row.error]) ??
        []),
      ...(status?.counters === undefined
        ? []
        : [["paths", `${status.counters.pathsLive} live, ${status.counters.bytesSpliced} bytes spliced`]]),
    ];
    return table(["FIELD", "VALUE"], rows);
  });
}

function addRun(node: Command): void {
  node
    .command("run")
    .description("run the node agent of a joined membership")
    .option("--config <file>", "JSON configuration file")
    .option("--state-dir <dir>", "folder of the membership's identity")
    .option("--control <list>", "control's public addresses, comma-separated")
    .option("--public-host <host>", "address to bind the public port to")
    .option("--public-port <port>", "public port")
    .option("--operator-host <host>", "address to bind the operator port to")
    .option("--operator-port <port>", "operator port")
    .option("--dial-out-only", "no inbound port")
    .option("--log-level <level>", "debug, info, warn, error or silent")
    .addHelpText(
      "after",
      "\nExample:\n  weft node run --state-dir /var/lib/weft/default --control control.example:7443 --public-host 0.0.0.0 --public-port 7444",
    )
    .action(
      action(async (options: GlobalOptions & Record<string, unknown>) => {
        const { runNodeProcess } = await import("../../node/bin.ts");
        await runNodeProcess(options);
      }),
    );
}

export function addNodeCommands(program: Command): void {
  const node = program.command("node").description("nodes");
  addRun(node);
  node
    .command("list")
    .description("list nodes with their health")
    .addHelpText("after", "\nExample:\n  weft node list --json")
    .action(
      action(async (options) => {
        const answer = await withSession(options, async (session) =>
          session.client(NodeAdminService).listNodes({ clusterId: await session.clusterId() }),
        );
        print(options, answer, () =>
          table(
            ["NAME", "ID", "HEALTH", "ROLES", "ADDRESS", "SNAPSHOT", "LAST SEEN"],
            answer.nodes.map((row) => [
              row.name,
              row.id,
              row.identityStatus === "revoked" ? "revoked" : enumName(NodeHealth, row.health),
              rolesText(row),
              row.dialOutOnly ? "dial-out only" : row.addresses.map(({ host, port }) => `${host}:${port}`).join(","),
              `${row.snapshotEpoch}.${row.snapshotVersion}`,
              when(row.lastSeenAtMs),
            ]),
          ),
        );
      }),
    );
  node
    .command("show <node>")
    .description("show one node: what control knows, and its own status when its operator port is within reach")
    .addHelpText("after", "\nExample:\n  weft node show relay-1")
    .action(action(showNode));
  node
    .command("revoke <node>")
    .description("revoke a node's identity everywhere, for good")
    .option("--reason <text>", "for the audit log", "")
    .addHelpText("after", '\nExample:\n  weft node revoke relay-1 --reason "host was stolen"')
    .action(
      action(async (options: GlobalOptions & { reason?: string }, wanted: string) => {
        const answer = await withSession(options, async (session) =>
          session.client(NodeAdminService).revokeNode({
            clusterId: await session.clusterId(),
            nodeId: (await findNode(session, wanted)).id,
            reason: options.reason ?? "",
          }),
        );
        print(options, answer, () => `${wanted} is revoked (feed ${answer.feedEpoch}.${answer.feedSeq})`);
      }),
    );
}
