/** M-W1 and what every store owes: migrations, transactions, rows that authenticate, an audit chain. */

import { verifyAudit } from "../../control/store/audit.ts";
import { tableShapes } from "../../control/store/catalog.ts";
import { migrate, ownMigrations, requireSchema } from "../../control/store/migrate.ts";
import { isUniqueViolation, type Sql } from "../../control/store/sql.ts";
import { type Check, holds, refused } from "../check.ts";
import { Replica } from "./plane.ts";
import type { StoreServer } from "./servers.ts";
import { pendingRequest, type StoreWorld } from "./world.ts";

async function migrationsOnce(server: StoreServer): Promise<string> {
  const { sql } = await server.empty();
  const own = ownMigrations();
  const first = await migrate(sql);
  holds(first.applied.length === own.length, `${first.applied.length} of ${own.length} were applied`);
  const again = await migrate(sql);
  holds(again.applied.length === 0, "they were applied twice");
  return `${own.length} migrations, the second start applied none`;
}

async function migrationsTogether(server: StoreServer): Promise<string> {
  const { sql, another } = await server.empty();
  const starters = [sql, await another(), await another()];
  const outcomes = await Promise.all(starters.map((each) => migrate(each)));
  const applied = outcomes.flatMap((outcome) => outcome.applied);
  const own = ownMigrations();
  holds(applied.length === own.length, `${applied.length} applied by all starters, of ${own.length}`);
  return `${starters.length} starters at once applied each migration once`;
}

async function rehearsed(server: StoreServer): Promise<string> {
  const shapeFrom = async (count: number): Promise<unknown> => {
    const { sql } = await server.empty();
    if (count > 0) await migrate(sql, ownMigrations().slice(0, count));
    await migrate(sql);
    return await tableShapes(sql);
  };
  const half = Math.floor(ownMigrations().length / 2);
  const [whole, upgraded] = [await shapeFrom(0), await shapeFrom(half)];
  holds(JSON.stringify(whole) === JSON.stringify(upgraded), "an upgraded store has other tables than a new one");
  return `a store from migration ${half} ends like a new one`;
}

async function versionsCompared(server: StoreServer): Promise<string> {
  const { sql } = await server.empty();
  await migrate(sql);
  const own = ownMigrations();
  await refused(requireSchema(sql, own.slice(0, -1)), /SCHEMA_NEWER/);
  await refused(
    migrate(
      sql,
      own.map((each, at) => (at === 0 ? { ...each, sha256: "0" } : each)),
    ),
    /SCHEMA_DIVERGED/,
  );
  await refused(requireSchema(sql, [...own, { number: 9_999, name: "next", sha256: "1", text: "" }]), /SCHEMA_OLDER/);
  return "a newer, an edited and an older schema are each refused by name";
}

async function transactionsWhole({ connections: [sql] }: StoreWorld): Promise<string> {
  await sql.script("create table conformance_rows (n int primary key)");
  try {
    const cut = sql.tx(async (tx) => {
      await tx.query("insert into conformance_rows values (1)");
      throw new Error("cut here");
    });
    await refused(cut, /cut here/);
    const swallowed = sql.tx(async (tx) => {
      await tx.query("insert into conformance_rows values (2)");
      await tx.query("insert into conformance_rows values (2)").catch(isUniqueViolation);
    });
    await refused(swallowed, /./);
    const rows = await sql.query("select n from conformance_rows");
    holds(rows.length === 0, `${rows.length} rows of transactions that failed are there`);
  } finally {
    await sql.script("drop table conformance_rows");
  }
  return "nothing of two failed transactions was kept";
}

/** Changes rows behind control's back, tries, and puts them back. */
async function withRows(sql: Sql, table: string, change: string, attempt: () => Promise<void>): Promise<void> {
  await sql.script(`create table conformance_kept as select * from ${table}; ${change}`);
  try {
    await attempt();
  } finally {
    await sql.script(
      `delete from ${table}; insert into ${table} select * from conformance_kept; drop table conformance_kept`,
    );
  }
}

