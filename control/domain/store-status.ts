/** The truth about a store: what it runs on, whether it may be relied on, what is in it. */

import { auditHead } from "../store/audit.ts";
import { databaseSizeBytes, hasTable, rowCounts, tableShapes } from "../store/catalog.ts";
import { appliedMigrations, moveMark, ownMigrations } from "../store/migrate.ts";
import { PRIMARY_QUERY, primaryOf } from "../store/primary.ts";
import { newestRestore, type RestoreRow } from "../store/restores.ts";
import { one, type Queryable, type Sql } from "../store/sql.ts";
import { type RestoreGap, readGap } from "./restore-gap.ts";

/** A server that follows the primary. */
export interface StoreMember {
  readonly name: string;
  /** As PostgreSQL says: "streaming". */
  readonly state: string;
  /** Commits wait for it. */
  readonly inSync: boolean;
  /** Bytes of the log that it has not replayed; null when it does not say. */
  readonly lagBytes: number | null;
}

export interface StoreStatus {
  readonly driver: Sql["driver"];
  readonly serverVersion: string;
  readonly primary: boolean;
  /** 0 where there is none to tell. */
  readonly timeline: number;
  readonly members: readonly StoreMember[];
  readonly schemaFound: number;
  readonly schemaExpected: number;
  readonly sizeBytes: number;
  readonly tables: Readonly<Record<string, number>>;
  /** Absent before `control init`. */
  readonly installation?: {
    readonly trustDomain: string;
    readonly epoch: number;
    readonly auditSeq: number;
    readonly auditHash: Uint8Array;
  };
  /** "departed: <where to>" or "arriving: <from where>"; empty for a store that stays. */
  readonly moved: string;
  /** The newest, if there ever was one. */
  readonly restore?: RestoreRow & { readonly gap: RestoreGap };
}

/** Reads everything; of a store of any version, and also of an empty one. Throws SCHEMA_INTERRUPTED. */
export async function storeStatus(sql: Sql): Promise<StoreStatus> {
  return await sql.tx(
    async (tx) => {
      const migrations = await appliedMigrations(tx);
      const shapes = await tableShapes(tx);
      const server = await serverOf(tx, sql.driver);
      const mark = await moveMark(tx);
      const installation = await installationOf(tx);
      const restore = (await hasTable(tx, "store_restore")) ? await newestRestore(tx) : undefined;
      return {
        driver: sql.driver,
        ...server,
        members: server.primary && sql.driver === "postgres" ? await storeMembers(tx) : [],
        schemaFound: migrations.at(-1)?.number ?? 0,
        schemaExpected: ownMigrations().at(-1)?.number ?? 0,
        sizeBytes: await databaseSizeBytes(tx),
        tables: await rowCounts(tx, shapes),
        moved: mark === undefined ? "" : `${mark.direction}: ${mark.counterpart}`,
        ...(installation === undefined ? {} : { installation }),
        ...(restore === undefined ? {} : { restore: { ...restore, gap: await readGap(tx, restore) } }),
      };
    },
    { mode: "read only" },
  );
}

async function serverOf(q: Queryable, driver: Sql["driver"]) {
  const row = one(
    await q.query<{ serverVersion: string; standby: boolean }>(
      `select current_setting('server_version') as "serverVersion", pg_is_in_recovery() as standby`,
    ),
  );
  const { serverVersion = "", standby = true } = row ?? {};
  const known = !standby && driver === "postgres" ? primaryOf(await q.query(PRIMARY_QUERY)) : undefined;
  return { serverVersion, primary: !standby, timeline: known?.timeline ?? 0 };
}

async function installationOf(q: Queryable): Promise<StoreStatus["installation"]> {
  if (!(await hasTable(q, "installation"))) return undefined;
  const row = one(
    await q.query<{ trustDomain: string; epoch: number }>(
      `select trust_domain as "trustDomain", epoch from installation`,
    ),
  );
  if (row === undefined) return undefined;
  const { seq, hash } = await auditHead(q);
  return { ...row, auditSeq: seq, auditHash: hash };
}

/** Who follows this primary. What a role may not see of them is left out by PostgreSQL itself (pg_monitor shows all). */
export async function storeMembers(q: Queryable): Promise<readonly StoreMember[]> {
  return await q.query<StoreMember>(
    `select coalesce(application_name, '') as name, coalesce(state, '') as state,
       coalesce(sync_state in ('sync', 'quorum'), false) as "inSync",
       pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint as "lagBytes"
     from pg_stat_replication order by 1`,
  );
}
