import { chmodSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { generateP256, privateKeyPem } from "../../../certs/keys.ts";
import { IssuedIdentitySchema, PoolCertificateSchema } from "../../../gen/weft/enrollment/v1/enrollment_pb.ts";
import { TrustBundleSchema } from "../../../gen/weft/fabric/v1/snapshot_pb.ts";
import { createIdentityHolder, loadIdentity, saveIdentity } from "../../../node/identity-store.ts";
import { identityFrom } from "../../../node/leaf.ts";
import type { NodeIdentity } from "../../../node/ports.ts";
import { detailOf } from "../fabric/snapshot/stage.ts";
import { bundleOf, clusterId, identity, installation, makeIdentity, nowMs, pki, selfId, stateFolder } from "./stage.ts";

const installationKeySpki = installation.spkiDer;
const stored = { identity, installationKeySpki };

describe("the identity at rest", () => {
  it("comes back as it was, from one file only this user can read", async () => {
    using folder = stateFolder();
    const poolLeaves = new Map([["pl-1", await pki.leaf("pool", "pl-1", { nowMs })]]);
    saveIdentity(folder.dir, { identity: { ...identity, poolLeaves }, installationKeySpki });
    expect(readdirSync(folder.dir)).toEqual(["identity.json"]);
    expect(statSync(join(folder.dir, "identity.json")).mode & 0o777).toBe(0o600);
    const loaded = loadIdentity(folder.dir);
    const packed = (held: NodeIdentity) => ({ ...held, bundle: Buffer.from(toBinary(TrustBundleSchema, held.bundle)) });
    expect(packed(loaded?.identity ?? identity)).toEqual(packed({ ...identity, poolLeaves }));
    expect(Buffer.from(loaded?.installationKeySpki ?? [])).toEqual(Buffer.from(installationKeySpki));
  });

  it("of an egress in many pools still fits", async () => {
    using folder = stateFolder();
    const leaf = await pki.leaf("pool", "pl-1", { nowMs });
    const poolLeaves = new Map(Array.from({ length: 100 }, (_, at) => [`pl-${at}`, leaf] as const));
    saveIdentity(folder.dir, { identity: { ...identity, poolLeaves }, installationKeySpki });
    expect(loadIdentity(folder.dir)?.identity.poolLeaves.size).toBe(100);
  });

  it("is absent in an empty folder, and in none", () => {
    using folder = stateFolder();
    expect(loadIdentity(folder.dir)).toBeUndefined();
    expect(loadIdentity(join(folder.dir, "none"))).toBeUndefined();
  });

  it.each([
    ["cut short", (text: string) => text.slice(0, -40)],
    ["not JSON", () => "{"],
    ["without the bundle", (text: string) => JSON.stringify({ ...JSON.parse(text), bundle: undefined })],
    [
      "with another key beside the certificate",
      (text: string) => {
        const parsed = JSON.parse(text);
        return JSON.stringify({
          ...parsed,
          leaf: { ...parsed.leaf, keyPem: privateKeyPem(generateP256().privateKey) },
        });
      },
    ],
  ])("that is %s is refused and left as it is", (_what, damage) => {
    using folder = stateFolder();
    saveIdentity(folder.dir, stored);
    const path = join(folder.dir, "identity.json");
    const damaged = damage(readFileSync(path, "utf8"));
    writeFileSync(path, damaged, { mode: 0o600 });
    expect(detailOf(() => loadIdentity(folder.dir))).toBe("IDENTITY_DAMAGED");
    expect(readFileSync(path, "utf8")).toBe(damaged);
    expect(readdirSync(folder.dir)).toEqual(["identity.json"]);
  });

  it("is refused when others can read it, or when it is a link", () => {
    using folder = stateFolder();
    using elsewhere = stateFolder();
    saveIdentity(folder.dir, stored);
    chmodSync(join(folder.dir, "identity.json"), 0o640);
    expect(detailOf(() => loadIdentity(folder.dir))).toBe("KEY_FILE_UNSAFE");
    saveIdentity(elsewhere.dir, stored);
    chmodSync(join(folder.dir, "identity.json"), 0o600);
    symlinkSync(join(elsewhere.dir, "identity.json"), join(folder.dir, "link"));
    using linked = stateFolder();
    symlinkSync(join(elsewhere.dir, "identity.json"), join(linked.dir, "identity.json"));
    expect(detailOf(() => loadIdentity(linked.dir))).toBe("KEY_FILE_UNSAFE");
  });
});

describe("the identity in memory", () => {
  it("is on disk before anybody sees a new one", async () => {
    using folder = stateFolder();
    saveIdentity(folder.dir, stored);
    const next = { ...(await makeIdentity(pki)), name: "renamed" };
    const holder = createIdentityHolder(folder.dir, stored, (thrown) => expect.unreachable(String(thrown)));
    const seen: unknown[] = [];
    const stop = holder.onChange((shown) =>
      seen.push([shown.leaf === next.leaf, loadIdentity(folder.dir)?.identity.name]),
    );
    holder.keepPendingKey(next.leaf.keyPem);
    holder.replace({ ...identity, bundle: next.bundle });
    expect(holder.pendingKey()).toBe(next.leaf.keyPem);
    seen.length = 0;
    holder.replace(next);
    expect(seen).toEqual([[true, "renamed"]]);
    expect(holder.current().leaf).toBe(next.leaf);
    expect(holder.pendingKey()).toBeUndefined();
    stop();
    holder.replace(identity);
    expect(seen).toHaveLength(1);
  });

  it("stays the old one when the new one cannot be kept, and a listener that throws stops no other", async () => {
    using folder = stateFolder();
    saveIdentity(folder.dir, stored);
    const thrown: unknown[] = [];
    const broken = createIdentityHolder(join(folder.dir, "gone"), stored, (error) => thrown.push(error));
    expect(() => broken.replace({ ...identity, name: "lost" })).toThrow();
    expect(broken.current()).toBe(identity);
    const holder = createIdentityHolder(folder.dir, stored, (error) => thrown.push(error));
    let heard = 0;
    holder.onChange(() => {
      throw new Error("listener");
    });
    holder.onChange(() => {
      heard += 1;
    });
    holder.replace({ ...identity });
    expect([heard, thrown.length]).toEqual([1, 1]);
  });
});

describe("what control issued", () => {
  const issued = (certificateDer: Uint8Array, fields = {}) =>
    create(IssuedIdentitySchema, {
      nodeId: selfId,
      name: "self",
      clusterId,
      clusterSlug: "default",
      trustDomain: pki.trustDomain,
      certificateDer,
      bundle: bundleOf(pki),
      controlName: "control.default.weft.internal",
      ...fields,
    });

  it("belongs to the key it was asked for, with its pools", async () => {
    const { issued: leaf, keys } = await pki.issue("node", selfId, { nowMs });
    const pool = await pki.issue("pool", "pl-1", { nowMs, keys });
    const keyPem = privateKeyPem(keys.privateKey);
    const pools = [create(PoolCertificateSchema, { poolId: "pl-1", certificateDer: pool.issued.certificateDer })];
    const made = identityFrom(issued(leaf.certificateDer), keyPem, pools);
    expect(made).toMatchObject({ nodeId: selfId, clusterId, controlName: "control.default.weft.internal" });
    expect([...made.poolLeaves.keys()]).toEqual(["pl-1"]);
    const otherKey = privateKeyPem(generateP256().privateKey);
    expect(() => identityFrom(issued(leaf.certificateDer), otherKey, [])).toThrow();
    expect(() => identityFrom(issued(pool.issued.certificateDer), keyPem, [])).toThrow();
    expect(detailOf(() => identityFrom(issued(leaf.certificateDer, { bundle: undefined }), keyPem, []))).toBe(
      "BUNDLE_MISSING",
    );
  });
});
