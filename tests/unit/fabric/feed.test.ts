import { create, type MessageInitShape } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { generateP256, signEs256 } from "../../../certs/keys.ts";
import {
  feedContentHash,
  indexRevocations,
  isRevoked,
  type KnownRevocations,
  mergeFeed,
  signFeed,
  verifyFeed,
} from "../../../fabric/feed.ts";
import { type ReceiptFacts, signReceipt, verifyReceipt } from "../../../fabric/feed-receipt.ts";
import { type RevocationFeed, RevocationFeedSchema, RevocationSchema } from "../../../gen/weft/fabric/v1/feed_pb.ts";
import { limits } from "../../../lib/limits.ts";
import { runs } from "../../harness/counts.ts";
import { detailOf, installation, nowMs, signer } from "./snapshot/stage.ts";

type Entry = MessageInitShape<typeof RevocationSchema>;

const hash = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);
const leaf = (serial: number, notAfterMs = nowMs + 1_000): Entry => ({
  issuerKeyId: hash(1),
  serial: Uint8Array.of(serial),
  spiffeId: "spiffe://t/cluster/cl-a/node/nd-1",
  notAfterMs: BigInt(notAfterMs),
});

function feed(
  seq: number,
  revocations: Entry[],
  change: Partial<{ epoch: bigint; issuedAtMs: bigint; clusterId: string }> = {},
): RevocationFeed {
  return create(RevocationFeedSchema, {
    clusterId: "cl-a",
    epoch: 1n,
    seq: BigInt(seq),
    issuedAtMs: BigInt(nowMs),
    revocations,
    ...change,
  });
}

const online = signer("feed");
const expected = { installationSpki: installation.spkiDer, clusterId: "cl-a", nowMs };

describe("LAW-I4 a revocation feed is believed", () => {
  it("with a key certified for feeds of this cluster, and refused otherwise", () => {
    const signed = signFeed(online, feed(1, [leaf(1)]));
    expect(verifyFeed(signed, expected).revocations.length).toBe(1);
    expect(detailOf(() => verifyFeed(signFeed(signer("snapshot"), feed(1, [])), expected))).toBe("STATEMENT_SCOPE");
    expect(detailOf(() => verifyFeed(signed, { ...expected, clusterId: "cl-b" }))).toBe("STATEMENT_SCOPE");
    expect(detailOf(() => verifyFeed(signFeed(online, feed(1, [], { clusterId: "cl-b" })), expected))).toBe(
      "FEED_NOT_OURS",
    );
    expect(detailOf(() => verifyFeed({ ...signed, payload: signed.payload.slice(1) }, expected))).toBe(
      "FEED_SIGNATURE",
    );
    expect(detailOf(() => verifyFeed({ ...signed, payload: new Uint8Array(limits.feedMaxBytes + 1) }, expected))).toBe(
      "FEED_SIZE",
    );
    expect(detailOf(() => verifyFeed(signFeed(online, feed(1, [], { issuedAtMs: 0n })), expected))).toBe("FEED_DATES");
  });

  it.each([
    ["names nothing", { notAfterMs: 1n }],
    ["half a leaf", { serial: Uint8Array.of(1), spiffeId: "x", notAfterMs: 1n }],
    ["a short key hash", { keyHash: new Uint8Array(31), notAfterMs: 1n }],
    ["no end", { spiffeId: "x" }],
  ])("an entry that %s is refused", (_name, entry: Entry) => {
    expect(detailOf(() => verifyFeed(signFeed(online, feed(1, [entry])), expected))).toBe("FEED_ENTRY");
  });

  it("is bounded when signed", () => {
    const many = Array.from({ length: limits.revocationsMaxCount + 1 }, (_, i) => ({
      spiffeId: `s${i}`,
      notAfterMs: 1n,
    }));
    expect(detailOf(() => signFeed(online, feed(1, many)))).toBe("FEED_SIZE");
  });
});

describe("LAW-I4 what is revoked", () => {
  const subject = {
    issuerKeyIdHex: "01".repeat(32),
    serialHex: "05",
    keyHashHex: "02".repeat(32),
    spiffe: "spiffe://t/cluster/cl-a/node/nd-1",
  };
  const revoked = (entry: Entry, change: Partial<typeof subject> = {}): boolean =>
    isRevoked(indexRevocations([create(RevocationSchema, entry)]), { ...subject, ...change });

  it("a leaf by issuer and serial, whatever its leading zeros, and not the identity's next leaf", () => {
    expect(revoked(leaf(5))).toBe(true);
    expect(revoked(leaf(5), { serialHex: "0005" })).toBe(true);
    expect(revoked({ ...leaf(5), serial: Uint8Array.of(0, 5) })).toBe(true);
    expect(revoked(leaf(5), { serialHex: "06" })).toBe(false);
    expect(revoked(leaf(5), { issuerKeyIdHex: "03".repeat(32) })).toBe(false);
  });

  it("a key in any certificate, and an identity with any key", () => {
    expect(revoked({ keyHash: hash(2), notAfterMs: 1n })).toBe(true);
    expect(
      revoked({ keyHash: hash(2), spiffeId: subject.spiffe, notAfterMs: 1n }, { keyHashHex: "04".repeat(32) }),
    ).toBe(false);
    expect(revoked({ spiffeId: subject.spiffe, notAfterMs: 1n })).toBe(true);
    expect(revoked({ spiffeId: subject.spiffe, notAfterMs: 1n }, { spiffe: `${subject.spiffe}0` })).toBe(false);
  });
});

