/** The command line of a bench. */

import { type ParseArgsOptionsConfig, parseArgs } from "node:util";

/**
 * The named options, as given or by default; every bench takes `--json` and `--help` too. Undefined when help was asked for.
 * @throws TypeError for an option that is not there.
 */
export function benchOptions<Name extends string>(
  args: readonly string[],
  defaults: Readonly<Record<Name, string>>,
): Readonly<Record<Name, string>> | undefined {
  const named = Object.entries<string>(defaults).map(([name, value]) => [name, { type: "string", default: value }]);
  const flags = { json: { type: "boolean" }, help: { type: "boolean", short: "h" } } as const;
  const options: ParseArgsOptionsConfig = { ...Object.fromEntries(named), ...flags };
  const values: Readonly<Record<string, unknown>> = parseArgs({ args: [...args], options }).values;
  return values["help"] === true ? undefined : ({ ...defaults, ...values } as Readonly<Record<Name, string>>);
}
