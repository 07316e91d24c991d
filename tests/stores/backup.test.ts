/** M-W15, L2, REVIEW 16: backups, rehearsals and restores, over every store. */

import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SealingKey } from "../../certs/seal.ts";
import { rehearseRestore, rehearseUpgrade } from "../../control/domain/store-rehearsal.ts";
import { restoreStore } from "../../control/domain/store-restore.ts";
import { storeStatus } from "../../control/domain/store-status.ts";
import { auditHead } from "../../control/store/audit.ts";
import {
  type BackupHeader,
  readBackupFile,
  receiveBackupFile,
  writeBackupFile,
} from "../../control/store/backup-file.ts";
import { tableShapes } from "../../control/store/catalog.ts";
import { acquireLease } from "../../control/store/leases.ts";
import { type Migration, ownMigrations } from "../../control/store/migrate.ts";
import { storeDigest } from "../../control/store/rows.ts";
import type { Sql } from "../../control/store/sql.ts";
import { trustSeal } from "../../control/store/trust.ts";
import { trustTables, verifyStore } from "../../control/store/verify.ts";
import { systemClock } from "../../lib/clock.ts";
import { systemRandom } from "../../lib/random.ts";
import { addNode, addOrganization, type ControlCluster, controlCluster } from "../harness/control-cluster.ts";
import { isSoak } from "../harness/counts.ts";
import { leave } from "../harness/left-behind.ts";
import { migratedPglite } from "../harness/shared-stores.ts";
import { describeEveryStore, describeStores } from "./stores.ts";

const folder = mkdtempSync(join(tmpdir(), "weft-backup-"));
afterAll(() => {
  leave(folder);
  rmSync(folder, { recursive: true, force: true });
});

let names = 0;
function newFile(): string {
  names += 1;
  return join(folder, `backup-${names}`);
}

const seal = trustSeal(new SealingKey(new Uint8Array(32).fill(7)));
const depsOf = (sql: Sql) => ({ sql, seal, clock: systemClock, random: systemRandom });

const digestOf = (sql: Sql, without: readonly string[] = []): Promise<string> =>
  sql.tx(
    async (tx) =>
      storeDigest(
        tx,
        (await tableShapes(tx)).filter(({ name }) => !without.includes(name)),
      ),
    {
      mode: "read only",
    },
  );

/** What a restore itself writes. */
const restoreWrites = ["installation", "cluster", "audit", "audit_head", "store_restore", "alert"];

async function filled(sql: Sql): Promise<ControlCluster> {
  const cluster = await controlCluster(sql);
  const organizationId = await addOrganization(cluster, "acme");
  const node = await addNode(cluster, "relay-1", { roles: ["relay"] });
  await addNode(cluster, "entry-1", { roles: [`entry@${organizationId}`] });
  const claim = { clusterId: cluster.clusterId, name: "resource/x", nodeId: node.id, bootId: "b" };
  await acquireLease(sql, claim, 60_000);
  return cluster;
}

