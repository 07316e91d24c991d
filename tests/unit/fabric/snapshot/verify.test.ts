import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createInstallationKey } from "../../../../certs/installation.ts";
import { signDomain } from "../../../../certs/signed.ts";
import { SNAPSHOT_DOMAIN, signSnapshot, snapshotCover } from "../../../../fabric/snapshot/sign.ts";
import { admitSnapshot, verifySnapshot } from "../../../../fabric/snapshot/verify.ts";
import { SnapshotSchema } from "../../../../gen/weft/fabric/v1/snapshot_pb.ts";
import { limits } from "../../../../lib/limits.ts";
import { runs } from "../../../harness/counts.ts";
import { detailOf, installation, nowMs, signer } from "./stage.ts";

const online = signer("snapshot");
const expected = { installationSpki: installation.spkiDer, clusterId: "cl-a", nodeId: "nd-1", nowMs };
const fields = {
  clusterId: "cl-a",
  nodeId: "nd-1",
  epoch: 1n,
  version: 5n,
  issuedAtMs: BigInt(nowMs),
  notAfterMs: BigInt(nowMs + 1_000),
  neighbours: [{ nodeId: "nd-2", addresses: [{ host: "10.0.0.2", port: 1 }] }],
};
const envelope = signSnapshot(online, create(SnapshotSchema, fields));

/** These payload bytes, properly signed, as control would if it made them. */
function sealed(payload: Uint8Array) {
  const signature = signDomain(online.privateKey, SNAPSHOT_DOMAIN, snapshotCover("cl-a", "nd-1", payload));
  return { ...envelope, payload, signature };
}

describe("M-A12 THR-S3 REVIEW-15 a snapshot is believed", () => {
  it("by the node it is for, with a key the pinned installation certified for snapshots of this cluster, now", () => {
    expect(verifySnapshot(envelope, expected)).toMatchObject({ nodeId: "nd-1", version: 5n });
    const refused = (change: object) => detailOf(() => verifySnapshot(envelope, { ...expected, ...change }));
    expect(refused({ nodeId: "nd-2" })).toBe("SNAPSHOT_SIGNATURE");
    expect(refused({ clusterId: "cl-b" })).toBe("STATEMENT_SCOPE");
    expect(refused({ installationSpki: createInstallationKey().spkiDer })).toBe("STATEMENT_SIGNATURE");
    expect(refused({ nowMs: nowMs + limits.signingKeyStatementLifeMs })).toBe("STATEMENT_DATES");
  });

  it("a key for feeds, of another cluster, or of another installation signs no snapshot", () => {
    const by = (other: typeof online) =>
      detailOf(() => verifySnapshot(signSnapshot(other, create(SnapshotSchema, fields)), expected));
    expect(by(signer("feed"))).toBe("STATEMENT_SCOPE");
    expect(by(signer("snapshot", "cl-b"))).toBe("STATEMENT_SCOPE");
    expect(by(signer("snapshot", "cl-a", createInstallationKey()))).toBe("STATEMENT_SIGNATURE");
    expect(by({ ...online, keyId: signer("snapshot").keyId })).toBe("SNAPSHOT_SIGNATURE");
  });

  it("an envelope made for one node does not fit another, even with the payload naming it", () => {
    const foreign = signSnapshot(online, create(SnapshotSchema, { ...fields, nodeId: "nd-2" }));
    expect(detailOf(() => verifySnapshot(foreign, expected))).toBe("SNAPSHOT_SIGNATURE");
    const payload = toBinary(SnapshotSchema, create(SnapshotSchema, { ...fields, nodeId: "nd-2" }));
    expect(detailOf(() => verifySnapshot(sealed(payload), expected))).toBe("SNAPSHOT_NOT_OURS");
  });

  it("unknown fields are refused at any depth, malformed bytes and missing parts too", () => {
    const payload = toBinary(SnapshotSchema, create(SnapshotSchema, fields));
    expect(
      detailOf(() => verifySnapshot(sealed(Buffer.concat([payload, Uint8Array.of(0xf8, 0x07, 1)])), expected)),
    ).toBe("SIGNED_MALFORMED");
    // Field 13 (neighbours) once more, holding a field 99 nobody knows.
    const deep = Buffer.concat([payload, Uint8Array.of(0x6a, 3, 0x98, 0x06, 1)]);
    expect(detailOf(() => verifySnapshot(sealed(deep), expected))).toBe("SIGNED_MALFORMED");
    expect(detailOf(() => verifySnapshot(sealed(Uint8Array.of(0x0a)), expected))).toBe("SIGNED_MALFORMED");
    const { signingKey: _gone, ...unsigned } = envelope;
    expect(detailOf(() => verifySnapshot(unsigned, expected))).toBe("SNAPSHOT_UNSIGNED");
    expect(
      detailOf(() => verifySnapshot({ ...envelope, payload: new Uint8Array(limits.snapshotMaxBytes + 1) }, expected)),
    ).toBe("SNAPSHOT_SIZE");
  });

  it("reordered or doubled fields are other bytes", () => {
    const doubled = Buffer.concat([envelope.payload, envelope.payload.subarray(0, 6)]);
    expect(detailOf(() => verifySnapshot({ ...envelope, payload: doubled }, expected))).toBe("SNAPSHOT_SIGNATURE");
  });

  it("dates that are none are refused", () => {
    const dated = (change: object) =>
      detailOf(() => verifySnapshot(signSnapshot(online, create(SnapshotSchema, { ...fields, ...change })), expected));
    expect(dated({ issuedAtMs: 0n })).toBe("SNAPSHOT_DATES");
    expect(dated({ notAfterMs: BigInt(nowMs) })).toBe("SNAPSHOT_DATES");
  });

  it("any flipped bit of payload or signature is refused", () => {
    const property = fc.property(fc.boolean(), fc.nat(4_095), fc.integer({ min: 0, max: 7 }), (inPayload, at, bit) => {
      const bytes = Uint8Array.from(inPayload ? envelope.payload : envelope.signature);
      bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ (1 << bit);
      const forged = { ...envelope, ...(inPayload ? { payload: bytes } : { signature: bytes }) };
      expect(detailOf(() => verifySnapshot(forged, expected))).toBe("SNAPSHOT_SIGNATURE");
    });
    fc.assert(property, { numRuns: runs(100, 20_000) });
  });
});

describe("F2 versions only grow", () => {
  const held = { epoch: 2n, version: 7n, payloadHash: "a" };

  it.each([
    ["nothing held", undefined, { epoch: 0n, version: 0n, payloadHash: "x" }, "newer"],
    ["a later version", held, { epoch: 2n, version: 8n, payloadHash: "x" }, "newer"],
    ["a later epoch with a low version", held, { epoch: 3n, version: 1n, payloadHash: "x" }, "newer"],
    ["the same", held, held, "same"],
    ["an earlier version", held, { epoch: 2n, version: 6n, payloadHash: "x" }, "older"],
    ["an earlier epoch with a high version", held, { epoch: 1n, version: 99n, payloadHash: "x" }, "older"],
    ["the same version with other content", held, { ...held, payloadHash: "b" }, "fork"],
  ] as const)("%s", (_name, before, incoming, verdict) => {
    expect(admitSnapshot(before, incoming)).toBe(verdict);
  });
});
