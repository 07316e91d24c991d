import { X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import { describe, expect, it } from "vitest";
import { createRoot, issueLeaf } from "../../../certs/ca.ts";
import { type Expectation, judgeCertificate, judgePeer } from "../../../certs/judge.ts";
import { generateEd25519, generateP256, keyHash as keyHashOf } from "../../../certs/keys.ts";
import { rootsOfKind } from "../../../certs/material.ts";
import { spiffeKinds } from "../../../certs/spiffe.ts";
import { systemClock } from "../../../lib/clock.ts";
import { limits } from "../../../lib/limits.ts";
import { systemRandom } from "../../../lib/random.ts";
import {
  dnsName,
  ext,
  extension,
  type Forgery,
  flipSignature,
  forge,
  hex,
  subjectAltName,
  subjectOf,
  uriName,
} from "../../harness/forge.ts";
import { makePki } from "../../harness/pki.ts";

const pki = await makePki();
const keys = generateP256();
const root = pki.cas.node.root;
const URI = "spiffe://weft.test/cluster/c1/node/n1";
const expectNode = pki.expect("node");

function whyOf(der: Uint8Array, expectation: Expectation = expectNode): string {
  const verdict = judgeCertificate(der, expectation);
  return verdict.ok ? "ok" : verdict.why;
}

/** A certificate signed by the node root, regular unless told otherwise. */
function signed(over: Partial<Forgery> = {}): Buffer {
  return forge({
    signer: pki.cas.node.privateKey,
    issuer: subjectOf(root.der),
    spki: keys.spkiDer,
    extensions: [ext.caFalse, ext.keyUsage, ext.both, subjectAltName(uriName(URI))],
    ...over,
  });
}
const named = (...names: Uint8Array[]): Buffer =>
  signed({ extensions: [ext.caFalse, ext.keyUsage, ext.both, subjectAltName(...names)] });
const san = subjectAltName(uriName(URI));
const nowMs = systemClock.nowMs();

describe("REVIEW-9 the judge of certificates", () => {
  it("accepts what the issuer issues, for every kind, and only as that kind (LAW-C1)", async () => {
    for (const kind of spiffeKinds) {
      const { issued } = await pki.issue(kind, "x1");
      const verdict = judgeCertificate(issued.certificateDer, pki.expect(kind));
      const { serialHex, issuerKeyId, keyHash, notAfterMs, notBeforeMs, id } = issued;
      expect(verdict).toMatchObject({ ok: true, id, serialHex, issuerKeyId, keyHash, notAfterMs, notBeforeMs });
      expect(verdict.ok && keyHashOf(verdict.spkiDer)).toBe(keyHash);
      for (const other of spiffeKinds.filter((name) => name !== kind)) {
        expect(whyOf(issued.certificateDer, pki.expect(other))).toBe("PEER_WRONG_KIND");
      }
    }
  });

  it("the forger's regular certificate is accepted: what follows is refused for its one difference", () => {
    expect(whyOf(signed())).toBe("ok");
    expect(whyOf(named(uriName(URI), dnsName("link-abc")))).toBe("ok");
  });

  const profile: [string, string, Buffer][] = [
    ["no EKU", "CERT_PROFILE", signed({ extensions: [ext.caFalse, ext.keyUsage, san] })],
    ["EKU serverAuth only", "CERT_PROFILE", signed({ extensions: [ext.caFalse, ext.keyUsage, ext.serverAuth, san] })],
    ["EKU clientAuth only", "CERT_PROFILE", signed({ extensions: [ext.caFalse, ext.keyUsage, ext.clientAuth, san] })],
    ["no KU", "CERT_PROFILE", signed({ extensions: [ext.caFalse, ext.both, san] })],
    ["KU not critical", "CERT_PROFILE", signed({ extensions: [ext.caFalse, ext.keyUsageNotCritical, ext.both, san] })],
    ["KU keyAgreement", "CERT_PROFILE", signed({ extensions: [ext.caFalse, ext.keyUsageAgreement, ext.both, san] })],
    ["KU keyCertSign", "CERT_PROFILE", signed({ extensions: [ext.caFalse, ext.keyUsageCertSign, ext.both, san] })],
    ["no basicConstraints", "CERT_PROFILE", signed({ extensions: [ext.keyUsage, ext.both, san] })],
    ["CA:true", "CERT_PROFILE", signed({ extensions: [ext.caTrue, ext.keyUsage, ext.both, san] })],
    [
      "unknown critical extension",
      "CERT_PROFILE",
      signed({ extensions: [ext.caFalse, ext.keyUsage, ext.both, san, ext.unknownCritical] }),
    ],
    [
      "unknown extension",
      "CERT_PROFILE",
      signed({ extensions: [ext.caFalse, ext.keyUsage, ext.both, san, ext.unknown] }),
    ],
    ["duplicate SAN", "CERT_EXTENSIONS", signed({ extensions: [ext.caFalse, ext.keyUsage, ext.both, san, san] })],
    [
      "duplicate KU",
      "CERT_EXTENSIONS",
      signed({ extensions: [ext.caFalse, ext.keyUsage, ext.keyUsage, ext.both, san] }),
    ],
    ["no SAN, CN only (THR-C9)", "CERT_IDENTITY", signed({ extensions: [ext.caFalse, ext.keyUsage, ext.both] })],
    ["two URIs", "CERT_IDENTITY", named(uriName(URI), uriName("spiffe://weft.test/cluster/c1/node/n2"))],
    ["the same URI twice", "CERT_IDENTITY", named(uriName(URI), uriName(URI))],
    ["DNS name only", "CERT_IDENTITY", named(dnsName("n1"))],
    ["e-mail beside", "CERT_NAMES", named(uriName(URI), Buffer.concat([hex("8103"), Buffer.from("a@b")]))],
    ["%2e%2e", "CERT_IDENTITY", named(uriName("spiffe://weft.test/cluster/c1/node/%2e%2e/../control/x"))],
    ["upper case", "CERT_IDENTITY", named(uriName("spiffe://weft.test/cluster/c1/node/N1"))],
    ["upper-case scheme", "CERT_IDENTITY", named(uriName("SPIFFE://weft.test/cluster/c1/node/n1"))],
    ["NUL", "CERT_IDENTITY", named(uriName("spiffe://weft.test/cluster/c1/node/n1\0.evil"))],
    ["trailing slash", "CERT_IDENTITY", named(uriName(`${URI}/`))],
    ["root path", "CERT_IDENTITY", named(uriName("spiffe://weft.test"))],
    ["control path from the node root", "PEER_WRONG_KIND", named(uriName("spiffe://weft.test/cluster/c1/control/x"))],
    ["other trust domain", "PEER_WRONG_DOMAIN", named(uriName("spiffe://evil.test/cluster/c1/node/n1"))],
    ["other cluster", "PEER_WRONG_CLUSTER", named(uriName("spiffe://weft.test/cluster/c2/node/n1"))],
    ["serial 0", "CERT_SERIAL", signed({ serial: hex("00") })],
    ["negative serial", "CERT_SERIAL", signed({ serial: hex("81") })],
    ["padded serial", "CERT_SERIAL", signed({ serial: hex("0001") })],
    ["21-byte serial", "CERT_SERIAL", signed({ serial: Buffer.alloc(21, 1) })],
    ["v1", "CERT_VERSION", signed({ versionless: true })],
    ["Ed25519 key", "CERT_KEY", signed({ spki: generateEd25519().spkiDer })],
    ["expired", "CERT_EXPIRED", signed({ notAfterMs: nowMs - 1_000 })],
    [
      "starts in an hour",
      "CERT_NOT_YET_VALID",
      signed({ notBeforeMs: nowMs + 3_600_000, notAfterMs: nowMs + 7_200_000 }),
    ],
    ["ends before it starts", "CERT_DATES", signed({ notBeforeMs: nowMs, notAfterMs: nowMs - 3_600_000 })],
    ["outlives its issuer", "CERT_PROFILE", signed({ notAfterMs: root.notAfterMs + 86_400_000 })],
    ["signed by itself", "CERT_ISSUER", signed({ signer: keys.privateKey })],
    [
      "signed by the client root, named after the node root",
      "CERT_ISSUER",
      signed({ signer: pki.cas.client.privateKey }),
    ],
    ["trailing byte", "CERT_ENCODING", Buffer.concat([signed(), Buffer.of(0)])],
    ["truncated", "CERT_ENCODING", signed().subarray(0, -1)],
    ["the root itself", "CERT_IDENTITY", Buffer.from(root.der)],
    ["nothing", "CERT_SIZE", Buffer.alloc(0)],
    ["1 MB", "CERT_SIZE", Buffer.alloc(1 << 20, 0x30)],
  ];
  it.each(profile)("THR-C8 THR-C11 %s: %s", (_what, why, der) => expect(whyOf(der)).toBe(why));

  it("THR-C6 a look-alike intermediate under the client root does not make nodes (J3)", () => {
    const intermediate = generateP256();
    const leaf = signed({ signer: intermediate.privateKey });
    const authority = extension("551d23", false, Buffer.concat([hex("30168014"), Buffer.alloc(20, 7)]));
    const aki = signed({
      signer: intermediate.privateKey,
      extensions: [ext.caFalse, ext.keyUsage, ext.both, san, authority],
    });
    expect(new X509Certificate(leaf).checkIssued(new X509Certificate(root.der))).toBe(true);
    expect(whyOf(leaf)).toBe("CERT_ISSUER");
    expect(whyOf(aki)).toBe("CERT_ISSUER");
  });

  it("THR-C5 s -> n - s changes the fingerprint and none of the names we revoke by", async () => {
    const { issued } = await pki.issue("node", "n1");
    const twin = flipSignature(issued.certificateDer);
    expect(new X509Certificate(twin).fingerprint256).not.toBe(
      new X509Certificate(issued.certificateDer).fingerprint256,
    );
    const first = judgeCertificate(issued.certificateDer, expectNode);
    expect(first.ok).toBe(true);
    expect(judgeCertificate(twin, expectNode)).toEqual(first);
    const revoked = pki.expect("node", { revoked: (peer) => peer.serialHex === issued.serialHex });
    expect(whyOf(twin, revoked)).toBe("PEER_REVOKED");
  });

  it("LAW-I4 expiry, revocation and membership act on the next judgement of the same bytes", async () => {
    const { issued } = await pki.issue("node", "n1");
    const state = { nowMs: systemClock.nowMs(), signedMs: 0, revoked: false, member: true };
    const live = pki.expect("node", {
      nowMs: () => state.nowMs,
      newestSignedMs: () => state.signedMs,
      revoked: () => state.revoked,
      member: () => state.member,
    });
    expect(whyOf(issued.certificateDer, live)).toBe("ok");
    state.revoked = true;
    expect(whyOf(issued.certificateDer, live)).toBe("PEER_REVOKED");
    Object.assign(state, { revoked: false, member: false });
    expect(whyOf(issued.certificateDer, live)).toBe("PEER_NOT_A_MEMBER");
    Object.assign(state, { member: true, nowMs: issued.notAfterMs });
    expect(whyOf(issued.certificateDer, live)).toBe("CERT_EXPIRED");
    // A clock set back does not revive it while a newer signed time is known (J4).
    Object.assign(state, { nowMs: issued.notBeforeMs, signedMs: issued.notAfterMs });
    expect(whyOf(issued.certificateDer, live)).toBe("CERT_EXPIRED");
  });

  it("THR-C12 a clock 59 s behind the issuer is fine, ten minutes is not", async () => {
    const { issued } = await pki.issue("node", "n1");
    const at = (offsetMs: number) =>
      whyOf(issued.certificateDer, pki.expect("node", { nowMs: () => nowMs + offsetMs }));
    expect(limits.leafBackdateMs).toBe(60_000);
    expect(at(-59_000)).toBe("ok");
    expect(at(-600_000)).toBe("CERT_NOT_YET_VALID");
  });

  it("ids narrow the expectation; hooks that throw, and a clock that fails, refuse (J1)", async () => {
    const { issued } = await pki.issue("node", "n1");
    expect(whyOf(issued.certificateDer, pki.expect("node", { ids: ["n1"] }))).toBe("ok");
    expect(whyOf(issued.certificateDer, pki.expect("node", { ids: ["n2", "n3"] }))).toBe("PEER_WRONG_ID");
    expect(whyOf(issued.certificateDer, pki.expect("node", { ids: [] }))).toBe("PEER_WRONG_ID");
    const boom = (): never => {
      throw new Error("boom");
    };
    for (const over of [{ revoked: boom }, { member: boom }, { nowMs: boom }, { nowMs: () => Number.NaN }]) {
      expect(whyOf(issued.certificateDer, pki.expect("node", over))).toBe("JUDGE_FAILED");
    }
  });

  it("THR-C17 both generations of a rotating root are honoured, in both list orders, also with one subject", async () => {
    const next = await createRoot({ kind: "node", clusterName: "c1", generation: 2, nowMs, random: systemRandom });
    const id = { trustDomain: "weft.test", clusterId: "c1", kind: "node", id: "n1" } as const;
    const fresh = await issueLeaf(next, { id, spkiDer: keys.spkiDer, nowMs, random: systemRandom });
    const { issued: old } = await pki.issue("node", "n1");
    for (const ders of [
      [root.der, next.root.der],
      [next.root.der, root.der],
    ]) {
      const both = pki.expect("node", { roots: rootsOfKind("node", ders) });
      expect(judgeCertificate(old.certificateDer, both)).toMatchObject({ ok: true, issuerKeyId: root.keyId });
      expect(judgeCertificate(fresh.certificateDer, both)).toMatchObject({ ok: true, issuerKeyId: next.root.keyId });
    }
    expect(whyOf(fresh.certificateDer)).toBe("CERT_ISSUER");
  });
});

describe("the judge of sockets", () => {
  const socket = async (over: object): Promise<TLSSocket> => {
    const { issued } = await pki.issue("node", "n1");
    const regular = {
      authorized: true,
      isSessionReused: () => false,
      getProtocol: () => "TLSv1.3",
      getPeerX509Certificate: () => new X509Certificate(issued.certificateDer),
    };
    return { ...regular, ...over } as unknown as TLSSocket;
  };
  const refusals: [string, string, object][] = [
    ["unauthorized", "PEER_UNAUTHORIZED", { authorized: false }],
    ["no word on authorization", "PEER_UNAUTHORIZED", { authorized: undefined }],
    ["a truthy word on authorization", "PEER_UNAUTHORIZED", { authorized: 1 }],
    ["resumed", "PEER_RESUMED", { isSessionReused: () => true }],
    ["TLS 1.2", "PEER_PROTOCOL", { getProtocol: () => "TLSv1.2" }],
    ["no certificate", "PEER_NO_CERTIFICATE", { getPeerX509Certificate: () => undefined }],
  ];

  it("accepts the regular socket", async () => {
    expect(judgePeer(await socket({}), expectNode).ok).toBe(true);
  });

  it.each(refusals)("THR-C1 %s: %s", async (_what, why, over) => {
    expect(judgePeer(await socket(over), expectNode)).toEqual({ ok: false, why });
  });

  it("an unbound or absent socket is a refusal, not an exception", () => {
    const unbound = new Proxy(
      {},
      {
        get: () => {
          throw new Error("ERR_HTTP2_SOCKET_UNBOUND");
        },
      },
    );
    for (const odd of [unbound, undefined, null, {}]) {
      expect(judgePeer(odd as unknown as TLSSocket, expectNode).ok).toBe(false);
    }
  });
});
