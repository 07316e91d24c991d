import { beforeEach, describe, expect, it } from "vitest";
import { createWorld, joinNode, Replica, type World } from "../../conformance/stores/plane.ts";
import { watchWitnesses } from "../../control/domain/witness-watch.ts";
import { appendAudits, listAudit, verifyAudit } from "../../control/store/audit.ts";
import { openPostgres } from "../../control/store/pg.ts";
import { ChainWalk } from "../../fabric/audit/chain.ts";
import type { AuditChain, AuditWitness } from "../../gen/weft/admin/v1/audit_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { silentLog } from "../../lib/log.ts";
import { sharedPostgres } from "../harness/shared-stores.ts";
import { describeStores } from "./stores.ts";

async function headSeq(world: World): Promise<number> {
  const verdict = await verifyAudit(world.sql);
  if (!verdict.ok) throw new Error(verdict.why);
  return verdict.seq;
}

/** A beat as node `nodeId` would report the record `seq` (as it is now, or as it should have been). */
async function witness(world: World, nodeId: string, seq: number, hash?: Uint8Array, epoch = 1): Promise<void> {
  await world.sql.query(
    `insert into beat_latest (node_id, cluster_id, boot_id, seq, sent_at_ms, received_at_ms, load, draining,
       snapshot_epoch, snapshot_version, feed_epoch, feed_seq, audit_seq, audit_hash)
     values ($1, $2, 'b', 1, 0, 7, 0, false, $5, 1, 1, 0, $3, coalesce($4, (select hash from audit where seq = $3)))
     on conflict (node_id) do update set audit_seq = excluded.audit_seq, audit_hash = excluded.audit_hash,
       snapshot_epoch = excluded.snapshot_epoch`,
    [nodeId, world.clusterId, seq, hash ?? null, epoch],
  );
}

async function alertsOf({ sql }: World): Promise<readonly string[]> {
  const rows = await sql.query<{ kind: string; object: string; open: boolean }>(
    "select kind, object, closed_at_ms is null as open from alert where kind like 'audit-%' order by kind, object",
  );
  return rows.map(({ kind, object, open }) => `${kind} ${object} ${open ? "open" : "closed"}`);
}

async function contradictions({ sql }: World): Promise<number> {
  const all = await listAudit(sql, { clusterId: "", afterSeq: 1, limit: 500 });
  return all.filter(({ action }) => action === "audit.contradicted").length;
}

