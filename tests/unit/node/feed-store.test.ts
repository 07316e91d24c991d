import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { createInstallationKey } from "../../../certs/installation.ts";
import { type SignedFeed, SignedFeedSchema } from "../../../gen/weft/fabric/v1/feed_pb.ts";
import { type ExchangeFeedRequest, ExchangeFeedRequestSchema } from "../../../gen/weft/relay/v1/relay_pb.ts";
import { limits } from "../../../lib/limits.ts";
import { answerFeed, exchangeFeed } from "../../../node/feed-exchange.ts";
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
type RevocationEntry = NonNullable<Parameters<typeof feedWith>[1]>[number];
const identityEntry = (name: string, notAfterMs = longMs) => ({ spiffeId: `spiffe://weft.test/${name}`, notAfterMs });
const subject = (over: Partial<RevocationSubject>): RevocationSubject => ({
  issuerKeyIdHex: "aa".repeat(32),
  serialHex: "01",
  keyHashHex: "bb".repeat(32),
  spiffe: "spiffe://weft.test/nobody",
  ...over,
});
const named = (name: string): RevocationSubject => subject({ spiffe: `spiffe://weft.test/${name}` });

function shownBy(feed: OwnFeedStore): { feed?: SignedFeed } {
  const own = feed.current();
  return own === undefined ? {} : { feed: own };
}

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

  it("LAW-I4 of a feed that forked both branches count: alarm, evidence, and the own statement stays", () => {
    using folder = stateFolder();
    const { feed, ports } = open(folder.dir);
    const own = feedWith(1n, [identityEntry("a")]);
    feed.offer(own);
    let heard = 0;
    feed.onChange(() => {
      heard += 1;
    });
    const other = feedWith(1n, [identityEntry("b")]);
    expect(feed.offer(other)).toBe("forked");
    expect(ports.seen.at(-1)).toMatchObject({ kind: "feed_forked", facts: { epoch: "1", seq: "1" } });
    expect(heard).toBe(1);
    expect(Buffer.from(feed.current()?.payload ?? [])).toEqual(Buffer.from(own.payload));
    const [evidence = ""] = readdirSync(folder.dir).filter((name) => name.startsWith("feed-fork-"));
    const kept = fromBinary(SignedFeedSchema, readFileSync(join(folder.dir, evidence)));
    expect(Buffer.from(kept.payload)).toEqual(Buffer.from(other.payload));
    for (const each of [feed, open(folder.dir).feed])
      expect([each.isRevoked(named("a")), each.isRevoked(named("b"))]).toEqual([true, true]);
    // Known by now: no second alarm.
    expect(feed.offer(other)).toBe("known");
    expect(ports.kinds().filter((kind) => kind === "feed_forked")).toHaveLength(1);
  });

  it("LAW-I4 what an older statement revokes counts, across a restart too", () => {
    using folder = stateFolder();
    const { feed } = open(folder.dir);
    feed.offer(feedWith(5n, [identityEntry("a")]));
    expect(feed.offer(feedWith(4n, [identityEntry("b")]))).toBe("known");
    for (const each of [feed, open(folder.dir).feed]) {
      expect([each.isRevoked(named("a")), each.isRevoked(named("b"))]).toEqual([true, true]);
      expect(each.position().seq).toBe(5n);
    }
  });

  it("LAW-I4 a statement dated far ahead revokes, but its date counts for nothing", () => {
    using folder = stateFolder();
    const { feed, snapshot, ports } = open(folder.dir);
    feed.offer(feedWith(1n));
    const issuedAtMs = BigInt(nowMs + limits.signedSkewMaxMs + 1_000);
    expect(feed.offer(feedWith(2n, [identityEntry("a")], { issuedAtMs }))).toBe("applied");
    expect(feed.isRevoked(named("a"))).toBe(true);
    expect(feed.position().seq).toBe(2n);
    expect([snapshot.newestSignedMs(), feed.newestIssuedMs()]).toEqual([nowMs + 1, nowMs + 1]);
    expect(ports.kinds()).toEqual(["feed_applied", "clock_skew", "feed_applied"]);
    // Shown again and again, it keeps no offline clock from starting; a true date does count.
    expect(feed.offer(feedWith(2n, [identityEntry("a")], { issuedAtMs }))).toBe("known");
    expect(feed.offer(feedWith(2n, [identityEntry("a")], { issuedAtMs: BigInt(nowMs + 10_000) }))).toBe("applied");
    expect(feed.newestIssuedMs()).toBe(nowMs + 10_000);
    expect(open(folder.dir).feed.isRevoked(named("a"))).toBe(true);
  });

  it("LAW-I4 revokes at once although the disk takes nothing", () => {
    using folder = stateFolder();
    const { feed } = open(folder.dir);
    // A folder where the file should go: it cannot be replaced, whoever asks.
    mkdirSync(join(folder.dir, "revoked.bin", "x"), { recursive: true });
    expect(feed.offer(feedWith(1n, [identityEntry("a")]))).toBe("applied");
    expect(feed.isRevoked(named("a"))).toBe(true);
  });

  it("both sides of a link end with both branches of a feed that forked", () => {
    using here = stateFolder();
    using there = stateFolder();
    const [asking, answering] = [open(here.dir).feed, open(there.dir).feed];
    asking.offer(feedWith(1n, [identityEntry("a")]));
    answering.offer(feedWith(1n, [identityEntry("b")]));
    const shown = create(ExchangeFeedRequestSchema, { ...asking.position(), ...shownBy(asking) });
    const answer = answerFeed(shown, answering);
    if (answer.feed !== undefined) asking.offer(answer.feed);
    for (const feed of [asking, answering])
      expect([feed.isRevoked(named("a")), feed.isRevoked(named("b"))]).toEqual([true, true]);
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
    const { feed, ports } = open(folder.dir);
    feed.offer(feedWith(1n));
    const lastMs = nowMs + limits.feedPersistEveryMs + 10_000;
    for (let atMs = nowMs; atMs <= lastMs; atMs += 10_000) {
      ports.clock.advance(10_000);
      feed.offer(feedWith(1n, [], { issuedAtMs: BigInt(atMs + 10_000) }));
    }
    // With the clock set back to where it began.
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

  it("THR-C3 flooded: what was held stays, what fits counts, and neither position nor date moves; said once, and signed", () => {
    using folder = stateFolder();
    const { feed, ports, snapshot } = open(folder.dir);
    const full = (seq: bigint, first: string, more: RevocationEntry[] = [], dated = {}): SignedFeed => {
      const room = limits.revocationsMaxCount - more.length;
      return feedWith(
        seq,
        [...more, ...Array.from({ length: room }, (_, at) => identityEntry(`${first}${at}`))],
        dated,
      );
    };
    feed.offer(full(1n, "a"));
    feed.offer(full(2n, "b", [identityEntry("a0"), identityEntry("a1")]));
    const key = { keyHash: new Uint8Array(32).fill(0xcc), notAfterMs: longMs };
    const more = [key, key, key, identityEntry("last"), identityEntry("late"), identityEntry("lost")];
    for (const seq of [3n, 4n]) {
      const date = { issuedAtMs: BigInt(nowMs + 60_000) + seq };
      expect(feed.offer(feedWith(seq, more, date))).toBe("refused");
    }
    expect(["a0", "b1", "last", "late", "lost"].map((name) => feed.isRevoked(named(name)))).toEqual([
      true,
      true,
      true,
      true,
      false,
    ]);
    expect(feed.isRevoked(subject({ keyHashHex: "cc".repeat(32) }))).toBe(false);
    expect([feed.position().seq, feed.newestIssuedMs()]).toEqual([2n, nowMs + 2]);
    expect(snapshot.newestSignedMs()).toBe(nowMs + 60_004);
    expect(ports.kinds().filter((kind) => kind === "feed_refused")).toHaveLength(1);
    expect(feed.standing()).toMatchObject({ seq: 2n, overflowing: true, revocations: limits.revocationsKeptMaxCount });
    // What was counted is there after a restart.
    expect(open(folder.dir).feed.isRevoked(named("late"))).toBe(true);
    // Told of for as long as it is full, though control says every few seconds what fits, and no longer.
    const renewed = (ms: number): SignedFeed =>
      full(2n, "b", [identityEntry("a0"), identityEntry("a1")], { issuedAtMs: BigInt(nowMs + ms) });
    expect(feed.offer(renewed(70_000))).toBe("applied");
    expect(feed.standing().overflowing).toBe(true);
    ports.clock.advance(Number(longMs) - nowMs + 1);
    feed.offer(renewed(80_000));
    expect(feed.standing().overflowing).toBe(false);
  });

  it("THR-C3 replayed: an older statement shown again and again moves nothing and writes nothing", () => {
    using folder = stateFolder();
    const { feed, ports } = open(folder.dir);
    const old = feedWith(1n, [identityEntry("a")]);
    feed.offer(old);
    feed.offer(feedWith(2n, [identityEntry("a"), identityEntry("b")]));
    const written = statSync(join(folder.dir, "revoked.bin")).mtimeMs;
    for (let time = 0; time < 3; time += 1) expect(feed.offer(old)).toBe("known");
    expect(feed.position().seq).toBe(2n);
    expect(ports.kinds()).toEqual(["feed_applied", "feed_applied"]);
    expect(statSync(join(folder.dir, "revoked.bin")).mtimeMs).toBe(written);
    expect(feed.others()).toEqual([]);
  });

  it("THR-C3 with the feed's key alone nobody is let in again: what a forged statement hides is handed on beside it", async () => {
    using here = stateFolder();
    using there = stateFolder();
    const [heard, cutOff] = [open(here.dir), open(there.dir)];
    // The thief is first: at a position that control has not reached, naming nobody.
    for (const { feed } of [heard, cutOff]) expect(feed.offer(feedWith(1_000n))).toBe("applied");
    expect(heard.feed.offer(feedWith(2n, [identityEntry("a")]))).toBe("known");
    expect(heard.feed.isRevoked(named("a"))).toBe(true);
    expect(heard.feed.others()).toHaveLength(1);
    // One that hears only its neighbour hears of it all the same.
    const client = {
      exchangeFeed: async (shown: ExchangeFeedRequest) => answerFeed(shown, cutOff.feed),
    } as unknown as Parameters<typeof exchangeFeed>[0];
    await exchangeFeed(client, heard.feed);
    expect(cutOff.feed.isRevoked(named("a"))).toBe(true);
    expect(cutOff.feed.others()).toHaveLength(1);
    // A statement that says everything makes the others superfluous.
    heard.feed.offer(feedWith(1_001n, [identityEntry("a")]));
    expect(heard.feed.others()).toEqual([]);
  });

  it("a large feed goes over a link only to who is behind it, in position or in date", async () => {
    using here = stateFolder();
    using there = stateFolder();
    const [asking, answering] = [open(here.dir).feed, open(there.dir).feed];
    const many = Array.from({ length: 2_000 }, (_, at) => identityEntry(`n${at}`));
    let shown: boolean[] = [];
    const client = {
      exchangeFeed: async (request: ExchangeFeedRequest) => {
        shown.push(request.feed !== undefined);
        return answerFeed(request, answering);
      },
    } as unknown as Parameters<typeof exchangeFeed>[0];
    const exchange = async (): Promise<boolean[]> => {
      shown = [];
      await exchangeFeed(client, asking);
      return shown;
    };
    asking.offer(feedWith(1n, many));
    expect(await exchange()).toEqual([false, true]);
    expect([answering.position().seq, answering.isRevoked(named("n1999"))]).toEqual([1n, true]);
    expect(await exchange()).toEqual([false]);
    // The date travels too: it is what keeps an offline clock from starting.
    const later = (ms: number) => feedWith(1n, many, { issuedAtMs: BigInt(nowMs + ms) });
    asking.offer(later(limits.feedEveryMs));
    expect(await exchange()).toEqual([false, true]);
    expect(answering.newestIssuedMs()).toBe(nowMs + limits.feedEveryMs);
    answering.offer(later(2 * limits.feedEveryMs));
    expect(await exchange()).toEqual([false]);
    expect(asking.newestIssuedMs()).toBe(nowMs + 2 * limits.feedEveryMs);
    // A small one goes along.
    asking.offer(feedWith(2n));
    expect(asking.others()).toHaveLength(1);
    expect(await exchange()).toEqual([true, true]);
    // What is large and was shown over this connection is not shown over it again.
    expect(await exchange()).toEqual([true]);
  });

  it("THR-C3 a fork is in every receipt until somebody has taken the evidence away, across a restart too", () => {
    using folder = stateFolder();
    const { feed } = open(folder.dir);
    feed.offer(feedWith(1n, [identityEntry("a")]));
    const other = feedWith(1n, [identityEntry("b")]);
    feed.offer(other);
    const again = open(folder.dir).feed;
    for (const each of [feed, again]) {
      const forks = each.standing().forks();
      expect(forks).toMatchObject({ count: 1, epoch: 1n, seq: 1n });
      expect(Buffer.from(forks?.hash ?? [])).toEqual(createHash("sha256").update(other.payload).digest());
      expect(each.others()).toHaveLength(1);
    }
    for (const name of readdirSync(folder.dir).filter((file) => file.startsWith("feed-fork-")))
      rmSync(join(folder.dir, name));
    expect(again.standing().forks()).toBeUndefined();
  });

  it("THR-C3 evidence whose signer is no longer believed takes no other evidence away", () => {
    using folder = stateFolder();
    const { feed } = open(folder.dir);
    feed.offer(feedWith(1n, [identityEntry("a")]));
    for (const name of ["b", "c"]) expect(feed.offer(feedWith(1n, [identityEntry(name)]))).toBe("forked");
    const [oldest = ""] = readdirSync(folder.dir)
      .filter((file) => file.startsWith("feed-fork-"))
      .sort((x, y) => statSync(join(folder.dir, x)).mtimeMs - statSync(join(folder.dir, y)).mtimeMs);
    const forged = feedWith(1n, [identityEntry("d")], { by: signer("feed", "cl-a", createInstallationKey()) });
    writeFileSync(join(folder.dir, oldest), toBinary(SignedFeedSchema, forged));
    utimesSync(join(folder.dir, oldest), 1, 1);
    expect(open(folder.dir).feed.others()).toHaveLength(1);
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
