import { describe, expect, it } from "vitest";
import { findPaths } from "../../../../fabric/routing/paths.ts";
import { chooseRoute, type RouteState } from "../../../../fabric/routing/pick.ts";
import { inputRules, type ScoreInput, scoreInputs } from "../../../../fabric/routing/score.ts";
import { scorePath } from "../../../../fabric/routing/scored-path.ts";
import { tieHash } from "../../../../fabric/routing/walks.ts";
import { ChannelClass, NodeHealth, NodeRole } from "../../../../gen/weft/fabric/v1/role_pb.ts";
import { seededRandom } from "../../../../lib/random.ts";
import { runs } from "../../../harness/counts.ts";
import { graphOfMesh, type Mesh, mesh, need, randomly, shuffled, withLink, withLinksOf, withNode } from "./stage.ts";

const two = mesh({ relays: 2, egresses: 1 });
const best = (given: Mesh, wanted = need): string => findPaths(graphOfMesh(given), wanted).ranked[0]?.key ?? "none";
const winner = best(two).split(">")[1] ?? "";
const loser = winner === "r1" ? "r2" : "r1";

/** What makes a relay worse by one input alone. */
const worsened: Record<ScoreInput, (relay: string) => Mesh> = {
  latency: (relay) => withLinksOf(two, relay, { rttMs: 12 }),
  jitter: (relay) => withLinksOf(two, relay, { jitterMs: 3 }),
  loss: (relay) => withLinksOf(two, relay, { lossShare: 0.01 }),
  reliability: (relay) => withLinksOf(two, relay, { reliabilityShare: 0.9 }),
  region_distance: (relay) =>
    withNode(
      withNode(withNode(withNode(two, "e", { region: "eu" }), "x1", { region: "eu" }), loserOf(relay), {
        region: "eu",
      }),
      relay,
      { region: "us" },
    ),
  load: (relay) => withNode(two, relay, { load: 0.9 }),
  bandwidth: (relay) => withLinksOf(two, relay, { bandwidthBytesPerSecond: 1e6 }),
  role_suitability: (relay) => withNode(two, relay, { alsoRoles: [NodeRole.EGRESS] }),
  trust_level: (relay) => withNode(two, relay, { trustLevel: 10 }),
  failure_history: (relay) => withLinksOf(two, relay, { recentFailures: 2 }),
};

function loserOf(relay: string): string {
  return relay === "r1" ? "r2" : "r1";
}

describe("LAW-S2 A11 every input moves the path by itself", () => {
  it.each(scoreInputs)("%s", (input) => {
    expect(best(worsened[input](winner))).toBe(`e>${loser}>x1`);
    expect(best(worsened[input](loser))).toBe(`e>${winner}>x1`);
    const scored = scorePath(graphOfMesh(worsened[input](winner)), need, ["e", winner, "x1"]);
    const plain = scorePath(graphOfMesh(two), need, ["e", winner, "x1"]);
    if (typeof scored === "string" || typeof plain === "string") throw new Error("both can be used");
    const changed = scored.parts.filter((part, i) => part.cost !== plain.parts[i]?.cost).map((part) => part.input);
    expect(changed).toEqual([input]);
  });

  it("each has a unit and a source", () => {
    for (const input of scoreInputs) {
      expect(inputRules[input].unit, input).not.toBe("");
      expect(inputRules[input].source, input).not.toBe("");
    }
  });

  it("what is not measured is shown as absent, costs nothing, and never beats what is measured", () => {
    const unknown = withLinksOf(two, winner, {});
    const stripped = {
      ...unknown,
      links: unknown.links.map((link) => (link.toNodeId === winner ? { ...link } : link)),
    };
    for (const link of stripped.links) if (link.fromNodeId === winner || link.toNodeId === winner) delete link.rttMs;
    expect(best(stripped)).toBe(`e>${loser}>x1`);
    const scored = scorePath(graphOfMesh(stripped), need, ["e", winner, "x1"]);
    if (typeof scored === "string") throw new Error(scored);
    expect(scored.unmeasuredLinks).toBe(2);
    const latency = scored.parts.find((part) => part.input === "latency");
    expect(latency).toMatchObject({ cost: 0 });
    expect(latency !== undefined && "value" in latency).toBe(false);
  });

  it("numbers that are none count as absent", () => {
    for (const rttMs of [Number.NaN, Number.POSITIVE_INFINITY, -5]) {
      const scored = scorePath(graphOfMesh(withLink(two, "e", "r1", { rttMs })), need, ["e", "r1", "x1"]);
      expect(scored).toMatchObject({ unmeasuredLinks: 1, total: 10 });
    }
  });

  it("bulk minds bandwidth where interactive minds latency", () => {
    const narrow = withLinksOf(withLinksOf(two, "r1", { rttMs: 8, bandwidthBytesPerSecond: 4e7 }), "r2", {
      rttMs: 10,
      bandwidthBytesPerSecond: 2e8,
    });
    expect(best(narrow)).toBe("e>r1>x1");
    expect(best(narrow, { ...need, class: ChannelClass.BULK })).toBe("e>r2>x1");
  });

  it("parts sum to the total, each weight x value, on random meshes", () => {
    const random = seededRandom(3);
    for (let i = 0; i < 50; i++) {
      for (const path of findPaths(graphOfMesh(randomly(mesh({ relays: 4, egresses: 2 }), random)), need).ranked) {
        expect(path.parts.reduce((sum, part) => sum + part.cost, 0)).toBe(path.total);
        for (const part of path.parts) expect(part.cost).toBe(part.weight * (part.value ?? 0));
        expect(path.parts.map((part) => part.input)).toEqual([...scoreInputs]);
      }
    }
  });
});

