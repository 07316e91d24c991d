/** The `weft` command as a tree; `bin.ts` runs it, tests and docs look at it. */

import { Command, Option } from "commander";
import packageFacts from "../package.json" with { type: "json" };
import { durationMs } from "./arguments.ts";

/** What adds each group of commands, by the group's name, in the order of the help. Loaded when it is wanted. */
const groups: Readonly<Record<string, () => Promise<(program: Command) => void>>> = {
  up: async () => (await import("./commands/up.ts")).addUpCommand,
  control: async () => (await import("./commands/control.ts")).addControlCommands,
  node: async () => (await import("./commands/node.ts")).addNodeCommands,
  group: async () => (await import("./commands/group.ts")).addGroupCommands,
  alert: async () => (await import("./commands/alert.ts")).addAlertCommands,
  membership: async () => (await import("./commands/membership.ts")).addMembershipCommands,
  token: async () => (await import("./commands/token.ts")).addTokenCommands,
  join: async () => (await import("./commands/join.ts")).addJoinCommand,
  request: async () => (await import("./commands/request.ts")).addRequestCommands,
  role: async () => (await import("./commands/role.ts")).addRoleCommands,
  policy: async () => (await import("./commands/policy.ts")).addPolicyCommands,
  pool: async () => (await import("./commands/pool.ts")).addPoolCommands,
  resource: async () => (await import("./commands/resource.ts")).addResourceCommands,
  lease: async () => (await import("./commands/lease.ts")).addLeaseCommands,
  "service-lease": async () => (await import("./commands/service-lease.ts")).addServiceLeaseCommands,
  listener: async () => (await import("./commands/listener.ts")).addListenerCommands,
  workload: async () => (await import("./commands/workload.ts")).addWorkloadCommands,
  connect: async () => (await import("./commands/connect.ts")).addConnectCommand,
  forward: async () => (await import("./commands/forward.ts")).addForwardCommand,
  check: async () => (await import("./commands/check.ts")).addCheckCommands,
  identity: async () => (await import("./commands/identity.ts")).addIdentityCommands,
  cert: async () => (await import("./commands/cert.ts")).addCertCommands,
  organization: async () => (await import("./commands/organization.ts")).addOrganizationCommands,
  cluster: async () => (await import("./commands/cluster.ts")).addClusterCommands,
  ca: async () => (await import("./commands/ca.ts")).addCaCommands,
  route: async () => (await import("./commands/route.ts")).addRouteCommands,
  probe: async () => (await import("./commands/probe.ts")).addProbeCommand,
  telemetry: async () => (await import("./commands/telemetry.ts")).addTelemetryCommands,
  intent: async () => (await import("./commands/intent.ts")).addIntentCommands,
  qos: async () => (await import("./commands/qos.ts")).addQosCommands,
  snapshot: async () => (await import("./commands/snapshot.ts")).addSnapshotCommands,
  top: async () => (await import("./commands/top.ts")).addTopCommand,
  audit: async () => (await import("./commands/audit.ts")).addAuditCommands,
  db: async () => (await import("./commands/db.ts")).addDbCommands,
  config: async () => (await import("./commands/config.ts")).addConfigCommands,
  doctor: async () => (await import("./commands/doctor.ts")).addDoctorCommand,
  completion: async () => (await import("./commands/completion.ts")).completionCommand(() => buildProgram()),
  attack: async () => (await import("./commands/attack.ts")).addAttackCommand,
  conformance: async () => (await import("./commands/conformance.ts")).addConformanceCommand,
};

/**
 * The groups that are among `words`, or all of them when none is: a command starts sooner when nobody loads what the others
 * need.
 */
export async function buildProgram(words: readonly string[] = []): Promise<Command> {
  const program = new Command("weft")
    .description("Weft: a self-hosted secure access fabric")
    .version(packageFacts.version)
    .option("--context <dir>", "operator context folder (default: WEFT_CONTEXT, else ~/.weft)")
    .option("--cluster <slug>", "cluster, by slug or id (default: the context's)")
    .option("--json", "print exactly one JSON object on one line")
    .showSuggestionAfterError()
    .showHelpAfterError("(--help shows what there is)")
    .addHelpText(
      "after",
      "\nExamples:\n  weft up                     a whole fabric on this machine\n  weft node list --json       nodes as one JSON object\n  weft route explain web      why bytes go where they go",
    );
  const named = Object.keys(groups).filter((name) => words.includes(name));
  const wanted = Object.entries(groups).filter(([name]) => named.length === 0 || named.includes(name));
  for (const add of await Promise.all(wanted.map(([, load]) => load()))) add(program);
  acceptGlobalsEverywhere(program);
  return program;
}

/** Commands that ask no control plane as an operator: they have no use for a context or a cluster. */
const withoutContext = [
  "up",
  "join",
  "connect",
  "forward",
  "check golden",
  "check loop",
  "node run",
  "control init",
  "control recover",
  "control run",
  "db rehearse",
  "db restore",
  "db migrate",
  "config check",
  "completion",
  "conformance",
];

/** Whether a command does anything with a global option: the help of one that does not keeps quiet about it. */
function heeds(path: string, long: string | undefined): boolean {
  if (long === "--json") return path !== "connect";
  if (path === "config show") return long !== "--cluster";
  return !withoutContext.includes(path);
}

const watchFlags = "--watch [time]";
const watchAbout = "show it again and again, so often (default: 2s), until Ctrl-C";

/** Global options may stand before or after a subcommand. */
function acceptGlobalsEverywhere(program: Command): void {
  const visit = (command: Command, words: readonly string[]): void => {
    for (const child of command.commands) {
      const path = [...words, child.name()];
      for (const option of program.options) {
        const taken = child.options.some(({ long }) => long === option.long);
        if (option.long === "--version" || taken || child.commands.length > 0) continue;
        child.addOption(
          heeds(path.join(" "), option.long) ? option : new Option(option.flags, option.description).hideHelp(),
        );
      }
      if (child.name() === "list")
        child.addOption(new Option(watchFlags, watchAbout).argParser(durationMs).preset("2s"));
      visit(child, path);
    }
  };
  visit(program, []);
}
