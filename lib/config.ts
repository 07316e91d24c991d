/**
 * Configuration from a file, the environment and flags: read once, checked once, frozen. Precedence: flag over
 * environment over file over default. Every problem is reported at the same time, each with where it came from.
 */

import { readFileSync } from "node:fs";
import { z } from "zod";
import { ConfigError } from "./config-error.ts";
import { messageOf } from "./errors.ts";

export interface ConfigSources {
  /** A JSON file with the schema's keys. */
  readonly file?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** `WEFT_NODE_` makes `WEFT_NODE_STATE_DIR` the variable of `stateDir`. */
  readonly envPrefix: string;
  /** Flags that were given; undefined values count as not given. */
  readonly flags: Readonly<Record<string, unknown>>;
}

/** The environment variable of a key: `stateDir` under `WEFT_NODE_` is `WEFT_NODE_STATE_DIR`. */
export function envName(prefix: string, key: string): string {
  return prefix + key.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
}

/** Structured values in the environment and in flags are JSON; everything else is taken as the text it is. */
function fromText(text: string): unknown {
  if (!/^\s*[[{]/.test(text)) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function readFileValues(file: string, problems: string[]): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (thrown) {
    problems.push(`${file}: cannot be read (${messageOf(thrown)})`);
    return {};
  }
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)) return { ...parsed };
    problems.push(`${file}: must hold one JSON object`);
  } catch (thrown) {
    problems.push(`${file}: is not JSON (${messageOf(thrown)})`);
  }
  return {};
}

/**
 * Reads and checks a configuration.
 * @throws ConfigError listing every problem: unreadable file, unknown keys, wrong values, cross-field rules of the schema.
 */
export function loadConfig<Shape extends z.ZodRawShape>(
  schema: z.ZodObject<Shape>,
  sources: ConfigSources,
  crossChecks: (value: z.output<z.ZodObject<Shape>>) => readonly string[] = () => [],
): Readonly<z.output<z.ZodObject<Shape>>> {
  const problems: string[] = [];
  const values: Record<string, unknown> = sources.file === undefined ? {} : readFileValues(sources.file, problems);
  const origin = new Map<string, string>();
  for (const key of Object.keys(values)) {
    origin.set(key, sources.file ?? "file");
    if (!(key in schema.shape)) {
      problems.push(`${sources.file}: unknown key "${key}"`);
      delete values[key];
    }
  }
  for (const key of Object.keys(schema.shape)) {
    const variable = envName(sources.envPrefix, key);
    const fromEnv = sources.env[variable];
    const fromFlag = sources.flags[key];
    if (fromFlag !== undefined) {
      values[key] = typeof fromFlag === "string" ? fromText(fromFlag) : fromFlag;
      origin.set(key, `flag --${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`);
    } else if (fromEnv !== undefined && fromEnv !== "") {
      values[key] = fromText(fromEnv);
      origin.set(key, variable);
    }
  }
  const result = schema.safeParse(values);
  if (!result.success) {
    for (const issue of result.error.issues) {
      const key = String(issue.path[0] ?? "");
      problems.push(`${issue.path.join(".") || "configuration"}: ${issue.message} (${origin.get(key) ?? "not set"})`);
    }
  } else {
    problems.push(...crossChecks(result.data));
  }
  if (problems.length > 0 || !result.success) throw new ConfigError(problems);
  return Object.freeze(result.data);
}

/** A TCP port as text or number; 0 means any free one. */
export const portSchema = z.coerce.number().int().min(0).max(65_535);

/** true/false, as JSON or as the words people put into environment variables. */
export const flagSchema = z.union([
  z.boolean(),
  z.enum(["true", "false", "1", "0"]).transform((word) => word === "true" || word === "1"),
]);

/** `host:port` or `[v6]:port`. */
export const hostPortSchema = z.string().transform((text, context) => {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:\s]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port < 1 || port > 65_535) {
    context.addIssue({ code: "custom", message: `"${text}" is not host:port` });
    return z.NEVER;
  }
  return { host: match[1] ?? match[2] ?? "", port };
});

/** A list given as a JSON array or as words separated by commas. */
export function listOf<Item extends z.ZodType>(item: Item): z.ZodPreprocess<z.ZodArray<Item>> {
  return z.preprocess(
    (value) =>
      typeof value === "string"
        ? value
            .split(",")
            .map((word) => word.trim())
            .filter((word) => word !== "")
        : value,
    z.array(item),
  );
}

/** Whether a host names this machine only. */
export function isLoopbackHost(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}
