/**
 * REVIEW-16: whoever writes the database as its superuser gains nothing by it, and people hear of it. Every kind of trust row
 * is altered, inserted or swapped; nothing is issued and nothing signed from it, one alert opens and one record is written,
 * however often the row is read.
 */

import { describe, expect, it } from "vitest";
import { readCertificate } from "../../certs/certificate.ts";
import { makeCsr } from "../../certs/csr.ts";
import { generateP256 } from "../../certs/keys.ts";
import {
  createWorld,
  enrollRequest,
  freshHost,
  joinNode,
  Replica,
  strangerOf,
  type World,
} from "../../conformance/stores/plane.ts";
import { feedSource } from "../../control/domain/feed.ts";
import { snapshotSource } from "../../control/domain/snapshot.ts";
import { createTrustAlarm, trustRowName } from "../../control/domain/trust-alarm.ts";
import { listAudit } from "../../control/store/audit.ts";
import { addRevocation } from "../../control/store/revocations.ts";
import { verifyTrustRows } from "../../control/store/verify.ts";
import { IdentityKind } from "../../gen/weft/admin/v1/identity_pb.ts";
import { silentLog } from "../../lib/log.ts";
import { describeStores } from "./stores.ts";

interface Stage extends World {
  /** The text of a token with many uses left. */
  readonly token: string;
  readonly node: Awaited<ReturnType<typeof joinNode>>;
}

/** A replica without caches, as one that has just started: nothing it does rests on what it read before. */
const fresh = ({ sql, sealingKey }: World) => new Replica(sql, sealingKey);

const signedSnapshot = (stage: Stage, replica: Replica) =>
  snapshotSource(replica.deps).build(stage.clusterId, stage.node.identity.nodeId);
const signedFeed = (stage: Stage, replica: Replica) => feedSource(replica.deps).current(stage.clusterId);
const renewed = async (stage: Stage, replica: Replica) =>
  replica.as(stage.node.caller).enrollment.renew({ csr: await makeCsr(generateP256()) });
const addedOperator = async (stage: Stage, replica: Replica) =>
  replica
    .as(stage.operatorCaller)
    .identities.addIdentity({ kind: IdentityKind.OPERATOR, name: "eve", csr: await makeCsr(generateP256()) });

async function judged(stage: Stage, replica: Replica, of: "node" | "operator") {
  const der = of === "node" ? stage.node.identity.certificateDer : stage.init.certificateDer;
  const facts = readCertificate(der);
  if (typeof facts === "string") throw new Error(facts);
  const ca = await replica.deps.authority.ca(stage.sql, stage.clusterId, of);
  const verdict = await replica.deps.allowlist.judge(ca.root.keyId, facts.serialHex);
  if (!verdict.allowed) throw Object.assign(new Error("refused"), { reason: "data_loss", detail: verdict.detail });
}

const enrolled = async (stage: Stage, replica: Replica) =>
  replica.as(strangerOf(stage.clusterId)).enrollment.enroll(enrollRequest(stage.token, await freshHost()));

type Use = (stage: Stage, replica: Replica) => Promise<unknown>;

