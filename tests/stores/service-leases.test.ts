/** Leases of service channels through their service, on both stores: what is signed, for how long, and what ends them. */

import { fromBinary } from "@bufbuild/protobuf";
import { beforeAll, describe, expect, it } from "vitest";
import { makeCsr } from "../../certs/csr.ts";
import { generateP256 } from "../../certs/keys.ts";
import { snapshotSource } from "../../control/domain/snapshot.ts";
import { identityService } from "../../control/services/identity.ts";
import { resourceService } from "../../control/services/resource.ts";
import { serviceChannelService } from "../../control/services/service-channel.ts";
import { listAudit } from "../../control/store/audit.ts";
import { activeSigningKey } from "../../control/store/authorities.ts";
import { sweepServiceLeases } from "../../control/store/service-leases.ts";
import { verifyStore } from "../../control/store/verify.ts";
import { verifyContract } from "../../fabric/contract.ts";
import { IdentityKind, IdentityService } from "../../gen/weft/admin/v1/identity_pb.ts";
import { ResourceService } from "../../gen/weft/admin/v1/resource_pb.ts";
import { ServiceChannelService, ServiceLeaseState } from "../../gen/weft/admin/v1/service_channel_pb.ts";
import { LeaseContractSchema, LeaseKind, SignedContractSchema } from "../../gen/weft/fabric/v1/contract_pb.ts";
import { ChannelClass, ServiceClass } from "../../gen/weft/fabric/v1/role_pb.ts";
import { limits } from "../../lib/limits.ts";
import type { Caller } from "../../rpc/caller.ts";
import { rpcClient } from "../../rpc/client.ts";
import {
  type AddedNode,
  addNode,
  addOrganization,
  type ControlCluster,
  callAs,
  controlCluster,
} from "../harness/control-cluster.ts";
import { eventually } from "../harness/eventually.ts";
import { addListener, addResource, createPool, serviceDeps } from "../harness/placed.ts";
import { describeStores } from "./stores.ts";

