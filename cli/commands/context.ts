/** `weft context`: names for installations, so that nobody has to remember folders. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { WeftError } from "../../lib/errors.ts";
import { loadOperatorContext } from "../../rpc/operator-context.ts";
import {
  type Contexts,
  changeContexts,
  chosenContext,
  contextsFile,
  keptFolder,
  type NamedContext,
  namedContext,
  readContexts,
  requireContextName,
} from "../contexts.ts";
import { groupExamples, print, table } from "../output.ts";
import { action, type GlobalOptions } from "../session.ts";

interface AddOptions extends GlobalOptions {
  readonly folder: string;
  readonly organization?: string;
  readonly identity?: string;
  readonly use?: boolean;
}

interface Shown extends NamedContext {
  readonly name: string;
  readonly current: boolean;
  /** Of control's operator port, as the folder has it; absent: the folder cannot be used. */
  readonly control?: string;
  readonly problem?: string;
}

function shown(name: string, context: NamedContext, current: string | undefined): Shown {
  const about = { name, current: name === current, ...context };
  try {
    return { ...about, control: loadOperatorContext(context.folder).operatorAddress };
  } catch (thrown) {
    return { ...about, problem: thrown instanceof WeftError ? thrown.detail : "CONTEXT_DAMAGED" };
  }
}

async function list(options: GlobalOptions): Promise<void> {
  const { contexts, current } = readContexts();
  const rows = Object.entries(contexts).map(([name, context]) => shown(name, context, current));
  print(options, { file: contextsFile(), contexts: rows }, () =>
    table(
      ["CONTEXT", "CURRENT", "CONTROL", "FOLDER", "CLUSTER", "ORGANIZATION", "IDENTITY"],
      rows.map((row) => [
        ...[row.name, row.current ? "*" : "", row.control ?? row.problem ?? "", row.folder],
        ...[row.cluster ?? "-", row.organization ?? "-", row.identity ?? "-"],
      ]),
    ),
  );
}

async function show(options: GlobalOptions, name: string | undefined): Promise<void> {
  const known = readContexts();
  // Nothing named: what a command would take that is run now.
  const chosen = name === undefined ? chosenContext(options.context) : { name, ...namedContext(known, name) };
  const { name: itsName = "", ...context } = chosen;
  const about = shown(itsName, context, known.current);
  print(options, about, () =>
    table(
      ["FIELD", "VALUE"],
      [
        ["name", about.name || "none: the folder itself"],
        ["control", about.control ?? `none (${about.problem})`],
        ["folder", about.folder],
        ["cluster", about.cluster ?? "the folder's"],
        ["organization", about.organization ?? "none"],
        ["identity", about.identity ?? "none"],
      ],
    ),
  );
}

async function add(options: AddOptions, name: string): Promise<void> {
  requireContextName(name);
  const { cluster, organization, identity } = options;
  const folder = keptFolder(options.folder);
  // What names nothing is told now, not to whoever uses it.
  const { operatorAddress } = loadOperatorContext(folder);
  if (identity !== undefined && !existsSync(join(identity, "client.json"))) {
    const message = `${identity} holds no client; "weft identity add client" makes such a folder`;
    throw new WeftError("failed_precondition", message, { detail: "CLIENT_FOLDER_MISSING" });
  }
  const added: NamedContext = {
    folder,
    ...(cluster === undefined ? {} : { cluster }),
    ...(organization === undefined ? {} : { organization }),
    ...(identity === undefined ? {} : { identity: keptFolder(identity) }),
  };
  const { current } = await changeContexts((before) => ({
    contexts: { ...before.contexts, [name]: added },
    ...(options.use === true || before.current === undefined ? { current: name } : { current: before.current }),
  }));
  print(options, { name, control: operatorAddress, ...added, current: current === name }, () =>
    current === name
      ? `context ${name} is the current one; its control is at ${operatorAddress}`
      : `context ${name} is there; "weft context use ${name}" makes it the current one`,
  );
}

async function use(options: GlobalOptions, name: string): Promise<void> {
  await changeContexts((before) => {
    namedContext(before, name);
    return { ...before, current: name };
  });
  const over = process.env.WEFT_CONTEXT || undefined;
  print(options, { current: name }, () =>
    over === undefined
      ? `context ${name} is the current one`
      : `context ${name} is the current one; here WEFT_CONTEXT says ${over}, which comes first`,
  );
}

async function remove(options: GlobalOptions, name: string): Promise<void> {
  const { current } = await changeContexts((before): Contexts => {
    namedContext(before, name);
    const { [name]: _removed, ...contexts } = before.contexts;
    return {
      contexts,
      ...(before.current === undefined || before.current === name ? {} : { current: before.current }),
    };
  });
  print(
    options,
    { removed: name, current: current ?? null },
    () => `context ${name} is forgotten; its folder is untouched`,
  );
}

export function addContextCommands(program: Command): void {
  const context = program
    .command("context")
    .description("named contexts: which installation, and as whom")
    .addHelpText(
      "after",
      groupExamples(
        "weft context add prod --folder ~/.weft-prod --use",
        "weft context list",
        "weft node list --context prod",
      ),
    );
  context
    .command("list")
    .description("list contexts; the current one is what commands are about when nothing is said")
    .addHelpText("after", "\nExample:\n  weft context list --json")
    .action(action(list));
  context
    .command("show [name]")
    .description("show one context; without a name, what a command would take now")
    .addHelpText("after", "\nExample:\n  weft context show prod")
    .action(action(show));
  context
    .command("add <name>")
    .description("give an operator's folder a name, or change what a name means; holds paths, never keys")
    .requiredOption(
      "--folder <dir>",
      "operator's folder, as `weft control init` and `weft identity add operator` make it",
    )
    .option("--cluster <slug>", "cluster when none is said (default: the folder's)")
    .option("--organization <name>", "organization when none is said")
    .option("--identity <dir>", "client folder for weft connect, forward and check")
    .option("--use", "make it the current one; the first is so by itself")
    .addHelpText("after", "\nExample:\n  weft context add prod --folder ~/.weft-prod --organization acme --use")
    .action(action(add));
  context
    .command("use <name>")
    .description("make a context the current one")
    .addHelpText("after", "\nExample:\n  weft context use prod")
    .action(action(use));
  context
    .command("remove <name>")
    .description("forget a name; the folder stays as it is")
    .addHelpText("after", "\nExample:\n  weft context remove prod")
    .action(action(remove));
}