/** What a superuser writes, and what would act on it. Tables are restored afterwards. */
const attacks: readonly {
  readonly name: string;
  readonly table: string;
  readonly write: string;
  readonly uses: readonly Use[];
}[] = [
  {
    name: "an operator's identity, brought back or altered",
    table: "identity",
    write: "update identity set created_by = 'x' where kind = 'operator'",
    uses: [(stage, replica) => judged(stage, replica, "operator")],
  },
  {
    name: "an operator's identity, with another key",
    table: "identity",
    write: "update identity set key_hash = repeat('ab', 32) where kind = 'operator'",
    uses: [(stage, replica) => judged(stage, replica, "operator")],
  },
  {
    name: "a client's identity, inserted",
    table: "identity",
    write: `insert into identity (id, kind, scope, name, key_hash, created_by, mac)
      select 'ct-eve', 'client', (select id from cluster), 'eve', repeat('cd', 32), 'x', mac from identity limit 1`,
    uses: [signedSnapshot],
  },
  {
    name: "a root, altered",
    table: "authority",
    write: "update authority set not_after_ms = not_after_ms + 1 where kind = 'node'",
    uses: [renewed, signedSnapshot, (stage, replica) => replica.deps.authority.bundle(stage.clusterId)],
  },
  {
    name: "a root, inserted beside the real one",
    table: "authority",
    write: `insert into authority (scope, kind, generation, status, key_id, certificate_der, sealed_key, not_before_ms, not_after_ms, mac)
      select scope, kind, 2, 'next', repeat('ef', 32), certificate_der, sealed_key, not_before_ms, not_after_ms, mac
      from authority where kind = 'node'`,
    uses: [signedSnapshot, (stage, replica) => replica.deps.authority.bundle(stage.clusterId)],
  },
  {
    name: "two roots, swapped",
    table: "authority",
    write: `update authority a set certificate_der = b.certificate_der, sealed_key = b.sealed_key from authority b
      where (a.kind, b.kind) in (('node', 'client'), ('client', 'node')) and a.scope = b.scope`,
    uses: [renewed, signedSnapshot],
  },
  {
    name: "the operator root, altered",
    table: "authority",
    write: "update authority set not_before_ms = not_before_ms - 1 where kind = 'operator'",
    uses: [addedOperator, signedSnapshot],
  },
  {
    name: "a signing key, altered",
    table: "signing_key",
    write: "update signing_key set not_after_ms = not_after_ms + 1",
    uses: [signedSnapshot, signedFeed],
  },
  {
    name: "two signing keys, swapped",
    table: "signing_key",
    write: `update signing_key a set public_key_spki = b.public_key_spki, sealed_key = b.sealed_key, statement = b.statement
      from signing_key b where (a.purpose, b.purpose) in (('feed', 'snapshot'), ('snapshot', 'feed'))
        and a.cluster_id = b.cluster_id`,
    uses: [signedSnapshot, signedFeed],
  },
  {
    name: "an approval: another key",
    table: "node",
    write: "update node set key_hash = repeat('ab', 32)",
    uses: [renewed, signedSnapshot, (stage, replica) => judged(stage, replica, "node")],
  },
  {
    name: "an approval: another address",
    table: "node",
    write: `update node set addresses = '[{"host": "203.0.113.9", "port": 4433}]'`,
    uses: [renewed, signedSnapshot],
  },
  {
    name: "an approval: a node inserted",
    table: "node",
    write: `insert into node (id, cluster_id, name, key_hash, link_label, mac)
      select 'nd-eve', cluster_id, 'eve', repeat('ab', 32), 'link-eve', mac from node limit 1`,
    uses: [signedSnapshot],
  },
  {
    name: "a membership, altered",
    table: "membership",
    write: "update membership set status = 'disabled'",
    uses: [signedSnapshot, (stage, replica) => judged(stage, replica, "node")],
  },
  {
    name: "a role, granted",
    table: "role_assignment",
    write: `insert into role_assignment (cluster_id, node_id, role, assigned_by, mac)
      select cluster_id, node_id, 'egress', assigned_by, mac from role_assignment`,
    uses: [signedSnapshot, (stage, replica) => judged(stage, replica, "node")],
  },
  {
    name: "a role, for another organization",
    table: "role_assignment",
    write: "update role_assignment set organization_id = 'org-eve'",
    uses: [signedSnapshot],
  },
  {
    name: "a certificate, for longer",
    table: "certificate",
    write: "update certificate set not_after_ms = not_after_ms + 1000000 where subject_kind = 'node'",
    uses: [renewed, (stage, replica) => judged(stage, replica, "node")],
  },
  {
    name: "a certificate, for somebody else",
    table: "certificate",
    write: `update certificate set subject_kind = 'operator', subject_id = 'op-eve', holder_id = 'op-eve', scope = 'installation'
      where subject_id = (select id from node where name = 'relay-1')`,
    uses: [(stage, replica) => judged(stage, replica, "node")],
  },
  {
    name: "two certificates, swapped",
    table: "certificate",
    write: `update certificate a set subject_kind = b.subject_kind, subject_id = b.subject_id, holder_id = b.holder_id,
        scope = b.scope, status = 'superseded'
      from certificate b where (a.subject_kind, b.subject_kind) in (('node', 'operator'), ('operator', 'node'))`,
    uses: [(stage, replica) => judged(stage, replica, "node"), (stage, replica) => judged(stage, replica, "operator")],
  },
  {
    name: "a revocation, of somebody else",
    table: "revocation",
    write: "update revocation set spiffe_id = 'spiffe://x/cluster/y/node/z', not_after_ms = 1",
    uses: [signedFeed],
  },
  {
    name: "a revocation, inserted",
    table: "revocation",
    write: `insert into revocation (cluster_id, feed_epoch, feed_seq, spiffe_id, revoked_by, not_after_ms, mac)
      select cluster_id, feed_epoch, feed_seq, 'spiffe://x/cluster/y/node/z', 'x', not_after_ms, mac from revocation limit 1`,
    uses: [signedFeed],
  },
  {
    name: "a token, made to approve by itself",
    table: "join_token",
    write: "update join_token set auto_approve = true, mac = decode(repeat('ab', 32), 'hex')",
    uses: [enrolled],
  },
  {
    name: "the installation, another epoch",
    table: "installation",
    write: "update installation set epoch = epoch + 1",
    uses: [renewed, signedSnapshot],
  },
];