describeStores("service-channel leases", (store) => {
  let cluster: ControlCluster;
  let orgX: string;
  let orgY: string;
  let entry: AddedNode;
  let egress: AddedNode;
  let relay: AddedNode;
  let db: string;

  beforeAll(async () => {
    cluster = await controlCluster(await store.migrated());
    orgX = await addOrganization(cluster, "org-x");
    orgY = await addOrganization(cluster, "org-y");
    entry = await addNode(cluster, "entry-1", { roles: [`entry@${orgX}`] });
    relay = await addNode(cluster, "relay-1", { roles: ["relay"] });
    egress = await addNode(cluster, "egress-1", { roles: [`egress@${orgX}`] });
    const pool = await createPool(cluster, orgX, "pool-x", [egress.id]);
    db = await addResource(cluster, orgX, "db", pool, { service: "database" });
  });

  const at = () => ({ clusterId: cluster.clusterId });
  const as = (caller: Caller) => {
    const deps = serviceDeps(cluster);
    const transport = callAs(caller, (router) => {
      router.service(ServiceChannelService, serviceChannelService(deps));
      router.service(IdentityService, identityService(deps));
      router.service(ResourceService, resourceService(deps));
    });
    return {
      leases: rpcClient(ServiceChannelService, transport),
      identities: rpcClient(IdentityService, transport),
      resources: rpcClient(ResourceService, transport),
    };
  };
  const operator = () => as(cluster.operator);
  const lastRecord = async () => (await listAudit(cluster.ctx.sql, { clusterId: "", afterSeq: 0, limit: 1 }))[0];
  const ended = async () => (await snapshotSource(serviceDeps(cluster)).view(cluster.clusterId)).view.endedLeases;

  async function addClient(name: string, organizationId = orgX): Promise<string> {
    const csr = await makeCsr(generateP256());
    const about = { ...at(), kind: IdentityKind.CLIENT, name, organizationId, csr };
    return (await operator().identities.addIdentity(about)).identity?.id ?? "";
  }
  const wish = (over: object = {}) => ({ ...at(), resourceId: "db", entryNodeId: "entry-1", ...over });
  async function issued(over: object = {}) {
    const { lease } = await operator().leases.issueLease(wish(over));
    if (lease === undefined) throw new Error("no lease");
    return lease;
  }
  const verdictOf = (bytes: Uint8Array) =>
    verifyContract(bytes, {
      installationSpki: cluster.installationSpki,
      clusterId: cluster.clusterId,
      nowMs: Date.now(),
    });
  /** A lease that has run out. */
  const expired = async (): Promise<string> => {
    const { id } = await issued({ ttlMs: 1_000n });
    const left = async (): Promise<number> =>
      Number((await operator().leases.introspectLease({ ...at(), leaseId: id })).lease?.leftMs);
    await eventually(async () => (await left()) === 0, { what: "the lease to run out" });
    return id;
  };

  describe("issuing", () => {
    it("M-A24 hands out a signed contract that says all of it", async () => {
      const clientId = await addClient("laptop");
      const lease = await issued({
        ...{ clientId: "laptop", name: "night-shift", channelClass: ChannelClass.INTERACTIVE, poolId: "pool-x" },
        ...{ serviceClass: ServiceClass.DATABASE, flowIsolationId: "flow-7", ttlMs: 60_000n },
      });
      expect(lease).toMatchObject({ name: "night-shift", state: ServiceLeaseState.ACTIVE, maintainedCount: 0n });
      const verdict = verdictOf(lease.signedContract);
      expect(verdict).toMatchObject({
        ok: true,
        contract: {
          ...{ clusterId: cluster.clusterId, leaseId: lease.id, name: "night-shift", kind: LeaseKind.SERVICE_CHANNEL },
          ...{ resourceId: db, organizationId: orgX, clientId, serviceClass: ServiceClass.DATABASE },
          ...{ channelClass: ChannelClass.INTERACTIVE, entryNodeId: entry.id, flowIsolationId: "flow-7" },
          ...{ holderNodeId: "", holderBootId: "", route: { poolId: expect.stringMatching(/^pl-/) } },
        },
      });
      const { issuedAtMs = 0n, notAfterMs = 0n } = lease.contract ?? {};
      expect(notAfterMs - issuedAtMs).toBe(60_000n);
      expect(await lastRecord()).toMatchObject({
        ...{ action: "service_lease.issued", object: `service_lease/${lease.id}`, organizationId: orgX, result: "ok" },
      });
    });

    it("M-A24 introspection answers with the very same bytes", async () => {
      const lease = await issued({ name: "same-bytes" });
      for (const leaseId of [lease.id, "same-bytes"]) {
        const told = await operator().leases.introspectLease({ ...at(), leaseId });
        expect(told.active).toBe(true);
        expect(Buffer.from(told.lease?.signedContract ?? []).equals(Buffer.from(lease.signedContract))).toBe(true);
      }
    });

    it("LAW-F2 gives every lease of a resource a fence of its own, also to many at once", async () => {
      const leases = await Promise.all(Array.from({ length: 12 }, () => issued()));
      const fences = leases.map(({ contract }) => `${contract?.fence?.epoch}.${contract?.fence?.counter}`);
      expect(new Set(fences).size).toBe(leases.length);
    });

    it.each<[string, () => object | Promise<object>, object]>([
      ["no such resource", () => ({ resourceId: "none" }), { detail: "RESOURCE_NOT_FOUND" }],
      ["a resource of another organization", () => ({ organizationId: orgY }), { reason: "not_found" }],
      ["no such client", () => ({ clientId: "nobody" }), { detail: "CLIENT_NOT_FOUND" }],
      [
        "a client of another organization",
        async () => ({ clientId: await addClient("stranger", orgY) }),
        { detail: "CLIENT_NOT_FOUND" },
      ],
      ["no such entry", () => ({ entryNodeId: "none" }), { reason: "not_found" }],
      ["an entry that is none", () => ({ entryNodeId: "relay-1" }), { detail: "ENTRY_ROLE_MISSING" }],
      [
        "a class the resource does not allow",
        () => ({ channelClass: ChannelClass.DROPPABLE }),
        { detail: "INVALID_FIELD" },
      ],
      ["a service it does not have", () => ({ serviceClass: ServiceClass.WEB }), { detail: "INVALID_FIELD" }],
      ["no time at all", () => ({ ttlMs: 10n }), { detail: "INVALID_FIELD" }],
      ["too long", () => ({ ttlMs: BigInt(limits.serviceLeaseTtlMaxMs + 1) }), { detail: "INVALID_FIELD" }],
      ["a flow that is no name", () => ({ flowIsolationId: "a/b" }), { detail: "INVALID_FIELD" }],
    ])("is refused: %s", async (_what, over, expected) => {
      await expect(operator().leases.issueLease(wish(await over()))).rejects.toMatchObject(expected);
    });
  });

  describe("maintenance", () => {
    it("M-A24 gives a newer contract under the same fence, and never a shorter one", async () => {
      const first = await issued({ ttlMs: 60_000n });
      const { lease: second } = await operator().leases.maintainLease({
        ...at(),
        leaseId: first.id,
        ttlMs: 3_600_000n,
      });
      expect(second?.contract).toMatchObject({ fence: first.contract?.fence, leaseId: first.id });
      expect(second?.maintainedCount).toBe(1n);
      expect(Number(second?.contract?.notAfterMs)).toBeGreaterThan(Number(first.contract?.notAfterMs));
      expect(verdictOf(second?.signedContract ?? new Uint8Array()).ok).toBe(true);
      const { lease: third } = await operator().leases.maintainLease({ ...at(), leaseId: first.id, ttlMs: 1_000n });
      expect(third?.contract?.notAfterMs).toBe(second?.contract?.notAfterMs);
      expect(await lastRecord()).toMatchObject({ action: "service_lease.maintained", result: "ok" });
    });

    it("M-A24 is refused once the lease has run out", async () => {
      const leaseId = await expired();
      await expect(operator().leases.maintainLease({ ...at(), leaseId })).rejects.toMatchObject({
        detail: "SERVICE_LEASE_OVER",
      });
      const told = await operator().leases.introspectLease({ ...at(), leaseId });
      expect(told).toMatchObject({ active: false, lease: { state: ServiceLeaseState.EXPIRED, leftMs: 0n } });
      expect((await operator().leases.releaseLease({ ...at(), leaseId })).changed).toBe(false);
    });

    it("is refused after the epoch was raised; the lease runs to its date", async () => {
      const { id: leaseId } = await issued();
      // A holder of the sealing key, as a restore is: the installation's row stays authentic.
      const row = await cluster.authority.installation();
      const { sql, seal } = cluster.ctx;
      const stored = await sql.query<{
        sealed: Uint8Array;
        spki: Uint8Array;
        mode: string;
        domain: string;
        key: string;
      }>(
        `select sealed_key as sealed, public_key_spki as spki, mode, trust_domain as domain, sealing_key_id as key
         from installation`,
      );
      const [now] = stored;
      if (now === undefined) throw new Error("no installation");
      const raise = (epoch: number) =>
        sql.query(`update installation set epoch = $1, mac = $2`, [
          epoch,
          seal.mac("installation", [now.domain, epoch, now.mode, now.spki, now.sealed, now.key]),
        ]);
      await raise(row.epoch + 1);
      try {
        const told = await operator().leases.introspectLease({ ...at(), leaseId });
        expect(told).toMatchObject({ active: true, lease: { state: ServiceLeaseState.SUPERSEDED } });
        await expect(operator().leases.maintainLease({ ...at(), leaseId })).rejects.toMatchObject({
          detail: "SERVICE_LEASE_OVER",
        });
        const next = await issued();
        expect(next.contract?.fence?.epoch).toBe(BigInt(row.epoch + 1));
      } finally {
        await raise(row.epoch);
      }
    });
  });

  describe("the end", () => {
    const stateOf = async (leaseId: string) =>
      (await operator().leases.introspectLease({ ...at(), leaseId })).lease?.state;

    it("a released lease is in snapshots until its contract would have run out", async () => {
      const { id: leaseId } = await issued();
      expect(await ended()).not.toContainEqual({ leaseId, organizationId: orgX });
      const answer = await operator().leases.releaseLease({ ...at(), leaseId });
      expect(answer).toMatchObject({ changed: true, lease: { state: ServiceLeaseState.RELEASED } });
      expect(await ended()).toContainEqual({ leaseId, organizationId: orgX });
      expect(await lastRecord()).toMatchObject({ action: "service_lease.ended", result: "ok" });
      expect((await operator().leases.releaseLease({ ...at(), leaseId })).changed).toBe(false);
      await expect(operator().leases.maintainLease({ ...at(), leaseId })).rejects.toMatchObject({
        detail: "SERVICE_LEASE_OVER",
      });
    });

    it("revoking the client ends its leases, and nobody else's", async () => {
      const clientId = await addClient("lost-laptop");
      const own = await issued({ clientId });
      const other = await issued();
      await operator().identities.revokeIdentity({ ...at(), identityId: clientId, reason: "lost" });
      expect(await stateOf(own.id)).toBe(ServiceLeaseState.CLIENT_REVOKED);
      expect(await stateOf(other.id)).toBe(ServiceLeaseState.ACTIVE);
      expect(await ended()).toContainEqual({ leaseId: own.id, organizationId: orgX });
      await expect(operator().leases.issueLease(wish({ clientId }))).rejects.toMatchObject({ reason: "not_found" });
    });

    it("removing the resource ends the leases for it", async () => {
      const pools = await cluster.ctx.sql.query<{ id: string }>(`select id from pool`);
      await addResource(cluster, orgX, "scratch", pools[0]?.id ?? "");
      const { id } = await issued({ resourceId: "scratch" });
      await operator().resources.removeResource({ ...at(), resourceId: "scratch" });
      expect(await stateOf(id)).toBe(ServiceLeaseState.RESOURCE_REMOVED);
    });

    it("a resource that needs leases has no listener, and is not exclusive", async () => {
      const pools = await cluster.ctx.sql.query<{ id: string }>(`select id from pool`);
      const fields = { ...at(), organizationId: orgX, poolId: pools[0]?.id ?? "", host: "127.0.0.1", port: 1 };
      const { resource } = await operator().resources.addResource({ ...fields, name: "strict", requiresLease: true });
      expect(resource?.requiresLease).toBe(true);
      const wanted = { organizationId: orgX, name: "strict", resourceId: "strict", entryNodeId: entry.id };
      await expect(addListener(cluster, wanted)).rejects.toMatchObject({ detail: "RESOURCE_NEEDS_LEASE" });
      await expect(
        operator().resources.addResource({ ...fields, name: "both", requiresLease: true, exclusiveLeaseMs: 20_000n }),
      ).rejects.toMatchObject({ metadata: { field: "requires_lease" } });
    });

    it("lists what may be used, and with --all the rest", async () => {
      const { id } = await issued({ name: "listed" });
      await operator().leases.releaseLease({ ...at(), leaseId: id });
      const list = async (all: boolean) =>
        (await operator().leases.listLeases({ ...at(), resourceId: "db", all })).leases;
      expect((await list(false)).every((lease) => lease.state === ServiceLeaseState.ACTIVE)).toBe(true);
      expect((await list(true)).map((lease) => lease.id)).toContain(id);
    });

    it("LAW-F2 the sweep forgets what has long been over, but never a resource's newest fence", async () => {
      const count = async () =>
        (await operator().leases.listLeases({ ...at(), resourceId: db, all: true })).leases.length;
      const before = await count();
      await sweepServiceLeases(cluster.ctx.sql);
      expect(await count()).toBe(before);
      const { sql } = cluster.ctx;
      await sql.query(`update service_lease set not_after_ms = 1 where resource_id = $1`, [db]);
      const [newest] = await sql.query<{ counter: number }>(
        `select max(fence_counter) as counter from service_lease where resource_id = $1`,
        [db],
      );
      await sweepServiceLeases(sql);
      const left = await sql.query<{ counter: number }>(
        `select fence_counter as counter from service_lease where resource_id = $1`,
        [db],
      );
      expect(left).toEqual([newest]);
      await sql.query(`delete from service_lease`);
    });
  });

  describe("who may ask", () => {
    it("LAW-C2 the entry and the organization's egresses about their leases, others about none", async () => {
      const { id: leaseId } = await issued({ name: "asked" });
      const otherEntry = await addNode(cluster, "entry-2", { roles: [`entry@${orgX}`] });
      const otherEgress = await addNode(cluster, "egress-2", { roles: [`egress@${orgY}`] });
      for (const node of [entry, egress]) {
        expect((await as(node.caller).leases.introspectLease({ leaseId })).active).toBe(true);
        await expect(as(node.caller).leases.introspectLease({ leaseId: "asked" })).rejects.toMatchObject({
          detail: "SERVICE_LEASE_NOT_FOUND",
        });
      }
      for (const node of [relay, otherEntry, otherEgress]) {
        await expect(as(node.caller).leases.introspectLease({ leaseId })).rejects.toMatchObject({
          detail: "SERVICE_LEASE_NOT_FOUND",
        });
      }
    });
  });

  describe("the store", () => {
    it("an altered row is no lease, and found by whoever verifies the store", async () => {
      const { id: leaseId } = await issued();
      const { sql, seal } = cluster.ctx;
      expect((await verifyStore(sql, seal)).altered).toEqual({});
      await sql.query(`update service_lease set not_after_ms = not_after_ms + 1 where id = $1`, [leaseId]);
      await expect(operator().leases.introspectLease({ ...at(), leaseId })).rejects.toMatchObject({
        detail: "TRUST_ROW_UNAUTHENTIC",
      });
      expect((await verifyStore(sql, seal)).altered).toEqual({ service_lease: 1 });
      await sql.query(`delete from service_lease where id = $1`, [leaseId]);
    });

    it("a cluster from before contracts gets its key with the first lease, once", async () => {
      const { sql, seal } = cluster.ctx;
      await sql.query(`delete from signing_key where purpose = 'contract'`);
      const leases = await Promise.all([issued(), issued(), issued()]);
      const { row } = await activeSigningKey(sql, seal, cluster.clusterId, "contract");
      for (const { signedContract } of leases) {
        expect(fromBinary(SignedContractSchema, signedContract).keyId).toBe(row.keyId);
        expect(verdictOf(signedContract).ok).toBe(true);
      }
    });

    it("a contract of another cluster of the installation says nothing here", async () => {
      const lease = await issued();
      const elsewhere = verifyContract(lease.signedContract, {
        ...{ installationSpki: cluster.installationSpki, clusterId: "cl-other", nowMs: Date.now() },
      });
      expect(elsewhere).toEqual({ ok: false, refusal: "CONTRACT_STATEMENT" });
      const inner = fromBinary(SignedContractSchema, lease.signedContract).contract;
      expect(fromBinary(LeaseContractSchema, inner).leaseId).toBe(lease.id);
    });
  });
});
