/** What a control host shows: its configuration, its secrets, its ports, its disk and its store. */

import { existsSync } from "node:fs";
import type { loadControlConfig } from "../../control/config.ts";
import { ConfigError } from "../../lib/config-error.ts";
import { messageOf, WeftError } from "../../lib/errors.ts";
import { lookAtName } from "./dial.ts";
import { type Facts, noFacts, together } from "./facts.ts";
import { lookAtDisk, lookAtSecret } from "./files.ts";
import { lookAtPort } from "./ports.ts";

type ControlConfig = ReturnType<typeof loadControlConfig>;

export interface ControlPlace {
  /** Absent: variables alone. */
  readonly file?: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Never throws: what cannot be had is a fact of its own, or none. */
export async function lookAtControlHost({ file, env }: ControlPlace): Promise<Facts> {
  const at = file ?? "WEFT_CONTROL_*";
  const places = [{ kind: "control", at }] as const;
  let config: ControlConfig;
  try {
    const { loadControlConfig } = await import("../../control/config.ts");
    config = loadControlConfig({ env, flags: {}, ...(file === undefined ? {} : { file }) });
  } catch (thrown) {
    const problems = thrown instanceof ConfigError ? thrown.problems : [messageOf(thrown)];
    return { ...noFacts, places, configurations: [{ file: at, problems }] };
  }
  const { publicHost, publicPort, operatorHost, operatorPort, dataDir, advertisedHosts } = config;
  const wanted = [
    { what: "public port of control", setting: "publicPort", host: publicHost, port: publicPort },
    { what: "operator port of control", setting: "operatorPort", host: operatorHost, port: operatorPort },
  ].filter(({ port }) => port !== 0);
  const disk = dataDir === undefined ? undefined : lookAtDisk("data folder of control", dataDir);
  const secrets = secretsOf(config);
  const mayOpen = secrets.every(({ state }) => state === "fine");
  return together([
    { places, configurations: [{ file: at, problems: [] }], secrets, disks: disk === undefined ? [] : [disk] },
    { ports: await Promise.all(wanted.map((each) => lookAtPort(each, "control"))) },
    { names: await Promise.all(advertisedHosts.map((host) => lookAtName(host, `advertisedHosts in ${at}`))) },
    { stores: mayOpen ? await storesOf(config) : [] },
  ]);
}

function secretsOf({ sealingKeyFile, postgresUrlFile, redisUrlFile }: ControlConfig): Facts["secrets"] {
  return [
    lookAtSecret("sealing key", sealingKeyFile, true),
    ...(postgresUrlFile === undefined ? [] : [lookAtSecret("URL of PostgreSQL", postgresUrlFile, true)]),
    ...(redisUrlFile === undefined ? [] : [lookAtSecret("URL of Redis", redisUrlFile, true)]),
  ];
}

/** The embedded store of a running control is that process's alone: its operator port tells about it instead. */
async function storesOf(config: ControlConfig): Promise<Facts["stores"]> {
  const where = config.dataDir ?? "PostgreSQL";
  if (config.dataDir !== undefined && !existsSync(config.dataDir))
    return [{ where, problem: `there is no store in ${where}: control init makes one` }];
  try {
    const { dbStatus } = await import("../../control/db.ts");
    const { schemaFound, schemaExpected, moved, primary } = await dbStatus(config);
    return [{ where, found: schemaFound, expected: schemaExpected, moved, primary }];
  } catch (thrown) {
    if (thrown instanceof WeftError && thrown.detail === "STORE_IN_USE") return [];
    return [{ where, problem: messageOf(thrown) }];
  }
}
