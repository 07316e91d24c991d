import { describe, expect, it } from "vitest";
import { explainRoutes } from "../../../../fabric/routing/explain.ts";
import type { MeshGraph, RouteNeed } from "../../../../fabric/routing/graph.ts";
import { type LinkObservation, type LinkSample, observe, toRouteLink } from "../../../../fabric/routing/observe.ts";
import { findPaths, findStandby, sharedRelays } from "../../../../fabric/routing/paths.ts";
import { chooseRoute, pick } from "../../../../fabric/routing/pick.ts";
import { pathKey, type ScoredPath, scorePath } from "../../../../fabric/routing/scored-path.ts";
import { simulateFailure } from "../../../../fabric/routing/simulate.ts";
import { NodeHealth } from "../../../../gen/weft/fabric/v1/role_pb.ts";
import { limits } from "../../../../lib/limits.ts";
import { seededRandom } from "../../../../lib/random.ts";
import { graphOfMesh, type Mesh, mesh, need, randomly, withLink, withLinksOf, withNode } from "./stage.ts";

/** Every usable path there is, by trying them all. */
function everyPath(graph: MeshGraph, wanted: RouteNeed): ScoredPath[] {
  const relays = [...graph.nodes.keys()].filter((id) => id.startsWith("r"));
  const prefixes: string[][] = [["e"]];
  for (const prefix of prefixes) {
    if (prefix.length > limits.routeRelaysMaxCount) continue;
    prefixes.push(...relays.filter((relay) => !prefix.includes(relay)).map((relay) => [...prefix, relay]));
  }
  return prefixes.flatMap((prefix) =>
    wanted.toNodeIds.flatMap((to) => {
      const scored = scorePath(graph, wanted, [...prefix, to]);
      return typeof scored === "string" ? [] : [scored];
    }),
  );
}

const rank = (path: ScoredPath): number[] => [path.unmeasuredLinks, Math.round(path.total * 1e6)];

function lowest(paths: readonly ScoredPath[]): number[] {
  const [first] = paths.map(rank).sort((a, b) => (a[0] ?? 0) - (b[0] ?? 0) || (a[1] ?? 0) - (b[1] ?? 0));
  return first ?? [];
}

/** A random mesh in which a third of the links are missing, so that longer paths win and disjoint ones may not exist. */
function sparse(seed: number): Mesh {
  const random = seededRandom(seed);
  const given = randomly(mesh({ relays: 5, egresses: 2 }), random);
  return { ...given, links: given.links.filter(() => random.float() < 0.6) };
}

describe("A11 the search finds what trying everything finds", () => {
  it("the cheapest path, on 200 random meshes", () => {
    let longer = 0;
    for (let seed = 0; seed < 200; seed++) {
      const graph = graphOfMesh(sparse(seed));
      const found = findPaths(graph, need).ranked[0];
      const all = everyPath(graph, need);
      expect(found === undefined ? [] : rank(found), `seed ${seed}`).toEqual(lowest(all));
      if ((found?.nodeIds.length ?? 0) > 3) longer += 1;
    }
    expect(longer).toBeGreaterThan(10);
  });

  it("the most disjoint standby, then the cheapest, to the same far edge", () => {
    let shared = 0;
    for (let seed = 0; seed < 200; seed++) {
      const graph = graphOfMesh(sparse(seed));
      const primary = findPaths(graph, need).ranked[0];
      if (primary === undefined) continue;
      const standby = findStandby(graph, need, primary.nodeIds);
      const others = everyPath(graph, need).filter(
        (path) => path.key !== primary.key && path.nodeIds.at(-1) === primary.nodeIds.at(-1),
      );
      const least = Math.min(...others.map((path) => sharedRelays(path.nodeIds, primary.nodeIds).length));
      if (standby === undefined) {
        expect(others, `seed ${seed}`).toEqual([]);
        continue;
      }
      const own = sharedRelays(standby.nodeIds, primary.nodeIds).length;
      expect(own, `seed ${seed}`).toBe(least);
      const fair = others.filter((path) => sharedRelays(path.nodeIds, primary.nodeIds).length === least);
      if (least === 0) expect(rank(standby), `seed ${seed}`).toEqual(lowest(fair));
      if (own > 0) shared += 1;
    }
    expect(shared).toBeGreaterThan(0);
  });
});

