/** REVIEW-16: what nodes witnessed of the audit chain is held against it, and whoever it contradicts is told of once. */

import { expect, it } from "vitest";
import { watchWitnesses } from "../../control/domain/witness-watch.ts";
import { listAudit, verifyAudit } from "../../control/store/audit.ts";
import { createWorld, joinNode, type World } from "./control-world.ts";
import { describeStores } from "./stores.ts";

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

describeStores("REVIEW-16 witnesses of the audit chain", (store) => {
  it("says nothing of what is on the chain, names who contradicts it, once, and is quiet when it no longer does", async () => {
    const world = await createWorld(await store.empty());
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
