/** `weft workload`: what nodes run beside their roles, as it should be, as they report it, and what it says. */

import { type Command, InvalidArgumentError } from "commander";
import { type Workload, WorkloadService } from "../../gen/weft/admin/v1/workload_pb.ts";
import { WorkloadState } from "../../gen/weft/control/v1/control_pb.ts";
import { WorkloadKind } from "../../gen/weft/fabric/v1/workload_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { durationMs, wholeNumber } from "../arguments.ts";
import { actorName, enumName, groupExamples, print, table, when } from "../output.ts";
import { action, findNode, type GlobalOptions, type Session, withSession } from "../session.ts";
import { clearable, specOf, type WorkloadFlags } from "../workload-spec.ts";
import { addLogsCommand } from "./workload-logs.ts";

interface SetOptions extends GlobalOptions, WorkloadFlags {
  readonly node?: string;
  readonly desired?: string;
}

interface PlaceOptions extends GlobalOptions {
  readonly node?: string;
  readonly fingerprint?: string;
}

/** A row as programs read it: words for enums, and what is desired beside what is. */
function rowOf(row: Workload) {
  const { reported, spec } = row;
  return {
    ...{ id: row.id, node: row.nodeName, nodeId: row.nodeId, name: row.name },
    kind: enumName(WorkloadKind, spec?.kind ?? 0),
    desired: row.running ? "running" : "stopped",
    state: reported === undefined ? "unreported" : enumName(WorkloadState, reported.state),
    reason: reported?.reason ?? "",
    version: spec?.version || (reported?.version ?? ""),
    runningVersion: reported?.version ?? "",
    restarts: reported?.restarts ?? 0n,
    /** Whether the node's report is about the spec as it is now. */
    current: reported !== undefined && reported.fingerprint === row.fingerprint,
    fingerprint: row.fingerprint,
    reportedAtMs: reported?.reportedAtMs ?? 0n,
  };
}

async function found(session: Session, node: string | undefined, name: string): Promise<Workload> {
  const { id: nodeId } = await findNode(session, node ?? "");
  const { workloads } = await session
    .client(WorkloadService)
    .listWorkloads({ clusterId: await session.clusterId(), nodeId, name });
  const [workload] = workloads;
  if (workload === undefined) {
    throw new WeftError("not_found", `${node} has no workload "${name}" (weft workload list --node ${node})`, {
      detail: "WORKLOAD_NOT_FOUND",
    });
  }
  return workload;
}

async function setWorkload(options: SetOptions, name: string): Promise<void> {
  const { workload } = await withSession(options, async (session) => {
    const { id: nodeId } = await findNode(session, options.node ?? "");
    const clusterId = await session.clusterId();
    const client = session.client(WorkloadService);
    const { workloads } = await client.listWorkloads({ clusterId, nodeId, name });
    // What is not named stays as it is, unless somebody else has changed it meanwhile.
    const before = workloads.find(({ id }) => id !== "");
    return await client.setWorkload({
      clusterId,
      nodeId,
      name,
      spec: specOf(options, before?.spec),
      stopped: options.desired === undefined ? before !== undefined && !before.running : options.desired === "stopped",
      expectedFingerprint: before?.fingerprint ?? "",
    });
  });
  if (workload === undefined)
    throw new WeftError("internal", "control did not say what it set", { detail: "NO_ANSWER" });
  const waits = workload.spec?.hostPrivileges === true && workload.privilegesApprovedBy === "";
  print(options, { ok: true, workload: rowOf(workload), waitsForApproval: waits }, () =>
    [
      `workload ${name} of ${workload.nodeName} is to be ${workload.running ? "running" : "stopped"}; its node takes it with its next snapshot, within its ceiling`,
      ...(waits
        ? [
            `it asks for host privileges and does not run until an operator has looked at it and approved exactly this:\n  weft workload show ${name} --node ${workload.nodeName}\n  weft workload approve ${name} --node ${workload.nodeName} --fingerprint ${workload.fingerprint}`,
          ]
        : []),
    ].join("\n"),
  );
}

