import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { createInstallationKey } from "../../../certs/installation.ts";
import type { SignedFeed } from "../../../gen/weft/fabric/v1/feed_pb.ts";
import { limits } from "../../../lib/limits.ts";
import { type OwnFeedStore, openFeedStore } from "../../../node/feed-store.ts";
import type { RevocationSubject } from "../../../node/ports.ts";
import { type OwnSnapshotHolder, openSnapshotHolder } from "../../../node/snapshot-holder.ts";
import { feedWith, installation, nowMs, signer, stateFolder, type TestPorts, testPorts } from "./stage.ts";

interface Opened {
  readonly ports: TestPorts;
  readonly feed: OwnFeedStore;
  readonly snapshot: OwnSnapshotHolder;
}

function open(stateDir: string): Opened {
  const ports = testPorts();
  const { clock, log, events, identity } = ports;
  const deps = { stateDir, identity, installationKeySpki: installation.spkiDer, clock, log, events };
  const snapshot = openSnapshotHolder({ ...deps, limit: (shown) => shown });
  return { ports, snapshot, feed: openFeedStore({ ...deps, snapshot }) };
}

const longMs = BigInt(nowMs + 86_400_000);
const identityEntry = (name: string, notAfterMs = longMs) => ({ spiffeId: `spiffe://weft.test/${name}`, notAfterMs });
const subject = (over: Partial<RevocationSubject>): RevocationSubject => ({
  issuerKeyIdHex: "aa".repeat(32),
  serialHex: "01",
  keyHashHex: "bb".repeat(32),
  spiffe: "spiffe://weft.test/nobody",
  ...over,
});
const named = (name: string): RevocationSubject => subject({ spiffe: `spiffe://weft.test/${name}` });

