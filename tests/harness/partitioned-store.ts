/**
 * A store of three servers between which the network is cut as a test likes: one primary, two standbys, and every commit
 * waits for one of them. Behind all of them is one real PostgreSQL database: what is replicated. A primary that was cut off from
 * both standbys goes on alone: it sees the database as it was then, and what it commits is confirmed to nobody and seen by
 * nobody. Everything above the servers (finding, judging and meeting the primary) is the product's.
 */

import pg from "pg";
import { openHosts, rowTypes } from "../../control/store/pg.ts";
import type { HostConnection, StoreHost } from "../../control/store/pg-hosts.ts";
import { notPrimary, type Primary } from "../../control/store/primary.ts";
import type { Sql } from "../../control/store/sql.ts";
import type { Databases } from "./shared-stores.ts";

type ServerName = "a" | "b" | "c";

interface Server {
  readonly name: ServerName;
  role: "primary" | "standby" | "cut off";
  timeline: number;
}

const names: readonly ServerName[] = ["a", "b", "c"];
const SYSTEM = "7000000000000000001";

function unreachable(code: string): Error {
  return Object.assign(new Error(`connect ${code}`), { code });
}

export class PartitionedStore {
  readonly #url: string;
  /** Holds what the cut off primary sees. */
  readonly #holder: pg.Client;
  readonly #servers: Readonly<Record<ServerName, Server>>;
  readonly #reach = new Map<string, ReadonlySet<ServerName>>();
  readonly #pools = new Map<string, pg.Pool>();
  #timeline = 1;
  #snapshot = "";

  private constructor(url: string, holder: pg.Client) {
    this.#url = url;
    this.#holder = holder;
    const server = (name: ServerName): Server => ({ name, role: name === "a" ? "primary" : "standby", timeline: 1 });
    this.#servers = { a: server("a"), b: server("b"), c: server("c") };
  }

  static async open(postgres: Databases): Promise<PartitionedStore> {
    const url = await postgres.migrated();
    const holder = new pg.Client({ connectionString: url });
    holder.on("error", () => undefined);
    await holder.connect();
    return new PartitionedStore(url, holder);
  }