async function listWorkloads(options: PlaceOptions): Promise<void> {
  const rows = await withSession(options, async (session) => {
    const nodeId = options.node === undefined ? "" : (await findNode(session, options.node)).id;
    const answer = await session
      .client(WorkloadService)
      .listWorkloads({ clusterId: await session.clusterId(), nodeId });
    return answer.workloads.map(rowOf);
  });
  print(options, { workloads: rows }, () =>
    table(
      ["NODE", "NAME", "KIND", "DESIRED", "STATE", "VERSION", "RESTARTS", "REASON"],
      rows.map((row) => [
        row.node,
        row.name,
        row.kind,
        row.desired,
        row.state,
        row.version || "-",
        String(row.restarts),
        row.reason,
      ]),
    ),
  );
}

function specRows({ spec, fingerprint, privilegesApprovedBy }: Workload): string[][] {
  if (spec === undefined || spec.kind === WorkloadKind.BUILTIN) return [];
  const { restart, health } = spec;
  const variables = spec.environment.map(({ name, value, file }) => `${name}=${file === "" ? value : `<${file}`}`);
  const approved =
    privilegesApprovedBy === "" ? "asked for, not approved" : `approved by ${actorName(privilegesApprovedBy)}`;
  return [
    spec.kind === WorkloadKind.CONTAINER
      ? ["image", spec.image]
      : ["command", [spec.command, ...spec.args.map((arg) => JSON.stringify(arg))].join(" ")],
    ["environment", variables.join(" ") || "-"],
    ["directory", spec.workingDirectory || "/"],
    ["runs as", spec.runAs || "the agent's user"],
    ["host privileges", spec.hostPrivileges ? approved : "none"],
    [
      "restarts",
      `after ${restart?.backoffMinMs} to ${restart?.backoffMaxMs} ms, at most ${restart?.restartsMaxCount} within ${restart?.windowMs} ms`,
    ],
    ["stop grace", `${spec.stopGraceMs} ms`],
    [
      "health",
      health === undefined
        ? "none"
        : `${health.tcpPort === 0 ? [health.command, ...health.args].join(" ") : `port ${health.tcpPort}`} every ${health.periodMs} ms, ${health.failuresMaxCount} failures`,
    ],
    ["fingerprint", fingerprint],
  ];
}

async function showWorkload(options: PlaceOptions, name: string): Promise<void> {
  const workload = await withSession(options, (session) => found(session, options.node, name));
  const row = rowOf(workload);
  const { spec, privilegesApprovedBy, changedAtMs, changedBy } = workload;
  print(options, { workload: { ...row, spec, privilegesApprovedBy, changedAtMs, changedBy } }, () =>
    table(
      ["FIELD", "VALUE"],
      [
        ["node", row.node],
        ["name", row.name],
        ["kind", row.kind],
        ["desired", `${row.desired}${row.version === "" ? "" : `, version ${row.version}`}`],
        ["state", `${row.state}${row.current || row.id === "" ? "" : " (of an older definition)"}`],
        ["reason", row.reason || "-"],
        ["running version", row.runningVersion || "-"],
        ["restarted", String(row.restarts)],
        ["reported", when(row.reportedAtMs)],
        ...specRows(workload),
        ["changed", changedBy === "" ? "-" : `${when(changedAtMs)} by ${actorName(changedBy)}`],
      ],
    ),
  );
}

async function approveWorkload(options: PlaceOptions, name: string): Promise<void> {
  const answer = await withSession(options, async (session) =>
    session.client(WorkloadService).approveWorkload({
      clusterId: await session.clusterId(),
      nodeId: (await findNode(session, options.node ?? "")).id,
      name,
      fingerprint: options.fingerprint ?? "",
    }),
  );
  print(
    options,
    { ok: true, name, fingerprint: answer.workload?.fingerprint },
    () => `${name} may run with host privileges`,
  );
}

async function removeWorkload(options: PlaceOptions, name: string): Promise<void> {
  await withSession(options, async (session) =>
    session.client(WorkloadService).removeWorkload({
      clusterId: await session.clusterId(),
      nodeId: (await findNode(session, options.node ?? "")).id,
      name,
    }),
  );
  print(options, { ok: true, name }, () => `removed ${name}; its node ends it with its next snapshot`);
}

function collect(text: string, before: readonly string[] = []): string[] {
  return [...before, text];
}

function oneOf(words: readonly string[]): (text: string) => string {
  return (text) => {
    if (!words.includes(text)) throw new InvalidArgumentError(`choose one of ${words.join(", ")}`);
    return text;
  };
}

function clearing(text: string, before: readonly string[] = []): string[] {
  return [...before, oneOf(clearable)(text)];
}

