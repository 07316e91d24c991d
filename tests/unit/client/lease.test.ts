import { create, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { heldLease, leaseOfText, leaseText } from "../../../client/lease.ts";
import { LeaseContractSchema, SignedContractSchema } from "../../../gen/weft/fabric/v1/contract_pb.ts";
import { limits } from "../../../lib/limits.ts";

const said = { leaseId: "sl-1", entryNodeId: "nd-1", flowIsolationId: "flow-1", notAfterMs: 7n };

function encoded(fields: object = {}): Uint8Array {
  const contract = toBinary(LeaseContractSchema, create(LeaseContractSchema, { ...said, ...fields }));
  return toBinary(SignedContractSchema, create(SignedContractSchema, { contract, keyId: "k", signature: contract }));
}

const malformed = expect.objectContaining({ reason: "invalid_argument", detail: "LEASE_MALFORMED" });

describe("a lease as a client holds it", () => {
  it("tells where to go, and keeps the bytes as they are", () => {
    const contract = encoded();
    expect(heldLease(contract)).toEqual({ ...said, notAfterMs: 7, contract });
  });

  it("comes back from its file, whatever mail did to the lines around it", () => {
    const contract = encoded({ name: "n".repeat(200) });
    const text = leaseText(contract);
    expect(text).toMatch(/^-----BEGIN WEFT LEASE-----\n[A-Za-z0-9+/=\n]+\n-----END WEFT LEASE-----\n$/);
    expect(Math.max(...text.split("\n").map((line) => line.length))).toBeLessThanOrEqual(64);
    const mailed = `Hello,\r\n\r\n${text.replaceAll("\n", "\r\n")}\r\nBye`;
    for (const each of [text, mailed]) expect(Buffer.from(leaseOfText(each)).equals(Buffer.from(contract))).toBe(true);
  });

  it.each<[string, () => unknown]>([
    ["no lease in the file", () => leaseOfText("no lease")],
    ["an empty one", () => leaseOfText(leaseText(new Uint8Array()))],
    ["bytes that are none", () => heldLease(Buffer.from("lease"))],
    ["no entry", () => heldLease(encoded({ entryNodeId: "" }))],
    ["an id that is none", () => heldLease(encoded({ leaseId: "a/b" }))],
    ["too many bytes", () => heldLease(new Uint8Array(limits.contractMaxBytes + 1))],
  ])("is refused with %s", (_what, read) => {
    expect(read).toThrow(malformed);
  });
});