async function forgedRows(world: StoreWorld): Promise<string> {
  const { plane, connections } = world;
  const { order } = await pendingRequest(world, "forged");
  const forgeries = [
    ["authority", "update authority set not_after_ms = not_after_ms + 1 where kind = 'node'"],
    ["authority", "update authority set mac = decode(repeat('00', 32), 'hex') where kind = 'node'"],
    ["installation", "update installation set trust_domain = 'evil.internal'"],
  ] as const;
  for (const [table, change] of forgeries) {
    await withRows(connections[0], table, change, async () => {
      const fresh = new Replica(connections[0], plane.sealingKey).as(plane.operatorCaller);
      await refused(fresh.requests.approveRequest(order), /data_loss|TRUST_ROW_UNAUTHENTIC/);
    });
  }
  const nodes = await connections[0].query("select 1 from node where name = 'forged'");
  holds(nodes.length === 0, "a node was made from forged rows");
  return `${forgeries.length} forged rows: nothing was issued`;
}

async function auditWhole({ connections: [sql] }: StoreWorld): Promise<string> {
  const before = await verifyAudit(sql);
  holds(before.ok, "the chain is not whole");
  const cuts = [
    ["altered", "update audit set action = 'x' where seq = 2"],
    ["cut", `delete from audit where seq = ${before.seq}`],
  ] as const;
  for (const [what, change] of cuts) {
    await withRows(sql, "audit", change, async () => {
      const verdict = await verifyAudit(sql);
      holds(!verdict.ok, `a chain with an ${what} record passes for whole`);
    });
  }
  const after = await verifyAudit(sql);
  holds(after.ok, "the chain is not whole after it was put back");
  return `${before.seq} records; an altered one and a cut tail are found`;
}

async function unrecorded({ plane, connections: [sql] }: StoreWorld): Promise<string> {
  const { clusterId, operator } = plane;
  await sql.script("alter table audit rename to audit_gone");
  try {
    await refused(operator.tokens.createToken({ clusterId }), /./);
    await refused(operator.organizations.createOrganization({ clusterId, name: "unrecorded" }), /./);
  } finally {
    await sql.script("alter table audit_gone rename to audit");
  }
  const rows = await sql.query("select 1 from organization where name = 'unrecorded'");
  holds(rows.length === 0, "a change without its record was made");
  return "2 changes whose record could not be written were not made";
}

/** Of an empty server: they leave nothing that others could stand on, so they come first. */
export function serverChecks(store: string): readonly Check<StoreServer>[] {
  const on = (id: string, title: string, run: Check<StoreServer>["run"]): Check<StoreServer> => ({
    id: `W1.${id}.${store}`,
    law: "M-W1",
    title: `${title}, on ${store}`,
    run,
  });
  return [
    on("migrations-once", "migrations apply once", migrationsOnce),
    on("concurrent-starters", "several starters at once", migrationsTogether),
    on("upgrade", "an upgraded store equals a new one", rehearsed),
    on("versions", "expected versions are compared", versionsCompared),
  ];
}

/** Of an installation in it. */
export function storeChecks(store: string): readonly Check<StoreWorld>[] {
  const on = (id: string, law: string, title: string, run: Check<StoreWorld>["run"]): Check<StoreWorld> => ({
    id: `${id}.${store}`,
    law,
    title: `${title}, on ${store}`,
    run,
  });
  return [
    on("C4.transactions", "LAW-C4", "a transaction is kept whole or not at all", transactionsWhole),
    on("C1.forged-rows", "LAW-C1", "rows written behind control's back create nothing", forgedRows),
    on("A9.audit-chain", "M-A9", "altered and missing audit records are found", auditWhole),
    on("A9.unrecorded", "M-A9", "a change without its record is not made", unrecorded),
  ];
}
