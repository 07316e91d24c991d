/** M-W18: an installation moves from the embedded store to PostgreSQL, whenever it is killed on the way. */

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SealingKey } from "../../certs/seal.ts";
import { type MoveStage, moveStore } from "../../control/domain/store-move.ts";
import { auditHead } from "../../control/store/audit.ts";
import { tableShapes } from "../../control/store/catalog.ts";
import { migrate } from "../../control/store/migrate.ts";
import { openPostgres } from "../../control/store/pg.ts";
import { openPglite } from "../../control/store/pglite.ts";
import { storeDigest } from "../../control/store/rows.ts";
import type { Sql } from "../../control/store/sql.ts";
import { trustSeal } from "../../control/store/trust.ts";
import { verifyStore } from "../../control/store/verify.ts";
import { silentLog } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import { addNode, addOrganization, controlCluster } from "../harness/control-cluster.ts";
import { isSoak } from "../harness/counts.ts";
import { leave } from "../harness/left-behind.ts";
import { briefly, type Databases, migratedDirectory, sharedPostgres } from "../harness/shared-stores.ts";

const folder = mkdtempSync(join(tmpdir(), "weft-move-"));
const directory = join(folder, "data");
const seal = trustSeal(new SealingKey(new Uint8Array(32).fill(7)));
let server: Databases;
let url: string;

/** Where it is killed: after the last stage there is nothing left to do, which a soak looks at too. */
const stages = (["copying", "copied", "departed", "arrived"] as const).slice(0, isSoak ? 4 : 3);

/** What the move leaves in neither store, and the record of it that only the new one has. */
const apart = ["store_move", "audit", "audit_head"];

const digestOf = (sql: Sql): Promise<string> =>
  sql.tx(
    async (tx) =>
      storeDigest(
        tx,
        (await tableShapes(tx)).filter(({ name }) => !apart.includes(name)),
      ),
    {
      mode: "read only",
    },
  );

const target = (): Sql => openPostgres({ url, log: silentLog, connectionsMaxCount: 1 });

/** A process of its own that moves, and kills itself where it is told to; resolves with the signal it ended by. */
function moveAndDie(at: MoveStage | "copying"): Promise<string> {
  const from = (file: string): string => JSON.stringify(new URL(file, import.meta.url).href);
  const script = `
    const { moveStore } = await import(${from("../../control/domain/store-move.ts")});
    const { openPglite } = await import(${from("../../control/store/pglite.ts")});
    const { openPostgres } = await import(${from("../../control/store/pg.ts")});
    const { trustSeal } = await import(${from("../../control/store/trust.ts")});
    const { SealingKey } = await import(${from("../../certs/seal.ts")});
    const { silentLog } = await import(${from("../../lib/log.ts")});
    const { systemRandom } = await import(${from("../../lib/random.ts")});
    const die = () => process.kill(process.pid, "SIGKILL");
    const source = await openPglite({ directory: ${JSON.stringify(directory)} });
    const target = openPostgres({ url: ${JSON.stringify(url)}, log: silentLog, connectionsMaxCount: 1 });
    // Half way through the rows: the target has begun, and nothing of it is kept.
    let statements = 0;
    const dying = { ...target, driver: target.driver, query: (...a) => target.query(...a), tx: (fn, o) => target.tx((tx) => fn({
      afterCommit: (f) => tx.afterCommit(f),
      query: (text, params) => {
        if (text.startsWith("insert into") && (statements += 1) > 20) die();
        return tx.query(text, params);
      },
    }), o) };
    await moveStore({
      source, target: ${at === "copying" ? "dying" : "target"}, random: systemRandom,
      seal: trustSeal(new SealingKey(new Uint8Array(32).fill(7))),
      sourceName: "the folder", targetName: "the server",
      onStage: (stage) => { if (stage === ${JSON.stringify(at)}) die(); },
    }, false);
    await source.close();
    await target.close();`;
  const child = spawn(process.execPath, [...briefly, "--input-type=module", "-e", script], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve(signal ?? String(code)));
  });
}

beforeAll(async () => {
  server = await sharedPostgres();
  await migratedDirectory(directory);
  const sql = await openPglite({ directory });
  const cluster = await controlCluster(sql);
  await addOrganization(cluster, "acme");
  await addNode(cluster, "relay-1", { roles: ["relay"] });
  await sql.close();
});

afterAll(async () => {
  await server.stop();
  leave(folder);
  rmSync(folder, { recursive: true, force: true });
});

