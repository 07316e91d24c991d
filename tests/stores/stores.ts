/**
 * The stores every contract runs over: PGlite in memory and real PostgreSQL, each test with an empty one, or a
 * migrated one. Of PGlite there is one for a process, emptied again and again.
 *
 * PostgreSQL is the newest, and where SQL itself is what is tested (the port, migrations, leases, backups: `describeEveryStore`) also the
 * oldest that is supported, 15. In a soak every contract runs over all three.
 */

import { afterAll, afterEach, beforeAll, describe } from "vitest";
import { openPostgres } from "../../control/store/pg.ts";
import type { Sql } from "../../control/store/sql.ts";
import { silentLog } from "../../lib/log.ts";
import { isSoak } from "../harness/counts.ts";
import { requirePeer } from "../harness/peers.ts";
import { type Databases, migratedPglite, sharedPostgres } from "../harness/shared-stores.ts";
import { EmptiedPglite } from "./emptied-pglite.ts";

export interface StoreUnderTest {
  readonly driver: Sql["driver"];
  /** Opens an empty store. The tests leave it open. */
  empty(): Promise<Sql>;
  /** Opens a store with every migration in it and nothing else; a copy of one, which is much cheaper than to migrate. */
  migrated(): Promise<Sql>;
}

type Contract = (store: StoreUnderTest) => void;

/** Declares `contract` for PGlite and the newest PostgreSQL; in a soak for the oldest too. */
export function describeStores(title: string, contract: Contract): void {
  declare(title, contract, isSoak);
}

/** Declares `contract` once per store there is. */
export function describeEveryStore(title: string, contract: Contract): void {
  declare(title, contract, true);
}

let embedded: Promise<EmptiedPglite> | undefined;

/** The embedded store of this process. It goes with it: the next file may want it. */
function embeddedStore(): Promise<EmptiedPglite> {
  embedded ??= migratedPglite().then((sql) => new EmptiedPglite(sql));
  return embedded;
}

function declare(title: string, contract: Contract, oldest: boolean): void {
  describe(`${title} on PGlite`, () => {
    beforeAll(async () => void (await embeddedStore()));
    afterEach(({ task }) => {
      // What ran out of time may go on in it.
      if (task.result?.state === "fail") embedded = undefined;
    });
    contract({
      driver: "pglite",
      empty: async () => await (await embeddedStore()).empty(),
      migrated: async () => await (await embeddedStore()).migrated(),
    });
  });
  describe(`${title} on PostgreSQL`, () => onServer(contract, undefined));
  if (!oldest) return;
  const peer = requirePeer("postgres15", `${title} on PostgreSQL 15`);
  if (!peer.missing) describe(`${title} on PostgreSQL 15`, () => onServer(contract, peer.path));
}

function onServer(contract: Contract, program: string | undefined): void {
  const opened: Sql[] = [];
  let server: Databases;
  beforeAll(async () => {
    server = await sharedPostgres(program);
  });
  afterAll(async () => {
    for (const sql of opened) await sql.close();
    await server.stop();
  });
  const open = (url: string): Sql => {
    const sql = openPostgres({ url, log: silentLog });
    opened.push(sql);
    return sql;
  };
  contract({
    driver: "postgres",
    empty: async () => open(await server.database()),
    migrated: async () => open(await server.migrated()),
  });
}
