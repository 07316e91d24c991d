/** Opens what control stands on, as configured: the store, the hints, the sealing key. */

import { readFileSync } from "node:fs";
import { openSealingKeyFile, type SealingKey } from "../certs/seal.ts";
import { readSecretFile } from "../certs/secret-file.ts";
import { type Clock, systemClock } from "../lib/clock.ts";
import type { Closers } from "../lib/closers.ts";
import { messageOf, WeftError } from "../lib/errors.ts";
import { type Log, openLog } from "../lib/log.ts";
import { type Random, systemRandom } from "../lib/random.ts";
import type { ControlConfig } from "./config.ts";
import type { Hints } from "./hints/hints.ts";
import { memoryHints } from "./hints/memory.ts";
import { redisHints } from "./hints/redis.ts";
import type { StoreContext } from "./store/context.ts";
import { openPostgres } from "./store/pg.ts";
import { openPglite } from "./store/pglite.ts";
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

/** The store as configured; `closers` closes it unless it was handed in. */
export async function openStore(
  config: ControlConfig,
  over: ControlOverrides,
  log: Log,
  closers: Closers,
): Promise<Sql> {
  if (over.sql !== undefined) return over.sql;
  const { postgresUrlFile, postgresCaFile, dataDir } = config;
  const sql =
    postgresUrlFile === undefined
      ? await openPglite(dataDir === undefined ? {} : { directory: dataDir })
      : openPostgres({
          url: readSecretFile(postgresUrlFile).trim(),
          log,
          ...(postgresCaFile === undefined ? {} : { caPem: readCaFile(postgresCaFile) }),
        });
  closers.add("store", () => sql.close());
  return sql;
}

/** The sealing key of this host. Errors of `openSealingKeyFile`. */
export function openSeal(config: ControlConfig): SealingKey {
  return openSealingKeyFile(config.sealingKeyFile);
}

/** Everything store functions need. */
export function openContext(
  config: ControlConfig,
  over: ControlOverrides,
  opened: { readonly sql: Sql; readonly outside: Outside; readonly sealingKey: SealingKey },
  closers: Closers,
): StoreContext {
  const { sql, outside, sealingKey } = opened;
  const hints = over.hints ?? openHints(config, outside);
  if (over.hints === undefined) closers.add("hints", () => hints.close());
  return { sql, seal: trustSeal(sealingKey), hints, ...outside };
}

function openHints(config: ControlConfig, { clock, log }: Outside): Hints {
  const { redisUrlFile, redisCaFile } = config;
  if (redisUrlFile === undefined) return memoryHints(clock);
  return redisHints({
    url: readSecretFile(redisUrlFile).trim(),
    clock,
    log,
    ...(redisCaFile === undefined ? {} : { caPem: readCaFile(redisCaFile) }),
  });
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
