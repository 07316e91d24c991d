/** A far edge that proved itself and then abuses the trunk: it harms its own trunk, within bounds, and nothing else. */

import { expect, it } from "vitest";
import type { EdgePathEvent } from "../../edge/edge-path.ts";
import { TrunkPool } from "../../edge/trunk-pool.ts";
import type { TrunkEnd } from "../../fabric/trunk/trunk-core.ts";
import { NoticeKind } from "../../gen/weft/channel/v1/channel_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { Closers } from "../../lib/closers.ts";
import { limits } from "../../lib/limits.ts";
import { silentLog } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import { dialPath, listenForPaths } from "../harness/edge-paths.ts";
import { far, identities, openOf } from "../harness/edge-trunks.ts";
import { eventually } from "../harness/eventually.ts";
import { HostileFarEdge } from "../harness/hostile-far-edge.ts";

/** Each test has its own and closes it: they wait side by side. */
async function against(told?: EdgePathEvent) {
  const closers = new Closers();
  const hostile = new HostileFarEdge();
  const listener = await listenForPaths(identities, (path) => hostile.add(path));
  const ends: TrunkEnd[] = [];
  const shunned: string[] = [];
  let opened = 0;
  const pool = new TrunkPool({
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    onTrunkEnd: (_trunk, end) => ends.push(end),
    openPath: async ({ shun }) => {
      opened += 1;
      shunned.push(...shun);
      const hops = ["entry", `relay-${opened}`, "egress"];
      const onEvent = (listener: (event: EdgePathEvent) => void) => {
        if (told !== undefined && hops[1] === "relay-1") listener(told);
        return () => {};
      };
      return { ...(await dialPath(identities, listener.port)), hops, onEvent };
    },
  });
  closers.add("listener", () => listener.close());
  closers.add("pool", () => pool.close());
  const channel = await pool.open(far, openOf("sink"));
  channel.on("error", () => {});
  channel.write("x");
  const attachments = (): number => pool.trunks()[0]?.stats().attachments.length ?? 0;
  await eventually(() => attachments() === 2, { what: "a spare", withinMs: 20_000 });
  const close = () => closers.close();
  return { hostile, shunned, channel, ends, opened: () => opened, [Symbol.asyncDispose]: close };
}

it.concurrent("LAW-R3 a far edge that asks for another path all the time gets no more than one a second", async () => {
  await using made = await against();
  const { hostile, opened } = made;
  const before = opened();
  const startedMs = performance.now();
  let asked = 0;
  const flood = setInterval(() => {
    asked += 1;
    hostile.say({ kind: "notice", notice: NoticeKind.WANT_PATH, detail: "" });
  }, 2);
  const flooded = (): boolean => opened() >= before + 3 && asked > 100;
  await eventually(flooded, { what: "three more paths in spite of a flood", withinMs: 20_000 });
  const more = opened() - before;
  clearInterval(flood);
  // The first at once.
  expect(performance.now() - startedMs).toBeGreaterThanOrEqual((more - 1) * limits.thirdPathEveryMs);
});

it.concurrent("LAW-T1 a generation that could not be counted on ends the trunk, once, with a reason", async () => {
  await using made = await against();
  const { hostile, channel, ends } = made;
  hostile.say({ kind: "move", generation: Number.MAX_SAFE_INTEGER });
  await eventually(() => ends.length === 1, { what: "the end of the trunk" });
  expect(ends[0]).toEqual({ cause: "protocol", detail: "move: a generation nobody reaches" });
  expect(channel.destroyed).toBe(true);
});

it.concurrent.each([
  ["itself", "relay-1", ["relay-1"]],
  ["a node that is not on its path", "an-honest-relay", []],
])(
  "LAW-T2 a relay that tells of %s is believed as far as its path goes",
  async (_what, nodeId, shunned) => {
    await using made = await against({ kind: "draining", nodeId });
    expect([...new Set(made.shunned)]).toEqual(shunned);
    // It left the path either way.
    await eventually(() => made.opened() >= 3, { what: "a spare beside the path it moved to", withinMs: 20_000 });
  },
  60_000,
);
