/**
 * Rotations against a real store: what nodes say is verified and kept, steps are taken by whichever replica comes first and
 * audited once, retired signing keys are refused after their overlap, and a node that slept through all of it comes back.
 */

import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundleHash, retiredSigningKeys } from "../../certs/bundle.ts";
import { signBundleAck } from "../../certs/bundle-ack.ts";
import { judgeCsr, makeCsr } from "../../certs/csr.ts";
import { verifySigningKey } from "../../certs/installation.ts";
import { generateP256, signEs256 } from "../../certs/keys.ts";
import type { SpiffeKind } from "../../certs/spiffe.ts";
import { BundleAcks } from "../../control/domain/bundle-acks.ts";
import { recover, renew } from "../../control/domain/renewal.ts";
import {
  advanceRotation,
  exemptFromRotation,
  rollBackRotation,
  rotateSigningKey,
  startRotation,
} from "../../control/domain/rotation.ts";
import { viewRotation } from "../../control/domain/rotation-gate.ts";
import { alertAges, lookAtRotations } from "../../control/jobs/rotation.ts";
import { listAlerts } from "../../control/store/alerts.ts";
import { listAudit } from "../../control/store/audit.ts";
import { allAuthorities } from "../../control/store/authorities.ts";
import { listAcks } from "../../control/store/bundle-acks.ts";
import { findCertificate, promoteCertificate } from "../../control/store/certificates.ts";
import { requireCluster } from "../../control/store/clusters.ts";
import { openRotation, openRotations } from "../../control/store/rotations.ts";
import type { Sql } from "../../control/store/sql.ts";
import { RecoverRequestSchema } from "../../gen/weft/enrollment/v1/enrollment_pb.ts";
import { RootStatus } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { BundleAcknowledgementSchema } from "../../gen/weft/heartbeat/v1/heartbeat_pb.ts";
import { limits } from "../../lib/limits.ts";
import { type AddedNode, addNode, type ControlCluster, controlCluster } from "../harness/control-cluster.ts";
import { migratedPglite } from "../harness/shared-stores.ts";

let sql: Sql;
let cluster: ControlCluster;
let nodes: AddedNode[];
beforeAll(async () => {
  sql = await migratedPglite();
  cluster = await controlCluster(sql);
  nodes = [await addNode(cluster, "one"), await addNode(cluster, "two"), await addNode(cluster, "three")];
});
afterAll(() => sql.close());

const deps = () => ({ ...cluster.ctx, authority: cluster.authority });
const order = (kind: SpiffeKind) => ({ clusterId: cluster.clusterId, kind, actor: "operator" });

interface OtherAck {
  readonly hash?: Uint8Array;
  readonly signer?: AddedNode;
  readonly taintedInUse?: string[];
  readonly via?: BundleAcks;
}

async function ackOf(node: AddedNode, over: OtherAck = {}) {
  const bundle = await cluster.authority.bundle(cluster.clusterId);
  const version = Number(bundle.message.version);
  const hash = over.hash ?? bundleHash(bundle.bytes);
  const { clusterId } = cluster;
  const { taintedInUse = [] } = over;
  const said = { clusterId, nodeId: node.id, version, hash, taintedInUse };
  const signature = signBundleAck((over.signer ?? node).keys.privateKey, said);
  const message = create(BundleAcknowledgementSchema, { version: BigInt(version), hash, signature, taintedInUse });
  return await (over.via ?? new BundleAcks(deps())).take(clusterId, node.id, message);
}

async function renewed(node: AddedNode): Promise<AddedNode> {
  const keys = generateP256();
  const csr = judgeCsr(makeCsr(keys));
  const { clusterId, authority, ctx, trustDomain } = cluster;
  const { seal } = ctx;
  return await sql.tx(async (tx) => {
    const caller = { clusterId, nodeId: node.id, spiffe: node.caller.spiffe };
    const { leaf } = await renew(tx, { ctx, authority, trustDomain }, caller, csr);
    const facts = await tx.query<{ issuer: string; serial: string }>(
      "select issuer_key_id as issuer, serial from certificate where certificate_der = $1",
      [leaf.certificateDer],
    );
    const row = await findCertificate(tx, seal, facts[0]?.issuer ?? "", facts[0]?.serial ?? "");
    if (row === undefined) throw new Error("no row");
    await promoteCertificate(tx, ctx, row);
    return { ...node, keys, keyHash: keys.keyHash, serialHex: row.serial };
  });
}

