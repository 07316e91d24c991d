/** A far edge that takes every path and acknowledges only while it attaches: the lane does not go round for ever. */

import { expect, it } from "vitest";
import { Attachment } from "../../../fabric/trunk/attachments.ts";
import { Lane } from "../../../fabric/trunk/lane.ts";
import { limits } from "../../../lib/limits.ts";

/** One more path: attaching acknowledges everything so far, then something is sent and nobody says that it came. */
function nextPath(lane: Lane, id: number, nowMs: number): number | undefined {
  const attachment = new Attachment(id, "bulk", id, Buffer.alloc(32), nowMs);
  expect(lane.acked(lane.replay.nextSeq, nowMs, true)).toBe(true);
  lane.replay.push(Buffer.alloc(100));
  lane.replay.next(nowMs);
  return lane.moveTo(attachment, id, nowMs);
}

function pathsUntilOver(lane: Lane, each: (id: number, nowMs: number) => void): number {
  for (let id = 1; id <= 1_000; id += 1) {
    const nowMs = id * limits.stuckDeadMs * 1.5;
    if (nextPath(lane, id, nowMs) === undefined) return id;
    each(id, nowMs);
  }
  return Number.POSITIVE_INFINITY;
}

it("LAW-T1 moves that nothing answers end the trunk after about the time it would be held", () => {
  const paths = pathsUntilOver(new Lane("bulk"), () => {});
  expect(paths).toBe(limits.movesUnansweredMaxCount);
  expect(paths * limits.stuckDeadMs).toBeGreaterThanOrEqual(limits.holdInitiatorMs);
});

it("LAW-T1 one ack on a path is an answer, an old one is none", () => {
  const answered = new Lane("bulk");
  expect(pathsUntilOver(answered, (_id, nowMs) => answered.acked(answered.replay.nextSeq, nowMs))).toBe(
    Number.POSITIVE_INFINITY,
  );
  const repeated = new Lane("bulk");
  expect(pathsUntilOver(repeated, (_id, nowMs) => repeated.acked(1, nowMs))).toBe(limits.movesUnansweredMaxCount);
});
