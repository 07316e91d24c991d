/** `weft route explain` as people read it: the answer first, what else there is in a table, terms only when all is asked for. */

import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { explanationHints, explanationText } from "../../../cli/route-explanation.ts";
import { channelText } from "../../../cli/route-view.ts";
import { ExplainChannelResponseSchema } from "../../../gen/weft/node/v1/node_pb.ts";
import { type RouteExplanation, RouteExplanationSchema } from "../../../gen/weft/routing/v1/routing_pb.ts";

interface Row {
  readonly names: readonly string[];
  readonly outcome: string;
  readonly total?: number;
  readonly reason?: string;
  readonly sharedHops?: readonly string[];
}

function routeOf(...rows: readonly Row[]): RouteExplanation {
  const part = { input: "latency", value: 1.5, unit: "ms", weight: 1, cost: 1.5 };
  return create(RouteExplanationSchema, {
    fromName: "entry-1",
    candidates: rows.map(({ names, sharedHops = [], ...rest }) => ({
      ...{ names: [...names], nodeIds: names.map((name) => `nd-${name}`), sharedHops: [...sharedHops] },
      ...{ parts: rest.total === undefined ? [] : [part], ...rest },
    })),
  });
}

const over = (relay: string, egress = "egress-1"): string[] => ["entry-1", relay, egress];
const primary = { names: over("relay-2"), outcome: "primary", total: 2 };
const standby = {
  ...{ names: over("relay-1"), outcome: "standby", total: 2.25 },
  reason: "shares no relay with the primary",
};
const lost = [3, 4, 5, 6, 7].map((relay) => ({
  ...{ names: over(`relay-${relay}`), outcome: "lost", total: relay },
  reason: `costs ${relay - 2}.00 more, most of it latency (+1.00)`,
}));
const filtered = { names: over("relay-9"), outcome: "filtered", reason: "relay-9 is draining" };

it("A11 begins with the path a new trunk would take and why, then the rest in a table, without terms", () => {
  const text = explanationText([routeOf(primary, standby, ...lost, filtered)], false);
  const lines = text.split("\n");
  expect(lines.slice(0, 4)).toEqual([
    "from entry-1 a new trunk would take entry-1 -> relay-2 -> egress-1",
    "  why      score 2, the lowest of 7; the next one costs 0.250 more",
    "  standby  entry-1 -> relay-1 -> egress-1 (shares no relay with the primary)",
    "",
  ]);
  expect(lines[4]).toMatch(/^OUTCOME +PATH +SCORE +WHY$/);
  expect(lines.slice(5, 10).map((line) => line.split(/ {2,}/))).toEqual([
    ["primary", "entry-1 -> relay-2 -> egress-1", "2", "-"],
    ["standby", "entry-1 -> relay-1 -> egress-1", "2.250", "shares no relay with the primary"],
    ...lost.slice(0, 3).map(({ names, total, reason }) => ["lost", names.join(" -> "), String(total), reason]),
  ]);
  expect(lines.at(-1)).toBe("... 2 more that lost, 1 that cannot be used");
  expect(text).not.toContain("WEIGHT");
  expect(explanationHints(false)).toContain("--all");
});

it("A11 all of it has every candidate, with every term of its score", () => {
  const text = explanationText([routeOf(primary, standby, ...lost, filtered)], true);
  expect(text).toMatch(/^filtered +entry-1 -> relay-9 -> egress-1 +- +relay-9 is draining$/m);
  expect(text).toMatch(/^entry-1 -> relay-7 -> egress-1 +latency +1\.500 ms +1 +1\.500$/m);
  expect(text).not.toContain("...");
  expect(explanationHints(true)).not.toContain("--all");
});

it("A11 says why in each case: a tie, a lower score that was not taken, nothing else, no path", () => {
  const why = (...rows: readonly Row[]): string => explanationText([routeOf(...rows)], false).split("\n")[1] ?? "";
  const equal = { ...standby, total: 2 };
  expect(why(primary, equal, { ...equal, outcome: "lost" }, ...lost)).toBe(
    "  why      score 2, the lowest; 2 more have it too, and the choice of this start falls on this one",
  );
  expect(why(primary, { ...standby, total: 1.5 })).toBe(
    "  why      score 2; what scores lower, and why it was not taken, is below",
  );
  expect(why(primary)).toBe("  why      it is the only path there is");
  const none = explanationText([routeOf(filtered)], false);
  expect(none).toMatch(/^from entry-1 there is no path\n\nOUTCOME[\s\S]*relay-9 is draining$/);
  const sharing = { ...standby, reason: "shares 1 relay(s): nothing more disjoint exists", sharedHops: ["nd-relay-1"] };
  expect(explanationText([routeOf(primary, sharing)], false)).toContain(
    "(shares 1 relay(s): nothing more disjoint exists; shares relay-1)",
  );
});

it("A11 tells a terminal nothing that it would obey, whatever the node that explains calls its neighbours", () => {
  const evil = "relay-2\u001b[2J\nfrom entry-1";
  const named = { ...primary, names: over(evil) };
  const told = { ...standby, names: over(evil), reason: `shares ${evil}` };
  const route = routeOf(named, told, { ...filtered, names: over(evil), reason: evil });
  route.intents = create(RouteExplanationSchema, { intents: [{ intent: { name: evil }, effect: "prefer" }] }).intents;
  for (const all of [true, false]) {
    const text = explanationText([route], all);
    expect(text).not.toContain("\u001b");
    expect(text.split("\n").filter((line) => line.startsWith("from entry-1"))).toHaveLength(1);
  }
  expect(explanationText([create(RouteExplanationSchema, { fromName: evil })], false)).not.toContain("\u001b");
});

it("A11 fits the terminal it is shown on", () => {
  const text = explanationText([routeOf(primary, standby, ...lost)], false, 80);
  const table = text.slice(text.indexOf("OUTCOME"));
  expect(Math.max(...table.split("\n").map(({ length }) => length))).toBeLessThanOrEqual(80);
});

it("a channel's own path is told apart from what a new trunk would take", () => {
  const channel = create(ExplainChannelResponseSchema, { trunkId: "ab", hops: ["nd-entry-1", "nd-relay-3", "nd-far"] });
  const view = { entry: "entry-1", channel, standbys: [], route: routeOf(primary) };
  const text = channelText(view, (id) => id.replace("nd-", ""), false);
  expect(text).toMatch(/^path in use +entry-1 -> relay-3 -> far$/m);
  expect(text).toContain("from entry-1 a new trunk would take entry-1 -> relay-2 -> egress-1");
});
