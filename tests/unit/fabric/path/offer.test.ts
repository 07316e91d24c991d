import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { signEs256 } from "../../../../certs/keys.ts";
import { authorizeOffer, type OfferFacts } from "../../../../fabric/path/authorize.ts";
import { offerFault, signOffer, verifyOffer } from "../../../../fabric/path/offer.ts";
import { ReplayWindow } from "../../../../fabric/path/replay.ts";
import { underDomain } from "../../../../fabric/signed-bytes.ts";
import { NodeRole } from "../../../../gen/weft/fabric/v1/role_pb.ts";
import { FarEdge, PathOfferSchema, PathPurpose } from "../../../../gen/weft/relay/v1/relay_pb.ts";
import { limits } from "../../../../lib/limits.ts";
import { runs } from "../../../harness/counts.ts";
import {
  clusterId,
  entry,
  factsAt,
  goodOffer,
  hops,
  judge,
  nowMs,
  type OfferFields,
  signed,
  stranger,
} from "./stage.ts";

const detailAt = (index: number, facts: Partial<OfferFacts> = {}, fields: Partial<OfferFields> = {}): string => {
  const decision = authorizeOffer({ ...factsAt(index, signed(fields)), ...facts });
  return decision.ok ? "ok" : decision.detail;
};

/** The first hop that refuses an offer as the entry really signed it, and why. */
function refusedAt(fields: Partial<OfferFields>): string {
  for (let index = 1; index < hops.length; index++) {
    const detail = detailAt(index, {}, fields);
    if (detail !== "ok") return `${index}:${detail}`;
  }
  return "never";
}

describe("LAW-R1 an offer every hop agrees to", () => {
  it("passes hop by hop, each naming its own successor", () => {
    const offer = signed();
    expect(authorizeOffer(factsAt(1, offer))).toEqual({ ok: true, position: "relay", nextHopId: "nd-r2" });
    expect(authorizeOffer(factsAt(2, offer))).toEqual({ ok: true, position: "relay", nextHopId: "nd-egress" });
    expect(authorizeOffer(factsAt(3, offer))).toEqual({ ok: true, position: "far-edge" });
  });

  it("a client's path names a pool of the organization", () => {
    const pooled = { farEdge: FarEdge.POOL, poolId: "pl-1", askHash: new Uint8Array(32) };
    expect(refusedAt(pooled)).toBe("never");
    expect(refusedAt({ ...pooled, poolId: "pl-2" })).toBe("3:OFFER_POOL_REFUSED");
    expect(refusedAt({ organizationId: "org-3" })).toBe("3:OFFER_POOL_REFUSED");
  });
});

/** One mutation of every field, as a signed lie. `form`: no hop needs to be asked, its form is already wrong. */
const lies: Record<keyof OfferFields, { readonly to: Partial<OfferFields>; readonly refused: string }> = {
  trustDomain: { to: { trustDomain: "other.internal" }, refused: "1:OFFER_WRONG_CLUSTER" },
  clusterId: { to: { clusterId: "cl-b" }, refused: "1:OFFER_WRONG_CLUSTER" },
  initiatorId: { to: { initiatorId: "nd-r2" }, refused: "form:OFFER_INITIATOR" },
  initiatorLeafSerial: { to: { initiatorLeafSerial: Uint8Array.of(9) }, refused: "1:OFFER_INITIATOR_REFUSED" },
  hops: { to: { hops: ["nd-entry", "nd-r1", "nd-nowhere", "nd-egress"] }, refused: "1:OFFER_NEXT_UNKNOWN" },
  farEdge: { to: { farEdge: FarEdge.POOL }, refused: "form:OFFER_POOL" },
  purpose: { to: { purpose: 99 as PathPurpose }, refused: "form:OFFER_PURPOSE" },
  trunkId: { to: { trunkId: new Uint8Array(15) }, refused: "form:OFFER_TRUNK" },
  class: { to: { class: 0 }, refused: "form:OFFER_CLASS" },
  organizationId: { to: { organizationId: "" }, refused: "form:OFFER_ORGANIZATION" },
  snapshotEpoch: { to: { snapshotEpoch: 2n }, refused: "never" },
  snapshotVersion: { to: { snapshotVersion: 5n }, refused: "never" },
  feedEpoch: { to: { feedEpoch: 2n }, refused: "1:FEED_BEHIND" },
  feedSeq: { to: { feedSeq: 8n }, refused: "1:FEED_BEHIND" },
  issuedAtMs: { to: { issuedAtMs: BigInt(nowMs - 1_001) }, refused: "form:OFFER_DATES" },
  expiresAtMs: { to: { expiresAtMs: BigInt(nowMs + 9_001) }, refused: "form:OFFER_DATES" },
  nonce: { to: { nonce: new Uint8Array(17) }, refused: "form:OFFER_NONCE" },
  askHash: { to: { askHash: new Uint8Array(32) }, refused: "form:OFFER_ASK_HASH" },
  poolId: { to: { poolId: "pl-1" }, refused: "form:OFFER_POOL" },
  rateBytesPerSecond: { to: { rateBytesPerSecond: 1n }, refused: "never" },
};

