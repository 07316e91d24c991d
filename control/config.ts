/**
 * The configuration of a control process. Secrets are named by file, never given: a value in a flag or a variable can be read
 * by every process of the host.
 */

import { isAbsolute, relative, resolve } from "node:path";
import { z } from "zod";
import { type ConfigSources, flagSchema, isLoopbackHost, listOf, loadConfig, portSchema } from "../lib/config.ts";
import { type StartFacts, unsafeStart } from "../lib/env.ts";

const path = z.string().min(1);

const schema = z.object({
  /** Folder of the embedded store (PGlite). Either this or `postgresUrlFile`. */
  dataDir: path.optional(),
  /** File (0600) with the PostgreSQL URL. A remote server needs sslmode=verify-full. */
  postgresUrlFile: path.optional(),
  /** File with the CA certificates the PostgreSQL server is verified with; the system's when absent. */
  postgresCaFile: path.optional(),
  /** File (0600) with the Redis URL. Hints only; in-process when absent. */
  redisUrlFile: path.optional(),
  redisCaFile: path.optional(),
  /** File (0600) that holds the sealing key, made by `control init`. Not inside `dataDir`. */
  sealingKeyFile: path,
  publicHost: z.string().min(1).default("127.0.0.1"),
  publicPort: portSchema.default(7400),
  operatorHost: z.string().min(1).default("127.0.0.1"),
  operatorPort: portSchema.default(7401),
  /** The operator port may leave loopback only when this says so. */
  allowRemoteOperators: flagSchema.default(false),
  /** Host names and IP addresses this replica is reached by; they go into its certificate. */
  advertisedHosts: listOf(z.string().min(1).max(253)).default([]),
  dev: flagSchema.default(false),
  logLevel: z.enum(["debug", "info", "warn", "error", "silent"]).default("info"),
});

export type ControlConfig = Readonly<z.output<typeof schema>>;

/** Name of every setting, for flags and help. */
export const controlSettings = Object.keys(schema.shape) as readonly (keyof ControlConfig)[];

/**
 * Reads the configuration from file, `WEFT_CONTROL_*` variables and flags, and judges how the process was started.
 * @throws ConfigError listing every problem.
 */
export function loadControlConfig(sources: Omit<ConfigSources, "envPrefix">, start?: StartFacts): ControlConfig {
  return loadConfig(schema, { ...sources, envPrefix: "WEFT_CONTROL_" }, (config) => [
    ...crossProblems(config),
    ...(config.dev || start === undefined ? [] : unsafeStart(start)),
  ]);
}

function crossProblems(config: ControlConfig): string[] {
  const problems: string[] = [];
  if ((config.dataDir === undefined) === (config.postgresUrlFile === undefined)) {
    problems.push("dataDir, postgresUrlFile: exactly one of them says where the store is");
  }
  if (!config.dev && config.dataDir !== undefined && isInside(config.sealingKeyFile, config.dataDir)) {
    problems.push("sealingKeyFile: must not be inside dataDir: a copy of one would be a copy of both");
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