describe("LAW-S3 the first choice", () => {
  it("is a straight way, measured or not; a detour has to prove itself", () => {
    const given = mesh({ relays: 2, egresses: 1 });
    const meshWith = (rttMs: number | undefined): Mesh => ({
      ...given,
      links: given.links
        .filter((link) => !(link.fromNodeId === "e" && link.toNodeId === "r2"))
        .map((link) => {
          if (link.fromNodeId !== "r1" || link.toNodeId !== "x1") return link;
          const { rttMs: _unmeasured, ...rest } = link;
          return rttMs === undefined ? rest : { ...rest, rttMs };
        }),
    });
    const straight = ["e", "r1", "x1"];
    const first = chooseRoute(graphOfMesh(meshWith(undefined)), need);
    expect(first.ranked[0]?.nodeIds).toEqual(["e", "r1", "r2", "x1"]);
    expect(first.primary?.nodeIds).toEqual(straight);
    let { state } = first;
    for (let sample = 0; sample < 10; sample += 1)
      ({ state } = chooseRoute(graphOfMesh(meshWith(undefined)), need, state));
    expect(state.primary?.nodeIds).toEqual(straight);
    for (let sample = 0; sample < limits.routeGainSamplesCount; sample += 1)
      ({ state } = chooseRoute(graphOfMesh(meshWith(100)), need, state));
    expect(state.primary?.nodeIds).toEqual(["e", "r1", "r2", "x1"]);
  });
});

describe("T2 a lost path", () => {
  const three = mesh({ relays: 3, egresses: 1 });

  it("is left at once, for the standby, which is warm", () => {
    const before = chooseRoute(graphOfMesh(three), need);
    const standby = before.standby?.key ?? "";
    const cheaper = before.ranked
      .map((path) => path.nodeIds[1] ?? "")
      .find((relay) => ![before.primary, before.standby].some((path) => path?.nodeIds.includes(relay)));
    const given = withNode(withLinksOf(three, cheaper ?? "", { rttMs: 9 }), before.primary?.nodeIds[1] ?? "", {
      health: NodeHealth.OFFLINE,
    });
    const after = chooseRoute(graphOfMesh(given), need, before.state);
    expect(after).toMatchObject({ primaryMoved: true, primary: { key: standby } });
    expect(after.standby?.key).toBe(`e>${cheaper}>x1`);
    expect(sharedRelays(after.standby?.nodeIds ?? [], after.primary?.nodeIds ?? [])).toEqual([]);
  });

  it("with nothing left there is no path, and one comes back when it can", () => {
    const held = chooseRoute(graphOfMesh(three), need).state;
    const none = chooseRoute(graphOfMesh(three), { ...need, newPathsAllowed: false }, held);
    expect(none).toMatchObject({ primaryMoved: true, ranked: [] });
    expect(none.primary).toBeUndefined();
    expect(chooseRoute(graphOfMesh(three), need, none.state).primary).toBeDefined();
  });

  it("pick keeps a held path of more than one relay when it is passed as one to keep", () => {
    const only = withLink(three, "e", "r1", { rttMs: 1 });
    const nodeIds = ["e", "r2", "r3", "x1"];
    const state = { held: { nodeIds, gainSamples: 0 } };
    const { ranked } = findPaths(graphOfMesh(only), { ...need, keep: [nodeIds] });
    expect(ranked.some((path) => path.key === pathKey(nodeIds))).toBe(true);
    const picked = [1, 2, 3].reduce((last) => pick(last.state, ranked), { state, moved: false } as ReturnType<
      typeof pick
    >);
    expect(picked).toMatchObject({ moved: true, chosen: { key: "e>r1>x1" } });
    expect(pick(state, ranked)).toMatchObject({ moved: false, chosen: { nodeIds } });
    expect(pick(state, [])).toEqual({ state: {}, moved: true });
  });
});