describe("LAW-R1 REVIEW-2 every field of an offer is bound", () => {
  const good = signed();

  it.each(Object.entries(lies))("%s altered on the way breaks the signature", (_name, { to }) => {
    const offer = toBinary(PathOfferSchema, create(PathOfferSchema, { ...goodOffer(), ...to }));
    const received = { offer, signature: good.signature, initiatorCertificate: entry.certificate };
    expect(() => verifyOffer(received)).toThrow(expect.objectContaining({ detail: "OFFER_SIGNATURE" }));
  });

  it.each(Object.entries(lies))(
    "%s lied about by the initiator is refused at the first hop that can tell",
    (_name, lie) => {
      const fault = offerFault(create(PathOfferSchema, { ...goodOffer(), ...lie.to }));
      if (lie.refused.startsWith("form:")) {
        expect(`form:${fault}`).toBe(lie.refused);
        expect(() => signOffer(entry.key.privateKey, { ...goodOffer(), ...lie.to })).toThrow(/path offer/);
      } else {
        expect(fault).toBeUndefined();
        expect(refusedAt(lie.to)).toBe(lie.refused);
      }
    },
  );

  it("any flipped bit of offer or signature is refused, and nothing throws but a refusal", () => {
    const property = fc.property(fc.boolean(), fc.nat(4_095), fc.integer({ min: 0, max: 7 }), (inOffer, at, bit) => {
      const bytes = Uint8Array.from(inOffer ? good.offer : good.signature);
      bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ (1 << bit);
      const received = { ...good, ...(inOffer ? { offer: bytes } : { signature: bytes }) };
      expect(() => verifyOffer({ ...received, initiatorCertificate: entry.certificate })).toThrow(
        expect.objectContaining({ name: "WeftError" }),
      );
    });
    fc.assert(property, { numRuns: runs(200, 20_000) });
  });

  it("an unknown field, a foreign domain and another's key are refused", () => {
    const withUnknown = Buffer.concat([good.offer, Uint8Array.of(0xf8, 0x07, 1)]);
    const sign = (domain: "weft/path-offer/v1\0" | "weft/ask/v1\0", bytes: Uint8Array) => ({
      offer: bytes,
      signature: signEs256(entry.key.privateKey, underDomain(domain, bytes)),
      initiatorCertificate: entry.certificate,
    });
    expect(() => verifyOffer(sign("weft/path-offer/v1\0", withUnknown))).toThrow(
      expect.objectContaining({ detail: "SIGNED_MALFORMED" }),
    );
    expect(() => verifyOffer(sign("weft/ask/v1\0", good.offer))).toThrow(
      expect.objectContaining({ detail: "OFFER_SIGNATURE" }),
    );
    expect(() => verifyOffer({ ...good, initiatorCertificate: stranger.certificate })).toThrow(
      expect.objectContaining({ detail: "OFFER_SIGNATURE" }),
    );
  });

  it.each([
    ["A-B-A", ["nd-entry", "nd-r1", "nd-entry"]],
    ["a relay twice", ["nd-entry", "nd-r1", "nd-r2", "nd-r1", "nd-egress"]],
    ["seven hops", ["nd-entry", "a", "b", "c", "d", "e", "nd-egress"]],
    ["one hop", ["nd-entry"]],
  ])("%s cannot be offered", (_name, list) => {
    expect(offerFault(create(PathOfferSchema, { ...goodOffer(), hops: list }))).toBe("OFFER_HOPS");
  });
});

