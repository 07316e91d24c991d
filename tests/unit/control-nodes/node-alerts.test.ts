/** Which alerts a node's state asks for. */

import { describe, expect, it } from "vitest";
import { alertsOfNode, type NodeFacts, nodeAlertKinds } from "../../../control/domain/node-alerts.ts";
import { limits } from "../../../lib/limits.ts";

const facts = (fields: Partial<NodeFacts> = {}): NodeFacts => {
  return {
    nodeId: "nd-1",
    health: "online",
    load: 0.1,
    skewMs: 3,
    driftPpm: 20,
    skewOpen: false,
    loadOpen: false,
    ...fields,
  };
};
const kinds = (fields: Partial<NodeFacts>) => alertsOfNode(facts(fields)).map(({ kind }) => kind);

describe("M-A6 alerts of a node", () => {
  it("are none for one that answers, draining or not", () => {
    expect(kinds({})).toEqual([]);
    expect(kinds({ health: "draining", load: null, skewMs: null })).toEqual([]);
  });

  it("are exactly one for one that is silent, whatever it said last", () => {
    const last = { load: 1, skewMs: 1e9, skewOpen: true, loadOpen: true };
    expect(kinds({ health: "stale", ...last })).toEqual(["node-stale"]);
    expect(kinds({ health: "offline", ...last })).toEqual(["node-offline"]);
    expect(kinds({ health: "missing", load: null, skewMs: null })).toEqual(["node-missing"]);
  });

  it("open and close at different bounds, so that nothing flaps at one", () => {
    const skewMs = limits.clockSkewAlertMs;
    expect(kinds({ skewMs })).toEqual([]);
    expect(kinds({ skewMs: -skewMs - 1 })).toEqual(["node-clock-skew"]);
    expect(kinds({ skewMs: -skewMs + 1, skewOpen: true })).toEqual(["node-clock-skew"]);
    expect(kinds({ skewMs: skewMs / 2, skewOpen: true })).toEqual([]);
    expect(kinds({ load: limits.loadAlertShare })).toEqual(["node-overloaded"]);
    expect(kinds({ load: limits.loadAlertEndShare })).toEqual([]);
    expect(kinds({ load: limits.loadAlertEndShare, loadOpen: true })).toEqual(["node-overloaded"]);
    expect(kinds({ load: limits.loadAlertEndShare - 0.01, loadOpen: true })).toEqual([]);
  });

  it("say how fast a clock goes before it is far off", () => {
    const driftPpm = limits.clockDriftAlertShare * 1e6 + 1;
    expect(kinds({ driftPpm })).toEqual(["node-clock-skew"]);
    expect(kinds({ driftPpm: driftPpm - 2 })).toEqual([]);
    expect(kinds({ driftPpm: -driftPpm + 2, skewOpen: true })).toEqual(["node-clock-skew"]);
    expect(kinds({ driftPpm: driftPpm / 3, skewOpen: true })).toEqual([]);
    expect(alertsOfNode(facts({ skewMs: 500, driftPpm: -100_000 }))[0]?.detail).toContain("goes 100000 ppm too slow");
  });

  it("say which way a clock is off, roughly, however wild its lie", () => {
    const detail = (skewMs: number) => alertsOfNode(facts({ skewMs }))[0]?.detail;
    expect(detail(61_234)).toContain("60 s behind");
    expect(detail(61_999)).toBe(detail(61_234));
    expect(detail(-4_000)).toContain("4 s ahead");
    for (const lie of [Number.MAX_SAFE_INTEGER, -Number.MAX_SAFE_INTEGER]) {
      expect(detail(lie)?.length).toBeLessThan(limits.alertDetailCharactersMaxCount);
    }
  });

  it("are of the kinds this file answers for", () => {
    const all = (["stale", "offline", "missing", "online"] as const).flatMap((health) =>
      kinds({ health, load: 1, skewMs: 1e6 }),
    );
    expect(new Set(all)).toEqual(new Set(nodeAlertKinds));
  });
});
