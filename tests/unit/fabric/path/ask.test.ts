import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { generateP256, signEs256 } from "../../../../certs/keys.ts";
import { askHash, signAsk, verifyAsk } from "../../../../fabric/path/ask.ts";
import { underDomain } from "../../../../fabric/signed-bytes.ts";
import { limits } from "../../../../lib/limits.ts";

const nowMs = 1_800_000_000_000;
const client = generateP256();
const fields = {
  clusterId: "cl-a",
  clientId: "ct-1",
  resource: "db-1",
  trunkId: new Uint8Array(16),
  nonce: new Uint8Array(16).fill(1),
  issuedAtMs: BigInt(nowMs),
  expiresAtMs: BigInt(nowMs + 10_000),
};
const expected = { clientSpki: client.spkiDer, clusterId: "cl-a", clientId: "ct-1", nowMs };

describe("LAW-T5 a client's ask", () => {
  it("is believed from that client, cluster and time alone", () => {
    const signed = signAsk(client.privateKey, fields);
    expect(verifyAsk(signed, expected)).toMatchObject({ clientId: "ct-1", resource: "db-1" });
    const refused = (change: Partial<typeof expected>) => {
      try {
        verifyAsk(signed, { ...expected, ...change });
        return "believed";
      } catch (thrown) {
        return (thrown as { detail?: string }).detail;
      }
    };
    expect(refused({ clusterId: "cl-b" })).toBe("ASK_WRONG_CLUSTER");
    expect(refused({ clientId: "ct-2" })).toBe("ASK_WRONG_CLIENT");
    expect(refused({ clientSpki: generateP256().spkiDer })).toBe("ASK_SIGNATURE");
    expect(refused({ nowMs: nowMs + 10_000 + limits.offerSkewMaxMs })).toBe("ASK_OUT_OF_DATE");
    expect(refused({ nowMs: nowMs - 1 - limits.offerSkewMaxMs })).toBe("ASK_OUT_OF_DATE");
  });

  it.each([
    ["ASK_CLUSTER", { clusterId: "" }],
    ["ASK_CLIENT", { clientId: "a/b" }],
    ["ASK_RESOURCE", { resource: "" }],
    ["ASK_TRUNK", { trunkId: new Uint8Array(0) }],
    ["ASK_NONCE", { nonce: new Uint8Array(15) }],
    ["ASK_DATES", { expiresAtMs: BigInt(nowMs + 10_001) }],
    ["ASK_DATES", { issuedAtMs: 0n }],
  ])("%s", (detail, change) => {
    expect(() => signAsk(client.privateKey, { ...fields, ...change })).toThrow(expect.objectContaining({ detail }));
  });

  it("an offer's signature is no ask, and the hash names ask and signature", () => {
    const signed = signAsk(client.privateKey, fields);
    const foreign = signEs256(client.privateKey, underDomain("weft/path-offer/v1\0", signed.ask));
    expect(() => verifyAsk({ ...signed, signature: foreign }, expected)).toThrow(
      expect.objectContaining({ detail: "ASK_SIGNATURE" }),
    );
    const again = { ...signed, signature: signEs256(client.privateKey, underDomain("weft/ask/v1\0", signed.ask)) };
    expect(askHash(signed)).not.toEqual(askHash(again));
    expect(askHash(signed)).not.toEqual(createHash("sha256").update(signed.ask).digest());
    expect(askHash(signed).length).toBe(32);
  });
});
