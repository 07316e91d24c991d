/** Leaves as operators see and end them, and what nodes sign about the feed, on both stores. */

import { fromBinary } from "@bufbuild/protobuf";
import { beforeAll, expect, it } from "vitest";
import { freshHost } from "../../conformance/stores/plane.ts";
import { watchFeed } from "../../control/domain/feed-alerts.ts";
import { FeedReceiptBook } from "../../control/domain/feed-receipts.ts";
import { changeMembership, revokeNode } from "../../control/domain/node-changes.ts";
import { certificateService } from "../../control/services/certificate.ts";
import { identityService } from "../../control/services/identity.ts";
import { listAlerts } from "../../control/store/alerts.ts";
import { listAudit } from "../../control/store/audit.ts";
import {
  addRevocations,
  feedMarks,
  fittingEntries,
  listRevocations,
  unappliedNodes,
} from "../../control/store/revocations.ts";
import { feedContentHash } from "../../fabric/feed.ts";
import { signReceipt } from "../../fabric/feed-receipt.ts";
import { CertificateService } from "../../gen/weft/admin/v1/certificate_pb.ts";
import { IdentityKind, IdentityService } from "../../gen/weft/admin/v1/identity_pb.ts";
import { RevocationFeedSchema } from "../../gen/weft/fabric/v1/feed_pb.ts";
import { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { limits } from "../../lib/limits.ts";
import { rpcClient } from "../../rpc/client.ts";
import {
  type AddedNode,
  addNode,
  addOrganization,
  type ControlCluster,
  callAs,
  controlCluster,
} from "../harness/control-cluster.ts";
import { serviceDeps } from "../harness/placed.ts";
import { describeStores } from "./stores.ts";

describeStores("certificates", (store) => {
  let cluster: ControlCluster;
  let count = 0;
  beforeAll(async () => {
    cluster = await controlCluster(await store.migrated());
  });

  const asOperator = (serialHex = "") => {
    const deps = { ...serviceDeps(cluster), feeds: cluster.feeds };
    const transport = callAs({ ...cluster.operator, serialHex }, (router) => {
      router.service(CertificateService, certificateService(deps));
      router.service(IdentityService, identityService(deps));
    });
    return {
      certificates: rpcClient(CertificateService, transport),
      identities: rpcClient(IdentityService, transport),
      allowlist: deps.allowlist,
    };
  };
  const node = async () => await addNode(cluster, `host-${++count}`, { roles: ["relay"] });
  const lastRecord = async () => (await listAudit(cluster.ctx.sql, { clusterId: "", afterSeq: 0, limit: 1 }))[0];
  const alertsOf = async (object: string) =>
    (await listAlerts(cluster.ctx.sql, cluster.clusterId, { all: false, limit: 100 }))
      .filter((row) => row.object === object)
      .map(({ kind }) => kind);
  const book = () => new FeedReceiptBook(cluster.ctx);

  /** What a node that holds control's feed as it is now would sign, changed. */
  async function receiptOf(from: AddedNode, change: Partial<Parameters<typeof signReceipt>[2]> = {}) {
    const { feed, feedEpoch, feedSeq } = await cluster.feeds.current(cluster.clusterId);
    const { revocations } = fromBinary(RevocationFeedSchema, feed.payload);
    return signReceipt(from.keys.privateKey, from.keys.keyHash, {
      ...{ clusterId: cluster.clusterId, nodeId: from.id, bootId: "boot-1" },
      ...{ epoch: BigInt(feedEpoch), seq: BigInt(feedSeq), appliedAtMs: BigInt(Date.now()) },
      ...{ revocations: revocations.length, contentHash: feedContentHash(revocations), overflowing: false },
      ...{ forks: 0, forkedEpoch: 0n, forkedSeq: 0n, forkedHash: new Uint8Array(), ...change },
    });
  }
  const receipts = async (at = {}) =>
    (await asOperator().certificates.listFeedReceipts({ clusterId: cluster.clusterId, ...at })).nodes;

  it("lists leaves of every kind by subject, kind, status and end, the newest first", async () => {
    const { certificates } = asOperator();
    const { clusterId } = cluster;
    const own = await node();
    const all = await certificates.listCertificates({ clusterId });
    expect(all.certificates[0]).toMatchObject({ serial: own.serialHex, kind: "node", subjectName: `host-${count}` });
    expect(all.certificates.map(({ kind }) => kind)).toEqual(expect.arrayContaining(["node", "operator"]));
    const [found, ...others] = (await certificates.listCertificates({ clusterId, subject: `host-${count}` }))
      .certificates;
    expect(others).toEqual([]);
    expect(found).toMatchObject({
      ...{ subjectId: own.id, holderId: own.id, status: "current", clusterId, keyHash: own.keyHash },
      acceptedBy: ["control", "nodes", "clients"],
    });
    const soon = { clusterId, subject: own.id, expiringWithinMs: 60_000n };
    expect((await certificates.listCertificates(soon)).certificates).toEqual([]);
    const inTime = { ...soon, expiringWithinMs: BigInt(limits.leafLifeMs + 60_000) };
    expect((await certificates.listCertificates(inTime)).certificates).toHaveLength(1);
    expect((await certificates.listCertificates({ clusterId, kind: "operator", limit: 1 })).certificates).toHaveLength(
      1,
    );
    await expect(certificates.listCertificates({ clusterId, status: "lost" })).rejects.toMatchObject({
      reason: "invalid_argument",
    });
    const one = await certificates.listCertificates({ clusterId, limit: 1 });
    expect([one.certificates.length, one.truncated]).toEqual([1, true]);
  });

  it("LAW-I4 THR-C3 ends one leaf: off the allowlist at once, in the feed by issuer and serial, recorded; key and node stay", async () => {
    const { certificates, allowlist } = asOperator();
    const { clusterId } = cluster;
    const own = await node();
    const shown = await certificates.getCertificate({ clusterId, serial: own.serialHex.toUpperCase() });
    expect(shown).toMatchObject({ subjectStatus: "active", revokedBy: [], roles: [{ role: NodeRole.RELAY }] });
    const issuer = shown.certificate?.issuerKeyId ?? "";
    expect(await allowlist.judge(issuer, own.serialHex)).toMatchObject({ allowed: true });
    const request = { clusterId, serial: own.serialHex, issuerKeyId: issuer, reason: "copied" };
    const answer = await certificates.revokeCertificate(request);
    expect(answer.certificate).toMatchObject({ status: "revoked", acceptedBy: ["clients"] });
    expect(await allowlist.judge(issuer, own.serialHex)).toMatchObject({ detail: "CERTIFICATE_REVOKED" });
    expect(await feedMarks(cluster.ctx.sql, clusterId)).toEqual(
      answer.feeds.map(({ epoch, seq }) => ({ clusterId, feedEpoch: Number(epoch), feedSeq: Number(seq) })),
    );
    const rows = await listRevocations(cluster.ctx.sql, cluster.ctx.seal, clusterId);
    expect(rows.filter(({ serial }) => serial === own.serialHex)).toMatchObject([{ issuerKeyId: issuer, keyHash: "" }]);
    expect(rows.some(({ keyHash }) => keyHash === own.keyHash)).toBe(false);
    expect(await lastRecord()).toMatchObject({ action: "certificate.revoked", object: `node/${own.id}`, clusterId });
    const after = await certificates.getCertificate({ clusterId, serial: own.serialHex });
    expect(after.revokedBy).toMatchObject([{ what: "certificate", reason: "copied", actor: cluster.operator.spiffe }]);
    expect(after.subjectStatus).toBe("active");
    await expect(certificates.revokeCertificate(request)).rejects.toMatchObject({ detail: "CERTIFICATE_REVOKED" });
    expect(await lastRecord()).toMatchObject({ result: "refused:CERTIFICATE_REVOKED" });
  });

  it("refuses what cannot be revoked, and says what to do instead", async () => {
    const { clusterId } = cluster;
    const { certificates } = asOperator();
    const { certificates: list } = await certificates.listCertificates({ clusterId, kind: "operator" });
    const [own] = list;
    const request = { clusterId, serial: own?.serial ?? "", reason: "" };
    const calling = asOperator(own?.serial).certificates.revokeCertificate(request);
    await expect(calling).rejects.toMatchObject({ reason: "failed_precondition", detail: "CERTIFICATE_IN_USE" });
    await expect(certificates.revokeCertificate({ ...request, serial: "abcdef" })).rejects.toMatchObject({
      reason: "not_found",
    });
    await expect(certificates.revokeCertificate({ ...request, serial: "xyz" })).rejects.toMatchObject({
      reason: "invalid_argument",
    });
    const other = await freshOther();
    await expect(certificates.revokeCertificate({ ...request, clusterId: other })).resolves.toBeDefined();
    // An operator's leaf is in every cluster's feed.
    expect((await certificates.getCertificate({ clusterId, serial: request.serial })).revokedBy).toHaveLength(1);
  });

  /** A second cluster: an operator's revocation is its affair too. */
  async function freshOther(): Promise<string> {
    const { clusterService } = await import("../../control/services/cluster.ts");
    const { ClusterService } = await import("../../gen/weft/admin/v1/cluster_pb.ts");
    const transport = callAs(cluster.operator, (router) => {
      router.service(ClusterService, clusterService(serviceDeps(cluster)));
    });
    const { cluster: made } = await rpcClient(ClusterService, transport).createCluster({ slug: `other-${++count}` });
    return made?.id ?? "";
  }

  it("a leaf of another cluster is not there, and a client's revocation says which feeds carry it", async () => {
    const { certificates, identities } = asOperator();
    const { clusterId } = cluster;
    const own = await node();
    const elsewhere = await freshOther();
    await expect(
      certificates.revokeCertificate({ clusterId: elsewhere, serial: own.serialHex, reason: "" }),
    ).rejects.toMatchObject({ reason: "not_found" });
    const organizationId = await addOrganization(cluster, `acme-${count}`);
    const about = { kind: IdentityKind.CLIENT, clusterId, organizationId, name: `laptop-${count}` };
    const { identity } = await identities.addIdentity({ ...about, csr: (await freshHost()).csr });
    const shown = await certificates.getCertificate({ clusterId, serial: identity?.certificateSerial ?? "" });
    expect(shown).toMatchObject({ organizationId, certificate: { kind: "client", acceptedBy: ["nodes"] } });
    const revoked = await identities.revokeIdentity({ clusterId, identityId: identity?.id ?? "", reason: "lost" });
    const [mark] = await feedMarks(cluster.ctx.sql, clusterId);
    expect(revoked.feeds).toMatchObject([{ clusterId, seq: BigInt(mark?.feedSeq ?? 0) }]);
    const again = await identities.revokeIdentity({ clusterId, identityId: identity?.id ?? "", reason: "lost" });
    expect(again.feeds).toEqual(revoked.feeds);
  });

  it("keeps what a node signed, and believes it up to what control has issued", async () => {
    const [own, gone, disabled] = [await node(), await node(), await node()];
    await revokeNode(cluster.ctx, {
      ...{ clusterId: cluster.clusterId, node: gone.id, actor: "test", reason: "", trustDomain: cluster.trustDomain },
    });
    const order = { clusterId: cluster.clusterId, node: disabled.id, actor: "test" } as const;
    await changeMembership(cluster.ctx, { ...order, status: "disabled" });
    const stateOf = async (at = {}) => (await receipts(at)).find(({ nodeId }) => nodeId === own.id);
    expect((await receipts()).map(({ nodeId }) => nodeId)).not.toContain(gone.id);
    expect((await receipts()).map(({ nodeId }) => nodeId)).not.toContain(disabled.id);
    expect(await stateOf()).toMatchObject({ applied: false, feedSeq: 0n });
    const { clusterId } = cluster;
    // Another's word, another's key, and a position no store can hold: nothing is kept.
    await book().take(clusterId, own.id, await receiptOf(gone));
    await book().take(clusterId, own.id, { ...(await receiptOf(own)), signature: new Uint8Array(64) });
    await book().take(clusterId, own.id, await receiptOf(own, { seq: 2n ** 60n }));
    expect(await stateOf()).toMatchObject({ applied: false, feedSeq: 0n });
    const true_ = await receiptOf(own);
    await book().take(clusterId, own.id, true_);
    const now = await stateOf();
    expect(now).toMatchObject({ applied: true });
    expect(Buffer.from(now?.receipt?.signature ?? [])).toEqual(Buffer.from(true_.signature));
    const { feedEpoch = 0n, feedSeq = 0n } = now ?? {};
    expect(await stateOf({ feedEpoch, feedSeq: feedSeq + 1n })).toMatchObject({ applied: false });
    // Beyond what control issued, or another content: no application, whatever is asked about.
    await book().take(clusterId, own.id, await receiptOf(own, { seq: feedSeq + 100n }));
    expect(await stateOf({ feedEpoch, feedSeq })).toMatchObject({ applied: false });
    await book().take(clusterId, own.id, await receiptOf(own, { bootId: "boot-2", contentHash: new Uint8Array(32) }));
    expect(await stateOf()).toMatchObject({ applied: false, feedSeq });
    await book().take(clusterId, own.id, await receiptOf(own, { bootId: "boot-2" }));
    expect(await stateOf()).toMatchObject({ applied: true });
  });

  it("THR-C3 alarms: a fork that a node signs, an overflow, and a node that does not take the feed up", async () => {
    const { clusterId, ctx } = cluster;
    const [forked, full, late, silent] = [await node(), await node(), await node(), await node()];
    const hash = new Uint8Array(32).fill(3);
    await book().take(
      clusterId,
      forked.id,
      await receiptOf(forked, { forks: 2, forkedEpoch: 1n, forkedSeq: 4n, forkedHash: hash }),
    );
    await book().take(clusterId, full.id, await receiptOf(full, { overflowing: true }));
    for (const each of [late, forked, full]) {
      await ctx.sql.query(
        `insert into beat_latest (node_id, cluster_id, boot_id, seq, sent_at_ms, received_at_ms, load, draining, skew_ms,
           snapshot_epoch, snapshot_version, feed_epoch, feed_seq, capabilities, version, operator_address, audit_seq, listeners)
         values ($1, $2, 'b', 1, 1, now_ms(), 0, false, 0, 0, 0, 0, 0, '{}', '', '', 0, '[]')`,
        [each.id, clusterId],
      );
    }
    const unapplied = await unappliedNodes(ctx.sql, clusterId, -60_000);
    expect(unapplied.map(({ nodeId }) => nodeId)).toEqual([late.id]);
    await watchFeed(ctx.sql, cluster.feeds, clusterId);
    expect(await alertsOf(`node/${forked.id}`)).toEqual(["feed-forked"]);
    expect(await alertsOf(`node/${full.id}`)).toEqual(["feed-overflow"]);
    expect(await alertsOf(`node/${silent.id}`)).toEqual([]);
    expect(await lastRecord()).toMatchObject({ action: "feed.forked", object: `node/${forked.id}` });
    // Once somebody has taken the evidence away, the node says so and the alert closes.
    await book().take(clusterId, forked.id, await receiptOf(forked));
    await watchFeed(ctx.sql, cluster.feeds, clusterId);
    expect(await alertsOf(`node/${forked.id}`)).toEqual([]);
  });

  it("THR-C3 a feed fills: told at half, told louder at nine tenths, refused whole at its bound, with what to do", async () => {
    const { ctx } = cluster;
    const clusterId = await freshOther();
    const fill = (from: number, n: number) =>
      ctx.sql.query(
        `insert into revocation (cluster_id, organization_id, feed_epoch, feed_seq, issuer_key_id, serial, key_hash,
           spiffe_id, reason, revoked_by, revoked_at_ms, not_after_ms, mac)
         select $1, '', 1, 1, '', '', '', 'spiffe://x/' || i, '', 't', now_ms(), now_ms() + 60000, ''
         from generate_series($2::bigint, $3::bigint) i`,
        [clusterId, from, from + n - 1],
      );
    const feeds = { current: async () => await cluster.feeds.current(cluster.clusterId) };
    const look = async () => {
      await watchFeed(ctx.sql, feeds, clusterId);
      const rows = await listAlerts(ctx.sql, clusterId, { all: false, limit: 100 });
      return rows.filter((row) => row.clusterId === clusterId).map(({ kind }) => kind);
    };
    const perEntry = 48 + "spiffe://x/00000".length;
    const most = Math.floor(limits.feedMaxBytes / perEntry);
    await fill(0, Math.floor(most * 0.4));
    expect(await look()).toEqual([]);
    await fill(20_000, Math.floor(most * 0.2));
    expect(await look()).toEqual(["feed-filling"]);
    await fill(40_000, Math.floor(most * 0.35));
    expect(await look()).toEqual(["feed-full"]);
    await fill(80_000, Math.floor(most * 0.0498));
    const entry = { reason: "", revokedBy: "t", notAfterMs: Date.now() + 60_000 };
    const many = Array.from({ length: 10 }, (_, i) => ({ ...entry, spiffeId: `spiffe://y/${i}${"-".repeat(1_000)}` }));
    const before = await feedMarks(ctx.sql, clusterId);
    await expect(ctx.sql.tx((tx) => addRevocations(tx, ctx, clusterId, many))).rejects.toMatchObject({
      ...{ reason: "resource_exhausted", detail: "FEED_FULL", retry: "never" },
    });
    expect(await feedMarks(ctx.sql, clusterId)).toEqual(before);
    // What comes back from nodes after a restore takes the room there is, identities first.
    const back = [{ ...entry, spiffeId: "k", keyHash: "aa".repeat(32) }, ...many];
    const fitting = await fittingEntries(ctx.sql, clusterId, back);
    expect(fitting).toEqual([]);
    await ctx.sql.query("delete from revocation where cluster_id = $1 and spiffe_id like 'spiffe://x/2%'", [clusterId]);
    expect((await fittingEntries(ctx.sql, clusterId, back)).map(({ spiffeId }) => spiffeId)).toHaveLength(back.length);
    await ctx.sql.query("delete from revocation where cluster_id = $1", [clusterId]);
    expect(await look()).toEqual([]);
  });
});
