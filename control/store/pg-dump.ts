/**
 * PostgreSQL's own dump, where it is installed. It knows roles, other schemas and large servers better than the own format;
 * it knows nothing of sealing keys, epochs or what nodes witnessed: `weft db restore` does not read it.
 */

import { spawn } from "node:child_process";
import { closeSync, existsSync, openSync, rmSync } from "node:fs";
import { errnoOf, WeftError } from "../../lib/errors.ts";
import { connectionsOf } from "./pg-hosts.ts";

export interface DumpOrder {
  /** A secret: it reaches pg_dump through its environment, never its arguments. */
  readonly url: string;
  readonly postgresCaFile?: string;
  readonly file: string;
}

/**
 * Writes a dump in pg_dump's custom format. Throws PG_DUMP_MISSING, PG_DUMP_FAILED, BACKUP_EXISTS, and STORE_URL or
 * STORE_INSECURE for a URL that control would not use either.
 */
export async function dumpWithPostgres({ url, postgresCaFile, file }: DumpOrder): Promise<void> {
  if (existsSync(file)) {
    const message = `${file} exists; a backup is never written over another file`;
    throw new WeftError("already_exists", message, { detail: "BACKUP_EXISTS" });
  }
  // pg_dump keeps the mode of a file that is there.
  closeSync(openSync(file, "wx", 0o600));
  try {
    await runDump({ url, file, ...(postgresCaFile === undefined ? {} : { postgresCaFile }) });
  } catch (thrown) {
    rmSync(file, { force: true });
    throw thrown;
  }
}

async function runDump({ url, postgresCaFile, file }: DumpOrder): Promise<void> {
  const args = ["--format=custom", "--no-owner", "--no-password", `--file=${file}`];
  const child = spawn("pg_dump", args, {
    stdio: ["ignore", "ignore", "pipe"],
    env: environmentOf(url, postgresCaFile),
  });
  let said = "";
  child.stderr.on("data", (piece: Buffer) => {
    said = (said + piece.toString("utf8")).slice(-1_000);
  });
  const code = await new Promise<number | null>((done, fail) => {
    child.once("error", fail);
    child.once("close", done);
  }).catch((cause: unknown) => {
    const message =
      errnoOf(cause) === "ENOENT" ? "pg_dump is not installed; the own format needs nothing" : "pg_dump cannot be run";
    throw new WeftError("failed_precondition", message, { detail: "PG_DUMP_MISSING", cause });
  });
  if (code === 0) return;
  throw new WeftError(
    "failed_precondition",
    `pg_dump failed: ${said.replaceAll("pg_dump: ", "").trim().split("\n").join("; ")}`,
    {
      detail: "PG_DUMP_FAILED",
    },
  );
}

/** As control itself connects: to the primary among the servers, over verified TLS unless it is on this host. */
function environmentOf(url: string, caFile: string | undefined): Record<string, string> {
  // That there is a CA is what counts here; libpq reads the file itself.
  const servers = connectionsOf(url, caFile);
  const { user, password, database } = servers[0] ?? {};
  const isVerified = servers.some(({ ssl }) => ssl !== undefined);
  return {
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    PGHOST: servers.map(({ host }) => host).join(","),
    PGPORT: servers.map(({ port }) => port).join(","),
    PGTARGETSESSIONATTRS: "read-write",
    PGAPPNAME: "weft-backup",
    ...(user === undefined ? {} : { PGUSER: user }),
    ...(typeof password === "string" ? { PGPASSWORD: password } : {}),
    ...(database === undefined ? {} : { PGDATABASE: database }),
    ...(isVerified ? { PGSSLMODE: "verify-full", PGSSLROOTCERT: caFile ?? "system" } : {}),
  };
}
