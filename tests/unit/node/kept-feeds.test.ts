import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { afterAll, expect, it } from "vitest";
import { type SignedFeed, SignedFeedSchema } from "../../../gen/weft/fabric/v1/feed_pb.ts";
import { limits } from "../../../lib/limits.ts";
import { silentLog } from "../../../lib/log.ts";
import { KeptFeeds } from "../../../node/kept-feeds.ts";

const dir = mkdtempSync(join(tmpdir(), "weft-kept-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const feed = (epoch: bigint): SignedFeed => create(SignedFeedSchema, { keyId: `epoch-${epoch}` });
const ids = (kept: KeptFeeds): readonly string[] => kept.list().map(({ keyId }) => keyId);

it("keeps the last feed of the newest epochs, across restarts, and no more files than that", () => {
  const kept = new KeptFeeds(dir, silentLog);
  expect(ids(kept)).toEqual([]);
  for (const epoch of [9n, 1n, 468_000n, 2n, 10n]) kept.keep(epoch, feed(epoch));
  const expected = ["epoch-9", "epoch-10", "epoch-468000"];
  expect(ids(kept)).toEqual(expected);
  expect(expected).toHaveLength(limits.keptFeedsMaxCount - 1);
  expect(readdirSync(dir).sort()).toEqual(["feed-epoch-10.bin", "feed-epoch-468000.bin", "feed-epoch-9.bin"]);
  writeFileSync(join(dir, "feed-epoch-11.bin"), Buffer.from([0xff, 0xff, 0xff]));
  writeFileSync(join(dir, "feed.bin"), "something else");
  expect(ids(new KeptFeeds(dir, silentLog))).toEqual(expected);
});