describe("M-W18 a move to PostgreSQL", () => {
  it("goes on after kill -9 at every stage, and never leaves two stores that a control would start on", async () => {
    const source = await openPglite({ directory });
    const before = await digestOf(source);
    const head = await auditHead(source);
    await source.close();
    const states: Record<string, readonly (string | undefined)[]> = {};
    for (const at of stages) {
      url = await server.database();
      const folderSql = await openPglite({ directory });
      await folderSql.query("delete from store_move");
      await folderSql.close();
      expect(await moveAndDie(at)).toBe("SIGKILL");
      states[at] = await startable();
      await move();
      expect(await startable(), `after ${at}`).toEqual(["STORE_MOVED", undefined]);
      const sql = target();
      expect(await digestOf(sql)).toBe(before);
      expect(await verifyStore(sql, seal)).toMatchObject({
        ok: true,
        altered: {},
        audit: { ok: true, seq: head.seq + 1 },
      });
      await sql.close();
    }
    // Refused, or an empty database where control init would begin: at most one of them is an installation to start on.
    const expected = {
      copying: [undefined, undefined],
      copied: [undefined, "STORE_ARRIVING"],
      departed: ["STORE_MOVED", "STORE_ARRIVING"],
      arrived: ["STORE_MOVED", undefined],
    };
    expect(states).toEqual(Object.fromEntries(stages.map((at) => [at, expected[at]])));
  }, 120_000);

  it("takes a copy anew when the old store was used meanwhile, and a dry run leaves nothing", async () => {
    url = await server.database();
    const source = await openPglite({ directory });
    await source.query("delete from store_move");
    const sql = target();
    const deps = {
      source,
      target: sql,
      seal,
      random: systemRandom,
      sourceName: "the folder",
      targetName: "the server",
    };
    const dry = await moveStore(deps, true);
    expect(dry).toMatchObject({ dryRun: true, resumedAfter: "" });
    expect(await tableShapes(sql)).toEqual([]);
    await source.close();
    expect(await moveAndDie("copied")).toBe("SIGKILL");
    const again = await openPglite({ directory });
    await again.query("update organization set name = 'acme-2'");
    const moved = await moveStore({ ...deps, source: again }, false);
    expect(moved.resumedAfter).toBe("");
    expect(await sql.query("select name from organization")).toEqual([{ name: "acme-2" }]);
    await expect(moveStore({ ...deps, source: again }, false)).resolves.toMatchObject({ resumedAfter: "arrived" });
    // Somewhere else is no longer possible.
    url = await server.database();
    const elsewhere = target();
    await expect(moveStore({ ...deps, source: again, target: elsewhere }, false)).rejects.toMatchObject({
      detail: "STORE_MOVED",
      message: expect.stringContaining("the server"),
    });
    await again.close();
    await sql.close();
    await elsewhere.close();
  }, 60_000);

  it("never goes into a database that holds something else", async () => {
    url = await server.database();
    const source = await openPglite({ directory });
    await source.query("delete from store_move");
    const sql = target();
    await sql.script("create table somebody_elses (n int)");
    const deps = {
      source,
      target: sql,
      seal,
      random: systemRandom,
      sourceName: "the folder",
      targetName: "the server",
    };
    await expect(moveStore(deps, false)).rejects.toMatchObject({ detail: "STORE_NOT_EMPTY" });
    expect((await tableShapes(sql)).map(({ name }) => name)).toEqual(["somebody_elses"]);
    // Another installation's move, which is not over: that copy is what its control will start on.
    await sql.script("drop table somebody_elses");
    const dies = (stage: MoveStage): void => {
      if (stage === "copied") throw new Error("ended here");
    };
    await expect(moveStore({ ...deps, onStage: dies }, false)).rejects.toThrow("ended here");
    await sql.query("update installation set trust_domain = 'other.test'");
    await expect(moveStore(deps, false)).rejects.toMatchObject({ detail: "STORE_NOT_EMPTY" });
    expect(await sql.query("select trust_domain from installation")).toEqual([{ trust_domain: "other.test" }]);
    await sql.close();
    await source.close();
  });
});

/** The same command again, in this process. */
async function move(): Promise<void> {
  const source = await openPglite({ directory });
  const sql = target();
  const about = { random: systemRandom, sourceName: "the folder", targetName: "the server" };
  await moveStore({ source, target: sql, seal, ...about }, false);
  await source.close();
  await sql.close();
}

/** Why a control would not start: on the old store, on the new one. */
async function startable(): Promise<readonly (string | undefined)[]> {
  const old = await openPglite({ directory });
  const sql = target();
  const refused = async (store: Sql): Promise<string | undefined> =>
    (await tableShapes(store)).length === 0
      ? undefined
      : await migrate(store).then(
          () => undefined,
          (thrown: { detail?: string }) => thrown.detail,
        );
  const both = [await refused(old), await refused(sql)];
  await old.close();
  await sql.close();
  return both;
}
