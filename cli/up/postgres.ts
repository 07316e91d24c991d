/**
 * The embedded PostgreSQL of `weft up`, as a process of its own: makes the cluster once, keeps the server running, ends it
 * when asked or when whoever started this goes.
 *
 *   node cli/up/postgres.ts DATA PORT PASSWORD_FILE
 *
 * A server that dies is started again: what it had committed is there.
 */

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { chownSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { readSecretFile } from "../../certs/secret-file.ts";
import { messageOf, WeftError } from "../../lib/errors.ts";
import { whenParentGoes } from "../../lib/parent.ts";
import {
  type PostgresBinaries,
  type PostgresIdentity,
  postgresBinaries,
  postgresEnv,
  postgresIdentity,
} from "./postgres-binaries.ts";

const run = promisify(execFile);
const READY = "database system is ready to accept connections";
const restartAfterMs = 500;

interface Cluster {
  readonly binaries: PostgresBinaries;
  readonly identity: PostgresIdentity;
  readonly data: string;
  readonly port: number;
}

/** Told of every process that is started here, before anything else can happen. */
type OnChild = (child: ChildProcess) => void;

/** Makes the cluster unless it is there, whole or not at all. Its one user has a password, and nobody gets in without. */
async function initialize({ binaries, identity, data }: Cluster, password: string, onChild: OnChild): Promise<void> {
  if (existsSync(join(data, "PG_VERSION"))) return;
  const folder = dirname(data);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (identity !== undefined) chownSync(folder, identity.uid, identity.gid);
  const file = join(folder, "initial-password");
  const draft = `${data}.new`;
  const options = { ...identity, env: postgresEnv(), cwd: folder };
  rmSync(draft, { recursive: true, force: true });
  writeFileSync(file, password, { mode: 0o600 });
  try {
    if (identity !== undefined) chownSync(file, identity.uid, identity.gid);
    const auth = ["--username=weft", "--auth=scram-sha-256", `--pwfile=${file}`];
    const format = ["--encoding=UTF8", "--locale=C", "--no-instructions"];
    const making = run(binaries.initdb, [`--pgdata=${draft}`, ...auth, ...format], options);
    onChild(making.child);
    await making;
    renameSync(draft, data);
  } catch (cause) {
    rmSync(draft, { recursive: true, force: true });
    const whom =
      identity === undefined
        ? ""
        : `; as root, PostgreSQL runs as user ${identity.uid}, who must be able to reach ${folder}: use another --data folder, or run weft up as another user`;
    throw new WeftError("failed_precondition", `PostgreSQL could not be set up${whom}`, {
      detail: "POSTGRES_INIT",
      cause,
    });
  } finally {
    rmSync(file, { force: true });
  }
}

function startServer({ binaries, identity, data, port }: Cluster, onChild: OnChild): Promise<ChildProcess> {
  const settings = { listen_addresses: "127.0.0.1", unix_socket_directories: "", shared_buffers: "64MB" };
  const flags = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const server = spawn(binaries.postgres, ["-D", data, "-p", String(port), ...flags], {
    stdio: ["ignore", "ignore", "pipe"],
    env: postgresEnv(),
    ...identity,
  });
  onChild(server);
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.once("exit", (code, signal) => reject(new Error(`postgres ended (${signal ?? `exit ${code}`})`)));
    let said = "";
    server.stderr?.on("data", (chunk: Buffer) => {
      process.stderr.write(chunk);
      if (said.includes(READY)) return;
      said += chunk.toString("utf8");
      if (said.includes(READY)) resolve(server);
    });
  });
}

async function main([data = "", port = "", passwordFile = ""]: readonly string[]): Promise<void> {
  const identity = postgresIdentity();
  const cluster = { binaries: await postgresBinaries(identity), identity, data, port: Number(port) };
  let child: ChildProcess | undefined;
  let ending = false;
  // SIGINT: sessions are cut, nothing is lost.
  const onChild = (started: ChildProcess): void => {
    child = started;
    if (ending) started.kill("SIGINT");
  };
  const end = (): void => {
    if (ending) return;
    ending = true;
    child?.kill("SIGINT");
  };
  process.on("SIGTERM", end).on("SIGINT", end);
  process.on("exit", () => child?.kill("SIGQUIT"));
  if (process.env["WEFT_PARENT"] === "stdin") whenParentGoes(process.stdin, end);
  let server: ChildProcess | undefined;
  try {
    await initialize(cluster, readSecretFile(passwordFile).trim(), onChild);
    server = await startServer(cluster, onChild);
  } catch (thrown) {
    if (ending) process.exit(0);
    throw thrown;
  }
  process.stdout.write(`${JSON.stringify({ ready: true, public: `127.0.0.1:${port}`, postgresPid: server.pid })}\n`);
  for (;;) {
    const running: ChildProcess | undefined = server;
    if (running !== undefined) await new Promise((resolve) => running.once("exit", resolve));
    server = undefined;
    if (ending) break;
    process.stderr.write("postgres ended; starting it again\n");
    await delay(restartAfterMs);
    server = await startServer(cluster, onChild).catch((thrown: unknown) => {
      process.stderr.write(`${messageOf(thrown)}\n`);
      return undefined;
    });
  }
  process.exit(0);
}

main(process.argv.slice(2)).catch((thrown: unknown) => {
  process.stderr.write(`postgres: ${messageOf(thrown)}\n`);
  process.exit(1);
});
