/**
 * Stores and secrets that are refused, each naming what is wrong and what cures it, before anything is touched, and never a
 * secret. Some as real processes, which also shows exit codes; in a soak all of them, else the rest in this process.
 */

import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createSealingKeyFile } from "../../certs/seal.ts";
import { loadControlConfig } from "../../control/config.ts";
import { dbBackup, dbStatus } from "../../control/db.ts";
import { initControl } from "../../control/init.ts";
import { startControl } from "../../control/main.ts";
import { requireServer } from "../../control/store/migrate.ts";
import { openPostgres } from "../../control/store/pg.ts";
import type { Queryable } from "../../control/store/sql.ts";
import { messageOf } from "../../lib/errors.ts";
import { silentLog } from "../../lib/log.ts";
import { isSoak } from "../harness/counts.ts";
import { type Ran, repository, run } from "../harness/fabric.ts";
import { freePort } from "../harness/loopback.ts";
import { briefly, type Databases, migratedDirectory, sharedPostgres } from "../harness/shared-stores.ts";

const dir = mkdtempSync(join(tmpdir(), "weft-stores-"));
const planted = "hunter2-and-more";
let server: Databases;

const at = (name: string): string => join(dir, name);
const key = at("sealing.key");

function fileWith(name: string, content: string, mode = 0o600): string {
  writeFileSync(at(name), content, { mode });
  chmodSync(at(name), mode);
  return at(name);
}

const weft = (args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ran> =>
  run(process.execPath, [...briefly, join(repository, "cli/bin.ts"), ...args], { env, withinMs: 60_000 });

beforeAll(async () => {
  server = await sharedPostgres();
  createSealingKeyFile(key);
});
afterAll(async () => {
  await server.stop();
  rmSync(dir, { recursive: true, force: true });
});

interface Refused {
  readonly what: string;
  readonly args: () => readonly string[] | Promise<readonly string[]>;
  readonly env?: NodeJS.ProcessEnv;
  /** As a process of its own, also outside a soak. */
  readonly process?: boolean;
  readonly code: number;
  readonly said: RegExp;
}

/** What the same words come to in this process; empty when they are not refused. */
async function refusedHere(words: readonly string[], env: NodeJS.ProcessEnv): Promise<string> {
  const [group = "", verb = "", ...rest] = words;
  const flags: Record<string, string> = {};
  for (let index = 0; index < rest.length; index += 2) {
    const name = rest[index]?.slice(2).replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase()) ?? "";
    flags[name] = rest[index + 1] ?? "";
  }
  const { config: file, contextDir = "", file: backup = "", ...settings } = flags;
  const over = { log: silentLog };
  try {
    const config = loadControlConfig({ env, flags: settings, file });
    if (group === "db" && verb === "status") await dbStatus(config, over);
    else if (group === "db") await dbBackup(config, { file: backup, format: "weft" }, over);
    else if (verb === "init") await initControl(config, { operatorName: "admin", contextDir }, over);
    else await (await startControl(config, over)).close(0);
    return "";
  } catch (thrown) {
    return messageOf(thrown);
  }
}

const where = (...more: string[]): string[] => [...more, "--sealing-key-file", key];
const data = (): string[] => ["--data-dir", at("none")];

/** A database spoiled by `spoil` after this program migrated it. */
async function spoilt(name: string, spoil: string): Promise<string[]> {
  const url = await server.migrated();
  const sql = openPostgres({ url, log: silentLog });
  await sql.script(spoil);
  await sql.close();
  return ["control", "run", ...where("--postgres-url-file", fileWith(name, url))];
}

