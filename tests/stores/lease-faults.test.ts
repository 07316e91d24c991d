/** Leases when what is around them fails: backups, long transactions, killed sessions, no Redis. And what operators see of it. */

import { create, fromBinary } from "@bufbuild/protobuf";
import { beforeAll, describe, expect, it } from "vitest";
import { redisHints } from "../../control/hints/redis.ts";
import { leaseService } from "../../control/services/lease.ts";
import { leaseAdminService } from "../../control/services/lease-admin.ts";
import { auditHead, listAudit } from "../../control/store/audit.ts";
import { raiseEpoch } from "../../control/store/installation.ts";
import { listTenures, newestFences } from "../../control/store/lease-tenures.ts";
import {
  type AcquiredLease,
  acquireLease,
  fenceLease,
  getLease,
  releaseLease,
  renewLease,
} from "../../control/store/leases.ts";
import type { Queryable, Sql } from "../../control/store/sql.ts";
import { encodeContract, verifyContract } from "../../fabric/contract.ts";
import { LeaseAdminService, LeaseState, TenureEnd } from "../../gen/weft/admin/v1/lease_pb.ts";
import { AddResourceRequestSchema } from "../../gen/weft/admin/v1/resource_pb.ts";
import { LeaseKind } from "../../gen/weft/fabric/v1/contract_pb.ts";
import { type Snapshot, SnapshotSchema } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { LeaseService } from "../../gen/weft/lease/v1/lease_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { limits } from "../../lib/limits.ts";
import { silentLog } from "../../lib/log.ts";
import { rpcClient } from "../../rpc/client.ts";
import {
  type AddedNode,
  addNode,
  addOrganization,
  type ControlCluster,
  callAs,
  controlCluster,
} from "../harness/control-cluster.ts";
import { runs } from "../harness/counts.ts";
import { createPool, placement, serviceDeps } from "../harness/placed.ts";
import { recordingSql } from "../harness/recording-sql.ts";
import { describeStores } from "./stores.ts";

const ttlMs = 60_000;

