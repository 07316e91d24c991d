import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { ChannelClass, NodeHealth, NodeRole } from "../../../../gen/weft/fabric/v1/role_pb.ts";
import { RouteLinkSchema, type Snapshot } from "../../../../gen/weft/fabric/v1/snapshot_pb.ts";
import { limits } from "../../../../lib/limits.ts";
import { type PathsBeside, Routes } from "../../../../node/roles/routes.ts";
import { selfId, snapshotWith, testPorts } from "../stage.ts";

const { INTERACTIVE } = ChannelClass;

/** One entry, two relays, two egresses; `rtt` of a relay is the round trip of both its links. */
function mesh(rtt: { r1: number; r2: number }): Snapshot {
  const node = (nodeId: string, role: NodeRole) => ({
    nodeId,
    name: nodeId,
    roles: [{ role, organizationId: "" }],
    health: NodeHealth.ONLINE,
  });
  const pairs = (["r1", "r2"] as const).flatMap((relay) =>
    [selfId, "e1", "e2"].flatMap((edge) => [
      { fromNodeId: edge, toNodeId: relay, rttMs: rtt[relay], reliabilityShare: 1 },
      { fromNodeId: relay, toNodeId: edge, rttMs: rtt[relay], reliabilityShare: 1 },
    ]),
  );
  return snapshotWith({
    graph: {
      nodes: [
        node(selfId, NodeRole.ENTRY),
        node("r1", NodeRole.RELAY),
        node("r2", NodeRole.RELAY),
        node("e1", NodeRole.EGRESS),
        node("e2", NodeRole.EGRESS),
      ],
      links: pairs,
    },
    pools: [
      { poolId: "pl-1", organizationId: "org-1", egressNodeIds: ["e1", "e2"] },
      { poolId: "pl-2", organizationId: "org-1", egressNodeIds: ["e1"] },
      { poolId: "pl-none", organizationId: "org-1", egressNodeIds: [] },
    ],
    resourceRoutes: [
      { name: "web", organizationId: "org-1", poolId: "pl-1", resourceId: "rs-1" },
      { name: "web", organizationId: "org-2", poolId: "pl-2", resourceId: "rs-2" },
    ],
  });
}

function stage(snapshot: Snapshot | undefined = mesh({ r1: 10, r2: 50 })) {
  const ports = testPorts(snapshot);
  const down = new Set<string>();
  const routes = new Routes({ ...ports, measurements: () => [], downNeighbours: () => [...down] });
  const via = (): string[] =>
    routes
      .paths("e1", "org-1", INTERACTIVE)
      .filter(({ hops }) => hops.length === 3)
      .map(({ hops }) => hops[1] ?? "");
  const sample = (): string | undefined => {
    ports.clock.advance(limits.routeSampleEveryMs);
    return via()[0];
  };
  return { ports, routes, down, via, sample };
}

describe("the ways of an entry", () => {
  it("lead from here over a relay to the egress, best first", () => {
    const { routes, via } = stage();
    expect(via()).toEqual(["r1", "r2"]);
    expect(routes.paths("e1", "org-1", INTERACTIVE)[0]).toEqual({ hops: [selfId, "r1", "e1"], farEdge: "e1" });
  });

  it("a name means the organization's own resource", () => {
    const { routes } = stage();
    expect(routes.resource("web", "org-1")?.resourceId).toBe("rs-1");
    expect(routes.resource("web", "org-2")?.resourceId).toBe("rs-2");
    expect(routes.resource("web", "org-3")).toBeUndefined();
  });

  it("every egress of a pool once, and none of an empty or unknown pool, or before a snapshot", () => {
    const { routes, ports } = stage();
    expect(routes.egresses("pl-1", "org-1", INTERACTIVE).sort()).toEqual(["e1", "e2"]);
    expect(routes.egresses("pl-none", "org-1", INTERACTIVE)).toEqual([]);
    expect(routes.egresses("pl-x", "org-1", INTERACTIVE)).toEqual([]);
    expect(routes.paths("nobody", "org-1", INTERACTIVE)).toEqual([]);
    ports.show(undefined);
    expect(routes.egresses("pl-1", "org-1", INTERACTIVE)).toEqual([]);
    expect(routes.paths("e1", "org-1", INTERACTIVE)).toEqual([]);
    expect(routes.resource("web", "org-1")).toBeUndefined();
  });

  it("do not go over a link that is down", () => {
    const { down, via } = stage();
    down.add("r1");
    expect(via()).toEqual(["r2"]);
    down.add("r2");
    expect(via()).toEqual([]);
  });
});