const refusals: readonly Refused[] = [
  {
    what: "a secret as a variable and as a file",
    process: true,
    args: () => [
      "control",
      "run",
      ...where("--postgres-url-file", fileWith("a.url", `postgres://u:${planted}@127.0.0.1/x`)),
    ],
    env: { WEFT_CONTROL_POSTGRES_URL: `postgres://u:${planted}@127.0.0.1/x` },
    code: 78,
    said: /WEFT_CONTROL_POSTGRES_URL, postgresUrlFile: both give the same secret; remove one/,
  },
  {
    what: "a secret in a configuration file",
    args: () => [
      ...["control", "run", "--config"],
      fileWith(
        "control.json",
        JSON.stringify({ sealingKeyFile: key, postgresUrl: `postgres://u:${planted}@127.0.0.1/x` }),
      ),
    ],
    code: 78,
    said: /postgresUrl: a secret has no place here; name a file \(0600\) with postgresUrlFile/,
  },
  {
    what: "a URL file that others can read",
    process: true,
    args: () => [
      "control",
      "run",
      ...where("--postgres-url-file", fileWith("open.url", `postgres://u:${planted}@127.0.0.1/x`, 0o644)),
    ],
    code: 78,
    said: /postgresUrlFile \S+open\.url: .*mode is not 0600: chmod 600 \S+open\.url/,
  },
  {
    what: "a Redis URL file that others can read",
    args: () => [
      "control",
      "run",
      ...where(...data(), "--redis-url-file", fileWith("redis.url", `redis://:${planted}@127.0.0.1`, 0o640)),
    ],
    code: 78,
    said: /redisUrlFile \S+redis\.url: .*chmod 600/,
  },
  {
    what: "a sealing key that others can read, before init makes a store",
    args: () => {
      createSealingKeyFile(at("open.key"));
      chmodSync(at("open.key"), 0o644);
      return ["control", "init", ...data(), "--sealing-key-file", at("open.key"), "--context-dir", at("context")];
    },
    code: 1,
    said: /sealingKeyFile \S+open\.key: .*mode is not 0600: chmod 600 \S+open\.key/,
  },
  {
    what: "a remote server without verified TLS",
    args: () => [
      "control",
      "run",
      ...where("--postgres-url-file", fileWith("far.url", `postgres://u:${planted}@db.example/x`)),
    ],
    code: 78,
    said: /sslmode=verify-full in its URL, and postgresCaFile/,
  },
  {
    what: "a remote server whose TLS is asked for and not verified",
    args: () => [
      "db",
      "status",
      ...where("--postgres-url-file", fileWith("lax.url", `postgres://u:${planted}@db.example/x?sslmode=require`)),
    ],
    code: 1,
    said: /sslmode=verify-full/,
  },
  {
    what: "a remote Redis without TLS",
    args: () => [
      "control",
      "run",
      ...where(...data(), "--redis-url-file", fileWith("far-redis.url", `redis://:${planted}@redis.example`)),
    ],
    code: 78,
    said: /rediss:\/\/ in its URL/,
  },
  {
    what: "a server that is not there",
    process: true,
    args: async () => [
      "db",
      "status",
      ...where("--postgres-url-file", fileWith("gone.url", `postgres://u:${planted}@127.0.0.1:${await freePort()}/x`)),
    ],
    code: 69,
    said: /postgres:\/\/127\.0\.0\.1:\d+\/x cannot be reached .*ECONNREFUSED.*is the server running/,
  },
  {
    what: "a folder without a store",
    args: () => ["db", "backup", ...where(...data(), "--file", at("no.backup"))],
    code: 1,
    said: /there is no store in \S+none; is dataDir right/,
  },
  {
    what: "a store of a newer version",
    process: true,
    args: () => spoilt("newer.url", "insert into schema_migration values (9999, 'later', 'x')"),
    code: 78,
    said: /migration 9999, which this program does not know.*run that version/,
  },
  {
    what: "a store in which something stopped half way",
    args: () => spoilt("half.url", "drop table schema_migration"),
    code: 78,
    said: /no record of migrations.*empty it, or restore a backup/,
  },
  {
    what: "a store that has moved",
    args: () =>
      spoilt(
        "moved.url",
        "insert into store_move (id, direction, counterpart) values ('m', 'departed', 'postgres://new/weft')",
      ),
    code: 78,
    said: /moved to postgres:\/\/new\/weft; start control with postgresUrlFile/,
  },
];

describe("stores and secrets that are refused", () => {
  it.each(refusals)("$what", async ({ args, env = {}, process: own = false, code, said }) => {
    const words = await args();
    if (own || isSoak) {
      const ran = await weft(words, env);
      expect(ran.stderr).toMatch(said);
      expect(ran.code).toBe(code);
      expect(ran.stdout + ran.stderr).not.toContain(planted);
    } else {
      const message = await refusedHere(words, env);
      expect(message).toMatch(said);
      expect(message).not.toContain(planted);
    }
    expect(existsSync(at("none"))).toBe(false);
    expect(existsSync(at("context"))).toBe(false);
  });

  it("a server older than the oldest that is tested", async () => {
    const old: Queryable = { query: async <Row extends object>() => [{ version: 140_012 }] as unknown as Row[] };
    await expect(requireServer(old)).rejects.toMatchObject({
      detail: "STORE_VERSION",
      message: expect.stringMatching(/PostgreSQL 14; the oldest that is supported is 15/),
    });
  });
});

describe("weft db on an embedded store", () => {
  const flags = where("--data-dir", at("data"));
  const json = async (...args: string[]) => {
    const ran = await weft([...args, "--json"]);
    expect(ran.stdout.trimEnd().split("\n")).toHaveLength(1);
    return { code: ran.code, ...(JSON.parse(ran.stdout) as Record<string, unknown>) };
  };

  it("says what is there, backs it up and restores it; with --json one line each", async () => {
    const config = loadControlConfig({ env: {}, flags: { dataDir: at("data"), sealingKeyFile: key } });
    await migratedDirectory(at("data"));
    await initControl(config, { operatorName: "admin", contextDir: at("operator") }, { log: silentLog });
    expect(await json("db", "backup", ...flags, "--file", at("one.weft"))).toMatchObject({
      code: 0,
      format: "weft",
      epoch: 1,
    });
    expect(await json("db", "restore", ...flags, "--file", at("one.weft"))).toMatchObject({
      code: 1,
      detail: "STORE_NOT_EMPTY",
    });
    const fresh = where("--data-dir", at("fresh"));
    expect(await json("db", "restore", ...fresh, "--file", at("one.weft"))).toMatchObject({
      code: 0,
      rehearsal: { verdict: { ok: true } },
      done: { epoch: expect.any(Number) },
    });
    const { stdout } = await weft(["db", "status", ...fresh]);
    expect(stdout).toMatch(/embedded[\s\S]*as this program has it[\s\S]*no node knows more than the backup/);
  }, 90_000);
});
