/** A far edge that proved itself and then abuses the trunk: it harms its own trunk, within bounds, and nothing else. */

import { expect, it } from "vitest";
import type { EdgePathEvent } from "../../edge/edge-path.ts";
import { TrunkPool } from "../../edge/trunk-pool.ts";
import type { TrunkEnd } from "../../fabric/trunk/trunk-core.ts";
import { NoticeKind } from "../../gen/weft/channel/v1/channel_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { limits } from "../../lib/limits.ts";
import { silentLog } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import { dialPath, listenForPaths } from "../harness/edge-paths.ts";
import { closers, far, identities, openOf } from "../harness/edge-trunks.ts";
import { eventually } from "../harness/eventually.ts";
import { HostileFarEdge } from "../harness/hostile-far-edge.ts";

async function against(told?: EdgePathEvent) {
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
  await eventually(() => attachments() === 2, { what: "a spare", withinMs: 5_000 });
  return { hostile, shunned, channel, ends, opened: () => opened };
}

it("LAW-R3 a far edge that asks for another path all the time gets no more than one a second", async () => {
  const { hostile, opened } = await against();
  const before = opened();
  const startedMs = performance.now();
  let asked = 0;
  const flood = setInterval(() => {
    asked += 1;
    hostile.say({ kind: "notice", notice: NoticeKind.WANT_PATH, detail: "" });
  }, 2);
  await eventually(() => opened() >= before + 3, { what: "three more paths", withinMs: 10_000 });
  clearInterval(flood);
  expect(asked).toBeGreaterThan(100);
  // The first at once.
  expect(performance.now() - startedMs).toBeGreaterThanOrEqual(2 * limits.thirdPathEveryMs);
});

it("LAW-T1 a generation that could not be counted on ends the trunk, once, with a reason", async () => {
  const { hostile, channel, ends } = await against();
  hostile.say({ kind: "move", generation: Number.MAX_SAFE_INTEGER });
  await eventually(() => ends.length === 1, { what: "the end of the trunk" });
  expect(ends[0]).toEqual({ cause: "protocol", detail: "move: a generation nobody reaches" });
  expect(channel.destroyed).toBe(true);
});

it.each([
  ["itself", "relay-1", ["relay-1"]],
  ["a node that is not on its path", "an-honest-relay", []],
])("LAW-T2 a relay that tells of %s is believed as far as its path goes", async (_what, nodeId, shunned) => {
  const made = await against({ kind: "draining", nodeId });
  expect([...new Set(made.shunned)]).toEqual(shunned);
  // It left the path either way.
  await eventually(() => made.opened() >= 3, { what: "a spare beside the path it moved to", withinMs: 5_000 });
});