describe("LAW-I4 revocations only grow", () => {
  const serials = (known: KnownRevocations): number[] =>
    known.revocations.map((entry) => entry.serial[0] ?? -1).sort((a, b) => a - b);

  it("a later feed that forgot an entry does not lift it, not even after a restore (epoch)", () => {
    const { known } = mergeFeed(undefined, feed(5, [leaf(1), leaf(2)]), nowMs);
    const later = mergeFeed(known, feed(6, [leaf(3)]), nowMs);
    expect(later.outcome).toBe("newer");
    expect(serials(later.known)).toEqual([1, 2, 3]);
    const restored = mergeFeed(later.known, feed(1, [], { epoch: 2n }), nowMs);
    expect(restored).toMatchObject({ outcome: "newer", known: { epoch: 2n, seq: 1n } });
    expect(serials(restored.known)).toEqual([1, 2, 3]);
  });

  it("an older feed never moves the position back, but what it revokes counts", () => {
    const { known } = mergeFeed(undefined, feed(5, [leaf(1)]), nowMs);
    const merged = mergeFeed(known, feed(4, [leaf(2)]), nowMs);
    expect(merged).toMatchObject({ outcome: "known", known: { seq: 5n } });
    expect(serials(merged.known)).toEqual([1, 2]);
  });

  it("an equal position renews its date, and contradicts itself only with an entry unknown here", () => {
    const { known } = mergeFeed(undefined, feed(5, [leaf(1)]), nowMs);
    const issuedAtMs = BigInt(nowMs + 10_000);
    expect(mergeFeed(known, feed(5, [leaf(1)], { issuedAtMs }), nowMs)).toMatchObject({
      outcome: "renewed",
      known: { issuedAtMs },
    });
    expect(mergeFeed(known, feed(5, [leaf(1)]), nowMs).outcome).toBe("known");
    const fork = mergeFeed(known, feed(5, [leaf(2)]), nowMs);
    expect(fork.outcome).toBe("fork");
    expect(serials(fork.known)).toEqual([1, 2]);
  });

  it("an entry is forgotten when no certificate it concerns can be valid any more", () => {
    const { known } = mergeFeed(undefined, feed(5, [leaf(1, nowMs + 5), leaf(2, nowMs + 50)]), nowMs);
    expect(serials(mergeFeed(known, feed(6, []), nowMs + 5).known)).toEqual([2]);
  });

  it("any order of the same feeds ends with the same revocations and the highest position", () => {
    const arbitrary = fc.array(fc.tuple(fc.nat(8), fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 5 })), {
      minLength: 1,
      maxLength: 8,
    });
    const property = fc.property(arbitrary, (list) => {
      const feeds = list.map(([seq, entries]) =>
        feed(
          seq,
          entries.map((serial) => leaf(serial)),
        ),
      );
      const fold = (order: RevocationFeed[]): KnownRevocations | undefined =>
        order.reduce<KnownRevocations | undefined>((held, next) => mergeFeed(held, next, nowMs).known, undefined);
      const forwards = fold(feeds);
      const backwards = fold([...feeds].reverse());
      if (forwards === undefined || backwards === undefined) throw new Error("nothing was merged");
      expect(serials(forwards)).toEqual(serials(backwards));
      expect(forwards.seq).toBe(backwards.seq);
      expect(serials(forwards)).toEqual([...new Set(list.flatMap(([, entries]) => entries))].sort((a, b) => a - b));
    });
    fc.assert(property, { numRuns: runs(200, 20_000) });
  });

  it("THR-C3 the union is bounded: what is held stays, identities come first, and what does not fit moves nothing on", () => {
    const names = (from: number, count: number): Entry[] =>
      Array.from({ length: count }, (_, i) => ({ spiffeId: `s${from + i}`, notAfterMs: BigInt(nowMs + 1) }));
    const most = limits.revocationsMaxCount;
    const first = mergeFeed(undefined, feed(1, names(0, most)), nowMs);
    const { known } = mergeFeed(first.known, feed(2, names(most, most - 1)), nowMs);
    expect(known.revocations.length).toBe(limits.revocationsKeptMaxCount - 1);
    const issuedAtMs = BigInt(nowMs + 10_000);
    const over = mergeFeed(known, feed(3, [leaf(1), ...names(-1, 1)], { issuedAtMs }), nowMs);
    expect(over).toMatchObject({ outcome: "overflow", grown: true, known: { seq: 2n, issuedAtMs: known.issuedAtMs } });
    expect(over.known.revocations.length).toBe(limits.revocationsKeptMaxCount);
    expect(over.known.revocations.at(-1)?.spiffeId).toBe("s-1");
  });

  it("THR-C3 a position says one thing: hiding what it said, under a later date, is a contradiction", () => {
    const { known } = mergeFeed(undefined, feed(5, [leaf(1), leaf(2)]), nowMs);
    const issuedAtMs = BigInt(nowMs + 10_000);
    const hiding = mergeFeed(known, feed(5, [leaf(1)], { issuedAtMs }), nowMs);
    expect(hiding).toMatchObject({ outcome: "fork", grown: false, known: { seq: 5n, issuedAtMs: known.issuedAtMs } });
    expect(serials(hiding.known)).toEqual([1, 2]);
    // What has ended may be missing.
    expect(mergeFeed(known, feed(5, [], { issuedAtMs }), nowMs + 1_000).outcome).toBe("renewed");
  });

  it("the date of an older statement counts: what control said until then has been heard", () => {
    const { known } = mergeFeed(undefined, feed(5, [leaf(1)]), nowMs);
    const issuedAtMs = BigInt(nowMs + 10_000);
    expect(mergeFeed(known, feed(4, [leaf(1)], { issuedAtMs }), nowMs).known).toMatchObject({ seq: 5n, issuedAtMs });
  });

  it("a position has one content hash, in whatever order it is written and whenever it was issued", () => {
    const hashOf = (entries: Entry[]): string =>
      Buffer.from(feedContentHash(feed(1, entries).revocations)).toString("hex");
    expect(hashOf([leaf(1), leaf(2)])).toBe(hashOf([leaf(2), leaf(1)]));
    expect(hashOf([leaf(1)])).not.toBe(hashOf([leaf(1), leaf(2)]));
  });
});