describe("LAW-S1 same snapshot and samples, same choice", () => {
  it("over many seeds, whatever the order of lists", () => {
    const seeds = runs(1_000, 20_000);
    for (let seed = 0; seed < seeds; seed++) {
      const random = seededRandom(seed);
      const given = randomly(mesh({ relays: 4, egresses: 2 }), random);
      const again = { nodes: shuffled(given.nodes, random), links: shuffled(given.links, random) };
      const toNodeIds = shuffled(need.toNodeIds, random);
      const first = chooseRoute(graphOfMesh(given), need);
      const second = chooseRoute(graphOfMesh(again), { ...need, toNodeIds });
      expect(second.primary?.key).toBe(first.primary?.key);
      expect(second.standby?.key).toBe(first.standby?.key);
      expect(second.ranked.map((path) => path.key)).toEqual(first.ranked.map((path) => path.key));
    }
  });
});

describe("LAW-S3 equal paths do not flap", () => {
  const equal = mesh({ relays: 5, egresses: 1 });

  /** Samples of equal paths with ±`noiseShare` on every round trip; how often the primary and the standby moved. */
  function moves(noiseShare: number, samples: number): number {
    const random = seededRandom(11);
    let state: RouteState = {};
    let count = 0;
    for (let i = 0; i < samples; i++) {
      const links = equal.links.map((link) => ({ ...link, rttMs: 10 * (1 + noiseShare * (2 * random.float() - 1)) }));
      const choice = chooseRoute(graphOfMesh({ ...equal, links }), need, state);
      if (i > 0 && (choice.primaryMoved || choice.standbyMoved)) count += 1;
      state = choice.state;
    }
    return count;
  }

  it("under noise of 8 % nothing ever moves, in 500 samples", () => {
    expect(moves(0.08, 500)).toBe(0);
  });

  it("a real gain moves the path at its third sample in a row, not before and not when interrupted", () => {
    const start = chooseRoute(graphOfMesh(two), need);
    const worse = graphOfMesh(withLinksOf(two, winner, { rttMs: 14 }));
    const first = chooseRoute(worse, need, start.state);
    const second = chooseRoute(worse, need, first.state);
    const third = chooseRoute(worse, need, second.state);
    expect([first, second, third].map((choice) => choice.primaryMoved)).toEqual([false, false, true]);
    expect(third.primary?.key).toBe(`e>${loser}>x1`);
    const interrupted = chooseRoute(worse, need, chooseRoute(graphOfMesh(two), need, second.state).state);
    expect(interrupted.primaryMoved).toBe(false);
  });

  it("neither 20 % of little nor a millisecond of much is a gain", () => {
    const held = (from: number, to: number): string | undefined => {
      const given = graphOfMesh(withLinksOf(withLinksOf(two, winner, { rttMs: from }), loser, { rttMs: to }));
      let state: RouteState = { primary: { nodeIds: ["e", winner, "x1"], gainSamples: 0 } };
      let key: string | undefined;
      for (let i = 0; i < 6; i++) {
        const choice = chooseRoute(given, need, state);
        state = choice.state;
        key = choice.primary?.key;
      }
      return key;
    };
    expect(held(0.8, 0.4)).toBe(`e>${winner}>x1`);
    expect(held(100, 85)).toBe(`e>${winner}>x1`);
    expect(held(100, 75)).toBe(`e>${loser}>x1`);
  });

  it("equal paths spread over starts, and each start stays with its own", () => {
    const chosen = new Map<string, number>();
    for (let i = 0; i < 200; i++) {
      const from = `entry-${i}`;
      const rename = (id: string): string => (id === "e" ? from : id);
      const given = {
        nodes: equal.nodes.map((node) => ({ ...node, nodeId: rename(node.nodeId) })),
        links: equal.links.map((link) => ({ ...link, fromNodeId: rename(link.fromNodeId) })),
      };
      const relay = best(given, { ...need, fromNodeId: from }).split(">")[1] ?? "";
      chosen.set(relay, (chosen.get(relay) ?? 0) + 1);
      expect(best(given, { ...need, fromNodeId: from }).split(">")[1]).toBe(relay);
    }
    expect(chosen.size).toBe(5);
    for (const count of chosen.values()) expect(count).toBeGreaterThan(15);
    expect(tieHash("a", "b")).not.toBe(tieHash("b", "a"));
  });
});

