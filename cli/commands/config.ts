/** `weft config`: the operator context in use, and configuration files checked before a process meets them. */

import type { Command } from "commander";
import { isLoopbackHost } from "../../lib/config.ts";
import { WeftError } from "../../lib/errors.ts";
import { loadOperatorContext } from "../../rpc/operator-context.ts";
import { exitCodes, groupExamples, print, table, when } from "../output.ts";
import { action, contextDir, type GlobalOptions } from "../session.ts";

async function showConfig(options: GlobalOptions): Promise<void> {
  const { leaf, clusters, dir, ...rest } = loadOperatorContext(contextDir(options));
  const facts = {
    context: dir,
    operator: leaf.id.id,
    certificateNotAfterMs: leaf.notAfterMs,
    ...rest,
    clusters: clusters.map(({ id, slug }) => ({ id, slug })),
  };
  print(options, facts, () =>
    table(
      ["FIELD", "VALUE"],
      [
        ["context", dir],
        ["operator", leaf.id.id],
        ["certificate until", when(leaf.notAfterMs)],
        ["control operator port", rest.operatorAddress],
        ["control public port", rest.publicAddress],
        ["trust domain", rest.trustDomain],
        ["clusters", clusters.map(({ slug }) => slug).join(", ")],
      ],
    ),
  );
}

/** What a configuration must not say in production. */
function productionProblems(config: Readonly<Record<string, unknown>>): string[] {
  const problems: string[] = [];
  if (config.dev === true) problems.push("dev: is set; it loosens checks that production needs");
  if (typeof config.publicHost === "string" && isLoopbackHost(config.publicHost) && config.dialOutOnly !== true)
    problems.push(`publicHost: ${config.publicHost} is reachable from this machine only`);
  return problems;
}

async function checkConfig(
  options: GlobalOptions & { production?: boolean },
  kind: string,
  file: string,
): Promise<void> {
  const sources = { file, env: {}, flags: {} };
  const load = async (): Promise<Readonly<Record<string, unknown>>> => {
    if (kind === "node") return (await import("../../node/config.ts")).loadNodeConfig(sources);
    if (kind === "control") return (await import("../../control/config.ts")).loadControlConfig(sources);
    throw new WeftError("invalid_argument", `"${kind}" is no process; choose node or control`, { detail: "CLI_ENUM" });
  };
  const config = await load();
  const problems = options.production === true ? productionProblems(config) : [];
  print(options, { ok: problems.length === 0, file, problems }, () =>
    problems.length === 0
      ? `${file} is a valid ${kind} configuration`
      : problems.map((problem) => `- ${problem}`).join("\n"),
  );
  if (problems.length > 0) process.exitCode = exitCodes.config;
}

export function addConfigCommands(program: Command): void {
  const config = program
    .command("config")
    .description("the operator context and configuration files")
    .addHelpText("after", groupExamples("weft config show", "weft config check node /etc/weft/node.json --production"));
  config
    .command("show")
    .description("show the operator context in use (never its key)")
    .addHelpText("after", "\nExample:\n  weft config show --context ~/.weft")
    .action(action(showConfig));
  config
    .command("check <process> <file>")
    .description("check a configuration file of a node or of control; lists every problem")
    .option("--production", "refuse what only development allows")
    .addHelpText("after", "\nExample:\n  weft config check node /etc/weft/node.json --production")
    .action(action(checkConfig));
}
