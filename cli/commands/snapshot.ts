/** `weft snapshot`: a node's signed configuration in a file, looked at without control or node. */

import type { Command } from "commander";
import { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { Snapshot } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { offlineText } from "../offline-text.ts";
import { enumName, exitCodes, groupExamples, print, safeText, table, when } from "../output.ts";
import { action, contextDir, type GlobalOptions } from "../session.ts";
import { exportSnapshot, type Looked, lookAtSnapshot } from "../snapshot-look.ts";

interface LookAtOptions extends GlobalOptions {
  readonly stateDir?: string;
  readonly installationKeyHash?: string;
}

/** How much of each kind of data a snapshot holds. */
function countsOf(snapshot: Snapshot) {
  return {
    roles: snapshot.self?.roles.length ?? 0,
    neighbours: snapshot.neighbours.length,
    members: snapshot.members.length,
    graphNodes: snapshot.graph?.nodes.length ?? 0,
    graphLinks: snapshot.graph?.links.length ?? 0,
    resourceRoutes: snapshot.resourceRoutes.length,
    resourceTargets: snapshot.resourceTargets.length,
    listeners: snapshot.listeners.length,
    listenerGrants: snapshot.listenerGrants.length,
    clients: snapshot.clients.length,
    pools: snapshot.pools.length,
    locators: snapshot.pools.reduce((sum, pool) => sum + pool.locators.length, 0),
    qos: snapshot.qos.length,
    resourceQos: snapshot.resourceQos.length,
    routeIntents: snapshot.routeIntents.length,
    endedLeases: snapshot.endedLeaseIds.length,
    pathOffline: snapshot.pathOffline.length,
    resourceOffline: snapshot.resourceOffline.length,
    workloads: snapshot.workloads.length,
  };
}

/** What may be printed of a snapshot: never its bytes, never a locator or a command line. */
function viewOf({ file, snapshot, nodeName, installationKeyHash, vouchedBy, signer, fault, envelope }: Looked) {
  const about = { file, ok: fault === undefined, ...(fault === undefined ? {} : { fault }) };
  const trust = { installationKeyHash, vouchedBy, keyId: envelope.keyId, ...(signer === undefined ? {} : { signer }) };
  if (snapshot === undefined) return { ...about, ...trust };
  const { trustDomain, clusterId, clusterSlug, nodeId, epoch, version, issuedAtMs, notAfterMs, auditHead } = snapshot;
  return {
    ...about,
    ...trust,
    ...{ trustDomain, clusterId, clusterSlug, nodeId, nodeName, epoch, version, issuedAtMs, notAfterMs },
    bytes: envelope.payload.length,
    roles: (snapshot.self?.roles ?? []).map(({ role, organizationId }) => roleText(role, organizationId)),
    ...(auditHead === undefined ? {} : { auditHead: { seq: auditHead.seq, hash: auditHead.hash } }),
    ...(snapshot.offline === undefined ? {} : { offline: snapshot.offline }),
    counts: countsOf(snapshot),
  };
}

function roleText(role: NodeRole, organizationId: string): string {
  return organizationId === "" ? enumName(NodeRole, role) : `${enumName(NodeRole, role)}@${organizationId}`;
}

function shownRows(looked: Looked): string[][] {
  const { snapshot, signer, envelope, fault, installationKeyHash, vouchedBy, nodeName } = looked;
  const rows = [
    ["file", looked.file],
    ["verdict", fault === undefined ? "as it was signed" : `${fault.why} [${fault.code}]`],
    ["installation key", `${installationKeyHash.slice(0, 16)}, vouched for by ${vouchedBy}`],
    ["signed by", signer === undefined ? `${envelope.keyId.slice(0, 16)}, not verified` : signerText(signer)],
  ];
  if (snapshot === undefined) return rows;
  const head = snapshot.auditHead;
  const counts = Object.entries(countsOf(snapshot)).filter(([, count]) => count > 0);
  return [
    ...rows,
    ["node", `${nodeName} (${snapshot.nodeId})`],
    ["cluster", `${snapshot.clusterSlug} (${snapshot.clusterId})`],
    ["version", `${snapshot.epoch}.${snapshot.version}`],
    ["issued", when(snapshot.issuedAtMs)],
    ["ends", when(snapshot.notAfterMs)],
    ["roles", (snapshot.self?.roles ?? []).map((row) => roleText(row.role, row.organizationId)).join(", ") || "none"],
    ["audit head", head === undefined ? "-" : `${head.seq} ${Buffer.from(head.hash).toString("hex").slice(0, 16)}`],
    ["offline policy", offlineText(snapshot.offline)],
    ["size", `${envelope.payload.length} bytes`],
    ...counts.map(([what, count]) => [`holds ${what}`, String(count)]),
  ];
}

function signerText({ keyId, notBeforeMs, notAfterMs }: NonNullable<Looked["signer"]>): string {
  return `${keyId.slice(0, 16)}, which may from ${when(notBeforeMs)} to ${when(notAfterMs)}`;
}

function look(options: LookAtOptions, path: string): Looked {
  const { stateDir, installationKeyHash } = options;
  return lookAtSnapshot(path, { stateDir, installationKeyHash, contextDir: contextDir(options) });
}

async function showSnapshot(options: LookAtOptions, path: string): Promise<void> {
  const looked = look(options, path);
  print(options, viewOf(looked), () => table(["FIELD", "VALUE"], shownRows(looked)));
}

async function verifySnapshotFile(options: LookAtOptions, path: string): Promise<void> {
  const looked = look(options, path);
  const { fault, snapshot, vouchedBy } = looked;
  print(options, viewOf(looked), () =>
    fault === undefined
      ? `${looked.file}: ${snapshot?.epoch}.${snapshot?.version} of ${looked.nodeName}, as it was signed; its installation key is vouched for by ${vouchedBy}`
      : `${looked.file}: not right`,
  );
  if (fault === undefined) return;
  process.exitCode = exitCodes.failure;
  if (options.json !== true) process.stderr.write(`weft: ${safeText(fault.why)} [${fault.code}]\n`);
}

async function exportFile(options: LookAtOptions & { out: string }, path: string): Promise<void> {
  const { nodeId, nodeName } = exportSnapshot(path, options.out, options.stateDir);
  print(options, { file: options.out, nodeId, nodeName }, () => `${options.out}: the snapshot of ${nodeName}`);
}

const stateDirOption = ["--state-dir <dir>", "the node's state folder, where the file is not in it"] as const;
const keyOption = [
  "--installation-key-hash <hash>",
  "SHA-256 of the installation key that must have certified it",
] as const;

export function addSnapshotCommands(program: Command): void {
  const snapshot = program
    .command("snapshot")
    .description("a node's signed configuration in a file: no control and no node is asked")
    .addHelpText(
      "after",
      groupExamples("weft snapshot show /var/lib/weft/default", "weft snapshot verify relay-1.json"),
    );
  snapshot
    .command("show <file>")
    .description("who signed it, for whom, its dates, and how much of what it holds; a node's folder, or a file")
    .option(...stateDirOption)
    .option(...keyOption)
    .addHelpText("after", "\nExample:\n  weft snapshot show /var/lib/weft/default")
    .action(action(showSnapshot));
  snapshot
    .command("verify <file>")
    .description("say the first thing that is wrong with it, and fail then; the operator's context vouches for the key")
    .option(...stateDirOption)
    .option(...keyOption)
    .addHelpText(
      "after",
      "\nExamples:\n  weft snapshot verify relay-1.json\n  weft snapshot verify relay-1.json --installation-key-hash 3f0c...",
    )
    .action(action(verifySnapshotFile));
  snapshot
    .command("export <folder>")
    .description("write what a node's folder holds to a file that can be verified anywhere")
    .requiredOption("--out <file>", "where to; readable by its owner only")
    .option(...stateDirOption)
    .addHelpText("after", "\nExample:\n  weft snapshot export /var/lib/weft/default --out relay-1.json")
    .action(action(exportFile));
}