describe("LAW-S2 explanations", () => {
  const given = withNode(
    withLinksOf(withLinksOf(mesh({ relays: 4, egresses: 1 }), "r2", { rttMs: 11 }), "r3", { rttMs: 30 }),
    "r4",
    { health: NodeHealth.OFFLINE },
  );
  const graph = graphOfMesh(given);

  it("name every candidate, its outcome and why it lost", () => {
    const candidates = explainRoutes(graph, need);
    const by = (key: string) => candidates.find((candidate) => candidate.nodeIds.join(">") === key);
    expect(by("e>r1>x1")).toMatchObject({
      outcome: "primary",
      reason: "",
      total: 20,
      names: ["e-name", "r1-name", "x1-name"],
    });
    expect(by("e>r2>x1")).toMatchObject({ outcome: "standby", reason: "shares no relay with the primary" });
    expect(by("e>r3>x1")).toMatchObject({ outcome: "lost", reason: "costs 40.00 more, most of it latency (+40.00)" });
    expect(by("e>r4>x1")).toMatchObject({ outcome: "filtered", reason: "r4-name: offline" });
    expect(by("e>r4>x1")?.total).toBeUndefined();
    expect(by("e>r1>r2>x1")?.sharedHops).toEqual(["r1"]);
    expect(candidates.filter((candidate) => candidate.outcome === "primary")).toHaveLength(1);
    for (const candidate of candidates) {
      if (candidate.total !== undefined)
        expect(candidate.parts.reduce((sum, part) => sum + part.cost, 0)).toBeCloseTo(candidate.total, 9);
    }
  });

  it("say why a cheaper path is not used yet", () => {
    const held = { primary: { nodeIds: ["e", "r2", "x1"], gainSamples: 0 } };
    const cheaper = explainRoutes(graph, need, held).find((candidate) => candidate.nodeIds.join(">") === "e>r1>x1");
    expect(cheaper?.outcome).toBe("standby");
    const faster = graphOfMesh(withLinksOf(given, "r1", { rttMs: 2 }));
    const lost = explainRoutes(faster, need, { ...held, standby: { nodeIds: ["e", "r3", "x1"], gainSamples: 0 } });
    expect(lost.find((candidate) => candidate.nodeIds.join(">") === "e>r1>x1")?.reason).toBe(
      "costs 18.00 less: not yet in enough samples",
    );
  });

  it("simulating a failure gives what the node then does", () => {
    const held = chooseRoute(graph, need).state;
    for (const failed of ["r1", "r2", "r3", "r4"]) {
      const simulated = simulateFailure(graph, need, [failed], held);
      const real = chooseRoute(
        graphOfMesh(withNode(given, failed, { health: NodeHealth.OFFLINE })),
        need,
        simulated.before.state,
      );
      expect(simulated.after.primary?.key, failed).toBe(real.primary?.key);
      expect(simulated.moves, failed).toBe(failed === "r1");
    }
    expect(simulateFailure(graph, need, ["x1"], held)).toMatchObject({ moves: true, after: { ranked: [] } });
  });
});

describe("A11 observations", () => {
  const ok = (atMs: number, rttMs: number, more: object = {}): LinkSample => ({ kind: "ok", atMs, rttMs, ...more });
  const failed = (atMs: number): LinkSample => ({ kind: "failed", atMs, timeoutMs: 1_000 });
  const fold = (samples: readonly LinkSample[]): LinkObservation => {
    const [first, ...rest] = samples;
    if (first === undefined) throw new Error("no samples");
    return rest.reduce((before, sample) => observe(before, sample), observe(undefined, first));
  };

  it("what was never measured stays absent", () => {
    expect(observe(undefined, ok(0, 12))).toEqual({
      rttMs: 12,
      lastRttMs: 12,
      lossShare: 0,
      reliabilityShare: 1,
      recentFailures: 0,
      measuredAtMs: 0,
    });
    const dead = fold([failed(0), failed(1_000)]);
    expect("rttMs" in dead || "jitterMs" in dead || "bandwidthBytesPerSecond" in dead).toBe(false);
    expect(dead.lossShare).toBe(1);
    const link = toRouteLink("a", "b", dead, 1_000);
    expect("rttMs" in link).toBe(false);
  });

  it("a change of the round trip is half known after its half-life", () => {
    const steady = fold([ok(0, 10), ok(1_000, 10)]);
    const later = observe(steady, ok(1_000 + limits.observationHalfLifeMs, 30));
    expect(later.rttMs).toBeCloseTo(20, 6);
    expect(steady.jitterMs).toBe(0);
    expect(later.jitterMs).toBeCloseTo(10, 6);
  });

  it("a failure is a penalised sample: worse latency, loss, reliability and history, jitter untouched", () => {
    const before = fold([ok(0, 10), ok(1_000, 12), ok(2_000, 10)]);
    const after = observe(before, failed(3_000));
    expect(after.rttMs).toBeGreaterThan(before.rttMs ?? 0);
    expect(after.lossShare).toBeGreaterThan(before.lossShare);
    expect(after.reliabilityShare).toBeLessThan(before.reliabilityShare);
    expect(after.recentFailures).toBe(1);
    expect(after.jitterMs).toBe(before.jitterMs);
  });

  it("failures halve every minute, also while nothing is sampled", () => {
    const four = fold([failed(0), failed(0), failed(0), failed(0)]);
    expect(four.recentFailures).toBe(4);
    expect(toRouteLink("a", "b", four, 60_000).recentFailures).toBeCloseTo(2, 9);
    expect(observe(four, ok(120_000, 5)).recentFailures).toBeCloseTo(1, 9);
  });

  it("bandwidth is kept from the samples that had one, and a clock set back harms nothing", () => {
    const known = fold([ok(0, 10, { bandwidthBytesPerSecond: 1e6 }), ok(1_000, 10)]);
    expect(known.bandwidthBytesPerSecond).toBe(1e6);
    const back = observe(known, ok(-50_000, 10));
    expect(back.measuredAtMs).toBe(1_000);
    expect(Number.isFinite(back.rttMs)).toBe(true);
  });
});