async function phaseOf(kind: SpiffeKind): Promise<string> {
  return (await openRotation(sql, cluster.ctx.seal, cluster.clusterId, kind))?.phase ?? "none";
}

async function states(kind: SpiffeKind): Promise<string[]> {
  const rows = await allAuthorities(sql, cluster.ctx.seal, cluster.clusterId);
  return rows.filter((row) => row.kind === kind).map(({ status }) => status);
}

const actions = async (wanted: string): Promise<number> =>
  (await listAudit(sql, { clusterId: "", afterSeq: 0, limit: 500 })).filter(({ action }) => action === wanted).length;

/** As replicas look once clients have had the time to hear of a root. */
const later = () => ({
  ...deps(),
  clock: { ...cluster.ctx.clock, nowMs: () => cluster.ctx.clock.nowMs() + limits.clientsHearMs },
});

/** Everybody acknowledges, and two replicas look at the same moment. */
async function everybodyGoesOn(): Promise<void> {
  for (const node of nodes) await ackOf(node);
  await Promise.all([lookAtRotations(later()), lookAtRotations(later())]);
}

describe("THR-C17 a rotation in the store", () => {
  it("waits for the word of every node, verified, and moves once however many replicas look", async () => {
    await startRotation(deps(), { ...order("node"), manual: false });
    await expect(startRotation(deps(), { ...order("node"), manual: false })).rejects.toMatchObject({
      detail: "ROTATION_RUNNING",
    });
    expect(await states("node")).toEqual(["active", "next"]);
    const [one, two, three] = nodes as [AddedNode, AddedNode, AddedNode];
    const bundle = await cluster.authority.bundle(cluster.clusterId);
    expect(await ackOf(one)).toBe(Number(bundle.message.version));
    expect(await ackOf(two)).toBe(Number(bundle.message.version));
    // Signed by another node, or about other roots: nothing.
    expect(await ackOf(three, { signer: one })).toBe(0);
    expect(await ackOf(three, { hash: new Uint8Array(32) })).toBe(0);
    await lookAtRotations(deps());
    expect(await phaseOf("node")).toBe("publish");
    await expect(advanceRotation(deps(), order("node"))).rejects.toThrow(/waits for three \(acknowledgement\)/);
    await ackOf(three);
    // Nobody is waited for, and still nobody may go on, by hand either, before clients had the time to hear of the root.
    const { phaseSinceMs = 0 } = (await openRotation(sql, cluster.ctx.seal, cluster.clusterId, "node")) ?? {};
    const early = { ...cluster.ctx.clock, nowMs: () => phaseSinceMs + limits.clientsHearMs - 1 };
    await expect(advanceRotation({ ...deps(), clock: early }, order("node"))).rejects.toThrow(/clients are given 2 s/);
    const before = await actions("rotation.advanced");
    await everybodyGoesOn();
    expect(await phaseOf("node")).toBe("sign");
    expect(await states("node")).toEqual(["old", "active"]);
    expect(await actions("rotation.advanced")).toBe(before + 1);
  });

  it("taints only when the next phase is reached, and waits for every leaf of the old root", async () => {
    await everybodyGoesOn();
    expect(await phaseOf("node")).toBe("taint");
    const { message } = await cluster.authority.bundle(cluster.clusterId);
    expect(message.roots.map(({ status }) => status)).toContain(RootStatus.TAINTED);
    await everybodyGoesOn();
    expect(await phaseOf("node")).toBe("taint");
    const row = await openRotation(sql, cluster.ctx.seal, cluster.clusterId, "node");
    if (row === undefined) throw new Error("no rotation");
    const view = await viewRotation(sql, deps(), row);
    expect(view.stragglers.map(({ name, waitsFor }) => `${name} ${waitsFor}`)).toEqual([
      ...["one leaf", "three leaf", "two leaf"],
    ]);
    // Two renew; the third never does, and is exempted from this rotation.
    nodes = [await renewed(nodes[0] as AddedNode), await renewed(nodes[1] as AddedNode), nodes[2] as AddedNode];
    const about = { ...order("node"), subjectId: nodes[2]?.id ?? "", reason: "in repair" };
    await expect(exemptFromRotation(deps(), { ...about, subjectId: "nd-nobody" })).rejects.toMatchObject({
      detail: "SUBJECT_NOT_FOUND",
    });
    await exemptFromRotation(deps(), about);
    await everybodyGoesOn();
    expect(await phaseOf("node")).toBe("drop");
    await everybodyGoesOn();
    expect(await phaseOf("node")).toBe("none");
    expect(await states("node")).toEqual(["dropped", "active"]);
  });

  it("takes back a node whose root was dropped while it slept, by the key it enrolled with, once", async () => {
    const sleeper = nodes[2] as AddedNode;
    const { ctx, authority, trustDomain, clusterId } = cluster;
    const [row] = await sql.query<{ der: Uint8Array }>(
      "select certificate_der as der from certificate where serial = $1",
      [sleeper.serialHex],
    );
    const keys = generateP256();
    const csr = makeCsr(keys);
    const issuedAtMs = BigInt(Math.floor(ctx.clock.nowMs()));
    const data = Buffer.concat([Buffer.from("weft/recover/v1\0"), csr, Buffer.from(String(issuedAtMs))]);
    const expiredCertificateDer = row?.der ?? new Uint8Array();
    const ask = (signer: AddedNode) =>
      create(RecoverRequestSchema, {
        ...{ expiredCertificateDer, csr, issuedAtMs, signature: signEs256(signer.keys.privateKey, data) },
      });
    const home = await requireCluster(sql, clusterId);
    const issuer = { ctx, authority, trustDomain };
    await expect(sql.tx((tx) => recover(tx, issuer, home, ask(nodes[0] as AddedNode)))).rejects.toMatchObject({
      detail: "RECOVER_REFUSED",
    });
    const { node } = await sql.tx((tx) => recover(tx, issuer, home, ask(sleeper)));
    expect(node.id).toBe(sleeper.id);
    nodes[2] = { ...sleeper, keys, keyHash: keys.keyHash };
    // A node whose root is trusted recovers nothing.
    const [living] = await sql.query<{ der: Uint8Array }>(
      "select certificate_der as der from certificate where serial = $1",
      [nodes[0]?.serialHex ?? ""],
    );
    const early = create(RecoverRequestSchema, {
      ...{ expiredCertificateDer: living?.der ?? new Uint8Array(), csr, issuedAtMs },
      signature: signEs256((nodes[0] as AddedNode).keys.privateKey, data),
    });
    await expect(sql.tx((tx) => recover(tx, issuer, home, early))).rejects.toMatchObject({ detail: "RECOVER_REFUSED" });
  });

  it("goes back from every phase, and an exemption does not outlive its rotation", async () => {
    for (const turns of [0, 1, 2, 3]) {
      await startRotation(deps(), { ...order("pool"), manual: false });
      for (let at = 0; at < turns; at += 1) await everybodyGoesOn();
      const from = await phaseOf("pool");
      expect(["publish", "sign", "taint", "drop"][turns]).toBe(from);
      await rollBackRotation(deps(), { ...order("pool"), reason: "a test" });
      await expect(rollBackRotation(deps(), { ...order("pool"), reason: "again" })).rejects.toMatchObject({
        detail: "ROTATION_GOES_BACK",
      });
      // The node that was exempted from another rotation counts in this one.
      for (const node of nodes.slice(0, 2)) await ackOf(node);
      await lookAtRotations(deps());
      expect(await phaseOf("pool")).not.toBe("none");
      for (let at = 0; at < 4 && (await phaseOf("pool")) !== "none"; at += 1) await everybodyGoesOn();
      expect(await phaseOf("pool"), from).toBe("none");
      const all = await states("pool");
      expect(all[0]).toBe("active");
      expect(all.slice(1).every((state) => state === "dropped")).toBe(true);
    }
  });

  it("believes no acknowledgement and no exemption that somebody wrote into the database", async () => {
    await startRotation(deps(), { ...order("client"), manual: false });
    await sql.query("update bundle_ack set bundle_version = bundle_version + 1000");
    await expect(lookAtRotations(deps())).rejects.toMatchObject({ detail: "TRUST_ROW_UNAUTHENTIC" });
    expect(await phaseOf("client")).toBe("publish");
    await sql.query("delete from bundle_ack");
    await sql.query("update rotation set phase = 'drop' where ended_at_ms is null");
    await expect(openRotations(sql, cluster.ctx.seal)).rejects.toMatchObject({ detail: "TRUST_ROW_UNAUTHENTIC" });
    await sql.query("update rotation set phase = 'publish' where ended_at_ms is null");
  });

  it("keeps what a node says last, also when it comes back to a replica that heard the same of it before", async () => {
    const [node] = nodes as [AddedNode];
    const [here, there] = [new BundleAcks(deps()), new BundleAcks(deps())];
    const tainted = ["a".repeat(64)];
    const turns = [
      { via: here, taintedInUse: tainted },
      { via: there, taintedInUse: [] },
      { via: here, taintedInUse: tainted },
    ];
    for (const { via, taintedInUse } of turns) {
      await ackOf(node, { via, taintedInUse });
      const kept = (await listAcks(sql, cluster.ctx.seal, cluster.clusterId)).find(({ nodeId }) => nodeId === node.id);
      expect(kept?.taintedInUse).toEqual(taintedInUse);
    }
    await sql.query("delete from bundle_ack");
  });

  it("says whom a stalled rotation waits for, and how old authorities are", async () => {
    const late = {
      ...deps(),
      clock: { ...cluster.ctx.clock, nowMs: () => Date.now() + limits.rotationStalledAfterMs },
    };
    await lookAtRotations(late);
    const stalled = (await listAlerts(sql, cluster.clusterId, { all: false, limit: 50 })).filter(
      ({ kind }) => kind === "rotation-stalled",
    );
    expect(stalled.map(({ detail }) => detail)).toEqual([expect.stringMatching(/waits for one .*three .*two /)]);
    await everybodyGoesOn();
    expect(await listAlerts(sql, cluster.clusterId, { all: false, limit: 50 })).toEqual([]);
    for (const [share, kind] of [
      [0.51, "authority-half"],
      [0.76, "authority-three-quarters"],
      [0.91, "authority-ending"],
    ] as const) {
      const clock = { ...cluster.ctx.clock, nowMs: () => Date.now() + share * limits.caLifeMs };
      await alertAges({ ...deps(), clock });
      const open = await listAlerts(sql, cluster.clusterId, { all: false, limit: 50 });
      expect(new Set(open.map((alert) => alert.kind)), kind).toEqual(new Set([kind]));
      expect(open.length).toBeGreaterThanOrEqual(4);
    }
    await alertAges(deps());
    expect(await listAlerts(sql, cluster.clusterId, { all: false, limit: 50 })).toEqual([]);
  });
});

