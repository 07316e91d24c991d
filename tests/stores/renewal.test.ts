import { beforeEach, expect, it } from "vitest";
import { readCertificate } from "../../certs/certificate.ts";
import { type KeyPair, signEs256 } from "../../certs/keys.ts";
import {
  createWorld,
  freshHost,
  joinNode,
  Replica,
  signedPoll,
  strangerOf,
  type World,
} from "../../conformance/stores/plane.ts";
import { issueAndRecord } from "../../control/domain/issue.ts";
import { CERTIFICATES_TOPIC } from "../../control/hints/hints.ts";
import { listAlerts, openAlert } from "../../control/store/alerts.ts";
import { revokeCertificates } from "../../control/store/certificates.ts";
import { insertIdentity, markIdentityRevoked } from "../../control/store/identities.ts";
import { noteReuse, quietReuses, sweepReuses } from "../../control/store/leaf-reuse.ts";
import { markNodeRevoked } from "../../control/store/nodes.ts";
import { insertPool, insertPoolNode } from "../../control/store/pools.ts";
import { feedMarks, listRevocations } from "../../control/store/revocations.ts";
import { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { type Clock, systemClock } from "../../lib/clock.ts";
import { limits } from "../../lib/limits.ts";
import { describeStores } from "./stores.ts";

const hourMs = 3_600_000;

function facts(der: Uint8Array) {
  const read = readCertificate(der);
  if (typeof read === "string") throw new Error(read);
  return read;
}

function laterClock(byMs: number): Clock {
  return { ...systemClock, nowMs: () => systemClock.nowMs() + byMs };
}

function recovery(der: Uint8Array, keys: KeyPair, csr: Uint8Array, issuedAtMs: number) {
  const data = Buffer.concat([Buffer.from("weft/recover/v1\0"), csr, Buffer.from(String(issuedAtMs))]);
  return {
    expiredCertificateDer: der,
    csr,
    issuedAtMs: BigInt(issuedAtMs),
    signature: signEs256(keys.privateKey, data),
  };
}

describeStores("M-A4 renewal and recovery", (store) => {
  let world: World;
  beforeEach(async () => {
    world = await createWorld(await store.migrated());
  });

  const judge = async (serial: string) => {
    const { authority, allowlist } = world.replica.deps;
    return await allowlist.judge((await authority.ca(world.sql, world.clusterId, "node")).root.keyId, serial);
  };

  it("LAW-I4 the renewed leaf takes over at first use; the one before it then does nothing", async () => {
    const joined = await joinNode(world, "relay-1");
    const next = await freshHost();
    const { identity } = await joined.node.enrollment.renew({ csr: next.csr });
    const [oldSerial, newSerial] = [
      facts(joined.identity.certificateDer).serialHex,
      facts(identity?.certificateDer ?? new Uint8Array()).serialHex,
    ];
    expect(newSerial).not.toBe(oldSerial);
    expect(await judge(oldSerial)).toMatchObject({ allowed: true });
    // A lost answer: the same key asks again and gets the same leaf, and the old one still acts.
    const again = await joined.node.enrollment.renew({ csr: next.csr });
    expect(again.identity?.certificateDer).toEqual(identity?.certificateDer);
    expect(await judge(newSerial)).toMatchObject({ allowed: true });
    expect(await judge(oldSerial)).toEqual({ allowed: false, detail: "CERTIFICATE_SUPERSEDED" });
    const [node] = await world.sql.query<{ key_hash: string }>("select key_hash from node");
    expect(node?.key_hash).toBe(next.keys.keyHash);
  });

  it("LAW-I4 a leaf that takes another's place has everybody judged again; a first one takes nothing from anybody", async () => {
    let told = 0;
    const { hints } = world.replica.deps;
    const unsubscribe = hints.subscribe(CERTIFICATES_TOPIC, () => {
      told += 1;
    });
    const joined = await joinNode(world, "relay-1");
    expect(told).toBe(0);
    const { identity } = await joined.node.enrollment.renew({ csr: (await freshHost()).csr });
    await judge(facts(identity?.certificateDer ?? new Uint8Array()).serialHex);
    expect(told).toBeGreaterThan(0);
    unsubscribe();
  });

  it("a leaf used after another took its place raises an alarm that names both, once a place, and closes when it is over", async () => {
    const joined = await joinNode(world, "relay-1");
    const { allowlist, authority } = world.replica.deps;
    const issuerKeyId = (await authority.ca(world.sql, world.clusterId, "node")).root.keyId;
    const serial = facts(joined.identity.certificateDer).serialHex;
    const { identity } = await joined.node.enrollment.renew({ csr: (await freshHost()).csr });
    const next = facts(identity?.certificateDer ?? new Uint8Array()).serialHex;
    const old = { issuerKeyId, serial };
    expect(await allowlist.judge(issuerKeyId, next, "10.0.0.1")).toMatchObject({ allowed: true });
    const object = `node/${joined.identity.nodeId}`;
    const alerts = () => listAlerts(world.sql, world.clusterId, { all: false, limit: 10 });
    // Its rightful host may have been dialling when the other was first used.
    expect(await allowlist.clones.look(old, "10.0.0.2")).toBe(false);
    await world.sql.query("update certificate set superseded_at_ms = superseded_at_ms - $1 where serial = $2", [
      limits.leafReuseGraceMs,
      serial,
    ]);
    for (const source of ["10.0.0.2", "10.0.0.2", "10.0.0.3"])
      expect(await allowlist.clones.look(old, source)).toBe(true);
    // What acts is no reuse.
    expect(await allowlist.clones.look({ issuerKeyId, serial: next }, "10.0.0.2")).toBe(false);
    const [alert, ...more] = await alerts();
    expect(more).toEqual([]);
    expect(alert).toMatchObject({ kind: "identity-cloned", object });
    for (const said of [serial.slice(0, 12), next.slice(0, 12), "10.0.0.1", "10.0.0.3"])
      expect(alert?.detail).toContain(said);
    const records = await world.sql.query<{ before: string; after: string }>(
      "select before_json as before, after_json as after from audit where action = 'identity.cloned' order by seq",
    );
    const used = (json: string) => (JSON.parse(json) as { readonly usedFrom: string }).usedFrom;
    expect(records.map(({ before, after }) => [used(before), used(after)])).toEqual([
      ["10.0.0.2", "10.0.0.1"],
      ["10.0.0.3", "10.0.0.1"],
    ]);
    // Nodes know of no renewals: what was reused, and nothing else, is in the feed.
    const feed = await listRevocations(world.sql, world.replica.deps.seal, world.clusterId);
    expect(feed).toMatchObject([{ issuerKeyId, serial, keyHash: "", spiffeId: joined.spiffe }]);
    // Once, however many places it is used from; and with the next use, should the feed not have taken it.
    const stood = await feedMarks(world.sql, world.clusterId);
    expect(await allowlist.clones.look(old, "10.0.0.4")).toBe(true);
    expect(await feedMarks(world.sql, world.clusterId)).toEqual(stood);
    await world.sql.query("delete from revocation");
    expect(await allowlist.clones.look(old, "10.0.0.4")).toBe(true);
    expect(await listRevocations(world.sql, world.replica.deps.seal, world.clusterId)).toMatchObject([{ serial }]);
    expect(await quietReuses(world.sql, world.clusterId)).toEqual([]);
    await world.sql.query("update leaf_reuse set not_after_ms = 0, last_at_ms = 0");
    expect(await quietReuses(world.sql, world.clusterId)).toEqual([object]);
    expect(await sweepReuses(world.sql)).toBe(1);
  });

  it("the alarm about a copied client is over once the client is revoked", async () => {
    const { sql, clusterId } = world;
    const { seal } = world.replica.deps;
    const id = "id-copied";
    const names = { id, name: id, keyHash: id, scope: clusterId, organizationId: "", createdBy: "t" };
    await sql.tx((tx) => insertIdentity(tx, seal, { ...names, kind: "client" }));
    const object = `client/${id}`;
    await openAlert(sql, { clusterId, kind: "identity-cloned", object, detail: "two hosts" });
    const about = { clusterId, subjectKind: "client", subjectId: id, supersededAtMs: 1 } as const;
    await noteReuse(sql, { issuerKeyId: "a", serial: "b" }, { ...about, notAfterMs: Date.now() + hourMs }, "10.0.0.2");
    expect(await quietReuses(sql, clusterId)).toEqual([]);
    await sql.tx((tx) => markIdentityRevoked(tx, seal, id));
    expect(await quietReuses(sql, clusterId)).toEqual([object]);
  });

  it("two replicas seeing the first use at the same time agree", async () => {
    const joined = await joinNode(world, "relay-1");
    const { identity } = await joined.node.enrollment.renew({ csr: (await freshHost()).csr });
    const { serialHex } = facts(identity?.certificateDer ?? new Uint8Array());
    const issuer = (await world.replica.deps.authority.ca(world.sql, world.clusterId, "node")).root.keyId;
    const replicas = [1, 2, 3].map(() => new Replica(world.sql, world.sealingKey).deps.allowlist);
    const verdicts = await Promise.all(replicas.map((each) => each.judge(issuer, serialHex)));
    expect(verdicts.map((each) => each.allowed)).toEqual([true, true, true]);
    const rows = await world.sql.query("select status from certificate where subject_kind = 'node' order by status");
    expect(rows).toEqual([{ status: "current" }, { status: "superseded" }]);
    expect(await world.sql.query("select 1 from audit where action = 'certificate.rotated'")).toHaveLength(1);
  });

  it("another replica stops a superseded leaf within a second, without any hint", async () => {
    const joined = await joinNode(world, "relay-1");
    const oldSerial = facts(joined.identity.certificateDer).serialHex;
    const issuer = (await world.replica.deps.authority.ca(world.sql, world.clusterId, "node")).root.keyId;
    let monoMs = 0;
    const clock = { ...systemClock, monoMs: () => monoMs };
    const other = new Replica(world.sql, world.sealingKey, { clock }).deps.allowlist;
    expect(await other.judge(issuer, oldSerial)).toMatchObject({ allowed: true });
    await world.sql.tx(async (tx) => {
      await revokeCertificates(tx, world.replica.deps, { scope: world.clusterId, holderId: joined.identity.nodeId });
      await markNodeRevoked(tx, world.replica.deps.seal, joined.identity.nodeId);
      await tx.query("update audit_head set seq = seq + 1");
    });
    monoMs = limits.allowlistStaleMaxMs;
    expect(await other.judge(issuer, oldSerial)).toMatchObject({ allowed: false });
  });

  it("refuses a key that somebody else has, and anything from a revoked node", async () => {
    const first = await joinNode(world, "relay-1");
    const second = await joinNode(world, "relay-2");
    await expect(first.node.enrollment.renew({ csr: second.host.csr })).rejects.toMatchObject({ detail: "KEY_IN_USE" });
    await world.sql.tx(async (tx) => void (await markNodeRevoked(tx, world.replica.deps.seal, first.identity.nodeId)));
    const renewed = first.node.enrollment.renew({ csr: (await freshHost()).csr });
    await expect(renewed).rejects.toMatchObject({ reason: "permission_denied", detail: "IDENTITY_REVOKED" });
    const polled = world.stranger.enrollment.pollEnrollment(signedPoll(first.requestId, first.host.keys));
    await expect(polled).rejects.toMatchObject({ detail: "IDENTITY_REVOKED" });
  });

  it("LAW-C1 issues pool leaves for the pools of an egress, and for no other", async () => {
    const egress = await joinNode(world, "egress-1", [NodeRole.EGRESS]);
    const relay = await joinNode(world, "relay-1");
    const made = await world.operator.organizations.createOrganization({ clusterId: world.clusterId, name: "acme" });
    const organizationId = made.organization?.id ?? "";
    const { seal } = world.replica.deps;
    await world.sql.tx(async (tx) => {
      await insertPool(tx, seal, { id: "pl-a", clusterId: world.clusterId, organizationId, name: "office" });
      const row = {
        poolId: "pl-a",
        nodeId: egress.identity.nodeId,
        clusterId: world.clusterId,
        organizationId,
        addedBy: "test",
      };
      await insertPoolNode(tx, seal, row);
    });
    const next = await freshHost();
    const answer = await egress.node.enrollment.renew({ csr: next.csr });
    expect(answer.poolCertificates.map((each) => each.poolId)).toEqual(["pl-a"]);
    const pool = facts(answer.poolCertificates[0]?.certificateDer ?? new Uint8Array());
    expect(pool.uris).toEqual([`spiffe://${world.init.trustDomain}/cluster/${world.clusterId}/pool/pl-a`]);
    expect(pool.keyHash).toBe(next.keys.keyHash);
    expect((await relay.node.enrollment.renew({ csr: (await freshHost()).csr })).poolCertificates).toEqual([]);
    // A pool leaf is nobody's caller identity.
    const issuer = (await world.replica.deps.authority.ca(world.sql, world.clusterId, "pool")).root.keyId;
    expect(await world.replica.deps.allowlist.judge(issuer, pool.serialHex)).toEqual({
      allowed: false,
      detail: "CALLER_KIND",
    });
  });

  it("brings an expired node back under its id within 30 days, once per proof, also when the answer was lost", async () => {
    const joined = await joinNode(world, "relay-1");
    const clock = laterClock(30 * hourMs);
    const later = new Replica(world.sql, world.sealingKey, { clock });
    const stranger = later.as(strangerOf(world.clusterId));
    const next = await freshHost();
    const request = recovery(joined.identity.certificateDer, joined.host.keys, next.csr, clock.nowMs());
    const { identity } = await stranger.enrollment.recover(request);
    expect(identity?.nodeId).toBe(joined.identity.nodeId);
    const lost = await stranger.enrollment.recover(
      recovery(joined.identity.certificateDer, joined.host.keys, next.csr, clock.nowMs()),
    );
    expect(lost.identity?.certificateDer).toEqual(identity?.certificateDer);
    // With the expired key alone nobody gets a second identity once the node is back.
    const thief = await freshHost();
    const theft = recovery(joined.identity.certificateDer, joined.host.keys, thief.csr, clock.nowMs());
    await expect(stranger.enrollment.recover(theft)).rejects.toMatchObject({ detail: "RECOVER_REFUSED" });
  });

  it("recovers a node by a renewed leaf that ended before control was there for its first use", async () => {
    const joined = await joinNode(world, "relay-1");
    const next = await freshHost();
    const renewed =
      (await joined.node.enrollment.renew({ csr: next.csr })).identity?.certificateDer ?? new Uint8Array();
    const clock = laterClock(30 * hourMs);
    const { enrollment } = new Replica(world.sql, world.sealingKey, { clock }).as(strangerOf(world.clusterId));
    const again = await freshHost();
    const { identity } = await enrollment.recover(recovery(renewed, next.keys, again.csr, clock.nowMs()));
    expect(facts(identity?.certificateDer ?? new Uint8Array()).keyHash).toBe(again.keys.keyHash);
    const older = recovery(joined.identity.certificateDer, joined.host.keys, (await freshHost()).csr, clock.nowMs());
    await expect(enrollment.recover(older)).rejects.toMatchObject({ detail: "RECOVER_REFUSED" });
  });

  it("recovers nobody after 30 days, after a revocation, or by another key", async () => {
    const joined = await joinNode(world, "relay-1");
    const tooLate = laterClock(limits.recoverWithinMs + 48 * hourMs);
    const late = new Replica(world.sql, world.sealingKey, { clock: tooLate }).as(strangerOf(world.clusterId));
    const next = await freshHost();
    const order = (keys: KeyPair, clock: Clock) =>
      recovery(joined.identity.certificateDer, keys, next.csr, clock.nowMs());
    await expect(late.enrollment.recover(order(joined.host.keys, tooLate))).rejects.toMatchObject({
      detail: "RECOVER_REFUSED",
    });
    const clock = laterClock(30 * hourMs);
    const soon = new Replica(world.sql, world.sealingKey, { clock }).as(strangerOf(world.clusterId));
    await expect(soon.enrollment.recover(order(next.keys, clock))).rejects.toMatchObject({ detail: "RECOVER_REFUSED" });
    await world.sql.tx(async (tx) => void (await markNodeRevoked(tx, world.replica.deps.seal, joined.identity.nodeId)));
    await expect(soon.enrollment.recover(order(joined.host.keys, clock))).rejects.toMatchObject({
      detail: "RECOVER_REFUSED",
    });
  });

  it("hands a fresh leaf to an approved host that fetches it only after it expired", async () => {
    const joined = await joinNode(world, "relay-1");
    const clock = laterClock(30 * hourMs);
    const later = new Replica(world.sql, world.sealingKey, { clock });
    const poll = signedPoll(joined.requestId, joined.host.keys, clock.nowMs());
    const { identity } = await later.as(strangerOf(world.clusterId)).enrollment.pollEnrollment(poll);
    expect(identity?.nodeId).toBe(joined.identity.nodeId);
    expect(Number(identity?.notAfterMs)).toBeGreaterThan(clock.nowMs());
  });

  it("THR-C15 records every serial before its leaf leaves, and none twice", async () => {
    const joined = await joinNode(world, "relay-1");
    const { trustDomain } = world.init;
    const issuer = { ctx: world.replica.deps, authority: world.replica.deps.authority, trustDomain };
    const order = {
      kind: "node",
      clusterId: world.clusterId,
      subjectId: "nd-x",
      spkiDer: joined.host.keys.spkiDer,
      status: "current",
    } as const;
    const rolledBack = world.sql.tx(async (tx) => {
      await issueAndRecord(tx, issuer, order);
      throw new Error("undecided");
    });
    await expect(rolledBack).rejects.toThrow("undecided");
    expect(await world.sql.query("select 1 from certificate where subject_id = 'nd-x'")).toEqual([]);
    const { serialHex } = facts(joined.identity.certificateDer);
    const stuck = { ...world.replica.deps, random: { bytes: () => Buffer.from(serialHex, "hex"), float: () => 0 } };
    const repeated = world.sql.tx((tx) => issueAndRecord(tx, { ...issuer, ctx: stuck }, order));
    await expect(repeated).rejects.toMatchObject({ code: "23505" });
  });
});
