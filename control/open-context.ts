/** Opens what control stands on, as configured: the store, the hints, the sealing key. */

import { readFileSync } from "node:fs";
import { openSealingKeyFile, type SealingKey } from "../certs/seal.ts";
import { readHandedSecret } from "../certs/secret-file.ts";
import { type Clock, systemClock } from "../lib/clock.ts";
import type { Closers } from "../lib/closers.ts";
import { messageOf, WeftError } from "../lib/errors.ts";
import { type Log, openLog } from "../lib/log.ts";
import { type Random, systemRandom } from "../lib/random.ts";
import type { Tracing } from "../rpc/tracing.ts";
import type { ControlConfig } from "./config.ts";
import type { Hints } from "./hints/hints.ts";
import { memoryHints } from "./hints/memory.ts";
import type { RedisHintsOptions } from "./hints/redis.ts";
import type { StoreContext } from "./store/context.ts";
import type { Sql } from "./store/sql.ts";
import { trustSeal } from "./store/trust.ts";

/** What tests put in place of the real thing. */
export interface ControlOverrides {
  readonly sql?: Sql;
  readonly hints?: Hints;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly log?: Log;
}

export interface Outside {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Clock, randomness and log. */
export function openOutside(config: ControlConfig, over: ControlOverrides): Outside {
  return {
    clock: over.clock ?? systemClock,
    random: over.random ?? systemRandom,
    log: over.log ?? openLog({ level: config.logLevel, process: "control" }),
  };
}

/** Traces, where an endpoint is configured. Loaded where it is asked for: a process without traces does not pay for them. */
export async function openTraces(
  config: ControlConfig,
  { clock, random, log }: Outside,
  { version, replicaId }: { readonly version: string; readonly replicaId: string },
): Promise<Tracing | undefined> {
  const { tracesEndpoint } = config;
  if (tracesEndpoint === undefined) return undefined;
  const { openTracing } = await import("../rpc/tracing.ts");
  const attributes = { "service.instance.id": replicaId };
  const settings = { ...config, tracesEndpoint };
  return openTracing({ config: settings, serviceName: "weft-control", attributes, version, clock, random, log });
}

/** The store as configured; `closers` closes it unless it was handed in. Every secret is looked at before it is opened. */
export async function openStore(
  config: ControlConfig,
  over: ControlOverrides,
  log: Log,
  closers: Closers,
): Promise<Sql> {
  if (over.sql !== undefined) return over.sql;
  const url = postgresUrlOf(config);
  const redis = redisOf(config);
  if (redis !== undefined) (await import("./hints/redis.ts")).requireHintsUrl(redis);
  const sql = await openSql(url, config, log);
  closers.add("store", () => sql.close());
  return sql;
}

/** A driver is loaded when it is the one: a control has one store, and starts sooner without the other's. */
async function openSql(url: string | undefined, { dataDir, postgresCaFile }: ControlConfig, log: Log): Promise<Sql> {
  if (url === undefined) {
    const { openPglite } = await import("./store/pglite.ts");
    return await openPglite(dataDir === undefined ? {} : { directory: dataDir });
  }
  const { openPostgres } = await import("./store/pg.ts");
  return openPostgres({ url, log, ...(postgresCaFile === undefined ? {} : { caPem: readCaFile(postgresCaFile) }) });
}

/** The URL of the PostgreSQL store, a secret; undefined for an embedded one. Errors of `namedSecret`. */
export function postgresUrlOf(config: Pick<ControlConfig, "postgresUrl" | "postgresUrlFile">): string | undefined {
  const { postgresUrl, postgresUrlFile } = config;
  return postgresUrlFile === undefined ? postgresUrl?.trim() : namedSecret("postgresUrlFile", postgresUrlFile);
}

function redisOf(config: ControlConfig): Omit<RedisHintsOptions, "clock" | "log"> | undefined {
  const { redisUrl, redisUrlFile, redisCaFile } = config;
  const url = redisUrlFile === undefined ? redisUrl?.trim() : namedSecret("redisUrlFile", redisUrlFile);
  if (url === undefined) return undefined;
  return { url, ...(redisCaFile === undefined ? {} : { caPem: readCaFile(redisCaFile) }) };
}

/** A secret file's content. What is wrong with it is said with the setting, the file and the cure: this is local. */
function namedSecret(setting: keyof ControlConfig, file: string): string {
  return saying(setting, file, () => readHandedSecret(file)).trim();
}

function saying<T>(setting: keyof ControlConfig, file: string, read: () => T): T {
  try {
    return read();
  } catch (thrown) {
    if (!(thrown instanceof WeftError)) throw thrown;
    const cure = thrown.message.includes("mode is not 0600") ? `: chmod 600 ${file}` : "";
    const message = `${setting} ${file}: ${thrown.message}${cure}`;
    throw new WeftError(thrown.reason, message, { detail: thrown.detail, cause: thrown });
  }
}

/** The sealing key of this host. Errors of `openSealingKeyFile`, naming the file. */
export function openSeal(config: Pick<ControlConfig, "sealingKeyFile">): SealingKey {
  const { sealingKeyFile } = config;
  return saying("sealingKeyFile", sealingKeyFile, () => openSealingKeyFile(sealingKeyFile));
}

/** Everything store functions need. */
export async function openContext(
  config: ControlConfig,
  over: ControlOverrides,
  opened: { readonly sql: Sql; readonly outside: Outside; readonly sealingKey: SealingKey },
  closers: Closers,
): Promise<StoreContext> {
  const { sql, outside, sealingKey } = opened;
  const hints = over.hints ?? (await openHints(config, outside));
  if (over.hints === undefined) closers.add("hints", () => hints.close());
  const { leafLifeSeconds, clientLeafLifeSeconds } = config;
  const leafLives = {
    ...(leafLifeSeconds === undefined ? {} : { hostsMs: leafLifeSeconds * 1_000 }),
    ...(clientLeafLifeSeconds === undefined ? {} : { clientsMs: clientLeafLifeSeconds * 1_000 }),
  };
  return { sql, seal: trustSeal(sealingKey), hints, leafLives, ...outside };
}

async function openHints(config: ControlConfig, { clock, log }: Outside): Promise<Hints> {
  const redis = redisOf(config);
  if (redis === undefined) return memoryHints(clock);
  const { redisHints } = await import("./hints/redis.ts");
  return redisHints({ ...redis, clock, log });
}

/** The text of a file with CA certificates; "system" means the host's own store of them. */
export function readCaFile(file: string): string {
  if (file === "system") return file;
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new WeftError("failed_precondition", `a configured file cannot be read: ${messageOf(cause)}`, {
      detail: "FILE_UNREADABLE",
      cause,
    });
  }
}