describe("S3 a choice is kept", () => {
  it("until another one was a real gain in three samples in a row", () => {
    const { ports, via, sample } = stage();
    expect(via()[0]).toBe("r1");
    ports.show(mesh({ r1: 50, r2: 10 }));
    expect(Array.from({ length: limits.routeGainSamplesCount }, sample)).toEqual(["r1", "r1", "r2"]);
    ports.show(mesh({ r1: 9.9, r2: 10 }));
    expect(Array.from({ length: 6 }, sample)).toEqual(Array(6).fill("r2"));
  });

  it("and a burst of channels is one sample, not three", () => {
    const { ports, via } = stage();
    via();
    ports.show(mesh({ r1: 50, r2: 10 }));
    expect(Array.from({ length: 10 }, () => via()[0])).toEqual(Array(10).fill("r1"));
  });

  it("per pool: what one pool's traffic decided is not what another has seen", () => {
    const { ports, routes } = stage();
    const first = routes.egresses("pl-1", "org-1", INTERACTIVE)[0];
    for (let sample = 0; sample < 10; sample++) routes.egresses("pl-2", "org-1", INTERACTIVE);
    ports.show(mesh({ r1: 10, r2: 11 }));
    expect(routes.egresses("pl-1", "org-1", INTERACTIVE)[0]).toBe(first);
    expect(routes.egresses("pl-2", "org-1", INTERACTIVE)).toEqual(["e1"]);
  });
});

describe("a path that just failed", () => {
  it("rests for two seconds behind the others, although it was the chosen one, and then may be chosen again", () => {
    const { ports, routes, via, sample } = stage();
    expect(via()).toEqual(["r1", "r2"]);
    routes.failed([selfId, "r1", "e1"]);
    expect(via()).toEqual(["r2", "r1"]);
    ports.clock.advance(1_999);
    expect(via()).toEqual(["r2", "r1"]);
    ports.clock.advance(1);
    const later = Array.from({ length: limits.routeGainSamplesCount }, sample);
    expect(later.at(-1)).toBe("r1");
  });

  it("to one egress of a pool moves the next channel to another egress when no other way leads there", () => {
    const { routes, down, ports } = stage();
    down.add("r2");
    const [first = "", second = ""] = routes.egresses("pl-1", "org-1", INTERACTIVE);
    for (const path of routes.paths(first, "org-1", INTERACTIVE)) routes.failed(path.hops);
    expect(routes.egresses("pl-1", "org-1", INTERACTIVE)).toEqual([second, first]);
    ports.clock.advance(2_000);
    expect(routes.egresses("pl-1", "org-1", INTERACTIVE)).toHaveLength(2);
  });

  it("is still tried when there is no other", () => {
    const { routes, down, via } = stage();
    down.add("r2");
    routes.failed([selfId, "r1", "e1"]);
    expect(via()).toEqual(["r1"]);
  });
});

describe("paths beside others", () => {
  const besideOf = (routes: Routes, wish: PathsBeside): string[] =>
    routes.paths("e1", "org-1", INTERACTIVE, wish).map(({ hops }) => hops.slice(1, -1).join(">"));

  it("share as few relays with them as there are, then by rank, and are the same path last", () => {
    const { routes } = stage();
    expect(besideOf(routes, {})[0]).toBe("r1");
    expect(besideOf(routes, { beside: [[selfId, "r1", "e1"]] })).toEqual(["r2", "r1"]);
    expect(
      besideOf(routes, {
        beside: [
          [selfId, "r1", "e1"],
          [selfId, "r2", "e1"],
        ],
      }),
    ).toEqual(["r1", "r2"]);
  });

  it("never lead over a shunned node, whatever was decided before", () => {
    const { routes, via } = stage();
    expect(via()[0]).toBe("r1");
    expect(besideOf(routes, { shun: ["r1"] })).toEqual(["r2"]);
    expect(besideOf(routes, { beside: [[selfId, "r2", "e1"]], shun: ["r1"] })).toEqual(["r2"]);
    expect(besideOf(routes, { shun: ["r1", "r2"] })).toEqual([]);
    expect(besideOf(routes, { shun: ["e1"] })).toEqual([]);
    expect(via()[0]).toBe("r1");
  });

  it("that just failed come after those that did not, but before the very same path", () => {
    const { routes } = stage();
    routes.failed([selfId, "r2", "e1"]);
    expect(besideOf(routes, { beside: [[selfId, "r1", "e1"]] })).toEqual(["r2", "r1"]);
    expect(besideOf(routes, {})).toEqual(["r1", "r2"]);
  });

  it("are found although a cheaper path with the same last relay hides them among the ranked", () => {
    const given = mesh({ r1: 10, r2: 50 });
    const [r1] = given.graph?.nodes.filter(({ nodeId }) => nodeId === "r1") ?? [];
    if (r1 === undefined) throw new Error("no r1");
    const link = (fromNodeId: string, toNodeId: string, rttMs: number) =>
      create(RouteLinkSchema, { fromNodeId, toNodeId, rttMs });
    // Both ways to r3, the only relay of e1 here, are two relays long: the dearer one is no best walk of its length.
    const snapshot = snapshotWith({
      graph: {
        nodes: [...(given.graph?.nodes ?? []), { ...r1, nodeId: "r3", name: "r3" }],
        links: [
          link(selfId, "r1", 1),
          link(selfId, "r2", 20),
          link("r1", "r3", 1),
          link("r2", "r3", 20),
          link("r3", "e1", 1),
        ],
      },
      pools: given.pools,
    });
    const { routes } = stage(snapshot);
    expect(besideOf(routes, {})).toEqual(["r1>r3"]);
    expect(besideOf(routes, { beside: [[selfId, "r1", "r3", "e1"]] })).toEqual(["r2>r3", "r1>r3"]);
  });
});
