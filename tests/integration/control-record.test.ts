/** A running control and its own record: what its doors refuse, and what somebody else writes into its database. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Sql } from "../../control/store/sql.ts";
import { AlertService } from "../../gen/weft/admin/v1/alert_pb.ts";
import { AuditService } from "../../gen/weft/admin/v1/audit_pb.ts";
import { ClusterService } from "../../gen/weft/admin/v1/cluster_pb.ts";
import { NodeAdminService } from "../../gen/weft/admin/v1/node_pb.ts";
import { type Clock, systemClock } from "../../lib/clock.ts";
import { limits } from "../../lib/limits.ts";
import { silentLog } from "../../lib/log.ts";
import { rpcClient } from "../../rpc/client.ts";
import { startTestControl, type TestControl } from "../harness/control-process.ts";
import { eventually } from "../harness/eventually.ts";
import { migratedPglite } from "../harness/shared-stores.ts";

let sql: Sql;
let control: TestControl;
/** What control does every so many milliseconds, to be done now. */
const looks = new Map<number, (() => void)[]>();
function look(periodMs: number): void {
  for (const fn of looks.get(periodMs) ?? []) fn();
}

beforeAll(async () => {
  sql = await migratedPglite();
  const clock: Clock = {
    nowMs: () => systemClock.nowMs(),
    monoMs: () => systemClock.monoMs(),
    afterReading: (delayMs, fn) => systemClock.afterReading(delayMs, fn),
    after: (delayMs, fn, options) => systemClock.after(delayMs, fn, options),
    every(periodMs, fn) {
      looks.set(periodMs, [...(looks.get(periodMs) ?? []), fn]);
      return systemClock.every(periodMs, fn);
    },
  };
  control = await startTestControl({ over: { sql, clock, log: silentLog } });
});
afterAll(async () => {
  await control[Symbol.asyncDispose]();
  await sql.close();
});

async function recordsOf(action: string): Promise<readonly { readonly object: string; readonly after: string }[]> {
  return await sql.query("select object, after_json as after from audit where action = $1 order by seq", [action]);
}

describe("M-A9 a running control", () => {
  it("records what it refuses, within the bound, and counts the rest", async () => {
    const client = rpcClient(NodeAdminService, control.operator());
    const [cluster] = (await rpcClient(ClusterService, control.operator()).listClusters({})).clusters;
    const calls = Array.from({ length: 120 }, (_, at) =>
      client.getNode({ clusterId: cluster?.id ?? "", nodeId: `no-${at}` }),
    );
    for (const outcome of await Promise.allSettled(calls)) {
      expect(outcome).toMatchObject({ status: "rejected", reason: { reason: "not_found", detail: "NODE_NOT_FOUND" } });
    }
    await eventually(async () => {
      const written = (await recordsOf("rpc.refused")).length;
      expect(written).toBeGreaterThanOrEqual(limits.refusalsRecordedBurstCount);
      expect(written).toBeLessThan(120);
      return true;
    });
    const written = (await recordsOf("rpc.refused")).length;
    look(limits.refusalsCountedEveryMs);
    await eventually(async () => {
      const [counted] = await recordsOf("refusals.counted");
      expect(JSON.parse(counted?.after ?? "{}")).toEqual({ known: 120 - written, strangers: 0 });
      return true;
    });
  });

  it("REVIEW-16 refuses whom a forged row names, tells it once, and is quiet when the row is back", async () => {
    const clusters = rpcClient(ClusterService, control.operator());
    const id = control.outcome.operatorId;
    const alerts = async () =>
      (
        await rpcClient(AlertService, control.operator()).listAlerts({
          clusterId: control.outcome.cluster.id,
          all: true,
        })
      ).alerts
        .filter(({ kind }) => kind === "trust-row-forged")
        .map(({ object, closedAtMs }) => `${object} ${closedAtMs === 0n ? "open" : "closed"}`);
    await clusters.listClusters({});
    await sql.query("update identity set created_by = 'somebody else' where id = $1", [id]);
    // Found by reading everything again, told, and with that forgotten by every cache: it is not let in any more.
    look(limits.trustSweepEveryMs);
    await eventually(async () => {
      await expect(clusters.listClusters({})).rejects.toMatchObject({
        reason: expect.stringMatching(/unauthenticated|canceled|unavailable/),
      });
      expect(await recordsOf("trust.forged")).toMatchObject([{ object: `identity/${id}` }]);
      return true;
    });
    for (let again = 0; again < 5; again += 1) await clusters.listClusters({}).catch(() => undefined);
    expect(await recordsOf("trust.forged")).toHaveLength(1);
    await sql.query("update identity set created_by = 'system' where id = $1", [id]);
    look(limits.trustSweepEveryMs);
    await eventually(async () => {
      expect(await alerts()).toEqual([`identity/${id} closed`]);
      return true;
    });
    expect(await recordsOf("trust.righted")).toHaveLength(1);
    const { records } = await rpcClient(AuditService, control.operator()).listAudit({ limit: 500 });
    expect(records.filter(({ action }) => action.startsWith("trust."))).toHaveLength(2);
  });
});
