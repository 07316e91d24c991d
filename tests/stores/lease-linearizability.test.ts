/**
 * Leases under contention, on real stores: 200 contenders over several pools, paused, with stepped clocks and killed database
 * sessions; every lease's history is one that a lease can have (conformance/stores/lease-history.ts). Faults planted in the
 * product's own statements are each found, so the check can fail.
 */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ContentionPlan, contend, mutated } from "../../conformance/stores/lease-contenders.ts";
import { type LeaseHistory, violations } from "../../conformance/stores/lease-history.ts";
import { openPostgres } from "../../control/store/pg.ts";
import type { Sql } from "../../control/store/sql.ts";
import { silentLog } from "../../lib/log.ts";
import { type Random, randomInt } from "../../lib/random.ts";
import { runs } from "../harness/counts.ts";
import { type Databases, migratedPglite, sharedPostgres } from "../harness/shared-stores.ts";

const clusterId = "cl-a";
const ttlMs = 240;
const marginMs = 20;

interface Planted {
  readonly name: string;
  readonly change?: (text: string) => string;
  readonly beforeMs?: number;
  /** What it breaks, of conformance/stores/lease-history.ts. */
  readonly law: string;
  readonly over: Partial<ContentionPlan>;
}

function tell(histories: readonly LeaseHistory[], seed: number): Readonly<Record<string, number>> {
  const counts: Record<string, number> = { seed, leases: histories.length };
  const add = (key: string, by: number): void => {
    counts[key] = (counts[key] ?? 0) + by;
  };
  for (const { calls, looks, taken } of histories) {
    for (const { call, outcome } of calls) add(`${call} ${outcome.kind}`, 1);
    add("looks", looks.length);
    add("taken", taken.length);
  }
  console.info(`contention: ${JSON.stringify(counts)}`);
  return counts;
}

async function prepared(sql: Sql): Promise<void> {
  await sql.query("insert into cluster (id, slug, name) values ($1, $1, $1)", [clusterId]);
}

describe("THR-L5 leases contended for on PostgreSQL", () => {
  let server: Databases;
  const pools: Sql[] = [];
  let killer: Sql;
  beforeAll(async () => {
    server = await sharedPostgres();
    const url = await server.migrated();
    for (let at = 0; at < 4; at += 1) pools.push(openPostgres({ url, log: silentLog, connectionsMaxCount: 8 }));
    killer = openPostgres({ url, log: silentLog, connectionsMaxCount: 1 });
    await prepared(killer);
  });
  afterAll(async () => {
    for (const pool of [...pools, killer]) await pool.close();
    await server.stop();
  });

  const kill = async (random: Random): Promise<void> => {
    const victims = await killer.query<{ pid: number }>(
      `select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() order by pid`,
    );
    const victim = victims[randomInt(random, Math.max(1, victims.length))];
    if (victim !== undefined) await killer.query("select pg_terminate_backend($1)", [victim.pid]);
  };

  const plan = (over: Partial<ContentionPlan> = {}): ContentionPlan => ({
    seed: 7,
    clusterId,
    prefix: "contended",
    leases: 12,
    contenders: 200,
    forMs: 2_000,
    ttlMs,
    marginMs,
    stores: pools,
    ...over,
  });

  it("LAW-F1 LAW-F2 THR-L3 200 contenders, pauses, stepped clocks and killed sessions leave a legal history", async () => {
    const rounds = runs(1, 40);
    for (let seed = 1; seed <= rounds; seed += 1) {
      const prefix = `contended-${seed}`;
      const long = rounds > 1 ? { leases: 1_000 / rounds, forMs: 15_000 } : {};
      const histories = await contend(plan({ seed, prefix, kill, ...long }));
      const counts = tell(histories, seed);
      expect(histories.flatMap(violations)).toEqual([]);
      // The run was one: leases passed on, were refused, were lost with their sessions.
      expect(counts["acquire held"]).toBeGreaterThan(20);
      expect(counts["acquire refused"]).toBeGreaterThan(20);
      expect(counts["renew refused"]).toBeGreaterThan(0);
    }
  }, 1_200_000);

  const stale = "floor(extract(epoch from now()) * 1000)::bigint";
  const few = { contenders: 24, leases: 12 };
  const many = { contenders: 48, leases: 8 };
  const planted: readonly Planted[] = [
    {
      name: "expiry judged by the time the transaction began",
      change: (text) => text.replaceAll(/now_ms\(\)(?! as )/g, stale),
      beforeMs: ttlMs / 2,
      law: "H2",
      over: few,
    },
    {
      name: "a counter that is not raised",
      change: (text) =>
        text
          .replace("then 0 else 1 end", "then 0 else 0 end")
          .replace('renewed_count as "renewedCount"', 'coalesce(renewed_count, 0) as "renewedCount"'),
      law: "H1",
      over: many,
    },
    {
      name: "renewal after expiry",
      change: (text) => text.replace(/(\$6) and expires_at_ms > now_ms\(\)/, "$1"),
      law: "H2",
      over: few,
    },
    {
      name: "a takeover before expiry",
      change: (text) =>
        text.replace("where lease.expires_at_ms <= now_ms()", `where lease.expires_at_ms - ${ttlMs / 2} <= now_ms()`),
      law: "H2",
      over: many,
    },
    { name: "holders that stop by their wall clock", law: "H4", over: { ...many, byWallClock: true } },
    { name: "an enforcing point that compares nothing", law: "H5", over: { ...many, enforces: false } },
  ];

  it("finds each fault when it is planted", async () => {
    const play = async ({ name, change, beforeMs = 0, law, over }: Planted): Promise<void> => {
      let changed = change === undefined;
      const noted = (text: string): string => {
        const after = change?.(text) ?? text;
        changed ||= after !== text;
        return after;
      };
      const stores = pools.map((pool) => mutated(pool, noted, beforeMs));
      let found: string | undefined;
      // What a fault needs to show may not come up in one round.
      for (let seed = 1; seed <= 10 && found === undefined; seed += 1) {
        const histories = await contend(plan({ seed, prefix: `${name}-${seed}`, forMs: 1_500, stores, ...over }));
        found = histories.flatMap(violations).find((each) => each.startsWith(law));
        console.info(`planted: ${name}: seed ${seed}: ${found ?? "not found"}`);
      }
      expect(changed, name).toBe(true);
      expect(found, name).toMatch(new RegExp(`^${law}: `));
    };
    await Promise.all(planted.map(play));
  }, 60_000);
});

describe("THR-L5 leases contended for on PGlite", () => {
  it("LAW-F1 LAW-F2 200 contenders leave a legal history", async () => {
    const sql = await migratedPglite();
    try {
      await prepared(sql);
      const plan = {
        seed: 5,
        clusterId,
        prefix: "contended",
        leases: 8,
        contenders: 200,
        forMs: runs(500, 20_000),
        ttlMs,
        marginMs,
      };
      const histories = await contend({ ...plan, stores: [sql] });
      const counts = tell(histories, plan.seed);
      expect(histories.flatMap(violations)).toEqual([]);
      expect(counts["acquire held"]).toBeGreaterThan(3);
    } finally {
      await sql.close();
    }
  }, 60_000);
});