describe("A11 filters", () => {
  const graph = graphOfMesh(two);

  it.each([
    ["draining", withNode(two, winner, { health: NodeHealth.DRAINING }), need],
    ["offline", withNode(two, winner, { health: NodeHealth.OFFLINE }), need],
    ["missing", withNode(two, winner, { health: NodeHealth.MISSING }), need],
    ["policy", two, { ...need, avoid: new Map([[winner, "policy"]]) }],
    ["link down", two, { ...need, downLinks: new Set([`e>${winner}`]) }],
  ])("%s: the other relay is used", (reason, given, wanted) => {
    expect(best(given, wanted)).toBe(`e>${loser}>x1`);
    expect(scorePath(graphOfMesh(given), wanted, ["e", winner, "x1"])).toBe(`${winner}-name: ${reason}`);
  });

  it.each([
    ["another cluster", { ...need, clusterId: "cl-b" }],
    ["offline mode allows no new paths", { ...need, newPathsAllowed: false }],
    ["the start is not in the graph", { ...need, fromNodeId: "e9" }],
    ["the start has no entry role for this organization", { ...need, fromNodeId: "r1" }],
  ])("%s: nothing is used", (reason, wanted) => {
    expect(findPaths(graph, wanted).ranked).toEqual([]);
    expect(scorePath(graph, wanted, [wanted.fromNodeId, "r1", "x1"])).toBe(reason);
  });

  it("a role for another organization does not count", () => {
    const nodes = two.nodes.map((node) =>
      node.nodeId === winner
        ? { ...node, roles: node.roles.map((grant) => ({ ...grant, organizationId: "org-2" })) }
        : node,
    );
    expect(best({ ...two, nodes })).toBe(`e>${loser}>x1`);
    expect(best({ ...two, nodes }, { ...need, organizationId: "org-2" })).toBe(`e>${winner}>x1`);
  });

  it("a path of two only where a route intent says direct", () => {
    const direct = {
      ...two,
      links: [
        ...two.links,
        { ...two.links[0], fromNodeId: "e", toNodeId: "x1", rttMs: 1 } as (typeof two.links)[number],
      ],
    };
    expect(best(direct)).toBe(`e>${winner}>x1`);
    expect(best(direct, { ...need, direct: true })).toBe("e>x1");
  });

  it("taking the winner away never makes a loser unusable", () => {
    const random = seededRandom(5);
    for (let i = 0; i < 30; i++) {
      const given = graphOfMesh(randomly(mesh({ relays: 4, egresses: 2 }), random));
      const { ranked } = findPaths(given, need);
      const gone = ranked[0]?.nodeIds[1] ?? "";
      const without = { ...need, avoid: new Map([[gone, "gone"]]) };
      for (const path of ranked.filter((one) => !one.nodeIds.includes(gone))) {
        expect(scorePath(given, without, path.nodeIds)).toMatchObject({ total: path.total });
      }
    }
  });
});
