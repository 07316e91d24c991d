/** What a node signs about the feed it has applied, also after a restart that found half of it. */

import { copyFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { keyPairFromPem } from "../../../certs/keys.ts";
import { verifyReceipt } from "../../../fabric/feed-receipt.ts";
import type { FeedReceipt, FeedReceiptStatement } from "../../../gen/weft/fabric/v1/feed_pb.ts";
import { limits } from "../../../lib/limits.ts";
import { FeedReceipts } from "../../../node/feed-receipts.ts";
import { openFeedStore } from "../../../node/feed-store.ts";
import { openSnapshotHolder } from "../../../node/snapshot-holder.ts";
import { feedWith, identity, installation, nowMs, selfId, stateFolder, testPorts } from "./stage.ts";

const identityEntry = (name: string) => ({
  spiffeId: `spiffe://weft.test/${name}`,
  notAfterMs: BigInt(nowMs + 86_400_000),
});

function open(stateDir: string) {
  const ports = testPorts();
  const deps = { ...ports, stateDir, installationKeySpki: installation.spkiDer };
  const feed = openFeedStore({ ...deps, snapshot: openSnapshotHolder({ ...deps, limit: (shown) => shown }) });
  const receipts = new FeedReceipts({ bootId: "b", identity: ports.identity, standing: () => feed.standing() });
  return { feed, receipts };
}

/** As control reads it. */
function read(receipt: FeedReceipt | undefined): FeedReceiptStatement {
  if (receipt === undefined) throw new Error("no receipt");
  const { spkiDer } = keyPairFromPem(identity.leaf.keyPem);
  return verifyReceipt(receipt, spkiDer, { clusterId: "cl-a", nodeId: selfId });
}

it("a receipt is signed anew when something changed, and repeated until a beat with it was answered", () => {
  using folder = stateFolder();
  const { feed, receipts } = open(folder.dir);
  expect([receipts.next(), receipts.isNews()]).toEqual([undefined, false]);
  feed.offer(feedWith(1n, [identityEntry("a")]));
  expect(receipts.isNews()).toBe(true);
  const first = receipts.next();
  expect(receipts.next()).toBe(first);
  if (first === undefined) throw new Error("no receipt");
  receipts.answered(first);
  expect(receipts.isNews()).toBe(false);
  const silent = Array.from({ length: limits.receiptRepeatBeatsCount - 1 }, () => receipts.next());
  expect(silent.every((each) => each === undefined)).toBe(true);
  expect(receipts.next()).toBe(first);
  // A renewed date is no news; a new position is.
  feed.offer(feedWith(1n, [identityEntry("a")], { issuedAtMs: BigInt(nowMs + 10_000) }));
  expect(receipts.isNews()).toBe(false);
  feed.offer(feedWith(2n, [identityEntry("a")]));
  expect(read(receipts.next())).toMatchObject({ seq: 2n, revocations: 1, forks: 0, overflowing: false, bootId: "b" });
});

it.each<[string, (dir: string) => void]>([
  ["is lost", (dir) => rmSync(join(dir, "feed.bin"))],
  ["is the one before", (dir) => copyFileSync(join(dir, "before.bin"), join(dir, "feed.bin"))],
])("after a restart where the newest statement %s, nothing is signed until it has been seen again", (_what, harm) => {
  using folder = stateFolder();
  const first = open(folder.dir);
  first.feed.offer(feedWith(1n, [identityEntry("a")]));
  copyFileSync(join(folder.dir, "feed.bin"), join(folder.dir, "before.bin"));
  first.feed.offer(feedWith(2n, [identityEntry("a"), identityEntry("b")]));
  const { contentHash } = read(first.receipts.next());
  harm(folder.dir);
  const { feed, receipts } = open(folder.dir);
  expect([feed.position().seq, receipts.next()]).toEqual([2n, undefined]);
  const renewed = { issuedAtMs: BigInt(nowMs + 10_000) };
  expect(feed.offer(feedWith(2n, [identityEntry("a"), identityEntry("b")], renewed))).toBe("applied");
  expect(read(receipts.next())).toMatchObject({ seq: 2n, contentHash });
});