describeStores("M-A9 the audit chain", (store) => {
  let world: World;
  beforeEach(async () => {
    world = await createWorld(await store.migrated());
  });

  it("has every change, in order, without gaps, and names any altered, missing or cut record", async () => {
    await joinNode(world, "relay-1");
    expect(await verifyAudit(world.sql)).toMatchObject({ ok: true });
    const records = await listAudit(world.sql, { clusterId: world.clusterId, afterSeq: 0, limit: 100 });
    const actions = records.map((each) => each.action);
    for (const action of [
      "cluster.created",
      "token.created",
      "request.received",
      "role.assigned",
      "certificate.issued",
      "request.approved",
    ]) {
      expect(actions).toContain(action);
    }
    const head = await headSeq(world);
    const attacks: [string, string, number][] = [
      ["update audit set actor = 'nobody' where seq = 3", "AUDIT_ALTERED", 3],
      ["delete from audit where seq = 4", "AUDIT_MISSING", 4],
      ["delete from audit where seq = (select max(seq) from audit)", "AUDIT_CUT", head],
      ["update audit set prev_hash = hash where seq = 2", "AUDIT_ALTERED", 2],
      ["update audit_head set seq = seq - 2", "AUDIT_FORKED", head - 1],
    ];
    for (const [statement, code, seq] of attacks) {
      await world.sql.script(
        `create table kept as select * from audit; create table kept_head as select * from audit_head; ${statement}`,
      );
      expect(await verifyAudit(world.sql)).toMatchObject({ ok: false, code, seq });
      await world.sql.script(`delete from audit; insert into audit select * from kept; drop table kept;
        delete from audit_head; insert into audit_head select * from kept_head; drop table kept_head`);
    }
    expect(await verifyAudit(world.sql)).toMatchObject({ ok: true });
  });

  it("THR-U2 makes no change whose record cannot be written", async () => {
    await world.sql.script("alter table audit add constraint full_disk check (action <> 'organization.created')");
    const created = world.operator.organizations.createOrganization({ clusterId: world.clusterId, name: "acme" });
    await expect(created).rejects.toMatchObject({ reason: "unavailable", detail: "AUDIT_UNWRITABLE" });
    const { organizations } = await world.operator.organizations.listOrganizations({ clusterId: world.clusterId });
    expect(organizations).toEqual([]);
  });

  it("THR-U3 has no gap and no fork after many writers at once", async () => {
    const before = await headSeq(world);
    const names = Array.from({ length: 30 }, (_, at) => `org-${at}`);
    await Promise.all(
      names.map((name) => world.operator.organizations.createOrganization({ clusterId: world.clusterId, name })),
    );
    expect(await verifyAudit(world.sql)).toEqual({ ok: true, seq: before + names.length });
  });

  it("hashes what it stores as everybody else does, whatever is in it", async () => {
    const texts = ["", "\u{1F511} \u00fc \u202e", '{"a":"\\u0000"}', 'a\'b\\c{d},"e"', "null", "x".repeat(5_000)];
    const entries = texts.map((text, at) => ({
      ...{ actor: `system${text}`, action: text, object: text, clusterId: text, organizationId: text },
      ...{ before: { text, at }, after: [text] },
    }));
    const before = await headSeq(world);
    const head = await world.sql.tx((tx) => appendAudits(tx, entries));
    expect(head.seq).toBe(before + texts.length);
    const added = await listAudit(world.sql, { clusterId: "", afterSeq: before, limit: 100 });
    expect(added.map(({ actor }) => actor)).toEqual(texts.map((text) => `system${text}`));
    expect(await headSeq(world)).toBe(head.seq);
  });

  it("keeps nothing that a refused request chose the size of, and nothing a terminal obeys", async () => {
    const requestId = `x\u001b[2J\u202e\u0000${"y".repeat(20_000)}`;
    const rejected = world.operator.requests.rejectRequest({ clusterId: world.clusterId, requestId, reason: "no" });
    await expect(rejected).rejects.toBeInstanceOf(WeftError);
    const shown = world.operator.requests.rejectRequest({
      clusterId: world.clusterId,
      requestId: `${"z".repeat(9_999)}`,
    });
    await expect(shown).rejects.toMatchObject({ reason: "not_found" });
    const [last] = await listAudit(world.sql, { clusterId: "", afterSeq: (await headSeq(world)) - 1, limit: 1 });
    expect(last).toMatchObject({ action: "request.rejected", result: "refused:REQUEST_NOT_FOUND" });
    expect(last?.object).toMatch(/^request\/z{200,300}$/);
  });

  it("pages oldest first, the newest page without a start", async () => {
    const newest = await world.operator.audit.listAudit({ limit: 2 });
    const head = await headSeq(world);
    expect(newest.records.map((each) => Number(each.seq))).toEqual([head - 1, head]);
    const first = await world.operator.audit.listAudit({ afterSeq: 1n, limit: 1 });
    expect(first.records.map((each) => Number(each.seq))).toEqual([2]);
  });

  async function exported(request: { afterSeq?: bigint; untilSeq?: bigint } = {}) {
    const seqs: number[] = [];
    const witnesses: AuditWitness[] = [];
    let chain: AuditChain | undefined;
    for await (const { part } of world.operator.audit.exportAudit(request)) {
      if (part.case === "chain") chain = part.value;
      if (part.case === "records") seqs.push(...part.value.records.map(({ seq }) => Number(seq)));
      if (part.case === "witnesses") witnesses.push(...part.value.witnesses);
    }
    if (chain === undefined) throw new Error("an export begins with the chain");
    return { chain, seqs, witnesses };
  }

  it("is exported whole or from any record on, up to the head it had when the export began", async () => {
    for (let at = 0; at < 12; at += 1)
      await world.operator.organizations.createOrganization({ clusterId: world.clusterId, name: `org-${at}` });
    const head = await headSeq(world);
    const whole = await exported();
    expect(whole.seqs).toEqual(Array.from({ length: head }, (_, at) => at + 1));
    expect(whole.chain).toMatchObject({ headSeq: BigInt(head), trustDomain: world.init.trustDomain, epoch: 1n });
    expect(Buffer.from(whole.chain.installation).toString("hex")).toBe(world.init.installationKeyHash);
    expect((await exported({ afterSeq: 5n, untilSeq: 8n })).seqs).toEqual([6, 7, 8]);
    expect((await exported({ afterSeq: BigInt(head) })).seqs).toEqual([]);
    await expect(exported({ afterSeq: BigInt(head + 1) })).rejects.toMatchObject({ reason: "not_found" });
    const walk = new ChainWalk({ seq: 5, hash: (await exported({ afterSeq: 5n })).chain.beforeHash });
    const rest = await listAudit(world.sql, { clusterId: "", afterSeq: 5, limit: 500 });
    for (const record of rest) walk.take(record);
    expect(walk.finish()).toBeUndefined();
  });

  it("tells who witnessed which head", async () => {
    const { identity } = await joinNode(world, "relay-1");
    const head = await headSeq(world);
    await world.sql.query(
      `insert into beat_latest (node_id, cluster_id, boot_id, seq, sent_at_ms, received_at_ms, load, draining,
         snapshot_epoch, snapshot_version, feed_epoch, feed_seq, audit_seq, audit_hash)
       select $1, $2, 'b', 1, 0, 7, 0, false, 1, 1, 1, 0, seq, hash from audit where seq = $3`,
      [identity.nodeId, world.clusterId, head],
    );
    const { witnesses } = await exported();
    expect(witnesses).toMatchObject([{ nodeId: identity.nodeId, nodeName: "relay-1", epoch: 1n, seq: BigInt(head) }]);
  });

  it("REVIEW-16 says nothing of witnesses that are on the chain, names who contradicts it, once, and is quiet when it no longer does", async () => {
    const [one, two, three] = [
      (await joinNode(world, "relay-1")).identity.nodeId,
      (await joinNode(world, "relay-2")).identity.nodeId,
      (await joinNode(world, "relay-3")).identity.nodeId,
    ];
    const verdict = await verifyAudit(world.sql);
    const head = verdict.ok ? verdict.seq : 0;
    await witness(world, one, head);
    await witness(world, two, head - 1);
    await witness(world, three, 4);
    expect(await watchWitnesses(world.sql)).toBe(0);
    expect(await alertsOf(world)).toEqual([]);

    // The tail is cut, and the chain ends at its head again: consistent in itself.
    await world.sql.script(`delete from audit where seq > ${head - 1};
      update audit_head set seq = ${head - 1}, hash = (select hash from audit where seq = ${head - 1})`);
    expect(await verifyAudit(world.sql)).toMatchObject({ ok: true });
    expect(await watchWitnesses(world.sql)).toBe(1);
    expect(await alertsOf(world)).toEqual([`audit-cut node/${one} open`]);
    expect(await contradictions(world)).toBe(1);
    // Its record took the number of the one that was cut; another look finds a fork, and tells of that.
    expect(await watchWitnesses(world.sql)).toBe(1);
    expect(await alertsOf(world)).toEqual([`audit-cut node/${one} closed`, `audit-forked node/${one} open`]);
    const after = await contradictions(world);
    for (let look = 0; look < 3; look += 1) expect(await watchWitnesses(world.sql)).toBe(1);
    expect(await contradictions(world)).toBe(after);

    // After a restore the same report is a gap; with the next snapshot the node follows.
    await world.sql.query("update installation set epoch = 2");
    await watchWitnesses(world.sql);
    expect(await alertsOf(world)).toContain(`audit-gap node/${one} open`);
    await witness(world, one, head - 2, undefined, 2);
    expect(await watchWitnesses(world.sql)).toBe(0);
    expect((await alertsOf(world)).filter((line) => line.endsWith("open"))).toEqual([]);
  });
});

describe("THR-U2 a head that somebody holds", () => {
  it("is waited for no longer than a statement may take, and nothing is changed then", async () => {
    const server = await sharedPostgres();
    const url = await server.migrated();
    const sql = openPostgres({ url, log: silentLog });
    const impatient = openPostgres({ url, log: silentLog, statementTimeoutMs: 300 });
    try {
      const world = await createWorld(sql);
      const before = await headSeq(world);
      const operator = new Replica(impatient, world.sealingKey).as(world.operatorCaller);
      const create = () => operator.organizations.createOrganization({ clusterId: world.clusterId, name: "acme" });
      await sql.tx(async (tx) => {
        await tx.query("select seq from audit_head for update");
        await expect(create()).rejects.toMatchObject({ reason: "unavailable", detail: "STORE_BUSY" });
      });
      expect(await headSeq(world)).toBe(before);
      expect(await sql.query("select 1 from organization")).toEqual([]);
      await create();
    } finally {
      await impatient.close();
      await sql.close();
      await server.stop();
    }
  });
});