describe("a receipt of the feed", () => {
  const keys = generateP256();
  const from = { clusterId: "cl-a", nodeId: "nd-1" };
  const facts: ReceiptFacts = {
    ...from,
    bootId: "boot-1",
    epoch: 1n,
    seq: 7n,
    appliedAtMs: BigInt(nowMs),
    revocations: 3,
    forks: 0,
    forkedEpoch: 0n,
    forkedSeq: 0n,
    forkedHash: new Uint8Array(0),
    overflowing: false,
    contentHash: hash(9),
  };
  const sign = (change: Partial<typeof facts> = {}) =>
    signReceipt(keys.privateKey, keys.keyHash, { ...facts, ...change });

  it("is a node's own word, for nobody else and about nothing else", () => {
    const receipt = sign();
    expect(Buffer.from(receipt.keyHash).toString("hex")).toBe(keys.keyHash);
    expect(verifyReceipt(receipt, keys.spkiDer, from)).toMatchObject({ seq: 7n, revocations: 3 });
    expect(detailOf(() => verifyReceipt(receipt, generateP256().spkiDer, from))).toBe("RECEIPT_SIGNATURE");
    expect(detailOf(() => verifyReceipt(receipt, keys.spkiDer, { ...from, nodeId: "nd-2" }))).toBe("RECEIPT_NOT_OURS");
    expect(detailOf(() => verifyReceipt(receipt, keys.spkiDer, { ...from, clusterId: "cl-b" }))).toBe(
      "RECEIPT_NOT_OURS",
    );
    const swapped = { ...receipt, statement: sign({ seq: 8n }).statement };
    expect(detailOf(() => verifyReceipt(swapped, keys.spkiDer, from))).toBe("RECEIPT_SIGNATURE");
    const elsewhere = { ...receipt, signature: signEs256(keys.privateKey, receipt.statement) };
    expect(detailOf(() => verifyReceipt(elsewhere, keys.spkiDer, from))).toBe("RECEIPT_SIGNATURE");
  });

  it.each<[string, Partial<typeof facts>]>([
    ["no content", { contentHash: new Uint8Array() }],
    ["forks without evidence", { forks: 1 }],
    ["evidence without forks", { forkedHash: hash(1) }],
    ["no date", { appliedAtMs: 0n }],
  ])("with %s is refused", (_name, change) => {
    expect(detailOf(() => verifyReceipt(sign(change), keys.spkiDer, from))).toBe("RECEIPT_FACTS");
  });

  it("is bounded", () => {
    expect(detailOf(() => verifyReceipt(sign({ bootId: "b".repeat(2_000) }), keys.spkiDer, from))).toBe("RECEIPT_SIZE");
  });
});
