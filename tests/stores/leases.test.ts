/** Leases on both stores: one holder per fence, fences that only grow, time that is the store's. */

import { beforeAll, describe, expect, it } from "vitest";
import { acquireLease, getLease, type LeaseRow, releaseLease, renewLease } from "../../control/store/leases.ts";
import type { Sql } from "../../control/store/sql.ts";
import { runs } from "../harness/counts.ts";
import { describeEveryStore } from "./stores.ts";

const clusterId = "cl-a";
const ttlMs = 60_000;

function claim(name: string, nodeId: string, bootId = "boot-1") {
  return { clusterId, name, nodeId, bootId };
}

function fence({ epoch, counter }: LeaseRow): readonly [number, number] {
  return [epoch, counter];
}

/** Ends a lease as time would. */
async function expire(sql: Sql, name: string): Promise<void> {
  await sql.query("update lease set expires_at_ms = now_ms() - 1 where cluster_id = $1 and name = $2", [
    clusterId,
    name,
  ]);
}

async function acquired(sql: Sql, name: string, nodeId: string, bootId?: string): Promise<LeaseRow> {
  const row = await acquireLease(sql, claim(name, nodeId, bootId), ttlMs);
  if (row === undefined) throw new Error("the lease was not acquired");
  return row;
}

async function raiseEpoch(sql: Sql, epoch: number): Promise<void> {
  await sql.query(
    `insert into installation (trust_domain, epoch, public_key_spki, sealed_key, sealing_key_id, mac)
     values ('test.internal', $1, '', '', '', '') on conflict (only_row) do update set epoch = excluded.epoch`,
    [epoch],
  );
}

describeEveryStore("leases", (store) => {
  let sql: Sql;
  beforeAll(async () => {
    sql = await store.migrated();
    for (const id of [clusterId, "cl-b"]) {
      await sql.query("insert into cluster (id, slug, name) values ($1, $1, $1)", [id]);
    }
  });

  it("LAW-F1 of many contenders at once exactly one holds, and the others hold nothing", async () => {
    const contenders = runs(200, 2_000);
    const claims = Array.from({ length: contenders }, (_, i) =>
      acquireLease(sql, claim("contended", `nd-${i}`), ttlMs),
    );
    const winners = (await Promise.all(claims)).filter((row) => row !== undefined);
    expect(winners).toHaveLength(1);
    expect((await getLease(sql, clusterId, "contended"))?.holderNodeId).toBe(winners[0]?.holderNodeId);
  });

  it("LAW-F1 LAW-F2 rounds of expiry and concurrent takeover never give a fence twice", async () => {
    const given: string[] = [];
    const rounds = runs(10, 200);
    for (let round = 1; round <= rounds; round += 1) {
      const claims = Array.from({ length: 8 }, (_, i) =>
        acquireLease(sql, claim("rounds", `nd-${i}`, `boot-${round}`), ttlMs),
      );
      const winners = (await Promise.all(claims)).filter((row) => row !== undefined);
      expect(winners).toHaveLength(1);
      expect(winners[0]?.counter).toBe(round);
      given.push(...winners.map((row) => fence(row).join(".")));
      await expire(sql, "rounds");
    }
    expect(new Set(given).size).toBe(given.length);
  });

  it("gives the same node and boot its own lease again under the same fence, prolonged", async () => {
    const first = await acquired(sql, "again", "nd-1");
    await sql.query("update lease set expires_at_ms = now_ms() + 5000 where name = 'again'");
    const second = await acquired(sql, "again", "nd-1");
    expect(fence(second)).toEqual(fence(first));
    expect(second.leftMs).toBeGreaterThan(50_000);
  });

  it("makes a restarted process of the same node wait like everybody else: its old one may still act", async () => {
    const first = await acquired(sql, "restart", "nd-1", "boot-1");
    expect(await acquireLease(sql, claim("restart", "nd-1", "boot-2"), ttlMs)).toBeUndefined();
    await expire(sql, "restart");
    const second = await acquired(sql, "restart", "nd-1", "boot-2");
    expect(second.counter).toBe(first.counter + 1);
    const old = { ...claim("restart", "nd-1", "boot-1"), epoch: first.epoch, counter: first.counter };
    expect(await renewLease(sql, old, ttlMs)).toBeUndefined();
  });

  it("gives the same boot a higher fence once its lease has expired: it stopped holding", async () => {
    const first = await acquired(sql, "lapsed", "nd-1");
    await expire(sql, "lapsed");
    expect((await acquired(sql, "lapsed", "nd-1")).counter).toBe(first.counter + 1);
  });

  it("refuses to renew after expiry, under another fence, as another node or boot", async () => {
    const { epoch, counter } = await acquired(sql, "renewal", "nd-1");
    const hold = { ...claim("renewal", "nd-1"), epoch, counter };
    expect(await renewLease(sql, hold, ttlMs)).toMatchObject({ epoch, counter });
    for (const wrong of [
      { counter: counter + 1 },
      { epoch: epoch + 1 },
      { nodeId: "nd-2" },
      { bootId: "boot-2" },
      { clusterId: "cl-b" },
    ]) {
      expect(await renewLease(sql, { ...hold, ...wrong }, ttlMs), JSON.stringify(wrong)).toBeUndefined();
    }
    await expire(sql, "renewal");
    expect(await renewLease(sql, hold, ttlMs)).toBeUndefined();
  });

  it("releases once, succeeds again without effect, and never ends the next holder's lease", async () => {
    const first = await acquired(sql, "release", "nd-1");
    const hold = { ...claim("release", "nd-1"), epoch: first.epoch, counter: first.counter };
    expect(await releaseLease(sql, hold)).toBe(true);
    expect(await releaseLease(sql, hold)).toBe(false);
    expect((await getLease(sql, clusterId, "release"))?.leftMs).toBeLessThanOrEqual(0);
    const second = await acquired(sql, "release", "nd-2");
    expect(second.counter).toBe(first.counter + 1);
    expect(await releaseLease(sql, hold)).toBe(false);
    expect((await getLease(sql, clusterId, "release"))?.leftMs).toBeGreaterThan(0);
  });

  it("keeps names of clusters apart", async () => {
    await acquired(sql, "apart", "nd-1");
    const other = await acquireLease(sql, { ...claim("apart", "nd-9"), clusterId: "cl-b" }, ttlMs);
    expect(other).toMatchObject({ holderNodeId: "nd-9", counter: 1 });
    expect((await getLease(sql, clusterId, "apart"))?.holderNodeId).toBe("nd-1");
    expect(await getLease(sql, "cl-c", "apart")).toBeUndefined();
  });

  describe("after a restore has raised the epoch", () => {
    it("LAW-F2 puts every new fence above every old one, and renews nothing under the old", async () => {
      await raiseEpoch(sql, 1);
      const before = await acquired(sql, "restored", "nd-1");
      const kept = await acquired(sql, "kept", "nd-1");
      await raiseEpoch(sql, 2);
      expect(
        await renewLease(sql, { ...claim("kept", "nd-1"), epoch: kept.epoch, counter: kept.counter }, ttlMs),
      ).toBeUndefined();
      const own = await acquired(sql, "kept", "nd-1");
      expect(own.epoch).toBe(2);
      // Nobody is robbed: the holder's time runs out first.
      expect(await acquireLease(sql, claim("restored", "nd-2"), ttlMs)).toBeUndefined();
      await expire(sql, "restored");
      const after = await acquired(sql, "restored", "nd-2");
      expect(after.epoch).toBeGreaterThan(before.epoch);
    });
  });
});