describeEveryStore("M-W15 a backup", (store) => {
  /** What files and orders are refused for does not depend on the database. */
  const once = (name: string, test: () => Promise<void>): void => {
    if (store.driver === "pglite" || isSoak) it(name, test, 60_000);
  };

  it("restores into an empty store, row for row, above every epoch there was", async () => {
    const cluster = await filled(await store.migrated());
    const { sql } = cluster.ctx;
    const file = newFile();
    const before = await digestOf(sql, [...restoreWrites, "snapshot_payload", "beat_log"]);
    const head = await auditHead(sql);
    const header = await writeBackupFile(file, sql, seal);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(header.audit.seq).toBe(head.seq);
    // Counters go on behind what was restored: a revocation needs a new number.
    const again = await store.empty();
    const { done, rehearsal } = await restoreStore(depsOf(again), { file, replace: false, dryRun: false });
    expect(rehearsal.verdict.ok).toBe(true);
    expect(await digestOf(again, [...restoreWrites, "snapshot_payload", "beat_log"])).toBe(before);
    const verdict = await verifyStore(again, seal);
    expect(verdict).toMatchObject({ ok: true, altered: {}, unknown: [], audit: { seq: head.seq + 1 } });
    expect(done?.epoch).toBeGreaterThan(header.epoch);
    const status = await storeStatus(again);
    expect(status).toMatchObject({
      moved: "",
      restore: { id: done?.restoreId, settledHow: "", backupEpoch: header.epoch },
    });
    // L2: no fence repeats. The lease of the backup lives on in the store, under an epoch that nobody can renew.
    const claim = { clusterId: cluster.clusterId, name: "resource/x", nodeId: "nd-other", bootId: "b" };
    await again.query("update lease set expires_at_ms = 0");
    const next = await acquireLease(again, claim, 60_000);
    expect(next?.epoch).toBe(done?.epoch);
    const over = await restoreStore(depsOf(again), { file, replace: true, dryRun: false });
    expect(over.done?.epoch).toBeGreaterThan(done?.epoch ?? 0);
  }, 60_000);

  once("is refused when it was cut, altered, or sealed under another key, and nothing is made of it", async () => {
    const { sql } = (await filled(await store.migrated())).ctx;
    const file = newFile();
    await writeBackupFile(file, sql, seal);
    const text = readFileSync(file, "utf8");
    const lines = text.trimEnd().split("\n");
    const cases: readonly (readonly [detail: string, content: string])[] = [
      ["BACKUP_TRUNCATED", text.slice(0, text.length / 2)],
      ["BACKUP_TRUNCATED", `${lines.slice(0, -1).join("\n")}\n`],
      ["BACKUP_TRUNCATED", text.slice(0, -1)],
      ["BACKUP_ALTERED", text.replace('"relay-1"', '"relay-7"')],
      ["BACKUP_ALTERED", `${[...lines.slice(0, 3), ...lines.slice(4)].join("\n")}\n`],
      ["BACKUP_ALTERED", text.replace(/"sha256":"[0-9a-f]{64}","mac"/, `"sha256":"${"0".repeat(64)}","mac"`)],
      ["BACKUP_ALTERED", `${lines[0]}\n{"no json\n`],
      ["BACKUP_MALFORMED", "a shopping list\n".replace("a", '"a').replace("list", 'list"')],
      ["BACKUP_MALFORMED", text.replace('"format":1', '"format":2')],
    ];
    const empty = await store.empty();
    for (const [detail, content] of cases) {
      const bad = newFile();
      writeFileSync(bad, content, { mode: 0o600 });
      const order = { file: bad, replace: false, dryRun: false };
      await expect(restoreStore(depsOf(empty), order), content.slice(0, 80)).rejects.toMatchObject({ detail });
      expect(await tableShapes(empty)).toEqual([]);
    }
    const other = trustSeal(new SealingKey(new Uint8Array(32).fill(8)));
    const order = { file, replace: false, dryRun: false };
    await expect(restoreStore({ ...depsOf(empty), seal: other }, order)).rejects.toMatchObject({
      detail: "SEALING_KEY_WRONG",
      message: expect.stringContaining(other.keyId),
    });
    expect(await tableShapes(empty)).toEqual([]);
  });

  once(
    "never takes the place of a store unless that is said, and then never that of another installation",
    async () => {
      const { sql } = (await filled(await store.migrated())).ctx;
      const file = newFile();
      const header = await writeBackupFile(file, sql, seal);
      const order = { file, replace: false, dryRun: false };
      const before = await digestOf(sql);
      await expect(restoreStore(depsOf(sql), order)).rejects.toMatchObject({
        detail: "STORE_NOT_EMPTY",
        message: expect.stringContaining("--replace"),
      });
      const dry = await restoreStore(depsOf(sql), { ...order, replace: true, dryRun: true });
      expect(dry).toMatchObject({ replaced: { auditSeq: header.audit.seq, epoch: header.epoch } });
      expect(dry.done).toBeUndefined();
      expect(await digestOf(sql)).toBe(before);
      // Twice from one backup: the second is above the first, whatever the clock says in between.
      const first = await restoreStore(depsOf(sql), { ...order, replace: true });
      const second = await restoreStore(depsOf(sql), { ...order, replace: true });
      expect(second.done?.epoch).toBeGreaterThan(first.done?.epoch ?? 0);
      const { sql: other } = (await controlCluster(await store.migrated())).ctx;
      await expect(restoreStore(depsOf(other), { ...order, replace: true })).rejects.toMatchObject({
        detail: "STORE_OF_ANOTHER",
      });
      const foreign = await store.empty();
      await foreign.script("create table somebody_elses (n int)");
      await expect(restoreStore(depsOf(foreign), { ...order, replace: true })).rejects.toMatchObject({
        detail: "STORE_FOREIGN",
      });
      expect(await foreign.query("select n from somebody_elses")).toEqual([]);
    },
  );

  once("of a newer version is refused, and one of an older version is brought up to date", async () => {
    const { sql } = (await filled(await store.migrated())).ctx;
    const file = newFile();
    const header: BackupHeader = await writeBackupFile(file, sql, seal);
    const own = ownMigrations();
    const next: Migration = {
      number: 9_999,
      name: "next",
      sha256: "aa",
      text: "create table next_version (n bigint);\n",
    };
    const deps = depsOf(await store.empty());
    await expect(rehearseRestore(deps, file, own.slice(0, -1))).rejects.toMatchObject({
      detail: "SCHEMA_NEWER",
      message: expect.stringContaining(String(header.schemaVersion)),
    });
    const edited = own.map((each, at) => (at === 0 ? { ...each, sha256: "00" } : each));
    await expect(rehearseRestore(deps, file, edited)).rejects.toMatchObject({ detail: "SCHEMA_DIVERGED" });
    const newer = await restoreStore(deps, { file, replace: false, dryRun: false }, [...own, next]);
    expect(newer.rehearsal).toMatchObject({ applied: [9_999], foundVersion: header.schemaVersion });
    expect(await deps.sql.query("select n from next_version")).toEqual([]);
  });

  once("holds nothing unsealed", async () => {
    const { sql } = (await filled(await store.migrated())).ctx;
    const file = newFile();
    await writeBackupFile(file, sql, seal);
    const text = readFileSync(file, "latin1");
    // As the text, and as the hex that columns of bytes are written in.
    for (const planted of ["PRIVATE KEY", Buffer.from("PRIVATE KEY").toString("hex"), "07".repeat(32)]) {
      expect(text.includes(planted), planted).toBe(false);
    }
    await expect(writeBackupFile(file, sql, seal)).rejects.toMatchObject({ detail: "BACKUP_EXISTS" });
    expect(existsSync(`${file}.partial`)).toBe(false);
    await readBackupFile(file, seal);
  });

  once("is kept as it was sent, wherever the pieces were cut, and not at all when its end is missing", async () => {
    const { sql } = (await filled(await store.migrated())).ctx;
    const sent = newFile();
    await writeBackupFile(sent, sql, seal);
    const whole = readFileSync(sent);
    const endAt = whole.lastIndexOf("\n", whole.length - 2) + 1;
    const receive = (path: string, ...cuts: readonly number[]): Promise<number> => {
      const places = [0, ...cuts];
      return receiveBackupFile(
        path,
        (async function* () {
          for (const [at, from] of places.slice(0, -1).entries()) yield whole.subarray(from, places[at + 1]);
        })(),
      );
    };
    for (const cut of [1, endAt, endAt + 1, whole.length - 2, whole.length - 1]) {
      const file = newFile();
      expect(await receive(file, cut, whole.length)).toBe(whole.length);
      expect(readFileSync(file).equals(whole)).toBe(true);
      expect(statSync(file).mode & 0o777).toBe(0o600);
    }
    const file = newFile();
    for (const cut of [0, 1, endAt, endAt + 1, whole.length - 2, whole.length - 1]) {
      await expect(receive(file, cut)).rejects.toMatchObject({ detail: "BACKUP_TRUNCATED" });
      expect([existsSync(file), existsSync(`${file}.partial`)]).toEqual([false, false]);
    }
    await expect(receive(sent, whole.length)).rejects.toMatchObject({ detail: "BACKUP_EXISTS" });
  });
});