  /** The store as a replica of that name sees it: it reaches every server until it is told otherwise. */
  replica(name: string): Sql {
    this.#reach.set(name, new Set(names));
    return openHosts(names.map((server) => this.#host(name, this.#servers[server])));
  }

  reach(replica: string, servers: readonly ServerName[]): void {
    this.#reach.set(replica, new Set(servers));
  }

  /** The primary whose commits are confirmed; undefined while there is none. */
  primary(): ServerName | undefined {
    return names.find((name) => this.#servers[name].role === "primary");
  }

  /** Whether a replica reaches it. */
  hasPrimary(replica: string): boolean {
    const primary = this.primary();
    return primary !== undefined && this.#reach.get(replica)?.has(primary) === true;
  }

  /** Cuts the primary off from both standbys. It goes on, alone. */
  async cutPrimaryOff(): Promise<ServerName> {
    const name = this.primary();
    if (name === undefined) throw new Error("there is no primary");
    await this.#holder.query("begin isolation level repeatable read read only");
    const { rows } = await this.#holder.query<{ id: string }>("select pg_export_snapshot() as id");
    this.#snapshot = rows[0]?.id ?? "";
    this.#servers[name].role = "cut off";
    return name;
  }

  /** Makes one of the standbys the primary: onto a new timeline. */
  promote(server: ServerName): void {
    if (this.#servers[server].role !== "standby" || this.primary() !== undefined) throw new Error("cannot be promoted");
    this.#timeline += 1;
    Object.assign(this.#servers[server], { role: "primary", timeline: this.#timeline });
  }

  /** Ends the partition: who was cut off follows the primary, and what it did alone is gone. */
  async heal(): Promise<void> {
    for (const name of names) {
      const server = this.#servers[name];
      if (server.role !== "cut off") continue;
      Object.assign(server, { role: "standby", timeline: this.#timeline });
      await this.#holder.query("rollback");
    }
    for (const replica of this.#reach.keys()) this.#reach.set(replica, new Set(names));
  }

  async close(): Promise<void> {
    await this.#holder.end();
  }

  #pool(replica: string, server: Server): pg.Pool {
    const key = `${replica}/${server.name}`;
    const kept = this.#pools.get(key);
    if (kept !== undefined) return kept;
    const pool = new pg.Pool({ connectionString: this.#url, types: rowTypes, max: 4, allowExitOnIdle: true });
    pool.on("error", () => undefined);
    this.#pools.set(key, pool);
    return pool;
  }

  #host(replica: string, server: Server): StoreHost {
    const whoIs = (): Primary => {
      if (this.#reach.get(replica)?.has(server.name) !== true) throw unreachable("ECONNREFUSED");
      if (server.role === "standby") throw notPrimary("the control store is not the primary");
      return { systemIdentifier: SYSTEM, timeline: server.timeline };
    };
    return {
      name: server.name,
      probe: async () => whoIs(),
      connect: async () => {
        const primary = whoIs();
        const client = await this.#pool(replica, server).connect();
        return this.#connection(client, primary, replica, server);
      },
      close: async () => {
        for (const [key, pool] of this.#pools) {
          if (!key.startsWith(`${replica}/`)) continue;
          this.#pools.delete(key);
          await pool.end();
        }
      },
    };
  }

  #connection(client: pg.PoolClient, primary: Primary, replica: string, server: Server): HostConnection {
    const onError = (): void => undefined;
    client.on("error", onError);
    const alone = new AloneSession(client, () => this.#snapshot);
    return {
      primary,
      query: async <Row extends object>(text: string, params: readonly unknown[] = []) => {
        if (this.#reach.get(replica)?.has(server.name) !== true) throw unreachable("ECONNRESET");
        if (server.role === "cut off") return await alone.query<Row>(text, params);
        return await client.query<Row>(text, [...params]);
      },
      takeWarnings: () => [],
      release(broken) {
        client.off("error", onError);
        client.release(broken);
      },
    };
  }
}

/** What a server on its own does: it sees what it saw when it was cut off, and confirms no change. */
class AloneSession {
  readonly #client: pg.PoolClient;
  readonly #snapshot: () => string;
  #began = false;
  #wrote = false;

  constructor(client: pg.PoolClient, snapshot: () => string) {
    this.#client = client;
    this.#snapshot = snapshot;
  }

  async query<Row extends object>(
    text: string,
    params: readonly unknown[],
  ): Promise<{ readonly rows: Row[]; readonly command: string }> {
    if (/^begin/.test(text)) {
      await this.#begin();
      return { rows: [], command: "BEGIN" };
    }
    if (text === "commit" || text === "rollback") {
      const isUnconfirmed = text === "commit" && this.#wrote;
      await this.#end();
      if (isUnconfirmed) throw new Error("Query read timeout");
      return { rows: [], command: text.toUpperCase() };
    }
    const isSingle = !this.#began;
    if (isSingle) await this.#begin();
    try {
      if (/\b(insert|update|delete)\b/.test(text)) this.#wrote = true;
      const result = await this.#client.query<Row>(text, [...params]);
      if (isSingle && this.#wrote) throw new Error("Query read timeout");
      return result;
    } catch (thrown) {
      // The others have gone on; this one would not know.
      if ((thrown as { code?: string }).code === "40001") throw new Error("Query read timeout");
      throw thrown;
    } finally {
      if (isSingle) await this.#end();
    }
  }

  async #begin(): Promise<void> {
    await this.#client.query("begin isolation level repeatable read");
    await this.#client.query(`set transaction snapshot '${this.#snapshot()}'`);
    this.#began = true;
    this.#wrote = false;
  }

  async #end(): Promise<void> {
    await this.#client.query("rollback");
    this.#began = false;
  }
}
