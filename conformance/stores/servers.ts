/**
 * The stores a run is tried on: the embedded one, every PostgreSQL that is installed (the newest from npm, the oldest that is
 * supported from the system), and Redis where there is one. Each server is this run's own, on loopback, and ends with it.
 */

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { accessSync, chownSync, constants, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import pg from "pg";
import { freePorts } from "../../cli/up/layout.ts";
import { postgresBinaries, postgresEnv, postgresIdentity } from "../../cli/up/postgres-binaries.ts";
import { openPostgres } from "../../control/store/pg.ts";
import { openPglite } from "../../control/store/pglite.ts";
import type { Sql } from "../../control/store/sql.ts";
import { messageOf } from "../../lib/errors.ts";
import { silentLog } from "../../lib/log.ts";

const run = promisify(execFile);
const serverReadyWithinMs = 20_000;

/** A store to try things on: any number of empty databases of one server. */
export interface StoreServer {
  /** For ids: `pglite`, `postgres-18`. */
  readonly name: string;
  readonly version: string;
  /** An empty database, and how to open it once more as another replica would. */
  empty(): Promise<{ readonly sql: Sql; another(): Promise<Sql> }>;
  close(): Promise<void>;
}

export interface RedisServer {
  readonly url: string;
  readonly version: string;
  close(): Promise<void>;
}

const oldestFolders = ["/usr/lib/postgresql/15/bin", "/usr/pgsql-15/bin"];
const redisPrograms = ["redis-server", "valkey-server"];

function executable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function onPath(names: readonly string[]): string | undefined {
  const folders = [...(process.env.PATH ?? "").split(":"), "/usr/bin", "/usr/sbin"];
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find(executable);
}

interface ServerSpec {
  readonly program: string;
  readonly args: readonly string[];
  readonly ready: string;
  readonly stop: NodeJS.Signals;
  readonly identity?: { readonly uid: number; readonly gid: number } | undefined;
}

const living = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of living) child.kill("SIGKILL");
});

/** Starts a server and waits for the line that says it is ready; returns how to end it. */
async function startServer({ program, args, ready, stop, identity }: ServerSpec): Promise<() => Promise<void>> {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], env: postgresEnv(), ...identity });
  living.add(child);
  const gone = new Promise<void>((resolve) => {
    const ended = (): void => {
      living.delete(child);
      resolve();
    };
    child.once("exit", ended).once("error", ended);
  });
  let said = "";
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${program} was not ready in time`)), serverReadyWithinMs);
    const onData = (chunk: Buffer): void => {
      said = (said + chunk.toString("utf8")).slice(-4_096);
      if (!said.includes(ready)) return;
      clearTimeout(timer);
      resolve();
    };
    child.stdout.on("data", onData);
    child.stderr.on("data", onData);
    child.once("error", reject);
    void gone.then(() => reject(new Error(`${program} ended: ${said.trim().split("\n").at(-1) ?? ""}`)));
  }).catch((thrown: unknown) => {
    child.kill("SIGKILL");
    throw thrown;
  });
  return async () => {
    child.kill(stop);
    await gone;
  };
}

async function startPostgres(binaries: { initdb: string; postgres: string }): Promise<StoreServer> {
  const identity = postgresIdentity();
  const version = /(\d+\.\d+)/.exec((await run(binaries.postgres, ["--version"])).stdout)?.[1] ?? "unknown";
  const folder = mkdtempSync(join(tmpdir(), "weft-conformance-pg-"));
  if (identity !== undefined) chownSync(folder, identity.uid, identity.gid);
  const data = join(folder, "data");
  const init = [`--pgdata=${data}`, "--username=weft", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"];
  try {
    await run(binaries.initdb, [...init, "--no-instructions"], { ...identity, env: postgresEnv(), cwd: folder });
    const [port = 0] = await freePorts(1);
    const settings = {
      listen_addresses: "127.0.0.1",
      unix_socket_directories: "",
      fsync: "off",
      max_connections: "200",
    };
    const flags = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
    const stop = await startServer({
      program: binaries.postgres,
      args: ["-D", data, "-p", String(port), ...flags],
      ready: "database system is ready to accept connections",
      stop: "SIGINT",
      identity,
    });
    return postgresAt(port, version, async () => {
      await stop();
      rmSync(folder, { recursive: true, force: true });
    });
  } catch (thrown) {
    rmSync(folder, { recursive: true, force: true });
    throw thrown;
  }
}

function postgresAt(port: number, version: string, stop: () => Promise<void>): StoreServer {
  const url = (database: string): string => `postgres://weft@127.0.0.1:${port}/${database}`;
  const opened: Sql[] = [];
  let databases = 0;
  return {
    name: `postgres-${version.split(".")[0]}`,
    version,
    async empty() {
      databases += 1;
      const name = `conformance_${databases}`;
      const client = new pg.Client({ connectionString: url("postgres") });
      await client.connect();
      try {
        await client.query(`create database ${name} template template0`);
      } finally {
        await client.end();
      }
      const another = async (): Promise<Sql> => {
        const sql = openPostgres({ url: url(name), log: silentLog });
        opened.push(sql);
        return sql;
      };
      return { sql: await another(), another };
    },
    async close() {
      for (const sql of opened) await sql.close();
      await stop();
    },
  };
}

async function startPglite(): Promise<StoreServer> {
  const sql = await openPglite();
  const [row] = await sql.query<{ version: string }>("select current_setting('server_version') as version");
  return {
    name: "pglite",
    version: row?.version ?? "unknown",
    async empty() {
      await sql.script("drop schema public cascade; create schema public");
      // One process holds it: another replica is another set of caches over the same connection.
      return { sql, another: async () => sql };
    },
    close: () => sql.close(),
  };
}

/** Every store there is, the embedded one first. `say` is told of what could not be started. */
export async function startStores(say: (line: string) => void): Promise<readonly StoreServer[]> {
  const stores = [await startPglite()];
  const oldest = oldestFolders.find((folder) => executable(join(folder, "postgres")));
  const starts: (readonly [string, () => Promise<StoreServer>])[] = [
    ["the newest PostgreSQL", async () => await startPostgres(await postgresBinaries(postgresIdentity()))],
  ];
  if (oldest === undefined) say("PostgreSQL 15 is not installed: its checks are skipped");
  else {
    const programs = { initdb: join(oldest, "initdb"), postgres: join(oldest, "postgres") };
    starts.unshift(["PostgreSQL 15", () => startPostgres(programs)]);
  }
  for (const [what, start] of starts) {
    try {
      stores.push(await start());
    } catch (thrown) {
      say(`${what} could not be started: ${messageOf(thrown)}`);
    }
  }
  return stores;
}

/** A Redis of this run's own, or undefined where none is installed. */
export async function startRedis(): Promise<RedisServer | undefined> {
  const program = onPath(redisPrograms);
  if (program === undefined) return undefined;
  const version = /v=(\S+)/.exec((await run(program, ["--version"])).stdout)?.[1] ?? "unknown";
  const folder = mkdtempSync(join(tmpdir(), "weft-conformance-redis-"));
  const [port = 0] = await freePorts(1);
  const stop = await startServer({
    program,
    args: ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder],
    ready: "Ready to accept connections",
    stop: "SIGTERM",
  });
  return {
    url: `redis://127.0.0.1:${port}`,
    version,
    async close() {
      await stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
