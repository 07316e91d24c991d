import { beforeEach, expect, it } from "vitest";
import { readCertificate } from "../../certs/certificate.ts";
import { makeCsr } from "../../certs/csr.ts";
import { verifySigningKey } from "../../certs/installation.ts";
import { generateP256 } from "../../certs/keys.ts";
import {
  createWorld,
  enrollRequest,
  freshHost,
  freshSealingKey,
  joinNode,
  Replica,
  type World,
} from "../../conformance/stores/plane.ts";
import { Authority } from "../../control/domain/authority.ts";
import { initializeControl } from "../../control/domain/init.ts";
import { loadInstallation } from "../../control/store/installation.ts";
import { trustSeal } from "../../control/store/trust.ts";
import { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { describeStores } from "./stores.ts";

function leafOf(der: Uint8Array) {
  const facts = readCertificate(der);
  if (typeof facts === "string") throw new Error(facts);
  return facts;
}

describeStores("trust at rest", (store) => {
  let world: World;
  beforeEach(async () => {
    world = await createWorld(await store.migrated());
  });

  const nodeCaId = async () => (await world.replica.deps.authority.ca(world.sql, world.clusterId, "node")).root.keyId;

  it("REVIEW-18 initializes once, whoever starts at the same time", async () => {
    const { deps } = new Replica(world.sql, freshSealingKey());
    const again = initializeControl(deps, {
      mode: "dev",
      operator: { name: "second", csr: await makeCsr(generateP256()) },
    });
    await expect(again).rejects.toMatchObject({ reason: "already_exists", detail: "INSTALLATION_EXISTS" });
    expect(await world.sql.query("select count(*) as n from authority where kind = 'operator'")).toEqual([{ n: 1 }]);
  });

  it("REVIEW-18 stops at another sealing key and leaves everything as it is", async () => {
    const other = trustSeal(freshSealingKey());
    await expect(loadInstallation(world.sql, other)).rejects.toMatchObject({ detail: "SEALING_KEY_WRONG" });
    const { deps } = new Replica(world.sql, freshSealingKey());
    await expect(deps.authority.ca(world.sql, world.clusterId, "node")).rejects.toMatchObject({ reason: "data_loss" });
    expect((await loadInstallation(world.sql, world.replica.deps.seal)).trustDomain).toBe(world.init.trustDomain);
  });

  it("REVIEW-16 issues nothing from an altered, inserted or swapped authority", async () => {
    const { text } = await world.operator.tokens.createToken({ clusterId: world.clusterId, maxUses: 9 });
    const host = await freshHost();
    const { requestId } = await world.stranger.enrollment.enroll(enrollRequest(text, host));
    const { request } = await world.operator.requests.getRequest({ clusterId: world.clusterId, requestId });
    const roles = request?.requestedRoles ?? [];
    const order = {
      clusterId: world.clusterId,
      requestId,
      keyHash: host.keys.keyHash,
      addresses: request?.addresses ?? [],
      roles,
      name: "n",
    };
    const approve = () =>
      world.operator.requests.approveRequest({ ...order, keyHash: request?.keyHash ?? new Uint8Array() });
    const swaps = [
      "update authority set not_after_ms = not_after_ms + 1 where kind = 'node'",
      `update authority a set certificate_der = b.certificate_der, sealed_key = b.sealed_key from authority b
         where a.kind = 'node' and b.kind = 'client' and a.scope = b.scope`,
      "update authority set mac = decode(repeat('00', 32), 'hex') where kind = 'node'",
    ];
    for (const statement of swaps) {
      await world.sql.script(`create table kept as select * from authority; ${statement}`);
      await expect(approve()).rejects.toMatchObject({ reason: "data_loss", detail: "TRUST_ROW_UNAUTHENTIC" });
      await expect(world.replica.deps.authority.bundle(world.clusterId)).rejects.toMatchObject({ reason: "data_loss" });
      await world.sql.script("delete from authority; insert into authority select * from kept; drop table kept");
    }
    expect(await world.sql.query("select 1 from node")).toEqual([]);
    await approve();
  });

  it("REVIEW-16 signs nothing with a swapped signing key and believes no forged installation row", async () => {
    await world.sql
      .query(
        "update signing_key set purpose = case purpose when 'feed' then 'snapshot' else 'feed' end where generation = 1",
      )
      .catch(() => undefined);
    await world.sql.query("update signing_key set cluster_id = 'cl-other' where purpose = 'feed'");
    await world.sql.query(
      "update signing_key set cluster_id = $1, generation = 2, status = 'active' where cluster_id = 'cl-other'",
      [world.clusterId],
    );
    await expect(world.replica.deps.authority.signingKey(world.clusterId, "feed")).rejects.toMatchObject({
      reason: "data_loss",
    });
    await world.sql.query("update installation set trust_domain = 'evil.internal'");
    await expect(world.replica.deps.authority.installation()).rejects.toMatchObject({
      detail: "TRUST_ROW_UNAUTHENTIC",
    });
  });

  it("REVIEW-16 LAW-I4 a revoked leaf cannot be brought back, nor an unknown one let in, by writing the database", async () => {
    const joined = await joinNode(world, "relay-1");
    const { serialHex } = leafOf(joined.identity.certificateDer);
    const issuer = await nodeCaId();
    const { allowlist } = world.replica.deps;
    expect(await allowlist.judge(issuer, serialHex)).toMatchObject({
      allowed: true,
      roles: [NodeRole.RELAY],
      memberActive: true,
    });
    const rows = [
      "update certificate set not_after_ms = not_after_ms + 1000000 where subject_kind = 'node'",
      "update certificate set status = 'superseded' where subject_kind = 'node'",
    ];
    for (const statement of rows) {
      await world.sql.script(`create table kept as select * from certificate; ${statement}`);
      const fresh = new Replica(world.sql, world.sealingKey).deps.allowlist;
      expect(await fresh.judge(issuer, serialHex)).toEqual({ allowed: false, detail: "TRUST_ROW_UNAUTHENTIC" });
      await world.sql.script("delete from certificate; insert into certificate select * from kept; drop table kept");
    }
    expect(await new Replica(world.sql, world.sealingKey).deps.allowlist.judge(issuer, "00".repeat(16))).toEqual({
      allowed: false,
      detail: "CERTIFICATE_UNKNOWN",
    });
  });

  it("REVIEW-16 a role or node row written by hand gives nobody anything", async () => {
    const joined = await joinNode(world, "relay-1");
    const { serialHex } = leafOf(joined.identity.certificateDer);
    await world.sql.query(
      `insert into role_assignment (cluster_id, node_id, role, assigned_by, mac) select cluster_id, node_id, 'egress', 'x', mac
       from role_assignment`,
    );
    const { allowlist } = new Replica(world.sql, world.sealingKey).deps;
    expect(await allowlist.judge(await nodeCaId(), serialHex)).toEqual({
      allowed: false,
      detail: "TRUST_ROW_UNAUTHENTIC",
    });
  });

  it("certifies signing keys for their cluster and purpose only, and renews a statement that is half over", async () => {
    const { authority } = world.replica.deps;
    const installation = await authority.installation();
    const key = await authority.signingKey(world.clusterId, "snapshot");
    const expect_ = {
      installationSpki: installation.publicKeySpki,
      clusterId: world.clusterId,
      use: "snapshot",
      nowMs: Date.now(),
    } as const;
    expect(verifySigningKey(key.signed, expect_).keyId).toBe(key.keyId);
    expect(() => verifySigningKey(key.signed, { ...expect_, use: "feed" })).toThrow();
    const laterMs = Date.now() + 5 * 86_400_000;
    const clock = { ...world.replica.deps.clock, nowMs: () => laterMs };
    const later = new Authority({ ...world.replica.deps, clock });
    const renewed = await later.signingKey(world.clusterId, "snapshot");
    expect(renewed.keyId).toBe(key.keyId);
    expect(verifySigningKey(renewed.signed, { ...expect_, nowMs: laterMs }).notAfterMs).toBeGreaterThan(
      laterMs + 6 * 86_400_000,
    );
  });

  it("gives the same bundle bytes until the roots change, and one root per kind and cluster", async () => {
    const { authority } = world.replica.deps;
    const first = await authority.bundle(world.clusterId);
    expect((await new Replica(world.sql, world.sealingKey).deps.authority.bundle(world.clusterId)).bytes).toEqual(
      first.bytes,
    );
    expect(first.message.roots).toHaveLength(5);
    const other = await world.operator.clusters.createCluster({ slug: "other" });
    const second = await authority.bundle(other.cluster?.id ?? "");
    const ders = (bundle: typeof first) =>
      bundle.message.roots.map((root) => Buffer.from(root.certificateDer).toString("hex"));
    // Clusters share the operator root, and nothing else.
    expect(ders(second).filter((der) => ders(first).includes(der))).toHaveLength(1);
    expect(await authority.roots(world.clusterId, "node")).toBe(await authority.roots(world.clusterId, "node"));
  });
});
