/** The `weft` command as a tree; `bin.ts` runs it, tests and docs look at it. */

import { type Argument, Command, Option } from "commander";
import packageFacts from "../package.json" with { type: "json" };
import { durationMs } from "./arguments.ts";
import { type CommandGroup, commandGroups } from "./command-groups.ts";

/**
 * The tree with every group in it or, with the words of a command line, with those that are named there. The others are their names,
 * arguments and descriptions: as much as the help of `weft` and suggestions need.
 */
export async function buildProgram(words?: readonly string[]): Promise<Command> {
  const program = new Command("weft")
    .description("Weft: a self-hosted secure access fabric")
    .version(packageFacts.version)
    .option(
      "--context <context>",
      "a named context or an operator's folder (default: WEFT_CONTEXT, the current one, ~/.weft)",
    )
    .option("--cluster <slug>", "cluster, by slug or id (default: the context's)")
    .option("--json", "print exactly one JSON object on one line")
    .configureHelp({ subcommandTerm })
    .showSuggestionAfterError()
    .showHelpAfterError("(--help shows what there is)")
    .addHelpText(
      "after",
      "\nExamples:\n  weft up                     a whole fabric on this machine\n  weft node list --json       nodes as one JSON object\n  weft route explain web      why bytes go where they go",
    );
  const adders = Object.entries(commandGroups).map(async ([name, group]) =>
    words === undefined || words.includes(name) ? await group.load(buildProgram) : named(name, group),
  );
  for (const add of await Promise.all(adders)) add(program);
  acceptGlobalsEverywhere(program);
  return program;
}

/** A group as the help of `weft` shows it, and nothing behind it. */
function named(name: string, { words = "", about }: CommandGroup): (program: Command) => void {
  return (program) => void program.command(`${name} ${words}`).description(about);
}

/** A command in the help of its parent. */
function subcommandTerm(command: Command): string {
  const words = command.registeredArguments.map(humanReadable);
  return [command.name(), ...words].join(" ");
}

function humanReadable(argument: Argument): string {
  const word = `${argument.name()}${argument.variadic ? "..." : ""}`;
  return argument.required ? `<${word}>` : `[${word}]`;
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
  ...["list", "show", "add", "use", "remove"].map((verb) => `context ${verb}`),
];

/** Of them, those that take a client's folder from a named context. */
const actsAsClient = ["connect", "forward", "check golden", "check loop"];

/** Whether a command does anything with a global option: the help of one that does not keeps quiet about it. */
function heeds(path: string, long: string | undefined): boolean {
  if (long === "--json") return path !== "connect";
  if (path === "config show") return long !== "--cluster";
  if (long === "--context" && actsAsClient.includes(path)) return true;
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
