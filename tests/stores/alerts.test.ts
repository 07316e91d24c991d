/** Alerts on both stores: rows that open and close, and do not multiply. */

import { beforeAll, expect, it } from "vitest";
import { watchReplicaClock } from "../../control/jobs/replica-clock.ts";
import {
  type Alert,
  closeAlert,
  listAlerts,
  openAlert,
  openAlerts,
  sweepAlerts,
  syncAlerts,
} from "../../control/store/alerts.ts";
import type { StoreContext } from "../../control/store/context.ts";
import type { Sql } from "../../control/store/sql.ts";
import { systemClock } from "../../lib/clock.ts";
import { limits } from "../../lib/limits.ts";
import { silentLog } from "../../lib/log.ts";
import { eventually } from "../harness/eventually.ts";
import { describeStores } from "./stores.ts";

describeStores("M-A6 alerts", (store) => {
  let sql: Sql;
  let count = 0;
  beforeAll(async () => {
    sql = await store.migrated();
  });

  function alertOf(fields: Partial<Alert> = {}): Alert {
    count += 1;
    return { clusterId: `cl-${count}`, kind: "node-stale", object: `node/nd-${count}`, detail: "silent", ...fields };
  }
  const list = (clusterId: string, all = false) => listAlerts(sql, clusterId, { all, limit: 100 });
  const rowCount = async () => (await sql.query<{ n: number }>("select count(*) as n from alert"))[0]?.n ?? 0;

  it("open once, close once, and open again as the same row", async () => {
    const alert = alertOf();
    expect(await openAlert(sql, alert)).toBe(true);
    expect(await openAlert(sql, alert)).toBe(false);
    expect(await list(alert.clusterId)).toMatchObject([{ ...alert, closedAtMs: null, timesOpened: 1 }]);
    expect(await closeAlert(sql, alert)).toBe(true);
    expect(await closeAlert(sql, alert)).toBe(false);
    expect(await list(alert.clusterId)).toEqual([]);
    const [closed] = await list(alert.clusterId, true);
    expect(closed?.closedAtMs).toBeGreaterThanOrEqual(closed?.openedAtMs ?? Number.POSITIVE_INFINITY);
    expect(await openAlert(sql, { ...alert, detail: "silent again" })).toBe(true);
    expect(await list(alert.clusterId, true)).toMatchObject([
      { detail: "silent again", closedAtMs: null, timesOpened: 2, firstOpenedAtMs: closed?.firstOpenedAtMs },
    ]);
  });

  it("tell exactly one of many replicas that it opened or closed one", async () => {
    const alert = alertOf();
    const opened = await Promise.all(Array.from({ length: 8 }, () => openAlert(sql, alert)));
    expect(opened.filter(Boolean)).toHaveLength(1);
    const closed = await Promise.all(Array.from({ length: 8 }, () => closeAlert(sql, alert)));
    expect(closed.filter(Boolean)).toHaveLength(1);
    expect(await list(alert.clusterId, true)).toHaveLength(1);
  });

  it("keep one row however often something flaps, and say the newest detail while open", async () => {
    const alert = alertOf();
    const before = await rowCount();
    for (let round = 1; round <= 40; round += 1) {
      await openAlert(sql, { ...alert, detail: `round ${round}` });
      await openAlert(sql, { ...alert, detail: `still ${round}` });
      if (round < 40) await closeAlert(sql, alert);
    }
    expect(await rowCount()).toBe(before + 1);
    expect(await list(alert.clusterId)).toMatchObject([{ detail: "still 40", timesOpened: 40 }]);
  });

  it("follow a whole look at once, and leave other kinds and clusters alone", async () => {
    const { clusterId } = alertOf();
    const other = alertOf();
    await openAlert(sql, other);
    await openAlert(sql, { clusterId, kind: "role-coverage", object: "role/relay", detail: "" });
    const kinds = ["node-stale", "node-offline"] as const;
    const a = { kind: "node-stale", object: "node/a", detail: "" } as const;
    const b = { kind: "node-offline", object: "node/b", detail: "" } as const;
    expect(await syncAlerts(sql, clusterId, kinds, [a, b, a])).toMatchObject({
      ...{ opened: [{ object: "node/b" }, { object: "node/a" }], closed: [] },
    });
    expect(await syncAlerts(sql, clusterId, kinds, [a, b])).toEqual({ opened: [], closed: [] });
    expect(await syncAlerts(sql, clusterId, kinds, [b])).toMatchObject({ opened: [], closed: [{ object: "node/a" }] });
    expect((await list(clusterId)).map((row) => row.object).sort()).toEqual(["node/b", "role/relay"]);
    expect(await list(other.clusterId)).toHaveLength(1);
  });

  it("are synced by many replicas at once without a deadlock, each change told once", async () => {
    const { clusterId } = alertOf();
    const wanted = Array.from({ length: 50 }, (_, i) => ({
      ...{ kind: "node-stale", object: `node/${i}`, detail: "" },
    })) as Omit<Alert, "clusterId">[];
    const shuffled = (turn: number) => [...wanted.slice(turn * 7), ...wanted.slice(0, turn * 7)];
    const rounds = await Promise.all([0, 1, 2, 3, 4].map((i) => openAlerts(sql, clusterId, shuffled(i))));
    expect(rounds.flat()).toHaveLength(50);
    const ends = await Promise.all([0, 1, 2, 3].map(() => syncAlerts(sql, clusterId, ["node-stale"], [])));
    expect(ends.flatMap((each) => each.closed)).toHaveLength(50);
  });

  it("THR-C12 tell of a replica of control whose clock is off, which then serves nothing, and close when it is right", async () => {
    const open = async () => (await list("cl-any")).filter(({ kind }) => kind === "control-clock-skew");
    const watch = (byMs: number) => {
      const clock = { ...systemClock, nowMs: () => systemClock.nowMs() + byMs };
      return watchReplicaClock({ sql, clock, log: silentLog } as unknown as StoreContext, "cp-1");
    };
    for (const [byMs, serves] of [
      [-9_000, true],
      [600_000, false],
      [-600_000, false],
    ] as const) {
      const off = watch(byMs);
      await eventually(async () => (await open())[0]?.detail.includes(byMs < 0 ? "behind" : "ahead") === true);
      expect((await open())[0]).toMatchObject({ object: "replica/cp-1", clusterId: "" });
      expect((await open())[0]?.detail).toContain(`${Math.abs(byMs) / 1_000} s`);
      await off.stop();
      expect(off.isClose()).toBe(serves);
    }
    const right = watch(0);
    await eventually(async () => (await open()).length === 0);
    expect(right.isClose()).toBe(true);
    await right.stop();
  });

  it("of the installation show in every cluster; a long detail is cut, not refused", async () => {
    await openAlert(sql, alertOf({ clusterId: "", object: "node/all", detail: "x".repeat(5_000) }));
    const { clusterId } = alertOf();
    const [row] = await list(clusterId);
    expect(row?.detail).toHaveLength(limits.alertDetailCharactersMaxCount);
    await sql.query("delete from alert where cluster_id = ''");
  });

  it("are forgotten when they closed long ago, never while open", async () => {
    const [old, fresh, open] = [alertOf(), alertOf(), alertOf()];
    for (const alert of [old, fresh, open]) await openAlert(sql, alert);
    for (const alert of [old, fresh]) await closeAlert(sql, alert);
    const age = "update alert set opened_at_ms = opened_at_ms - $2::bigint, closed_at_ms = closed_at_ms - $2::bigint";
    for (const { clusterId } of [old, open]) {
      await sql.query(`${age} where cluster_id = $1`, [clusterId, limits.alertRetentionMs + 1_000]);
    }
    expect(await sweepAlerts(sql)).toBe(1);
    expect(await list(old.clusterId, true)).toEqual([]);
    expect(await list(fresh.clusterId, true)).toHaveLength(1);
    expect(await list(open.clusterId)).toHaveLength(1);
  });
});
