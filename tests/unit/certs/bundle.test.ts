import { create, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { hasRoots, rootKinds, rootsOf, signTrustBundle, verifyTrustBundle } from "../../../certs/bundle.ts";
import {
  certifySigningKey,
  createInstallationKey,
  installationKeyHash,
  signingKeyId,
  verifySigningKey,
} from "../../../certs/installation.ts";
import { generateEd25519, generateP256 } from "../../../certs/keys.ts";
import { decodeSigned, signDomain, verifyDomain } from "../../../certs/signed.ts";
import { type SpiffeKind, spiffeKinds } from "../../../certs/spiffe.ts";
import {
  SignedSigningKeySchema,
  SigningKeyStatementSchema,
  SigningPurpose,
  TrustBundleSchema,
} from "../../../gen/weft/fabric/v1/snapshot_pb.ts";
import { systemClock } from "../../../lib/clock.ts";
import { makePki } from "../../harness/pki.ts";

const pki = await makePki();
const installation = createInstallationKey();
const pinned = installationKeyHash(installation.spkiDer);
const nowMs = systemClock.nowMs();
const detail = (name: string) => expect.objectContaining({ detail: name });

const rootOf = (kind: SpiffeKind) => ({
  kind: rootKinds[kind],
  certificateDer: new Uint8Array(pki.cas[kind].root.der),
});
const init = {
  trustDomain: "weft.test",
  clusterId: "c1",
  clusterSlug: "dev",
  roots: spiffeKinds.map(rootOf),
  version: 1n,
  issuedAtMs: BigInt(nowMs),
};
const signed = signTrustBundle(installation.privateKey, init);

describe("trust bundles", () => {
  it("the pinned installation's bundle opens, and gives each kind its own roots", () => {
    const bundle = verifyTrustBundle(signed, installation.spkiDer, pinned);
    for (const kind of spiffeKinds) {
      const roots = rootsOf(bundle, kind);
      expect(roots.kind).toBe(kind);
      expect(roots.roots.map((root) => root.keyId)).toEqual([pki.cas[kind].root.keyId]);
    }
  });

  it("THR-C10 another installation's bundle is refused, also under the pinned hash of ours", () => {
    const other = createInstallationKey();
    const forged = signTrustBundle(other.privateKey, init);
    expect(() => verifyTrustBundle(forged, other.spkiDer, pinned)).toThrow(detail("INSTALLATION_KEY_MISMATCH"));
    expect(() => verifyTrustBundle(forged, installation.spkiDer, pinned)).toThrow(detail("BUNDLE_SIGNATURE"));
    expect(() => verifyTrustBundle(signed, generateP256().spkiDer, pinned)).toThrow(
      detail("INSTALLATION_KEY_MISMATCH"),
    );
  });

  it("every changed byte, reordered or repeated field breaks the signature; it is over the bytes, not the message", () => {
    for (let at = 0; at < signed.bytes.length; at += 7) {
      const bytes = Uint8Array.from(signed.bytes);
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      expect(() => verifyTrustBundle({ ...signed, bytes }, installation.spkiDer, pinned)).toThrow(
        detail("BUNDLE_SIGNATURE"),
      );
    }
    // Field 5 (version) once more, with the same value: the same message, other bytes.
    const repeated = { ...signed, bytes: Buffer.concat([signed.bytes, Buffer.of(0x28, 0x01)]) };
    expect(() => verifyTrustBundle(repeated, installation.spkiDer, pinned)).toThrow(detail("BUNDLE_SIGNATURE"));
  });

  it("signed nonsense is refused: unknown fields at any depth, a leaf as root, one key twice, giants", async () => {
    const sealed = (bytes: Uint8Array) => ({
      bytes,
      signature: signDomain(installation.privateKey, "weft/trust-bundle/v1\0", bytes),
    });
    const open = (bytes: Uint8Array) => () => verifyTrustBundle(sealed(bytes), installation.spkiDer, pinned);
    expect(open(Buffer.concat([signed.bytes, Buffer.of(0xa0, 0x06, 0x01)]))).toThrow(detail("SIGNED_MALFORMED"));
    expect(open(Buffer.of(0x22, 0x03, 0xa0, 0x06, 0x01))).toThrow(detail("SIGNED_MALFORMED"));
    expect(open(Buffer.of(0x22, 0x7f))).toThrow(detail("SIGNED_MALFORMED"));
    expect(open(new Uint8Array(100_000))).toThrow(detail("BUNDLE_SIZE"));
    const { issued } = await pki.issue("node", "n1");
    const withRoots = (roots: ReturnType<typeof rootOf>[]) =>
      open(toBinary(TrustBundleSchema, create(TrustBundleSchema, { ...init, roots })));
    expect(withRoots([{ kind: rootKinds.node, certificateDer: issued.certificateDer }])).toThrow(
      detail("ROOT_PROFILE"),
    );
    expect(withRoots([rootOf("node"), rootOf("node")])).toThrow(detail("ROOT_REPEATED"));
    const some = verifyTrustBundle(
      signTrustBundle(installation.privateKey, { ...init, roots: [rootOf("node")] }),
      installation.spkiDer,
      pinned,
    );
    expect(hasRoots(some, "pool")).toBe(false);
    expect(() => rootsOf(some, "pool")).toThrow(detail("ROOT_MISSING"));
  });
});

describe("signing keys", () => {
  const signing = generateEd25519();
  const request = { clusterId: "c1", signingSpki: signing.spkiDer, use: "snapshot", nowMs, lifeMs: 60_000 } as const;
  const statement = certifySigningKey(installation.privateKey, request);
  const expected = { installationSpki: installation.spkiDer, clusterId: "c1", use: "snapshot", nowMs } as const;

  it("a certified key verifies what it signs", () => {
    const certified = verifySigningKey(statement, expected);
    expect(certified.keyId).toBe(signingKeyId(signing.spkiDer));
    const signature = signDomain(signing.privateKey, "weft/snapshot/v1\0", Buffer.from("x"));
    expect(verifyDomain(certified.publicKey, signature, "weft/snapshot/v1\0", Buffer.from("x"))).toBe(true);
    expect(verifyDomain(certified.publicKey, signature, "weft/feed/v1\0", Buffer.from("x"))).toBe(false);
  });

  it("THR-S5 other cluster, other use, other installation, too early, too late: refused", () => {
    const refused = (over: Partial<Parameters<typeof verifySigningKey>[1]>, why: string) =>
      expect(() => verifySigningKey(statement, { ...expected, ...over })).toThrow(detail(why));
    refused({ clusterId: "c2" }, "STATEMENT_SCOPE");
    refused({ use: "feed" }, "STATEMENT_SCOPE");
    refused({ installationSpki: createInstallationKey().spkiDer }, "STATEMENT_SIGNATURE");
    refused({ installationSpki: new Uint8Array(3) }, "STATEMENT_SIGNATURE");
    refused({ nowMs: nowMs + 60_000 }, "STATEMENT_DATES");
    refused({ nowMs: nowMs - 61_000 }, "STATEMENT_DATES");
    refused({ nowMs: Number.NaN }, "STATEMENT_DATES");
  });

  it("a key with a valid signature but no certificate, or a foreign key id, is nobody", () => {
    const forge = (over: object, by = installation.privateKey) => {
      const fields = decodeSigned(SigningKeyStatementSchema, statement.statement);
      const bytes = toBinary(SigningKeyStatementSchema, create(SigningKeyStatementSchema, { ...fields, ...over }));
      return create(SignedSigningKeySchema, {
        statement: bytes,
        signature: signDomain(by, "weft/signing-key/v1\0", bytes),
      });
    };
    const verify = (forged: ReturnType<typeof forge>) => () => verifySigningKey(forged, expected);
    expect(verify(forge({}))).not.toThrow();
    expect(verify(forge({}, signing.privateKey))).toThrow(detail("STATEMENT_SIGNATURE"));
    expect(verify(forge({ keyId: "other" }))).toThrow(detail("STATEMENT_KEY"));
    expect(verify(forge({ publicKeySpki: generateP256().spkiDer }))).toThrow(detail("STATEMENT_KEY"));
    expect(verify(forge({ purpose: SigningPurpose.UNSPECIFIED }))).toThrow(detail("STATEMENT_SCOPE"));
  });
});
