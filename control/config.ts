/**
 * The configuration of a control process. Secrets are named by file; where a platform hands them to a process only as
 * variables, those two URLs may come that way, and no other: a flag can be read by every process of the host, and a
 * configuration file by everybody it is shown to.
 */

import { isAbsolute, relative, resolve } from "node:path";
import { z } from "zod";
import {
  type ConfigSources,
  envName,
  flagSchema,
  isLoopbackHost,
  listOf,
  loadConfig,
  portSchema,
} from "../lib/config.ts";
import { type StartFacts, unsafeStart } from "../lib/env.ts";
import { limits } from "../lib/limits.ts";
import { traceProblems, traceSettings } from "../lib/trace-config.ts";

const path = z.string().min(1);
const secret = z.string().min(1);

const leafLifeSchema = z.coerce
  .number()
  .int()
  .min(limits.leafLifeMinMs / 1_000)
  .max(limits.leafLifeMs / 1_000)
  .optional();

const schema = z.object({
  /** Folder of the embedded store (PGlite). Either this or PostgreSQL. */
  dataDir: path.optional(),
  /** File (0600) with the PostgreSQL URL. A remote server needs sslmode=verify-full. */
  postgresUrlFile: path.optional(),
  /** The URL itself. Only as WEFT_CONTROL_POSTGRES_URL. */
  postgresUrl: secret.optional(),
  /** File with the CA certificates the PostgreSQL server is verified with; the system's when absent. */
  postgresCaFile: path.optional(),
  /** File (0600) with the Redis URL. Hints only; in-process when absent. */
  redisUrlFile: path.optional(),
  /** The URL itself. Only as WEFT_CONTROL_REDIS_URL. */
  redisUrl: secret.optional(),
  redisCaFile: path.optional(),
  /** File (0600) that holds the sealing key, made by `control init`. Not inside `dataDir`. */
  sealingKeyFile: path,
  publicHost: z.string().min(1).default("127.0.0.1"),
  publicPort: portSchema.default(7400),
  operatorHost: z.string().min(1).default("127.0.0.1"),
  operatorPort: portSchema.default(7401),
  /** The operator port may leave loopback only when this says so. */
  allowRemoteOperators: flagSchema.default(false),
  /** Where metrics are shown, at /metrics; nowhere without a port. 0: any free one. */
  metricsPort: portSchema.optional(),
  metricsHost: z.string().min(1).default("127.0.0.1"),
  /** The metrics port may leave loopback only when this says so. */
  allowRemoteMetrics: flagSchema.default(false),
  ...traceSettings,
  /** Host names and IP addresses this replica is reached by; they go into its certificate. */
  advertisedHosts: listOf(z.string().min(1).max(253)).default([]),
  /**
   * How long certificates of hosts (nodes, pools, control itself) and of clients live, seconds. They are renewed at a third of
   * it; the rest is how long control may be away.
   */
  leafLifeSeconds: leafLifeSchema,
  clientLeafLifeSeconds: leafLifeSchema,
  dev: flagSchema.default(false),
  logLevel: z.enum(["debug", "info", "warn", "error", "silent"]).default("info"),
});

export type ControlConfig = Readonly<z.output<typeof schema>>;

/** Secrets that may be given as a variable, and the setting that names a file with each. */
const inline = { postgresUrl: "postgresUrlFile", redisUrl: "redisUrlFile" } as const;

/** Name of every setting that has a flag, for flags and help. */
export const controlSettings = (Object.keys(schema.shape) as readonly (keyof ControlConfig)[]).filter(
  (name) => !(name in inline),
);

const ENV_PREFIX = "WEFT_CONTROL_";

/**
 * Reads the configuration from file, `WEFT_CONTROL_*` variables and flags, and judges how the process was started.
 * @throws ConfigError listing every problem.
 */
export function loadControlConfig(sources: Omit<ConfigSources, "envPrefix">, start?: StartFacts): ControlConfig {
  return loadConfig(schema, { ...sources, envPrefix: ENV_PREFIX }, (config) => [
    ...crossProblems(config),
    ...secretProblems(config, sources.env),
    ...(config.dev || start === undefined ? [] : unsafeStart(start)),
  ]);
}

/** One place for each secret, and no place where others can read it. Never the secret itself. */
function secretProblems(config: ControlConfig, env: ConfigSources["env"]): string[] {
  return Object.entries(inline).flatMap(([name, file]) => {
    if (config[name as keyof typeof inline] === undefined) return [];
    const variable = envName(ENV_PREFIX, name);
    if (config[file] !== undefined) return [`${variable}, ${file}: both give the same secret; remove one of them`];
    const given = env[variable] !== undefined && env[variable] !== "";
    return given ? [] : [`${name}: a secret has no place here; name a file (0600) with ${file}, or set ${variable}`];
  });
}

function crossProblems(config: ControlConfig): string[] {
  const problems: string[] = traceProblems(config);
  const postgres = config.postgresUrlFile ?? config.postgresUrl;
  if ((config.dataDir === undefined) === (postgres === undefined)) {
    problems.push("dataDir, postgresUrlFile: exactly one of them says where the store is");
  }
  if (!config.dev && config.dataDir !== undefined && isInside(config.sealingKeyFile, config.dataDir)) {
    problems.push("sealingKeyFile: must not be inside dataDir: a copy of one would be a copy of both");
  }
  if (!isLoopbackHost(config.metricsHost) && !config.allowRemoteMetrics) {
    problems.push(
      `metricsHost: ${config.metricsHost} is beyond loopback; set allowRemoteMetrics to true if that is meant`,
    );
  }
  if (!isLoopbackHost(config.operatorHost) && !config.allowRemoteOperators) {
    problems.push(
      `operatorHost: ${config.operatorHost} is beyond loopback; set allowRemoteOperators to true if that is meant`,
    );
  }
  if (
    config.publicPort !== 0 &&
    config.publicPort === config.operatorPort &&
    config.publicHost === config.operatorHost
  ) {
    problems.push("operatorPort: is also publicPort");
  }
  if (config.dev && !isLoopbackHost(config.publicHost)) {
    problems.push("publicHost: a development control stays on loopback");
  }
  return problems;
}

function isInside(file: string, folder: string): boolean {
  const way = relative(resolve(folder), resolve(file));
  return !way.startsWith("..") && !isAbsolute(way);
}