interface OpenAlert {
  readonly object: string;
  readonly closed: boolean;
  readonly times: number;
}

async function alertsOf({ sql }: World): Promise<readonly OpenAlert[]> {
  return await sql.query<OpenAlert>(
    `select object, closed_at_ms is not null as closed, times_opened as times from alert
     where kind = 'trust-row-forged' and cluster_id = '' order by object`,
  );
}

async function recordsOf({ sql }: World, action: string): Promise<readonly string[]> {
  const all = await listAudit(sql, { clusterId: "", afterSeq: 1, limit: 500 });
  return all.filter((row) => row.action === action).map((row) => row.object);
}

/** What issuing leaves behind. */
async function issued({ sql }: World): Promise<unknown> {
  return await sql.query(
    "select (select count(*) from certificate) as leaves, (select count(*) from identity) as identities",
  );
}

async function createStage(world: World): Promise<Stage> {
  const { text } = await world.operator.tokens.createToken({ clusterId: world.clusterId, maxUses: 50 });
  const stage = { ...world, node: await joinNode(world, "relay-1"), token: text };
  const gone = await joinNode(world, "relay-2");
  await world.sql.tx(async (tx) => {
    const about = { clusterId: world.clusterId, reason: "x", revokedBy: "x", notAfterMs: Date.now() + 1e9 };
    await addRevocation(tx, world.replica.deps, { ...about, spiffeId: gone.spiffe });
  });
  return stage;
}

/** Uses what was written, twice and by two replicas; returns the objects of the alerts. */
async function use(stage: Stage, { name, uses }: (typeof attacks)[number]): Promise<readonly string[]> {
  const before = await issued(stage);
  for (const replica of [fresh(stage), fresh(stage)]) {
    for (const act of [...uses, ...uses]) {
      await expect(act(stage, replica), name).rejects.toMatchObject({ reason: "data_loss" });
    }
    await replica.alarm.settled();
  }
  expect(await issued(stage), name).toEqual(before);
  const alerts = await alertsOf(stage);
  for (const alert of alerts) expect(alert, name).toMatchObject({ closed: false, times: 1 });
  return alerts.map(({ object }) => object);
}