function addSet(workload: Command): void {
  workload
    .command("set <name>")
    .description("say what a node is to run; what is not named stays as it was")
    .requiredOption("--node <node>", "the node that runs it")
    .option(
      "--kind <kind>",
      "native, container or builtin (default: native)",
      oneOf(["native", "container", "builtin"]),
    )
    .option("--command <path>", "absolute path of the program; no shell reads it or its arguments")
    .option("--arg <word>", "one argument; repeat for more", collect)
    .option("--image <image>", "of a container")
    .option("--env <name=value>", "a variable, no secret; repeat for more", collect)
    .option("--env-file <name=path>", "a variable whose value is in a file of the host; repeat for more", collect)
    .option("--dir <path>", "working directory (default: /)")
    .option("--run-as <user>", "user of the host (default: the agent's own)")
    .option("--release <text>", "version; another one replaces the process")
    .option("--desired <state>", "running or stopped", oneOf(["running", "stopped"]))
    .option("--backoff-min <duration>", "least wait before it is started again (default: 1s)", durationMs)
    .option("--backoff-max <duration>", "longest wait (default: 60s)", durationMs)
    .option("--restarts <n>", "more than so many within the window, and it is failed (default: 10)", wholeNumber(1_000))
    .option("--restarts-within <duration>", "that window (default: 10m)", durationMs)
    .option("--grace <duration>", "from SIGTERM to SIGKILL (default: 10s)", durationMs)
    .option("--health-port <port>", "it is well while this loopback port accepts", wholeNumber(65_535))
    .option("--health-command <path>", "it is well while this ends with 0")
    .option("--health-arg <word>", "an argument of that command; repeat for more", collect)
    .option("--health-every <duration>", "how often it is asked (default: 10s)", durationMs)
    .option("--health-timeout <duration>", "how long an answer may take (default: 2s)", durationMs)
    .option("--health-failures <n>", "so many in a row, and it is started again (default: 3)", wholeNumber(100))
    .option("--health-within <duration>", "how long it may take to be well at first (default: 60s)", durationMs)
    .option("--host-privileges", "it is meant to run as the host's superuser; needs an approval")
    .option("--no-host-privileges", "it is not")
    .option("--clear <part>", `take away what was set: ${clearable.join(", ")}; repeat for more`, clearing)
    .addHelpText(
      "after",
      "\nExamples:\n  weft workload set cache --node egress-1 --command /opt/cache/bin/cached --arg -p --arg 6380 --release 1.4 --health-port 6380\n  weft workload set cache --node egress-1 --release 1.5 --command /opt/cache-1.5/bin/cached\n  weft workload set cache --node egress-1 --env-file CACHE_PASSWORD=/etc/cache/password\n  weft workload set cache --node egress-1 --desired stopped",
    )
    .action(action(setWorkload));
}

export function addWorkloadCommands(program: Command): void {
  const workload = program
    .command("workload")
    .description("what nodes run beside their roles: desired and reported state, logs")
    .addHelpText(
      "after",
      groupExamples(
        "weft workload set cache --node egress-1 --command /opt/cache/bin/cached --release 1.4",
        "weft workload list",
        "weft workload logs cache --node egress-1 --follow",
      ),
    );
  addSet(workload);
  workload
    .command("list")
    .description("list workloads and the roles nodes run, as they are and as they should be")
    .option("--node <node>", "of this node only")
    .addHelpText("after", "\nExample:\n  weft workload list --node egress-1 --json")
    .action(action(listWorkloads));
  workload
    .command("show <name>")
    .description("show one workload: its definition and what its node reports")
    .requiredOption("--node <node>", "the node that runs it")
    .addHelpText("after", "\nExample:\n  weft workload show cache --node egress-1")
    .action(action(showWorkload));
  workload
    .command("approve <name>")
    .description("approve host privileges for exactly the definition that was shown")
    .requiredOption("--node <node>", "the node that runs it")
    .requiredOption("--fingerprint <hex>", "of the definition, as show prints it")
    .addHelpText("after", "\nExample:\n  weft workload approve cache --node egress-1 --fingerprint 3f5a…")
    .action(action(approveWorkload));
  workload
    .command("remove <name>")
    .description("remove a workload; its node ends it")
    .requiredOption("--node <node>", "the node that runs it")
    .addHelpText("after", "\nExample:\n  weft workload remove cache --node egress-1")
    .action(action(removeWorkload));
  addLogsCommand(workload);
}