describe("THR-S5 the rotation of a signing key", () => {
  it("has both keys taken during the overlap, and the retired one refused after it, whatever its statement says", async () => {
    const { clusterId } = cluster;
    const before = await cluster.authority.signingKey(clusterId, "snapshot");
    const { old, active, refusedFromMs } = await rotateSigningKey(deps(), {
      ...{ clusterId, use: "snapshot", overlapMs: 60_000, actor: "operator" },
    });
    const after = await cluster.authority.signingKey(clusterId, "snapshot");
    expect([old.keyId, active.keyId]).toEqual([before.keyId, after.keyId]);
    expect(after.keyId).not.toBe(before.keyId);
    const { message } = await cluster.authority.bundle(clusterId);
    const retired = retiredSigningKeys(message);
    const taken = (signed: typeof before.signed, nowMs: number) => () =>
      verifySigningKey(signed, {
        ...{ installationSpki: cluster.installationSpki, clusterId, use: "snapshot", nowMs, retired },
      });
    for (const { signed } of [before, after]) expect(taken(signed, refusedFromMs - 1)).not.toThrow();
    expect(taken(after.signed, refusedFromMs)).not.toThrow();
    expect(taken(before.signed, refusedFromMs)).toThrow(expect.objectContaining({ detail: "STATEMENT_RETIRED" }));
    expect(old.notAfterMs).toBeGreaterThan(refusedFromMs);
  });
});
