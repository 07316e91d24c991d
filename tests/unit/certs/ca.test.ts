import { X509Certificate } from "node:crypto";
import { describe, expect, it } from "vitest";
import { caPrivateKeyPem, createRoot, issueLeaf, openCa } from "../../../certs/ca.ts";
import { EXTENSION, readCertificate } from "../../../certs/certificate.ts";
import { generateP256, privateKeyPem } from "../../../certs/keys.ts";
import { leafOfKind, openRoot, rootsOfKind } from "../../../certs/material.ts";
import { leafProfiles } from "../../../certs/profiles.ts";
import { formatSpiffe, spiffeKinds } from "../../../certs/spiffe.ts";
import { systemClock } from "../../../lib/clock.ts";
import { limits } from "../../../lib/limits.ts";
import { systemRandom } from "../../../lib/random.ts";
import { makePki } from "../../harness/pki.ts";

const pki = await makePki();
const nowMs = systemClock.nowMs();
const detail = (name: string) => expect.objectContaining({ detail: name });

function factsOf(der: Uint8Array) {
  const facts = readCertificate(der);
  if (typeof facts === "string") throw new Error(facts);
  return facts;
}

describe("issued certificates (THR-C15)", () => {
  it.each(spiffeKinds)("the leaf of a %s says what its profile says and no more", async (kind) => {
    const { issued } = await pki.issue(kind, "x1");
    const seen = new X509Certificate(issued.certificateDer);
    const facts = factsOf(issued.certificateDer);
    expect(seen.subjectAltName).toBe(`URI:${formatSpiffe(issued.id)}`);
    expect(seen.ca).toBe(false);
    expect(seen.keyUsage).toEqual(
      leafProfiles[kind].usages.map((usage) => (usage === "serverAuth" ? "1.3.6.1.5.5.7.3.1" : "1.3.6.1.5.5.7.3.2")),
    );
    expect(seen.validFromDate.getTime()).toBe(issued.notBeforeMs);
    expect(seen.validToDate.getTime()).toBe(issued.notAfterMs);
    expect(seen.serialNumber.toLowerCase()).toBe(issued.serialHex);
    expect([...facts.extensions.keys()].sort()).toEqual(Object.values(EXTENSION).sort());
    expect(issued.notAfterMs - nowMs).toBeLessThanOrEqual(leafProfiles[kind].lifeMs + 1_000);
    expect(Math.abs(nowMs - limits.leafBackdateMs - issued.notBeforeMs)).toBeLessThan(5_000);
  });

  it("the root keeps its profile: CA, path length 0, signs certificates and lists only", () => {
    for (const kind of spiffeKinds) {
      const { extensions } = factsOf(pki.cas[kind].root.der);
      expect(extensions.get(EXTENSION.basicConstraints)).toEqual({ critical: true, valueHex: "30060101ff020100" });
      expect(extensions.get(EXTENSION.keyUsage)).toEqual({ critical: true, valueHex: "03020106" });
      expect(extensions.has(EXTENSION.subjectKeyId) && extensions.has(EXTENSION.authorityKeyId)).toBe(true);
    }
  });

  it("serials are 16 bytes, positive and different; every generation has a subject of its own", async () => {
    const serials = new Set<string>();
    for (let i = 0; i < 50; i++) {
      const { issued } = await pki.issue("client", "u1");
      expect(issued.serialHex).toMatch(/^[4-7][0-9a-f]{31}$/);
      serials.add(issued.serialHex);
    }
    expect(serials.size).toBe(50);
    const again = await createRoot({ kind: "node", clusterName: "c1", generation: 1, nowMs, random: systemRandom });
    expect(new X509Certificate(again.root.der).subject).not.toBe(new X509Certificate(pki.cas.node.root.der).subject);
  });

  it("a leaf never outlives its issuer, and an expired issuer issues nothing", async () => {
    const short = await createRoot({
      kind: "node",
      clusterName: "c1",
      generation: 1,
      nowMs,
      random: systemRandom,
      lifeMs: 60_000,
    });
    const id = { trustDomain: "weft.test", clusterId: "c1", kind: "node", id: "n1" } as const;
    const request = { id, spkiDer: generateP256().spkiDer, nowMs, random: systemRandom };
    expect((await issueLeaf(short, request)).notAfterMs).toBe(short.root.notAfterMs);
    await expect(issueLeaf(short, { ...request, nowMs: nowMs + 61_000 })).rejects.toThrow(detail("CA_EXPIRED"));
  });

  it("LAW-C1 a root issues its own kind only, and only for P-256 keys and proper names", async () => {
    const spkiDer = generateP256().spkiDer;
    const id = { trustDomain: "weft.test", clusterId: "c1", kind: "node", id: "n1" } as const;
    const request = { id, spkiDer, nowMs, random: systemRandom };
    await expect(issueLeaf(pki.cas.client, request)).rejects.toThrow(detail("LEAF_KIND"));
    await expect(issueLeaf(pki.cas.node, { ...request, spkiDer: new Uint8Array(91) })).rejects.toThrow(
      detail("LEAF_KEY"),
    );
    await expect(issueLeaf(pki.cas.node, { ...request, id: { ...id, id: "N1" } })).rejects.toThrow(detail("SPIFFE_ID"));
    for (const name of ["A.b", "a b", "a..b", "-a", "*.b", "a,URI:spiffe://x", ""]) {
      await expect(issueLeaf(pki.cas.node, { ...request, dnsNames: [name] })).rejects.toThrow(detail("LEAF_NAME"));
    }
    await expect(issueLeaf(pki.cas.node, { ...request, ipAddresses: ["fe80::1%eth0"] })).rejects.toThrow(
      detail("LEAF_NAME"),
    );
    const client = { ...request, id: { ...id, kind: "client" as const }, dnsNames: ["a.b"] };
    await expect(issueLeaf(pki.cas.client, client)).rejects.toThrow(detail("LEAF_NAME"));
  });

  it("an issuer survives storage, and key and root must belong together", () => {
    const { node, client } = pki.cas;
    expect(openCa("node", node.root.der, caPrivateKeyPem(node)).root.keyId).toBe(node.root.keyId);
    expect(() => openCa("node", node.root.der, caPrivateKeyPem(client))).toThrow(detail("CA_KEY"));
  });
});

describe("trust material", () => {
  it("roots are at least one, no key twice, and each keeps the root profile", async () => {
    expect(() => rootsOfKind("node", [])).toThrow(detail("ROOT_MISSING"));
    const { der } = pki.cas.node.root;
    expect(() => rootsOfKind("node", [der, der])).toThrow(detail("ROOT_REPEATED"));
    const { issued } = await pki.issue("node", "n1");
    expect(() => openRoot(issued.certificateDer)).toThrow(detail("ROOT_PROFILE"));
    expect(() => openRoot(Buffer.concat([der, Buffer.of(0)]))).toThrow(detail("CERT_ENCODING"));
  });

  it("a leaf is of its kind and has its own key", async () => {
    const { issued, keys } = await pki.issue("node", "n1");
    const pem = privateKeyPem(keys.privateKey);
    expect(leafOfKind("node", pem, issued.certificateDer).id.id).toBe("n1");
    expect(() => leafOfKind("pool", pem, issued.certificateDer)).toThrow(detail("LEAF_KIND"));
    const foreign = privateKeyPem(generateP256().privateKey);
    expect(() => leafOfKind("node", foreign, issued.certificateDer)).toThrow(detail("LEAF_KEY"));
  });
});