describe("the revocation feed of a node", () => {
  it("revokes by identity, by key and by certificate, and nothing next to them", () => {
    using folder = stateFolder();
    const { feed } = open(folder.dir);
    const issuerKeyId = new Uint8Array(32).fill(0xaa);
    const outcome = feed.offer(
      feedWith(1n, [
        identityEntry("a"),
        { keyHash: new Uint8Array(32).fill(0xcc), notAfterMs: longMs },
        { issuerKeyId, serial: new Uint8Array([0x42]), notAfterMs: longMs },
      ]),
    );
    expect(outcome).toBe("applied");
    expect(feed.isRevoked(named("a"))).toBe(true);
    expect(feed.isRevoked(subject({ keyHashHex: "cc".repeat(32) }))).toBe(true);
    expect(feed.isRevoked(subject({ serialHex: "42" }))).toBe(true);
    expect(feed.isRevoked(subject({ serialHex: "42", issuerKeyIdHex: "dd".repeat(32) }))).toBe(false);
    expect(feed.isRevoked(subject({}))).toBe(false);
  });

  it("only grows: what a later feed leaves out stays revoked, across a restart too", () => {
    using folder = stateFolder();
    const first = open(folder.dir);
    first.feed.offer(feedWith(1n, [identityEntry("a")]));
    first.feed.offer(feedWith(2n, [identityEntry("b")]));
    for (const { feed } of [first, open(folder.dir)]) {
      expect([feed.isRevoked(named("a")), feed.isRevoked(named("b")), feed.isRevoked(named("c"))]).toEqual([
        true,
        true,
        false,
      ]);
      expect(feed.position()).toEqual({ epoch: 1n, seq: 2n });
    }
  });

  it("stays revoked when the newest signed statement is lost from the disk", () => {
    using folder = stateFolder();
    open(folder.dir).feed.offer(feedWith(3n, [identityEntry("a")]));
    rmSync(join(folder.dir, "feed.bin"));
    const { feed } = open(folder.dir);
    expect(feed.isRevoked(named("a"))).toBe(true);
    expect(feed.current()).toBeUndefined();
    expect(feed.offer(feedWith(2n))).toBe("known");
  });

  it("never goes back, and hands on exactly the newest signed statement", () => {
    using folder = stateFolder();
    const { feed } = open(folder.dir);
    const newest = feedWith(5n, [identityEntry("a")]);
    expect(feed.offer(newest)).toBe("applied");
    expect(feed.offer(newest)).toBe("known");
    expect(feed.offer(feedWith(4n, []))).toBe("known");
    expect(Buffer.from(feed.current()?.payload ?? [])).toEqual(Buffer.from(newest.payload));
    expect(feed.position()).toEqual({ epoch: 1n, seq: 5n });
  });

  it.each<[string, () => SignedFeed]>([
    ["with a byte changed", () => ({ ...feedWith(1n), payload: feedWith(9n, [identityEntry("a")]).payload })],
    ["of another cluster", () => feedWith(1n, [identityEntry("a")], { clusterId: "cl-b", by: signer("feed", "cl-b") })],
    ["of another cluster, signed for this one", () => feedWith(1n, [identityEntry("a")], { clusterId: "cl-b" })],
    ["by a key for snapshots", () => feedWith(1n, [identityEntry("a")], { by: signer("snapshot") })],
    [
      "of another installation",
      () => feedWith(1n, [identityEntry("a")], { by: signer("feed", "cl-a", createInstallationKey()) }),
    ],
  ])("one %s is refused and revokes nobody", (_what, make) => {
    using folder = stateFolder();
    const { feed, ports } = open(folder.dir);
    expect(feed.offer(make())).toBe("refused");
    expect(feed.isRevoked(named("a"))).toBe(false);
    expect(feed.position()).toEqual({ epoch: 0n, seq: 0n });
    expect(ports.kinds()).toEqual(["feed_refused"]);
  });

  it("an equal position with other content is refused and said", () => {
    using folder = stateFolder();
    const { feed, ports } = open(folder.dir);
    feed.offer(feedWith(1n, [identityEntry("a")]));
    expect(feed.offer(feedWith(1n, [identityEntry("b")]))).toBe("refused");
    expect(ports.seen.at(-1)).toMatchObject({ kind: "feed_refused" });
    expect(feed.isRevoked(named("a"))).toBe(true);
  });

  it("a statement renewed in date counts as heard, without an event for every ten seconds", () => {
    using folder = stateFolder();
    const { feed, ports, snapshot } = open(folder.dir);
    let heard = 0;
    feed.onChange(() => {
      heard += 1;
    });
    feed.offer(feedWith(1n));
    expect(feed.newestIssuedMs()).toBe(nowMs + 1);
    expect(feed.offer(feedWith(1n, [], { issuedAtMs: BigInt(nowMs + 10_000) }))).toBe("applied");
    expect(feed.newestIssuedMs()).toBe(nowMs + 10_000);
    expect(snapshot.newestSignedMs()).toBe(nowMs + 10_000);
    expect(ports.kinds()).toEqual(["feed_applied"]);
    expect(heard).toBe(2);
  });

  it("a restart in an outage starts the offline clock where it was, to within minutes", () => {
    using folder = stateFolder();
    const { feed } = open(folder.dir);
    feed.offer(feedWith(1n));
    const lastMs = nowMs + limits.feedPersistEveryMs + 10_000;
    for (let atMs = nowMs; atMs <= lastMs; atMs += 10_000) {
      feed.offer(feedWith(1n, [], { issuedAtMs: BigInt(atMs + 10_000) }));
    }
    const again = open(folder.dir).feed;
    expect(again.newestIssuedMs()).toBeGreaterThan(lastMs - limits.feedPersistEveryMs);
    expect(again.newestIssuedMs()).toBeLessThanOrEqual(feed.newestIssuedMs());
  });

  it("forgets an entry only when every certificate it can concern has ended, by signed time", () => {
    using folder = stateFolder();
    const { feed, ports } = open(folder.dir);
    feed.offer(feedWith(1n, [identityEntry("a", BigInt(nowMs + 1_000))]));
    feed.offer(feedWith(2n));
    expect(feed.isRevoked(named("a"))).toBe(true);
    ports.clock.advance(2_000);
    feed.offer(feedWith(3n));
    expect(feed.isRevoked(named("a"))).toBe(false);
  });

  it("is bounded: more than a feed may hold is refused, what was held stays", () => {
    using folder = stateFolder();
    const { feed } = open(folder.dir);
    feed.offer(feedWith(1n, [identityEntry("a")]));
    const many = Array.from({ length: limits.revocationsMaxCount }, (_, at) => identityEntry(`n${at}`));
    expect(feed.offer(feedWith(2n, many))).toBe("refused");
    expect([feed.isRevoked(named("a")), feed.isRevoked(named("n1"))]).toEqual([true, false]);
  });

  it.each(["feed.bin", "revoked.bin"])(
    "a damaged %s stops nothing: the other file still counts, the next feed mends it",
    (name) => {
      using folder = stateFolder();
      open(folder.dir).feed.offer(feedWith(1n, [identityEntry("a")]));
      writeFileSync(join(folder.dir, name), "\xff\xff damaged");
      const { feed } = open(folder.dir);
      expect(feed.isRevoked(named("a"))).toBe(true);
      expect(feed.offer(feedWith(2n, [identityEntry("a")]))).toBe("applied");
      expect(open(folder.dir).feed.position().seq).toBe(2n);
      expect(readFileSync(join(folder.dir, name), "latin1")).not.toContain("damaged");
    },
  );
});
