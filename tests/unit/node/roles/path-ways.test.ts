import { describe, expect, it } from "vitest";
import { PathPurpose } from "../../../../gen/weft/relay/v1/relay_pb.ts";
import { WeftError } from "../../../../lib/errors.ts";
import { limits } from "../../../../lib/limits.ts";
import { sharesError } from "../../../../node/ask-hop.ts";
import type { ClientPathRequest } from "../../../../node/paths.ts";
import { eventually } from "../../../harness/eventually.ts";
import { selfId } from "../stage.ts";
import { pathStage, requestWith, thrownBy } from "./path-stage.ts";

/** A hop that never answers. */
const hangs = ({ signal }: ClientPathRequest): Promise<never> =>
  new Promise((_resolve, reject) => signal?.addEventListener("abort", () => reject(new Error("given up"))));

describe("the ways of a client's path", () => {
  it("PS4 a way that hangs is not waited for: the next one is tried beside it, and the slow one rests", async () => {
    const { ready, opened, failed, failWith, ports } = pathStage(["r1", "r2", "r3"]);
    const { resumeHandle } = await ready(requestWith());
    opened.length = 0;
    failWith((request) => (request.hops[1] === "r1" ? hangs(request) : undefined));
    const leg = ready(requestWith({ resumeHandle }));
    await eventually(() => opened.length === 1, { what: "the first way" });
    expect(failed).toEqual([]);
    ports.clock.advance(limits.clientWayDelayMs);
    await leg;
    expect(opened.map(({ hops }) => hops[1])).toEqual(["r1", "r2"]);
    expect(failed).toEqual([[selfId, "r1", "e1"].join()]);
    // The slow one is given up; what is the client's now is not touched by that.
    expect(opened.map(({ signal }) => signal?.aborted)).toEqual([true, false]);
  });

  it("PS4 a way that was begun beside a slow one is not blamed when that one answers after all", async () => {
    const { ready, opened, failed, failWith, ports } = pathStage(["r1", "r2"]);
    const { resumeHandle } = await ready(requestWith());
    opened.length = 0;
    const { promise: late, resolve: answer } = Promise.withResolvers<undefined>();
    failWith((request) => (request.hops[1] === "r1" ? late : hangs(request)));
    const leg = ready(requestWith({ resumeHandle }));
    await eventually(() => opened.length === 1, { what: "the first way" });
    ports.clock.advance(limits.clientWayDelayMs);
    await eventually(() => opened.length === 2, { what: "the second way" });
    answer(undefined);
    await leg;
    expect(failed).toEqual([]);
    expect(opened.map(({ signal }) => signal?.aborted)).toEqual([false, true]);
  });

  it("PS2 goes around the relays the egress says are used already", async () => {
    const { ready, opened, failed, failWith } = pathStage(["r1", "r2", "r3"]);
    const { resumeHandle } = await ready(requestWith());
    opened.length = 0;
    const used = ["r1", "r2"];
    failWith(({ hops, purpose }) =>
      purpose === PathPurpose.STANDBY && used.includes(hops[1] ?? "") ? sharesError(2, [1]) : undefined,
    );
    await ready(requestWith({ standby: true, resumeHandle }));
    expect(opened.map(({ hops, purpose }) => [hops[1], purpose])).toEqual([
      ["r1", PathPurpose.STANDBY],
      ["r2", PathPurpose.STANDBY],
      ["r3", PathPurpose.STANDBY],
    ]);
    // They are good ways, for anybody else.
    expect(failed).toEqual([]);
  });

  it("PS2 shares a relay when there is no other", async () => {
    const { ready, opened, failWith } = pathStage(["r1", "r2"]);
    const { resumeHandle } = await ready(requestWith());
    opened.length = 0;
    failWith(({ hops, purpose }) => {
      if (hops[1] === "r2") return new WeftError("unavailable", "away");
      return purpose === PathPurpose.STANDBY ? sharesError(2, [1]) : undefined;
    });
    await ready(requestWith({ standby: true, resumeHandle }));
    expect(opened.map(({ hops, purpose }) => [hops[1], purpose])).toEqual([
      ["r1", PathPurpose.STANDBY],
      ["r2", PathPurpose.STANDBY],
      ["r1", PathPurpose.RESUME],
    ]);
  });

  it("PS2 gives a standby up after a few ways, whatever the egress says", async () => {
    const { ready, call, opened, failWith } = pathStage(["r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8"]);
    const { resumeHandle } = await ready(requestWith());
    opened.length = 0;
    failWith(() => sharesError(2, [1]));
    expect((await thrownBy(call(requestWith({ standby: true, resumeHandle })).next())).detail).toBe("NO_PATH");
    expect(opened).toHaveLength(6);
  });

  it("tries the next egress when the first cannot be reached, and remembers which way failed", async () => {
    const { ready, opened, failed, failWith } = pathStage();
    failWith(({ hops }) => (hops.at(-1) === "e1" ? new WeftError("unavailable", "away") : undefined));
    await ready(requestWith());
    expect(opened.map(({ hops }) => hops.at(-1))).toEqual(["e1", "e2"]);
    expect(failed).toEqual([`${selfId},r1,e1`]);
  });

  it("tries another way to the egress a client resumes, and never another egress", async () => {
    const { ready, call, opened, failWith } = pathStage(["r1", "r2", "r3", "r4"]);
    const { resumeHandle } = await ready(requestWith());
    opened.length = 0;
    failWith(({ hops }) => (hops[1] === "r1" ? new WeftError("unavailable", "away") : undefined));
    await ready(requestWith({ resumeHandle }));
    expect(opened.map(({ hops }) => hops.slice(1))).toEqual([
      ["r1", "e1"],
      ["r2", "e1"],
    ]);
    opened.length = 0;
    failWith(() => new WeftError("unavailable", "away"));
    await thrownBy(call(requestWith({ resumeHandle })).next());
    expect(opened.map(({ hops }) => hops.slice(1).join())).toEqual(["r1,e1", "r2,e1", "r3,e1"]);
  });
});
