/** The command line of a bench: what is wrong with it is said in one line, before anything is started. */

import { type ParseArgsOptionsConfig, parseArgs } from "node:util";
import { messageOf } from "../../lib/errors.ts";

/** Of wrong use; as of the `weft` command. */
const wrongUse = 2;

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
  const values: Readonly<Record<string, unknown>> = parseArgs({ args: joined(args, options), options }).values;
  return values["help"] === true ? undefined : ({ ...defaults, ...values } as Readonly<Record<Name, string>>);
}

/** A value that begins with a dash belongs to the option before it: a number may be too small, but it is one. */
function joined(args: readonly string[], options: ParseArgsOptionsConfig): string[] {
  const out: string[] = [];
  for (const word of args) {
    const before = out.at(-1) ?? "";
    const isValue = /^-\d/.test(word) && options[before.slice(2)]?.type === "string" && before.startsWith("--");
    if (isValue) out[out.length - 1] = `${before}=${word}`;
    else out.push(word);
  }
  return out;
}

/**
 * The number an option was given, at least `min`; a whole one where that is asked for.
 * @throws TypeError that names the option and what it takes.
 */
export function numberOption(
  name: string,
  text: string,
  { min, whole = false }: { readonly min: number; readonly whole?: boolean },
): number {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (Number.isFinite(value) && value >= min && (!whole || Number.isSafeInteger(value))) return value;
  throw new TypeError(`${name} takes a ${whole ? "whole " : ""}number of at least ${min}, not "${text}"`);
}

/**
 * What this process was asked for. Undefined when there is nothing to do: then the usage, or what is wrong in one line, was
 * written, and the exit code is set.
 */
export function readCommandLine<T>(usage: string, read: (args: readonly string[]) => T | undefined): T | undefined {
  try {
    const options = read(process.argv.slice(2));
    if (options === undefined) process.stderr.write(`${usage}\n`);
    return options;
  } catch (thrown) {
    process.stderr.write(`bench: ${messageOf(thrown).replace(/\s*\n\s*/g, " ")} (--help)\n`);
    process.exitCode = wrongUse;
    return undefined;
  }
}

/** The numbers a bench takes by their place, or by default. @throws TypeError for one that is none, or one too many. */
export function placedNumbers(
  args: readonly string[],
  wanted: readonly { readonly name: string; readonly start: number; readonly min: number }[],
): readonly number[] {
  const words = args.filter((word) => word !== "--json");
  const extra = words[wanted.length];
  if (extra !== undefined) throw new TypeError(`there is no place for "${extra}"`);
  return wanted.map(({ name, start, min }, at) => numberOption(name, words[at] ?? String(start), { min }));
}
