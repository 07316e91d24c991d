/** `weft node`: hosts as operators see them, and running one. */

import type { Command } from "commander";
import { type Node, NodeAdminService, type RevokeNodeResponse } from "../../gen/weft/admin/v1/node_pb.ts";
import { NodeHealth } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { GetStatusResponse, LinkStatus } from "../../gen/weft/node/v1/node_pb.ts";
import { messageOf, WeftError } from "../../lib/errors.ts";
import { batchAction } from "../batch.ts";
import { addWaitOptions, type WaitOptions, type WaitOutcome, waitForFeeds, waitText } from "../feed-wait.ts";
import { askNode } from "../node-port.ts";
import { offlineRows } from "../offline-text.ts";
import { enumName, groupExamples, print, table, when } from "../output.ts";
import { action, findNode, type GlobalOptions, type Session, withSession } from "../session.ts";
import { addDrainCommands } from "./node-drain.ts";
import { addNodeList, addressesText, ageText, driftText, rolesText } from "./node-list.ts";

interface Shown {
  readonly node: Node;
  /** What the node itself says. */
  readonly status?: GetStatusResponse;
  /** Why it did not say anything. */
  readonly statusError?: string;
}

/** What control knows of a node, and what the node says when its operator port is within reach from here. */
async function lookAt(session: Session, wanted: string): Promise<Shown> {
  const clusterId = await session.clusterId();
  const { id } = await findNode(session, wanted);
  const { node } = await session.client(NodeAdminService).getNode({ clusterId, nodeId: id });
  if (node === undefined) throw new WeftError("not_found", "there is no such node", { detail: "NODE_UNKNOWN" });
  if (node.identityStatus === "revoked") {
    // Its process may still run and tell of links as it last knew them; everybody else has cut it off.
    return { node: { ...node, membershipStatus: "ended" }, statusError: "the node is revoked; nobody listens to it" };
  }
  if (node.operatorAddress === "") return { node, statusError: "it has not reported an operator port" };
  try {
    const status = await askNode(session, { id, clusterId, address: node.operatorAddress }, (client) =>
      client.getStatus({}, { timeoutMs: 3_000 }),
    );
    return { node, status };
  } catch (thrown) {
    // What control knows is still worth showing.
    return { node, statusError: messageOf(thrown) };
  }
}

function nodeRows(node: Node): string[][] {
  return [
    ["id", node.id],
    ["name", node.name],
    ["health", node.identityStatus === "revoked" ? "-" : enumName(NodeHealth, node.health)],
    ["identity", node.identityStatus],
    ["membership", node.membershipStatus],
    ["roles", rolesText(node)],
    ["addresses", addressesText(node)],
    ["operator port", node.operatorAddress || "-"],
    [
      "certificate",
      node.certificateSerial === "" ? "none" : `${node.certificateSerial} until ${when(node.certificateNotAfterMs)}`,
    ],
    ["snapshot", `${node.snapshotEpoch}.${node.snapshotVersion}`],
    ["last seen", when(node.lastSeenAtMs)],
    ["last beat", ageText(node.beatAgeMs)],
    ["placements", node.placementState || "kept"],
    ["alerts", node.alerts.join(",") || "none"],
    ["load", node.load.toFixed(2)],
    ["clock skew", `${node.skewMs.toFixed(1)} ms`],
    ["clock drift", driftText(node.driftPpm)],
  ];
}

/** The last proof that a link carried something, and the newest failure. */
function proofText({ lastSuccessAtMs, lastFailure, lastFailureAtMs }: LinkStatus): string {
  const failure = lastFailure === "" ? "" : `, last failure ${lastFailure} ${when(lastFailureAtMs)}`;
  return `, last answer ${when(lastSuccessAtMs)}${failure}`;
}