describeStores("M-W15 a rehearsal", (store) => {
  const once = (name: string, test: () => Promise<void>): void => {
    if (store.driver === "pglite" || isSoak) it(name, test, 60_000);
  };

  it("says what a start would do and how long it takes, and changes nothing", async () => {
    const { sql } = (await filled(await store.migrated())).ctx;
    const own = ownMigrations();
    const next: Migration = {
      number: 9_999,
      name: "next",
      sha256: "aa",
      text: "alter table node add column shoe_size bigint not null default 43;\n",
    };
    const before = await digestOf(sql);
    const rehearsal = await rehearseUpgrade(depsOf(sql), [...own, next]);
    expect(rehearsal).toMatchObject({ applied: [9_999], schemaVersion: 9_999, foundVersion: own.at(-1)?.number });
    expect(rehearsal.verdict).toMatchObject({ ok: true, altered: {}, unknown: [] });
    expect(rehearsal.tables["node"]).toBe(2);
    expect(await digestOf(sql)).toBe(before);
    expect(
      await sql.query("select 1 as found from information_schema.schemata where schema_name like 'weft_reh%'"),
    ).toEqual([]);
    const broken: Migration = { ...next, text: "alter table node add column region text;\n" };
    await expect(rehearseUpgrade(depsOf(sql), [...own, broken])).rejects.toThrow(/region/);
    expect(await digestOf(sql)).toBe(before);
  });

  once("finds what was altered, row and record", async () => {
    const { sql } = (await filled(await store.migrated())).ctx;
    await sql.query("update node set region = 'elsewhere' where name = 'relay-1'");
    await sql.query("update audit set actor = 'nobody' where seq = 2");
    const { verdict } = await rehearseUpgrade(depsOf(sql));
    expect(verdict).toMatchObject({ ok: false, altered: { node: 1 }, audit: { ok: false, seq: 2 } });
    const file = newFile();
    await writeBackupFile(file, sql, seal);
    const order = { file, replace: false, dryRun: false };
    await expect(restoreStore(depsOf(await store.empty()), order)).rejects.toMatchObject({
      detail: "STORE_ALTERED",
      message: expect.stringMatching(/1 of node.*record 2/),
    });
  });
});

describe("the table of trust rows", () => {
  let sql: Sql;
  beforeAll(async () => {
    sql = await migratedPglite();
  });
  afterAll(() => sql.close());

  it("names every table with a MAC, and only such", async () => {
    await controlCluster(sql);
    const withMac = (await tableShapes(sql))
      .filter(({ columns }) => columns.some(({ name }) => name === "mac"))
      .map(({ name }) => name);
    expect(Object.keys(trustTables).sort()).toEqual(withMac.sort());
  });
});