describeStores("REVIEW-16 trust rows edited by a superuser", (store) => {
  it(`nothing is issued, nothing is signed, and it is told once: ${attacks.length} ways`, async () => {
    const stage = await createStage(await createWorld(await store.migrated()));
    for (const attack of attacks) {
      const told = (await recordsOf(stage, "trust.forged")).length;
      await stage.sql.script(`create table kept as select * from ${attack.table}; ${attack.write}`);
      const objects = await use(stage, attack);
      expect(objects.length, attack.name).toBeGreaterThan(0);
      for (const object of objects) expect(object.split("/")[0], attack.name).toBe(attack.table);
      expect((await recordsOf(stage, "trust.forged")).slice(told).sort(), attack.name).toEqual(objects);
      // Back as it was, past the references between tables: a superuser is not held by them either.
      await stage.sql.tx(async (tx) => {
        await tx.query("set local session_replication_role = replica");
        await tx.query(`delete from ${attack.table}`);
        await tx.query(`insert into ${attack.table} overriding system value select * from kept`);
        await tx.query("drop table kept");
        await tx.query("delete from alert");
      });
    }
    // With everything back, everything works.
    const replica = fresh(stage);
    for (const act of new Set(attacks.flatMap(({ uses }) => uses))) await act(stage, replica);
    await replica.alarm.settled();
    expect(await alertsOf(stage)).toEqual([]);
  });

  it("finds a forged row that nobody reads, and closes the alert when the row is right again or gone", async () => {
    const stage = await createStage(await createWorld(await store.migrated()));
    const { sql, replica } = stage;
    const sweep = (of: Replica) => of.alarm.sweep(() => verifyTrustRows(sql, of.deps.seal));
    await sweep(replica);
    expect(await alertsOf(stage)).toEqual([]);
    await sql.script(`insert into role_assignment (cluster_id, node_id, role, assigned_by, mac)
        select cluster_id, node_id, 'egress', assigned_by, mac from role_assignment limit 1;
      update membership set mac = decode(repeat('00', 32), 'hex') where node_id = '${stage.node.identity.nodeId}'`);
    const seen = async () => (await alertsOf(stage)).map(({ object, closed }) => [object.split("/")[0], closed]);
    await sweep(replica);
    expect(await seen()).toEqual([
      ["membership", false],
      ["role_assignment", false],
    ]);
    await sql.script("delete from role_assignment where role = 'egress'");
    // Whoever has just started knows nothing of what was told before.
    await sweep(fresh(stage));
    expect(await seen()).toEqual([
      ["membership", false],
      ["role_assignment", true],
    ]);
    const mac = replica.deps.seal.mac("membership", [stage.clusterId, stage.node.identity.nodeId, "active"]);
    await sql.query("update membership set mac = $1 where node_id = $2", [mac, stage.node.identity.nodeId]);
    await sweep(fresh(stage));
    expect((await alertsOf(stage)).every(({ closed }) => closed)).toBe(true);
    expect(await recordsOf(stage, "trust.righted")).toHaveLength(2);
  });
});

describe("the name of a trust row", () => {
  it("is its table and key, and never a text that somebody chose", () => {
    expect(trustRowName("node", ["nd-1", "cl-1", "name"])).toBe("node/nd-1");
    expect(trustRowName("authority", ["cl-1", "node", 1, "active"])).toBe("authority/cl-1/node/1");
    expect(trustRowName("installation", ["evil.internal", 1])).toBe("installation");
    for (const key of ["\u001b[2J", "a b", "x".repeat(300), "<script>"])
      expect(trustRowName("node", [key])).toMatch(/^node\/sha256:[0-9a-f]{32}$/);
  });

  it("is told at most a bounded number of times, and a store that cannot be written loses nothing but the telling", async () => {
    const failing = { driver: "pglite", tx: () => Promise.reject(new Error("no store")) } as never;
    const alarm = createTrustAlarm({ sql: failing, log: silentLog });
    const seal = alarm.guard({ verify: () => false } as never);
    for (let at = 0; at < 3; at += 1) expect(seal.verify("node", [`nd-${at}`], new Uint8Array(32))).toBe(false);
    await alarm.settled();
  });
});
