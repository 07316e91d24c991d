/** M-W2: leases under contention, expiry, takeover; fences that only grow. */

import { acquireLease, releaseLease, renewLease } from "../../control/store/leases.ts";
import type { Queryable } from "../../control/store/sql.ts";
import { type Check, holds } from "../check.ts";
import { contend } from "./lease-contenders.ts";
import { violations } from "./lease-history.ts";
import type { StoreWorld } from "./world.ts";

const ttlMs = 60_000;
const seed = 7;

const claim = (clusterId: string, name: string, nodeId: string, bootId = "boot-1") => ({
  clusterId,
  name,
  nodeId,
  bootId,
});

/** Ends a lease as time would. */
async function expire(q: Queryable, name: string): Promise<void> {
  await q.query("update lease set expires_at_ms = now_ms() - 1 where name = $1", [name]);
}

async function oneOfMany({ plane, connections }: StoreWorld): Promise<string> {
  const contenders = 100;
  const claims = Array.from({ length: contenders }, (_, at) =>
    acquireLease(connections[at % 2] ?? connections[0], claim(plane.clusterId, "many", `nd-${at}`), ttlMs),
  );
  const winners = (await Promise.all(claims)).filter((row) => row !== undefined);
  holds(winners.length === 1, `${winners.length} of ${contenders} hold it`);
  return `${contenders} contenders over two replicas, 1 holder`;
}

async function takeovers({ plane, connections }: StoreWorld): Promise<string> {
  const rounds = 20;
  const counters: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const claims = Array.from({ length: 6 }, (_, at) =>
      acquireLease(connections[at % 2] ?? connections[0], claim(plane.clusterId, "rounds", `nd-${at}-${round}`), ttlMs),
    );
    const winners = (await Promise.all(claims)).filter((row) => row !== undefined);
    holds(winners.length === 1, `round ${round}: ${winners.length} holders`);
    counters.push(...winners.map(({ counter }) => counter));
    await expire(connections[0], "rounds");
  }
  const grows = counters.every((counter, at) => at === 0 || counter > (counters[at - 1] ?? 0));
  holds(grows, `fences ${counters.join(" ")}`);
  return `${rounds} expiries with takeover, ${new Set(counters).size} fences, each higher`;
}

async function renewals({ plane, connections: [sql] }: StoreWorld): Promise<string> {
  const own = claim(plane.clusterId, "renewal", "nd-1");
  const row = await acquireLease(sql, own, ttlMs);
  holds(row !== undefined, "it could not be acquired");
  const hold = { ...own, epoch: row.epoch, counter: row.counter };
  holds((await renewLease(sql, hold, ttlMs)) !== undefined, "its holder could not renew it");
  const wrong = [{ counter: row.counter + 1 }, { epoch: row.epoch + 1 }, { nodeId: "nd-2" }, { bootId: "boot-2" }];
  for (const change of wrong) {
    const renewed = await renewLease(sql, { ...hold, ...change }, ttlMs);
    holds(renewed === undefined, `renewed by somebody else: ${JSON.stringify(change)}`);
    holds(!(await releaseLease(sql, { ...hold, ...change })), `released by somebody else: ${JSON.stringify(change)}`);
  }
  await expire(sql, "renewal");
  holds((await renewLease(sql, hold, ttlMs)) === undefined, "renewed after it had expired");
  return `${wrong.length} wrong holders and a late one were refused`;
}

async function history({ plane, connections, server }: StoreWorld): Promise<string> {
  // An embedded store has one connection, and everything waits for it.
  const contenders = server.name === "pglite" ? 40 : 120;
  const histories = await contend({
    seed,
    clusterId: plane.clusterId,
    prefix: "history",
    leases: 8,
    contenders,
    forMs: 2_000,
    ttlMs: 240,
    marginMs: 20,
    stores: connections,
  });
  const found = histories.flatMap(violations);
  const calls = histories.reduce((sum, each) => sum + each.calls.length, 0);
  holds(found.length === 0, `seed ${seed}: ${found[0]}`);
  holds(calls > 100, `only ${calls} calls were made`);
  return `${contenders} contenders, ${calls} calls, 0 violations (seed ${seed})`;
}

/** The checks of one server, each with its name. */
export function leaseChecks(store: string): readonly Check<StoreWorld>[] {
  const on = (id: string, law: string, title: string, run: Check<StoreWorld>["run"]): Check<StoreWorld> => ({
    id: `${id}.${store}`,
    law,
    title: `${title}, on ${store}`,
    run,
  });
  return [
    on("F1.one-holder", "LAW-F1", "of many contenders one holds", oneOfMany),
    on("F2.fences-grow", "LAW-F2", "expiry and takeover never give a fence twice", takeovers),
    on("W2.stale-holders", "M-W2", "renewal and release by anybody but the holder", renewals),
    on("W2.history", "M-W2", "a recorded history of contention is one a lease can have", history),
  ];
}
