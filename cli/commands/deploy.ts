/**
 * `weft deploy`: what a deployment would take. It reads a file and the running control, and prints; it never changes either, and
 * not even the operator's context.
 */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { NodeAdminService } from "../../gen/weft/admin/v1/node_pb.ts";
import { PoolService } from "../../gen/weft/admin/v1/pool_pb.ts";
import { errnoOf, WeftError } from "../../lib/errors.ts";
import { loadOperatorContext } from "../../rpc/operator-context.ts";
import { chosenContext } from "../contexts.ts";
import type { Running } from "../deploy/compare.ts";
import { type Inventory, readInventory } from "../deploy/inventory.ts";
import { planOf, planText } from "../deploy/plan.ts";
import { configurationOf } from "../deploy/steps.ts";
import { groupExamples, print } from "../output.ts";
import { action, type GlobalOptions, pick, withSession } from "../session.ts";

interface PlanOptions extends GlobalOptions {
  readonly node?: string;
  readonly offline?: boolean;
  readonly printConfig?: boolean;
  readonly detailedExitcode?: boolean;
}

/** As `terraform plan` and others have it: 2 when there is something to do. */
const exitPending = 2;

function inventoryOf(file: string): Inventory {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw new WeftError("invalid_argument", `the inventory ${file} cannot be read (${errnoOf(cause)})`, {
      detail: "CLI_INVENTORY_FILE",
      cause,
    });
  }
  return readInventory(text);
}

/** The node of the inventory that is meant; errors of `pick`. */
function nodeNamed({ nodes }: Inventory, wanted: string): Inventory["nodes"][number] {
  const found = pick(
    nodes.map((node) => ({ ...node, id: node.name })),
    wanted,
    "node in this file",
  );
  return nodes.find((node) => node.name === found.name) as Inventory["nodes"][number];
}

async function runningOf(options: PlanOptions): Promise<Running> {
  return await withSession({ ...options, keepContext: true }, async (session) => {
    const clusterId = await session.clusterId();
    const [{ nodes }, { pools }] = await Promise.all([
      session.client(NodeAdminService).listNodes({ clusterId }),
      session.client(PoolService).listPools({ clusterId }),
    ]);
    return { nodes, pools };
  });
}

async function plan(options: PlanOptions, file: string): Promise<void> {
  const inventory = inventoryOf(file);
  const only = options.node === undefined ? undefined : nodeNamed(inventory, options.node);
  if (options.printConfig === true) {
    if (only === undefined)
      throw new WeftError("invalid_argument", "--print-config is about one node: say which with --node", {
        detail: "CLI_NODE_MISSING",
      });
    const configuration = configurationOf(inventory, only);
    return print(options, configuration, () => JSON.stringify(configuration, null, 2));
  }
  const { folder: dir, cluster: meant } = chosenContext(options.context);
  const hasContext = existsSync(join(dir, "context.json"));
  if (!hasContext && options.offline !== true) {
    const message = `${dir} holds no operator context to ask control with; name one with --context DIR or WEFT_CONTEXT, or plan with --offline`;
    throw new WeftError("failed_precondition", message, { detail: "CONTEXT_MISSING" });
  }
  const pinned = hasContext ? loadOperatorContext(dir) : undefined;
  const cluster = options.cluster ?? inventory.cluster ?? meant ?? pinned?.defaultCluster ?? "default";
  const running = options.offline === true ? undefined : await runningOf({ ...options, cluster });
  const said = { context: options.context, cluster: options.cluster };
  const planned = planOf(inventory, { file, cluster, pinned, running, only: only?.name, meant: said });
  print(options, planned, () => planText(planned));
  if (options.detailedExitcode === true && planned.pending + planned.unwell > 0) process.exitCode = exitPending;
}

export function addDeployCommands(program: Command): void {
  program
    .command("deploy")
    .description("what a deployment would take")
    .addHelpText("after", groupExamples("weft deploy plan deploy.yaml"))
    .command("plan <file>")
    .description("compare an inventory of hosts with the running control; print every step, in order; change nothing")
    .option("--node <name>", "only this node")
    .option("--offline", "ask no control: every node is taken as new")
    .option("--print-config", "print the configuration of the --node instead: its /etc/weft/node.json")
    .option("--detailed-exitcode", "end with 2 when something is to be done or a node is not well, with 0 when not")
    .addHelpText(
      "after",
      "\nOne host at a time: backup first, a health gate at the end, the way back for each step. All that is wrong with the file,\nplaces that nobody has filled in among it, is said at once (78). Tokens are named, never printed.\n\nExamples:\n  weft deploy plan deploy.yaml\n  weft deploy plan deploy.yaml --node relay-1 --detailed-exitcode",
    )
    .action(action(plan));
}
