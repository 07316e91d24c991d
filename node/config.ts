/** The configuration of a node process, including the local ceiling that control can narrow and never widen. */

import { z } from "zod";
import {
  type ConfigSources,
  flagSchema,
  hostPortSchema,
  isLoopbackHost,
  listOf,
  loadConfig,
  portSchema,
} from "../lib/config.ts";
import { traceProblems, traceSettings } from "../lib/trace-config.ts";

const cidr = z.string().regex(/^[0-9a-fA-F.:]+\/\d{1,3}$/, "must be a CIDR such as 10.0.0.0/8");

/** One rule of what an egress may ever dial. */
const targetRule = z.strictObject({
  cidr,
  /** Inclusive port range; all ports when absent. */
  fromPort: portSchema.default(1),
  toPort: portSchema.default(65_535),
});

const absolutePath = z
  .string()
  .regex(/^(\/[^/\0]+)+$/, "must be an absolute path without a slash at its end")
  .refine((path) => !path.split("/").some((part) => part === "." || part === ".."), 'must not hold "." or ".."');

/** What this host may ever run for control beside its roles; nothing unless it is named here. */
const workloadsCeilingSchema = z.strictObject({
  /** Programs, each with the exact arguments it may get, or "any". */
  commands: z
    .array(z.strictObject({ path: absolutePath, args: z.union([z.literal("any"), z.array(z.string())]).default([]) }))
    .default([]),
  /** Folders whose programs may be run with any arguments. Links must not lead out of them. */
  folders: z.array(absolutePath).default([]),
  /** Names of users workloads may run as, the agent's own included. */
  users: z.array(z.string().min(1)).default([]),
  /** Variables control may set: names, or beginnings of names such as APP_*. */
  environment: z.array(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*\*?$/, "must be a name or NAME_*")).default([]),
  /** Folders whose files the values of variables may be read from. */
  files: z.array(absolutePath).default([]),
  /** Folders workloads may run in, and below. */
  directories: z.array(absolutePath).default([]),
  /** Whether anything may ever run as the superuser. */
  hostPrivileges: flagSchema.default(false),
});

/** The ceiling: what this host allows whatever control says (LAW-C6). */
const ceilingSchema = z.strictObject({
  roles: z.array(z.enum(["entry", "relay", "egress"])).default(["entry", "relay", "egress"]),
  /** Loopback, link-local and metadata addresses are refused unless a rule lists them. */
  targets: z.array(targetRule).default([
    { cidr: "0.0.0.0/0", fromPort: 1, toPort: 65_535 },
    { cidr: "::/0", fromPort: 1, toPort: 65_535 },
  ]),
  /** Unix sockets an egress may dial: path prefixes. */
  unixPrefixes: z.array(z.string()).default([]),
  /** Hosts entry listeners may bind. */
  listenerHosts: z.array(z.string()).default(["127.0.0.1", "::1", "localhost"]),
  workloads: workloadsCeilingSchema.prefault({}),
});

/** What a node without an identity asks for when it starts: the same as `weft join`, without a second command. */
const joinSchema = z.strictObject({
  /** File (0600) holding the join token. */
  tokenFile: z.string().min(1),
  name: z.string().min(1),
  roles: z.array(z.enum(["entry", "relay", "egress"])).default([]),
  /** Where other nodes dial this one; empty for a dial-out-only node. */
  addresses: z.array(z.object({ host: z.string(), port: portSchema })).default([]),
});

const schema = z.object({
  /** Folder of this membership's identity, snapshot and feed. One folder per cluster. */
  stateDir: z.string().min(1),
  /** Control replicas, host:port. */
  control: listOf(hostPortSchema).pipe(z.array(z.object({ host: z.string(), port: z.number() })).min(1)),
  publicHost: z.string().default("127.0.0.1"),
  publicPort: portSchema.default(0),
  /** No inbound port: the node keeps links from inside. */
  dialOutOnly: flagSchema.default(false),
  operatorHost: z.string().default("127.0.0.1"),
  operatorPort: portSchema.default(0),
  /** The operator port may leave loopback only when this says so. */
  allowRemoteOperators: flagSchema.default(false),
  /** Where metrics are shown, at /metrics; nowhere without a port. 0: any free one. */
  metricsPort: portSchema.optional(),
  metricsHost: z.string().min(1).default("127.0.0.1"),
  /** The metrics port may leave loopback only when this says so. */
  allowRemoteMetrics: flagSchema.default(false),
  ...traceSettings,
  region: z.string().max(63).default(""),
  ceiling: ceilingSchema.prefault({}),
  /** Joins first when the state folder holds no identity. */
  join: joinSchema.optional(),
  dev: flagSchema.default(false),
  logLevel: z.enum(["debug", "info", "warn", "error", "silent"]).default("info"),
});

export type NodeConfig = Readonly<z.output<typeof schema>>;
export type Ceiling = NodeConfig["ceiling"];

/**
 * Reads the node's configuration from file, `WEFT_NODE_*` variables and flags.
 * @throws ConfigError listing every problem.
 */
export function loadNodeConfig(sources: Omit<ConfigSources, "envPrefix">): NodeConfig {
  return loadConfig(schema, { ...sources, envPrefix: "WEFT_NODE_" }, (config) => {
    const problems: string[] = traceProblems(config);
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
    return problems;
  });
}