function statusRows(status: GetStatusResponse): string[][] {
  const { counters } = status;
  return [
    ...status.links.map((link) => [
      `link ${link.peerName || link.peerNodeId}`,
      // What was measured before a link went down says nothing about now.
      `${link.state}${link.reverse ? " (reverse)" : ""}${link.state === "up" ? ` ${link.rttMs?.toFixed(2) ?? "-"} ms` : ""}${proofText(link)}`,
    ]),
    ...status.listeners.map((row) => [
      `listener ${row.name}`,
      row.error === "" ? `${row.boundAddress}, ${row.connections} connections, ${row.refused} refused` : row.error,
    ]),
    ...(counters === undefined
      ? []
      : [["paths", `${counters.pathsLive} live, ${counters.bytesSpliced} bytes spliced`]]),
    ...(status.offline === undefined ? [] : offlineRows(status.offline)),
    ["draining", status.draining ? "yes" : "no"],
  ];
}

async function showNode(options: GlobalOptions, wanted: string): Promise<void> {
  const shown = await withSession(options, (session) => lookAt(session, wanted));
  const { node, status, statusError } = shown;
  print(options, shown, () =>
    table(
      ["FIELD", "VALUE"],
      [...nodeRows(node), ...(status === undefined ? [["own status", `none: ${statusError}`]] : statusRows(status))],
    ),
  );
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
    .option("--allow-remote-operators", "let the operator port leave loopback")
    .option("--metrics-port <port>", "show metrics at /metrics on this port; 0: any free one")
    .option("--metrics-host <host>", "address to bind the metrics port to (default: loopback)")
    .option("--allow-remote-metrics", "let the metrics port leave loopback")
    .option("--traces-endpoint <url>", "send traces to this OTLP/HTTP receiver; https, or http on loopback")
    .option("--traces-ratio <share>", "share of the traces begun here that are recorded, 0 to 1 (default: 1)")
    .option("--traces-service-name <name>", "service.name of the traces (default: weft-node)")
    .option("--traces-attributes <list>", "more resource attributes, name=value, comma-separated")
    .option("--traces-headers-file <file>", "file (0600) with headers for the receiver, name: value a line")
    .option("--traces-ca-file <file>", "CA certificates the receiver is verified with")
    .option("--log-level <level>", "debug, info, warn, error or silent")
    .addHelpText(
      "after",
      "\nExample:\n  weft node run --state-dir /var/lib/weft/default --control control.example:7400 --public-host 0.0.0.0 --public-port 7444",
    )
    .action(
      action(async (options: GlobalOptions & Record<string, unknown>) => {
        const { runNodeProcess } = await import("../../node/bin.ts");
        await runNodeProcess(options);
      }),
    );
}

export function addNodeCommands(program: Command): void {
  const node = program
    .command("node")
    .description("nodes")
    .addHelpText("after", groupExamples("weft node list", "weft node show relay-1", "weft node drain relay-1"));
  addRun(node);
  addNodeList(node);
  node
    .command("show <node>")
    .description("show one node: what control knows, and its own status when its operator port is within reach")
    .addHelpText("after", "\nExample:\n  weft node show relay-1")
    .action(action(showNode));
  addDrainCommands(node);
  addWaitOptions(
    node
      .command("revoke <node...>")
      .description("revoke the identity of nodes everywhere, for good")
      .option("--reason <text>", "for the audit log", ""),
  )
    .addHelpText(
      "after",
      '\nExamples:\n  weft node revoke relay-1 --reason "host was stolen" --wait\n  weft node revoke relay-1 relay-2',
    )
    .action(batchAction({ work: revokeNode, text: revokedText }));
}

async function revokeNode(
  session: Session,
  wanted: string,
  options: GlobalOptions & WaitOptions & { readonly reason?: string },
): Promise<RevokeNodeResponse & { readonly wait?: WaitOutcome }> {
  const clusterId = await session.clusterId();
  const nodeId = (await findNode(session, wanted)).id;
  const about = { clusterId, nodeId, reason: options.reason ?? "" };
  const revoked = await session.client(NodeAdminService).revokeNode(about);
  const place = { clusterId, epoch: revoked.feedEpoch, seq: revoked.feedSeq };
  const wait = await waitForFeeds(session, options, [place]);
  return { ...revoked, ...(wait === undefined ? {} : { wait }) };
}

function revokedText(
  { feedEpoch, feedSeq, wait }: RevokeNodeResponse & { readonly wait?: WaitOutcome },
  wanted: string,
): string {
  return `${wanted} is revoked (feed ${feedEpoch}.${feedSeq})${waitText(wait)}`;
}
