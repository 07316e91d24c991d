/** The `weft` command as a tree; `bin.ts` runs it, tests and docs look at it. */

import { Command, Option } from "commander";
import packageFacts from "../package.json" with { type: "json" };
import { addAlertCommands } from "./commands/alert.ts";
import { addAttackCommand } from "./commands/attack.ts";
import { addAuditCommands } from "./commands/audit.ts";
import { addCaCommands } from "./commands/ca.ts";
import { addCertCommands } from "./commands/cert.ts";
import { addClusterCommands } from "./commands/cluster.ts";
import { addConfigCommands } from "./commands/config.ts";
import { addConformanceCommand } from "./commands/conformance.ts";
import { addConnectCommand } from "./commands/connect.ts";
import { addControlCommands } from "./commands/control.ts";
import { addDbCommands } from "./commands/db.ts";
import { addForwardCommand } from "./commands/forward.ts";
import { addGroupCommands } from "./commands/group.ts";
import { addIdentityCommands } from "./commands/identity.ts";
import { addIntentCommands } from "./commands/intent.ts";
import { addJoinCommand } from "./commands/join.ts";
import { addLeaseCommands } from "./commands/lease.ts";
import { addListenerCommands } from "./commands/listener.ts";
import { addMembershipCommands } from "./commands/membership.ts";
import { addNodeCommands } from "./commands/node.ts";
import { addOrganizationCommands } from "./commands/organization.ts";
import { addPolicyCommands } from "./commands/policy.ts";
import { addPoolCommands } from "./commands/pool.ts";
import { addQosCommands } from "./commands/qos.ts";
import { addRequestCommands } from "./commands/request.ts";
import { addResourceCommands } from "./commands/resource.ts";
import { addRoleCommands } from "./commands/role.ts";
import { addRouteCommands } from "./commands/route.ts";
import { addServiceLeaseCommands } from "./commands/service-lease.ts";
import { addSnapshotCommands } from "./commands/snapshot.ts";
import { addTokenCommands } from "./commands/token.ts";
import { addTopCommand } from "./commands/top.ts";
import { addUpCommand } from "./commands/up.ts";
import { addWorkloadCommands } from "./commands/workload.ts";

export function buildProgram(): Command {
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
  for (const add of [
    addUpCommand,
    addControlCommands,
    addNodeCommands,
    addGroupCommands,
    addAlertCommands,
    addMembershipCommands,
    addTokenCommands,
    addJoinCommand,
    addRequestCommands,
    addRoleCommands,
    addPolicyCommands,
    addPoolCommands,
    addResourceCommands,
    addLeaseCommands,
    addServiceLeaseCommands,
    addListenerCommands,
    addWorkloadCommands,
    addConnectCommand,
    addForwardCommand,
    addIdentityCommands,
    addCertCommands,
    addOrganizationCommands,
    addClusterCommands,
    addCaCommands,
    addRouteCommands,
    addIntentCommands,
    addQosCommands,
    addSnapshotCommands,
    addTopCommand,
    addAuditCommands,
    addDbCommands,
    addConfigCommands,
    addAttackCommand,
    addConformanceCommand,
  ]) {
    add(program);
  }
  acceptGlobalsEverywhere(program);
  return program;
}

/** Commands that ask no control plane as an operator: they have no use for a context or a cluster. */
const withoutContext = [
  "up",
  "join",
  "connect",
  "forward",
  "node run",
  "control init",
  "control recover",
  "control run",
  "db rehearse",
  "db restore",
  "db migrate",
  "config check",
  "conformance",
];

/** Whether a command does anything with a global option: the help of one that does not keeps quiet about it. */
function heeds(path: string, long: string | undefined): boolean {
  if (long === "--json") return path !== "connect";
  if (path === "config show") return long !== "--cluster";
  return !withoutContext.includes(path);
}

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
      visit(child, path);
    }
  };
  visit(program, []);
}