describe("LAW-R1 a hop decides from what it knows itself", () => {
  it("refuses a caller that is not its predecessor, so a replay at hop k+2 fails", () => {
    expect(detailAt(1, { callerId: "nd-r2" })).toBe("OFFER_WRONG_CALLER");
    expect(detailAt(3, { callerId: "nd-r1" })).toBe("OFFER_WRONG_CALLER");
    expect(detailAt(1, {}, { hops: ["nd-entry", "nd-r2", "nd-egress"] })).toBe("OFFER_NOT_ON_PATH");
  });

  it("refuses a stranger's offer in the entry's name, and an initiator who may not enter", () => {
    const forged = signed({}, stranger);
    expect(authorizeOffer(factsAt(1, forged, stranger))).toEqual({ ok: false, detail: "OFFER_INITIATOR_REFUSED" });
    const own = {
      initiatorId: "nd-stranger",
      initiatorLeafSerial: stranger.serial,
      hops: ["nd-stranger", "nd-r1", "nd-egress"],
    };
    const facts = factsAt(1, signed(own, stranger), stranger);
    expect(authorizeOffer({ ...facts, callerId: "nd-stranger" })).toEqual({
      ok: false,
      detail: "OFFER_INITIATOR_ROLE",
    });
    expect(detailAt(1, { initiator: { ok: false, why: "PEER_REVOKED" } })).toBe("OFFER_INITIATOR_REFUSED");
    expect(judge(entry.certificate)).toMatchObject({ ok: true, id: { clusterId } });
  });

  it("A5 a role for one organization serves no other", () => {
    for (const [index, role, detail] of [
      [1, NodeRole.RELAY, "OFFER_OWN_ROLE"],
      [3, NodeRole.EGRESS, "OFFER_OWN_ROLE"],
    ] as const) {
      const facts = factsAt(index, signed());
      const scoped = (organizationId: string): OfferFacts => {
        const { self } = facts.snapshot;
        if (self === undefined) throw new Error("a snapshot has a self");
        const roles = [{ $typeName: "weft.fabric.v1.RoleGrant" as const, role, organizationId }];
        return { ...facts, snapshot: { ...facts.snapshot, self: { ...self, roles } } };
      };
      expect(authorizeOffer(scoped("org-2"))).toEqual({ ok: false, detail });
      expect(authorizeOffer(scoped("org-1")).ok).toBe(true);
    }
  });

  it("refuses other hops it knows to lack their role", () => {
    const facts = factsAt(1, signed());
    const without = (nodeId: string): OfferFacts => {
      const neighbours = facts.snapshot.neighbours.map((other) =>
        other.nodeId === nodeId ? { ...other, roles: [] } : other,
      );
      return { ...facts, snapshot: { ...facts.snapshot, neighbours } };
    };
    expect(authorizeOffer(without("nd-r2"))).toEqual({ ok: false, detail: "OFFER_HOP_ROLE" });
    expect(authorizeOffer(without("nd-egress"))).toEqual({ ok: false, detail: "OFFER_FAR_EDGE_ROLE" });
  });

  it("a path of two exists for probes only", () => {
    const direct = { hops: ["nd-entry", "nd-egress"] };
    const at = (fields: Partial<OfferFields>) =>
      authorizeOffer({ ...factsAt(3, signed({ ...direct, ...fields })), callerId: "nd-entry" });
    expect(at({})).toEqual({ ok: false, detail: "OFFER_NO_RELAY" });
    expect(at({ purpose: PathPurpose.PROBE, organizationId: "" })).toEqual({ ok: true, position: "far-edge" });
    // Called a probe, it would still carry an organization's trunk past every relay.
    expect(at({ purpose: PathPurpose.PROBE })).toEqual({ ok: false, detail: "OFFER_NO_RELAY" });
  });

  it("dates: too old, too new, and older than the hop's own start", () => {
    const lateMs = nowMs + 9_000 + limits.offerSkewMaxMs;
    expect(detailAt(1, { nowMs: lateMs - 1 })).toBe("ok");
    expect(detailAt(1, { nowMs: lateMs })).toBe("OFFER_OUT_OF_DATE");
    expect(detailAt(1, { nowMs: nowMs - 1_001 - limits.offerSkewMaxMs })).toBe("OFFER_OUT_OF_DATE");
    expect(detailAt(1, { startedAtMs: nowMs - 999 })).toBe("OFFER_BEFORE_START");
  });

  it("an offer is good once, for as long as it could be valid", () => {
    const window = new ReplayWindow(2);
    const { offer } = factsAt(1, signed());
    expect(window.remember(offer, nowMs)).toBe(true);
    expect(detailAt(1, { replay: window })).toBe("OFFER_REPLAYED");
    expect(detailAt(1, { replay: window }, { nonce: new Uint8Array(16).fill(3) })).toBe("ok");
    expect(window.remember(offer, nowMs)).toBe(false);
    expect(window.remember(factsAt(1, signed({ nonce: new Uint8Array(16).fill(4) })).offer, nowMs)).toBe(true);
    const third = factsAt(1, signed({ nonce: new Uint8Array(16).fill(5) })).offer;
    expect(window.remember(third, nowMs)).toBe(false);
    expect(window.remember(third, nowMs + 9_000 + limits.offerSkewMaxMs)).toBe(true);
    expect(window.size).toBe(1);
  });

  it("offline: new paths stop with new channels, standbys and resumes with existing ones", () => {
    const stale = { newChannels: false, existing: true };
    expect(detailAt(1, { offline: stale })).toBe("OFFER_OFFLINE");
    expect(detailAt(1, { offline: stale }, { purpose: PathPurpose.STANDBY })).toBe("ok");
    expect(detailAt(1, { offline: { newChannels: false, existing: false } }, { purpose: PathPurpose.RESUME })).toBe(
      "OFFER_OFFLINE",
    );
  });

  it("budgets are charged last, to initiator and caller", () => {
    const charged: string[] = [];
    const charge = (initiator: string, caller: string): string | undefined => {
      charged.push(`${initiator} ${caller}`);
      return charged.length > 1 ? "PENDING_PATHS" : undefined;
    };
    expect(detailAt(2, { charge, callerId: "nd-entry" })).toBe("OFFER_WRONG_CALLER");
    expect(charged).toEqual([]);
    expect(detailAt(2, { charge })).toBe("ok");
    expect(authorizeOffer({ ...factsAt(2, signed()), charge })).toEqual({
      ok: false,
      detail: "OFFER_BUDGET",
      budget: "PENDING_PATHS",
    });
    expect(charged).toEqual(["nd-entry nd-r1", "nd-entry nd-r1"]);
  });
});
