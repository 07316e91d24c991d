/** What echoes come to: loss, round trips, jitter. */

import { expect, it } from "vitest";
import { histogramOf, pathClassOf, probeText, statisticsOf } from "../../../cli/probe-view.ts";

it("M-A22 counts what did not come back, and measures what did", () => {
  const samples = [
    { seq: 1, rttMs: 2 },
    { seq: 3, rttMs: 10 },
    // Back out of turn.
    { seq: 2, rttMs: 3 },
    { seq: 4 },
    { seq: 5, rttMs: 4 },
  ];
  expect(statisticsOf(5, samples)).toMatchObject({
    ...{ sent: 5, received: 4, loss_share: 0.2 },
    rtt_ms: { min: 2, median: 3, p99: 10, max: 10 },
    // 2 to 3, 3 to 10; what was lost has none, and neither has its successor.
    jitter_ms: { mean: 4 },
  });
  expect(statisticsOf(3, [{ seq: 1 }])).toEqual({ sent: 3, received: 0, loss_share: 1 });
  expect(statisticsOf(1, [{ seq: 1, rttMs: 5 }])).toEqual({
    ...{ sent: 1, received: 1, loss_share: 0 },
    rtt_ms: { min: 5, median: 5, p99: 5, max: 5 },
  });
});

it("M-A22 every jitter is in exactly one bucket", () => {
  const values = [0, 0.05, 0.1, 0.9, 1, 49.9, 100, 5_000];
  const histogram = histogramOf(values);
  expect(histogram.reduce((sum, { count }) => sum + count, 0)).toBe(values.length);
  expect(histogram.filter(({ count }) => count > 0)).toEqual([
    ...[0.1, 0.2, 1, 2, 50].map((below_ms, at) => ({ below_ms, count: at === 0 ? 2 : 1 })),
    { count: 2 },
  ]);
});

it("a path's class is what is between its ends", () => {
  expect(["ae", "are", "arre"].map((hops) => pathClassOf([...hops]))).toEqual([
    "direct",
    "single-relay",
    "multi-relay",
  ]);
});

it("says of a route that is not there why", () => {
  const text = probeText("entry-1", "egress-1", [
    { route: "direct", state: "absent", detail: "PATH_NOT_A_NEIGHBOUR", reason: "these two keep no link" },
    {
      ...{
        route: "single-relay",
        state: "probed",
        path_class: "single-relay",
        path: ["entry-1", "relay-1", "egress-1"],
      },
      ...{
        avoided: [],
        open_ms: 3,
        ...statisticsOf(2, [
          { seq: 1, rttMs: 2 },
          { seq: 2, rttMs: 2.3 },
        ]),
      },
    },
  ]);
  expect(text).toMatch(/^direct +absent/m);
  expect(text).toContain("direct: these two keep no link");
  expect(text).toMatch(/^single-relay +single-relay +entry-1 -> relay-1 -> egress-1 +3\.000 ms +2\.000 ms .* 0\/2$/m);
  expect(text).toMatch(/< 0\.5 ms +1 {2}#+/);
});