describeStores("leases among faults", (store) => {
  let sql: Sql;
  let cluster: ControlCluster;
  let clusterId: string;
  let entry: AddedNode;
  beforeAll(async () => {
    sql = await store.migrated();
    cluster = await controlCluster(sql);
    clusterId = cluster.clusterId;
    entry = await addNode(cluster, "entry-1", { roles: ["entry"] });
  });

  const claim = (name: string, nodeId: string, bootId = "boot-1") => ({ clusterId, name, nodeId, bootId });
  const holdOf = (name: string, nodeId: string, { epoch, counter }: AcquiredLease) => ({
    ...claim(name, nodeId),
    epoch,
    counter,
  });
  async function acquired(q: Queryable, name: string, nodeId: string, forMs = ttlMs): Promise<AcquiredLease> {
    const row = await acquireLease(q, claim(name, nodeId), forMs);
    if (row === undefined) throw new Error("the lease was not acquired");
    return row;
  }
  async function expire(name: string): Promise<void> {
    await sql.query("update lease set expires_at_ms = now_ms() - 1 where name = $1", [name]);
    await sql.query("update lease_tenure set expires_at_ms = now_ms() - 1 where name = $1 and ended = ''", [name]);
  }
  const admin = (hints = cluster.ctx.hints) =>
    rpcClient(
      LeaseAdminService,
      callAs(cluster.operator, (router) => {
        router.service(LeaseAdminService, leaseAdminService({ ...serviceDeps(cluster), hints }));
      }),
    );

  it("LAW-F2 THR-L2 gives no fence again after yesterday's rows are back and the epoch is raised", async () => {
    const given = new Set<string>();
    const names = ["restored-1", "restored-2"];
    const take = async (round: number): Promise<void> => {
      for (const name of names) {
        const { epoch, counter } = await acquired(sql, name, `nd-${round % 3}`);
        const fence = `${name} ${epoch}.${counter}`;
        expect(given.has(fence), fence).toBe(false);
        given.add(fence);
        await expire(name);
      }
    };
    for (let round = 0; round < 4; round += 1) await take(round);
    const backup = await sql.query<{ lease: string }>("select to_jsonb(lease)::text as lease from lease");
    const tenures = await sql.query<{ row: string }>("select to_jsonb(t)::text as row from lease_tenure t");
    const rounds = runs(6, 100);
    for (let round = 0; round < rounds; round += 1) await take(round);
    await sql.query("delete from lease_tenure");
    await sql.query("delete from lease");
    for (const { lease } of backup)
      await sql.query("insert into lease select * from jsonb_populate_record(null::lease, $1::jsonb)", [lease]);
    for (const { row } of tenures)
      await sql.query("insert into lease_tenure select * from jsonb_populate_record(null::lease_tenure, $1::jsonb)", [
        row,
      ]);
    await sql.tx((tx) => raiseEpoch(tx, cluster.ctx.seal));
    for (let round = 0; round < rounds; round += 1) await take(round);
    expect(given.size).toBe(names.length * (4 + 2 * rounds));
  });

  it("THR-L4 judges expiry by the clock, not by when the transaction around it began", async () => {
    await sql.tx(async (tx) => {
      await tx.query("select now() as began");
      const first = await acquired(tx, "long", "nd-1", 50);
      await tx.query("select 1 as waited from pg_sleep(0.1)");
      expect(await renewLease(tx, holdOf("long", "nd-1", first), ttlMs)).toBeUndefined();
      expect(await releaseLease(tx, holdOf("long", "nd-1", first))).toBe(false);
      const second = await acquired(tx, "long", "nd-2");
      expect(second.counter).toBe(first.counter + 1);
      expect(second.leftMs).toBeGreaterThan(ttlMs - 5_000);
    });
  });

  it("THR-L3 gives no fence twice when the store's own clock steps by an hour, either way", async () => {
    const define = (offsetMs: number) =>
      sql.script(`create or replace function now_ms() returns bigint language sql volatile parallel safe
        as $$ select floor(extract(epoch from clock_timestamp()) * 1000)::bigint + ${offsetMs} $$`);
    try {
      const given: number[] = [];
      for (const offsetMs of [0, 3_600_000, 0, -3_600_000, 0, 3_600_000]) {
        await define(offsetMs);
        const holder = await getLease(sql, clusterId, "stepped");
        const row = await acquireLease(sql, claim("stepped", `nd-${given.length}`), ttlMs);
        // A step back makes others wait; a step forward makes the holder lose early, and its fence is the lower one.
        if (row === undefined) expect(holder?.leftMs).toBeGreaterThan(0);
        else given.push(row.counter);
      }
      expect(given).toEqual(given.map((_, at) => at + 1));
      expect(given.length).toBeGreaterThan(1);
    } finally {
      await define(0);
    }
  });

  it("THR-L6 refuses renewal after expiry, and release with an old fence or as somebody else", async () => {
    const first = await acquired(sql, "late", "nd-1");
    await expire("late");
    expect(await renewLease(sql, holdOf("late", "nd-1", first), ttlMs)).toBeUndefined();
    const second = await acquired(sql, "late", "nd-2");
    for (const wrong of [
      holdOf("late", "nd-1", first),
      holdOf("late", "nd-2", first),
      holdOf("late", "nd-1", second),
    ]) {
      expect(await releaseLease(sql, wrong)).toBe(false);
      expect(await renewLease(sql, wrong, ttlMs)).toBeUndefined();
    }
    expect(await getLease(sql, clusterId, "late")).toMatchObject({ holderNodeId: "nd-2", counter: second.counter });
  });

  it("THR-L7 holds nothing by a session: statements may each go their own way, as through a transaction pooler", async () => {
    const { sql: watched, statements } = recordingSql(sql);
    const row = await acquired(watched, "pooled", "nd-1");
    await renewLease(watched, holdOf("pooled", "nd-1", row), ttlMs);
    await releaseLease(watched, holdOf("pooled", "nd-1", row));
    expect(statements).toHaveLength(3);
    for (const text of statements) expect(text).not.toMatch(/advisory|pg_try|\bset\b (session|local)|listen|temp/i);
  });

  // An embedded store has no sessions to kill.
  if (store.driver === "postgres") {
    it("THR-L7 a killed session leaves its holder without, or with what it may ask for again", async () => {
      const killed = sql.tx(async (tx) => {
        const row = await acquired(tx, "killed", "nd-1");
        return { row, ended: await tx.query("select pg_terminate_backend(pg_backend_pid())") };
      });
      await expect(killed).rejects.toMatchObject({ reason: "unavailable" });
      // Whoever was not answered does not hold, and nobody has to wait for it.
      expect((await acquired(sql, "killed", "nd-2")).counter).toBe(1);
    });
  }

  it("THR-L9 goes on without Redis: acquiring, renewing, releasing and fencing need the store alone", async () => {
    const gone = redisHints({ url: "redis://127.0.0.1:1", clock: systemClock, log: silentLog });
    try {
      const name = `resource/rs-${"x".repeat(16)}`;
      const first = await acquired(sql, name, entry.id);
      expect(await renewLease(sql, holdOf(name, entry.id, first), ttlMs)).toBeDefined();
      expect(await admin(gone).fenceLease({ clusterId, name })).toMatchObject({ changed: true });
      expect((await acquired(sql, name, entry.id)).counter).toBe(first.counter + 2);
    } finally {
      await gone.close();
    }
  });

  describe("as operators see them", () => {
    it("keeps one row per fence, counts renewals in it, says how it ended, and forgets the oldest", async () => {
      const first = await acquired(sql, "shown", entry.id);
      for (let at = 0; at < 3; at += 1) await renewLease(sql, holdOf("shown", entry.id, first), ttlMs);
      expect((await acquired(sql, "shown", entry.id)).fresh).toBe(false);
      await releaseLease(sql, holdOf("shown", entry.id, first));
      await acquired(sql, "shown", "nd-2");
      await expire("shown");
      await acquired(sql, "shown", entry.id);
      const { lease, tenures } = await admin().getLease({ clusterId, name: "shown" });
      expect(lease).toMatchObject({ state: LeaseState.HELD, holderName: "entry-1", fence: { counter: 3n } });
      expect(tenures.map(({ fence, end, renewedCount }) => [fence?.counter, end, renewedCount])).toEqual([
        [3n, TenureEnd.UNSPECIFIED, 0n],
        [2n, TenureEnd.EXPIRED, 0n],
        [1n, TenureEnd.RELEASED, 4n],
      ]);
      for (let at = 0; at < limits.leaseTenuresKeptCount + 5; at += 1) {
        await expire("shown");
        await acquired(sql, "shown", `nd-${at}`);
      }
      const kept = await listTenures(sql, clusterId, "shown");
      expect(kept).toHaveLength(limits.leaseTenuresKeptCount);
      expect(kept[0]?.counter).toBe(3 + limits.leaseTenuresKeptCount + 5);
    });

    it("fences at once and once: nobody holds until somebody acquires, under a higher fence; it is audited", async () => {
      const name = "fenced";
      const first = await acquired(sql, name, entry.id);
      const { seq } = await auditHead(sql);
      expect(await admin().fenceLease({ clusterId, name })).toMatchObject({
        changed: true,
        lease: {
          state: LeaseState.FENCED,
          holderNodeId: "",
          fence: { counter: BigInt(first.counter + 1) },
          leftMs: 0n,
        },
      });
      expect(await admin().fenceLease({ clusterId, name })).toMatchObject({
        changed: false,
        lease: { state: LeaseState.FENCED, fence: { counter: BigInt(first.counter + 1) } },
      });
      expect(await renewLease(sql, holdOf(name, entry.id, first), ttlMs)).toBeUndefined();
      expect(await releaseLease(sql, holdOf(name, entry.id, first))).toBe(false);
      const next = await acquired(sql, name, entry.id);
      expect([next.counter, next.fresh]).toEqual([first.counter + 2, true]);
      const added = await listAudit(sql, { clusterId, afterSeq: seq, limit: 10 });
      expect(added.map(({ action, object, result }) => [action, object, result])).toEqual([
        ["lease.fenced", "lease/fenced", "ok"],
      ]);
      const { tenures } = await admin().getLease({ clusterId, name });
      expect(tenures.map(({ end, endedBy }) => [end, endedBy])).toEqual([
        [TenureEnd.UNSPECIFIED, ""],
        [TenureEnd.FENCED, cluster.operator.spiffe],
        [TenureEnd.FENCED, cluster.operator.spiffe],
      ]);
      expect((await newestFences(sql, clusterId, "fen")).get(name)).toMatchObject({ counter: first.counter + 1 });
    });

    it("LAW-F1 keeps one fence to one holder among many who fence and acquire at once", async () => {
      await acquired(sql, "melee", "nd-0");
      const given: string[] = [];
      await Promise.all(
        Array.from({ length: runs(60, 1_000) }, async (_, at) => {
          if (at % 3 === 0) {
            const fenced = await fenceLease(sql, { clusterId, name: "melee", by: `op-${at}` });
            if (fenced !== undefined) given.push(`${fenced.counter}`);
          } else {
            const row = await acquireLease(sql, claim("melee", `nd-${at}`), ttlMs);
            if (row !== undefined) given.push(`${row.counter}`);
          }
        }),
      );
      expect(given.length).toBeGreaterThan(1);
      expect(new Set(given).size).toBe(given.length);
    });

    it("answers operators about the cluster they name", async () => {
      await acquired(sql, "named", entry.id);
      const as = callAs(cluster.operator, (router) => router.service(LeaseService, leaseService(serviceDeps(cluster))));
      const get = (named: string) => rpcClient(LeaseService, as).get({ name: "named", clusterId: named });
      for (const named of ["", clusterId, "default"]) expect((await get(named)).lease?.holderNodeId).toBe(entry.id);
      await expect(get("elsewhere")).rejects.toMatchObject({ detail: "CLUSTER_NOT_FOUND" });
    });

    it("lists by page and prefix, and says what is not there", async () => {
      for (const name of ["list/a", "list/b", "other/c"]) await acquired(sql, name, entry.id);
      const { leases, nextAfterName } = await admin().listLeases({ clusterId, namePrefix: "list/" });
      expect(leases.map(({ name }) => name)).toEqual(["list/a", "list/b"]);
      expect(nextAfterName).toBe("");
      const after = await admin().listLeases({ clusterId, namePrefix: "list/", afterName: "list/a" });
      expect(after.leases.map(({ name }) => name)).toEqual(["list/b"]);
      for (const call of [
        admin().getLease({ clusterId, name: "never" }),
        admin().fenceLease({ clusterId, name: "never" }),
      ]) {
        await expect(call).rejects.toMatchObject({ detail: "LEASE_NOT_FOUND" });
      }
      await expect(admin().listLeases({ clusterId: "elsewhere" })).rejects.toMatchObject({
        detail: "CLUSTER_NOT_FOUND",
      });
    });
  });

  describe("of exclusive resources", () => {
    let organization: string;
    let elsewhere: string;
    let pool: string;
    let own: AddedNode;
    let egress: AddedNode;
    let resource: string;
    const leaseMs = 7_000;
    beforeAll(async () => {
      organization = await addOrganization(cluster, "org-x");
      elsewhere = await addOrganization(cluster, "org-y");
      own = await addNode(cluster, "entry-x", { roles: [`entry@${organization}`] });
      egress = await addNode(cluster, "egress-x", { roles: ["egress"] });
      pool = await createPool(cluster, organization, "pool-x", [egress.id]);
      resource = await addExclusive("plc");
    });
    async function addExclusive(name: string, exclusiveLeaseMs = leaseMs): Promise<string> {
      const fields = { name, poolId: pool, host: "127.0.0.1", port: 502, exclusiveLeaseMs: BigInt(exclusiveLeaseMs) };
      const request = create(AddResourceRequestSchema, { clusterId, organizationId: organization, ...fields });
      return (await placement(cluster).resources.addResource(request)).resource?.id ?? "";
    }
    const leases = (who: AddedNode) =>
      rpcClient(
        LeaseService,
        callAs(who.caller, (router) => void router.service(LeaseService, leaseService(serviceDeps(cluster)))),
      );

    it("M-W2 gives an entry of its organization the lease, for the resource's own time, with a contract that verifies", async () => {
      const asked = { name: `resource/${resource}`, bootId: "boot-1", ttlMs: 3_600_000n };
      const { lease, contract } = await leases(own).acquire(asked);
      expect(Number(lease?.ttlMs)).toBeLessThanOrEqual(leaseMs);
      if (contract === undefined) throw new Error("no contract");
      const expected = { installationSpki: cluster.installationSpki, clusterId, nowMs: Date.now() };
      const verdict = verifyContract(encodeContract(contract), expected);
      expect(verdict).toMatchObject({
        ok: true,
        contract: {
          kind: LeaseKind.EXCLUSIVE,
          resourceId: resource,
          organizationId: organization,
          holderNodeId: own.id,
          holderBootId: "boot-1",
          entryNodeId: own.id,
          fence: { epoch: lease?.fence?.epoch, counter: lease?.fence?.counter },
          notAfterMs: lease?.expiresAtMs,
        },
      });
      const { fence } = lease ?? {};
      const renewed = await leases(own).renew({ ...asked, ...(fence === undefined ? {} : { fence }) });
      expect(renewed.contract?.contract).not.toEqual(contract.contract);
      // Any entry of every organization may hold it too; not at the same time.
      await expect(leases(entry).acquire(asked)).rejects.toMatchObject({ detail: "LEASE_HELD", retry: "later" });
    });

    it("LAW-C3 has the same answer for what is not exclusive, not there, or not this entry's", async () => {
      const stranger = await addNode(cluster, "entry-y", { roles: [`entry@${elsewhere}`] });
      const shared = await addExclusive("shared", 0);
      const unknown = { reason: "not_found", detail: "LEASE_NOT_FOUND" };
      for (const [who, name] of [
        [stranger, resource],
        [egress, resource],
        [own, shared],
        [own, "plc"],
        [own, "rs-nothing"],
        [own, ""],
      ] as const) {
        const asked = { name: `resource/${name}`, bootId: "b", ttlMs: 10_000n };
        await expect(leases(who).acquire(asked), `${who.id} ${name}`).rejects.toMatchObject(unknown);
      }
    });

    it("names every way of asking for a wrong one", async () => {
      for (const wrong of [1, limits.exclusiveLeaseMinMs - 1, limits.exclusiveLeaseMaxMs + 1]) {
        await expect(addExclusive("wrong", wrong)).rejects.toMatchObject({ metadata: { field: "exclusive_lease_ms" } });
      }
    });

    it("brings an operator's fence to the egress in its snapshot, and says there and at entries that it is exclusive", async () => {
      const seen = async (who: AddedNode): Promise<Snapshot> => {
        const { envelope } = await cluster.snapshots.build(clusterId, who.id);
        return fromBinary(SnapshotSchema, envelope.payload);
      };
      const target = async () => (await seen(egress)).resourceTargets.find((row) => row.resourceId === resource);
      const before = await target();
      expect([before?.exclusiveLeaseMs, before?.leastFence]).toEqual([BigInt(leaseMs), undefined]);
      const route = (await seen(own)).resourceRoutes.find((row) => row.resourceId === resource);
      expect(route?.exclusiveLeaseMs).toBe(BigInt(leaseMs));
      const { lease } = await admin().fenceLease({ clusterId, name: `resource/${resource}` });
      expect((await target())?.leastFence).toMatchObject({ counter: lease?.fence?.counter });
    });

    it("builds nothing from a resource that a writer of the database made shareable", async () => {
      await sql.query("update resource set exclusive_lease_ms = 0 where id = $1", [resource]);
      const asked = { name: `resource/${resource}`, bootId: "b", ttlMs: 10_000n };
      await expect(leases(own).acquire(asked)).rejects.toMatchObject({ detail: "TRUST_ROW_UNAUTHENTIC" });
      await sql.query("update resource set exclusive_lease_ms = $2 where id = $1", [resource, leaseMs]);
    });
  });
});
