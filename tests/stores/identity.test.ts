import { beforeEach, expect, it } from "vitest";
import { readCertificate } from "../../certs/certificate.ts";
import { type KeyPair, signEs256 } from "../../certs/keys.ts";
import {
  callerOfSpiffe,
  createWorld,
  freshHost,
  joinNode,
  Replica,
  type World,
} from "../../conformance/stores/plane.ts";
import { recoverOperator } from "../../control/domain/init.ts";
import { IdentityKind } from "../../gen/weft/admin/v1/identity_pb.ts";
import { NodeRole } from "../../gen/weft/fabric/v1/role_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import type { WeftError } from "../../lib/errors.ts";
import { describeStores } from "./stores.ts";

describeStores("M-L1 identities", (store) => {
  let world: World;
  let organizationId: string;
  beforeEach(async () => {
    world = await createWorld(await store.migrated());
    const made = await world.operator.organizations.createOrganization({ clusterId: world.clusterId, name: "acme" });
    organizationId = made.organization?.id ?? "";
  });

  const addClient = async (name: string) =>
    await world.operator.identities.addIdentity({
      kind: IdentityKind.CLIENT,
      clusterId: world.clusterId,
      organizationId,
      name,
      csr: (await freshHost()).csr,
    });
  const addOperator = async (name: string) =>
    await world.operator.identities.addIdentity({ kind: IdentityKind.OPERATOR, name, csr: (await freshHost()).csr });
  const spiffeOf = (der: Uint8Array) => {
    const facts = readCertificate(der);
    if (typeof facts === "string") throw new Error(facts);
    return { spiffe: facts.uris[0] ?? "", serial: facts.serialHex };
  };

  const clientOf = async (name: string) => {
    const host = await freshHost();
    const kind = IdentityKind.CLIENT;
    const about = { kind, clusterId: world.clusterId, organizationId, name, csr: host.csr };
    return { host, ...(await world.operator.identities.addIdentity(about)) };
  };
  const renewal = (certificateDer: Uint8Array, keys: KeyPair, csr: Uint8Array, issuedAtMs = Date.now()) => {
    const data = Buffer.concat([Buffer.from("weft/client-renew/v1\0"), csr, Buffer.from(String(issuedAtMs))]);
    const signature = signEs256(keys.privateKey, data);
    return { certificateDer, csr, issuedAtMs: BigInt(issuedAtMs), signature, sourceAddress: "198.51.100.7" };
  };
  const entryOf = async (replica: Replica = world.replica) => {
    const { caller } = await joinNode(world, "gate");
    return { caller, enrollment: replica.as({ ...caller, roles: [NodeRole.ENTRY] }).enrollment };
  };

  it("LAW-I4 renews a client's certificate by an entry, as often as it asks with the newest; older ones are refused and told of", async () => {
    const { host, certificateDer, identity } = await clientOf("laptop");
    const { enrollment } = await entryOf();
    const second = await freshHost();
    const one = await enrollment.renewClient(renewal(certificateDer, host.keys, second.csr));
    const facts = readCertificate(one.certificateDer);
    if (typeof facts === "string") throw new Error(facts);
    expect(facts.uris).toEqual([spiffeOf(certificateDer).spiffe]);
    expect(facts.keyHash).toBe(second.keys.keyHash);
    // Its answer was lost: the one before it still counts, and what nobody ever used is replaced.
    const third = await freshHost();
    const two = await enrollment.renewClient(renewal(certificateDer, host.keys, third.csr));
    const fourth = await freshHost();
    await enrollment.renewClient(renewal(two.certificateDer, third.keys, fourth.csr));
    const again = enrollment.renewClient(renewal(certificateDer, host.keys, (await freshHost()).csr));
    await expect(again).rejects.toMatchObject({ reason: "permission_denied", detail: "CERTIFICATE_SUPERSEDED" });
    const actors = await world.sql.query<{ actor: string }>(
      "select actor from audit where action = 'certificate.issued' and object = $1",
      [`client/${identity?.id}`],
    );
    expect(actors.map(({ actor }) => actor)).toEqual([1, 2, 3].map(() => spiffeOf(certificateDer).spiffe));
    const [row] = await world.sql.query<{ source: string }>(
      "select first_used_from as source from certificate where serial = $1",
      [spiffeOf(two.certificateDer).serial],
    );
    expect(row?.source).toBe("198.51.100.7");
    await world.operator.identities.revokeIdentity({ clusterId: world.clusterId, identityId: identity?.id ?? "" });
    const revoked = enrollment.renewClient(renewal(two.certificateDer, third.keys, (await freshHost()).csr));
    await expect(revoked).rejects.toMatchObject({ detail: "CERTIFICATE_REVOKED" });
  });

  it("LAW-C1 renews no client for whoever cannot prove to be it, is no entry, repeats a request, or comes late", async () => {
    const { host, certificateDer } = await clientOf("laptop");
    const { enrollment, caller } = await entryOf();
    const other = await clientOf("other");
    const fresh = async () => (await freshHost()).csr;
    const good = renewal(certificateDer, host.keys, await fresh());
    const noEntry = world.replica.as({ ...caller, roles: [NodeRole.RELAY] }).enrollment;
    await expect(noEntry.renewClient(good)).rejects.toMatchObject({ detail: "ROLE_MISSING" });
    const { identity: node, host: nodeHost } = await joinNode(world, "relay-1");
    const forged = [
      renewal(certificateDer, other.host.keys, await fresh()),
      { ...good, csr: await fresh() },
      { ...good, certificateDer: other.certificateDer },
      renewal(node.certificateDer, nodeHost.keys, await fresh()),
      { ...good, certificateDer: Uint8Array.of(1, 2, 3) },
    ];
    for (const request of forged)
      await expect(enrollment.renewClient(request)).rejects.toMatchObject({ detail: "CLIENT_RENEWAL_REFUSED" });
    const taken = enrollment.renewClient(renewal(certificateDer, host.keys, other.host.csr));
    await expect(taken).rejects.toMatchObject({ detail: "KEY_IN_USE" });
    await enrollment.renewClient(good);
    await expect(enrollment.renewClient(good)).rejects.toMatchObject({ detail: "CLIENT_RENEWAL_REFUSED" });
    const clock = { ...systemClock, nowMs: () => Date.now() + 25 * 3_600_000 };
    const later = new Replica(world.sql, world.sealingKey, { clock }).as({ ...caller, roles: [NodeRole.ENTRY] });
    const late = renewal(certificateDer, host.keys, await fresh(), clock.nowMs());
    await expect(later.enrollment.renewClient(late)).rejects.toMatchObject({ detail: "CLIENT_RENEWAL_REFUSED" });
  });

  it("THR-C12 takes a client's clock that is a minute off, and tells one that is ten minutes off by how much", async () => {
    const { host, certificateDer } = await clientOf("laptop");
    const { enrollment } = await entryOf();
    const at = async (offMs: number) =>
      await enrollment.renewClient(renewal(certificateDer, host.keys, (await freshHost()).csr, Date.now() + offMs));
    for (const offMs of [-9_000, -59_000]) expect((await at(offMs)).certificateDer.length).toBeGreaterThan(0);
    for (const offMs of [-600_000, 600_000]) {
      const refused = await at(offMs).then(
        () => undefined,
        (thrown: unknown) => thrown as WeftError,
      );
      expect(refused).toMatchObject({ reason: "failed_precondition", detail: "CLOCK_SKEW" });
      expect(refused?.message).toContain(offMs < 0 ? "behind" : "ahead of");
      expect(Math.abs(Number(refused?.metadata["offset_ms"]) + offMs)).toBeLessThan(60_000);
    }
  });

  it("issues a client and an operator under their own roots, and lists them", async () => {
    const client = await addClient("laptop");
    const operator = await addOperator("second");
    expect(spiffeOf(client.certificateDer).spiffe).toBe(
      `spiffe://${world.init.trustDomain}/cluster/${world.clusterId}/client/${client.identity?.id}`,
    );
    expect(spiffeOf(operator.certificateDer).spiffe).toMatch(/\/cluster\/installation\/operator\/op-/);
    expect(client.roots.length).toBe(2);
    const own = await world.operator.identities.listIdentities({ clusterId: world.clusterId });
    expect(own.identities.map((each) => each.name)).toEqual(["laptop"]);
    const all = await world.operator.identities.listIdentities({});
    expect(all.identities.map((each) => each.name).sort()).toEqual(["laptop", "owner", "second"]);
  });

  it("refuses an existing name explicitly, also a revoked one, and keeps the first key", async () => {
    const first = await addClient("laptop");
    await expect(addClient("laptop")).rejects.toMatchObject({ reason: "already_exists", detail: "IDENTITY_EXISTS" });
    await world.operator.identities.revokeIdentity({
      identityId: first.identity?.id ?? "",
      clusterId: world.clusterId,
      reason: "lost",
    });
    await expect(addClient("laptop")).rejects.toMatchObject({ detail: "IDENTITY_EXISTS" });
    expect(await world.sql.query("select count(*) as n from certificate where subject_kind = 'client'")).toEqual([
      { n: 1 },
    ]);
  });

  it("LAW-I4 revoking takes the leaf off the allowlist of this replica at once and fills the feed", async () => {
    const client = await addClient("laptop");
    const { serial } = spiffeOf(client.certificateDer);
    const issuer = (await world.replica.deps.authority.ca(world.sql, world.clusterId, "client")).root.keyId;
    const { allowlist } = world.replica.deps;
    expect(await allowlist.judge(issuer, serial)).toMatchObject({ allowed: true, organizationId });
    const before = await world.operator.clusters.getCluster({ clusterId: world.clusterId });
    const request = { identityId: client.identity?.id ?? "", clusterId: world.clusterId, reason: "lost" };
    const answer = await world.operator.identities.revokeIdentity(request);
    expect(answer.identity?.status).toBe("revoked");
    expect(await allowlist.judge(issuer, serial)).toMatchObject({ allowed: false, detail: "CERTIFICATE_REVOKED" });
    const feed = await world.sql.query<{ key_hash: string }>("select key_hash from revocation where cluster_id = $1", [
      world.clusterId,
    ]);
    expect(feed.map((each) => each.key_hash)).toContain("");
    expect(feed.length).toBe(2);
    const after = await world.operator.clusters.getCluster({ clusterId: world.clusterId });
    expect(Number(after.cluster?.snapshotVersion)).toBeGreaterThan(Number(before.cluster?.snapshotVersion));
    // Again: succeeds and changes nothing.
    await world.operator.identities.revokeIdentity(request);
    expect(await world.sql.query("select 1 from revocation")).toHaveLength(2);
  });

  it("M-A1 does not find a client of another cluster", async () => {
    const client = await addClient("laptop");
    const other = await world.operator.clusters.createCluster({ slug: "other" });
    const request = { identityId: client.identity?.id ?? "", clusterId: other.cluster?.id ?? "", reason: "" };
    await expect(world.operator.identities.revokeIdentity(request)).rejects.toMatchObject({ reason: "not_found" });
  });

  it("REVIEW-18 never revokes the last operator, not even when two revoke each other at the same time", async () => {
    const own = world.init.operatorId;
    const only = world.operator.identities.revokeIdentity({ identityId: own, reason: "" });
    await expect(only).rejects.toMatchObject({ reason: "failed_precondition", detail: "LAST_OPERATOR" });
    const second = (await addOperator("second")).identity?.id ?? "";
    const outcomes = await Promise.allSettled(
      [own, second].map((identityId) => world.operator.identities.revokeIdentity({ identityId, reason: "" })),
    );
    expect(outcomes.filter((each) => each.status === "fulfilled")).toHaveLength(1);
    expect(
      await world.sql.query("select count(*) as n from identity where kind = 'operator' and status = 'active'"),
    ).toEqual([{ n: 1 }]);
  });

  it("puts a revoked operator into the feed of every cluster", async () => {
    await world.operator.clusters.createCluster({ slug: "other" });
    const second = (await addOperator("second")).identity?.id ?? "";
    await world.operator.identities.revokeIdentity({ identityId: second, reason: "left" });
    const rows = await world.sql.query("select distinct cluster_id from revocation");
    expect(rows).toHaveLength(2);
  });

  it("renews an operator: the new leaf takes over at its first use, and only then the old one stops", async () => {
    const host = await freshHost();
    const added = await world.operator.identities.addIdentity({
      kind: IdentityKind.OPERATOR,
      name: "second",
      csr: host.csr,
    });
    const old = spiffeOf(added.certificateDer);
    const own = world.replica.as(callerOfSpiffe(old.spiffe));
    const renewed = spiffeOf((await own.identities.renewOperator({ csr: (await freshHost()).csr })).certificateDer);
    const issuer = (await world.replica.deps.authority.ca(world.sql, world.clusterId, "operator")).root.keyId;
    const { allowlist } = world.replica.deps;
    expect(await allowlist.judge(issuer, old.serial)).toMatchObject({ allowed: true });
    expect(await allowlist.judge(issuer, renewed.serial)).toMatchObject({ allowed: true });
    expect(await allowlist.judge(issuer, old.serial)).toEqual({ allowed: false, detail: "CERTIFICATE_SUPERSEDED" });
  });

  it("REVIEW-18 recovers a lost operator on the control host, and the audit log shows it", async () => {
    const { deps } = new Replica(world.sql, world.sealingKey);
    const recovered = await recoverOperator(deps, { name: "break-glass", csr: (await freshHost()).csr });
    expect(recovered.operatorId).toMatch(/^op-/);
    const { records } = await world.operator.audit.listAudit({ limit: 5 });
    expect(records.map((each) => each.action)).toContain("operator.recovered");
  });
});
