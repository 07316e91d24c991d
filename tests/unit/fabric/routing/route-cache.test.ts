import { isDeepStrictEqual } from "node:util";
import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { linkKey, openGraph, type RouteNeed } from "../../../../fabric/routing/graph.ts";
import { findPaths } from "../../../../fabric/routing/paths.ts";
import { chooseRoute, type RouteState } from "../../../../fabric/routing/pick.ts";
import { type PublishedGraph, RouteCache } from "../../../../fabric/routing/route-cache.ts";
import { ChannelClass, NodeHealth, NodeRole } from "../../../../gen/weft/fabric/v1/role_pb.ts";
import { type RouteLink, RouteLinkSchema, type RouteNode } from "../../../../gen/weft/fabric/v1/snapshot_pb.ts";
import { type Random, randomInt, seededRandom } from "../../../../lib/random.ts";
import { runs } from "../../../harness/counts.ts";
import { type Mesh, mesh, need, randomly } from "./stage.ts";

const healths = [NodeHealth.ONLINE, NodeHealth.ONLINE, NodeHealth.DRAINING, NodeHealth.OFFLINE];

function any<T>(list: readonly T[], random: Random): T {
  const one = list[randomInt(random, list.length)];
  if (one === undefined) throw new Error("nothing to choose from");
  return one;
}

/** A world that changes by one link or node at a time, as the cache and a computation from nothing see it. */
class World {
  readonly cache = new RouteCache();
  readonly #random: Random;
  #mesh: Mesh;
  readonly #gone: RouteLink[] = [];
  #own: RouteLink[] = [];
  #version = 0n;
  #epoch = 1n;
  #down = new Set<string>();

  constructor(seed: number) {
    this.#random = seededRandom(seed);
    const given = randomly(mesh({ relays: 7, egresses: 3 }), this.#random);
    this.#mesh = { ...given, links: given.links.filter(() => this.#random.float() < 0.6) };
    this.show();
  }

  get random(): Random {
    return this.#random;
  }

  show(): void {
    this.#version += 1n;
    const { nodes, links } = this.#mesh;
    const published: PublishedGraph = { clusterId: "cl-a", epoch: this.#epoch, version: this.#version, nodes, links };
    this.cache.publish(published);
  }

  full(): ReturnType<typeof openGraph> {
    const known = new Set(this.#mesh.nodes.map((node) => node.nodeId));
    const own = this.#own.filter((link) => known.has(link.fromNodeId) && known.has(link.toNodeId));
    return openGraph("cl-a", this.#mesh.nodes, this.#mesh.links, own);
  }

  needs(): RouteNeed[] {
    const base = { ...need, downLinks: new Set(this.#down) };
    return [
      base,
      { ...base, toNodeIds: ["x2"] },
      { ...base, class: ChannelClass.BULK },
      { ...base, avoid: new Map([["r2", "policy"]]) },
      { ...base, organizationId: "org-2" },
      { ...base, prefer: new Set(["r3", "r4"]) },
      { ...base, direct: true },
    ];
  }

  change(): string {
    const kinds = ["link", "link", "load", "health", "region", "drop", "back", "own", "down", "role", "leave", "epoch"];
    const kind = any(kinds, this.#random);
    const random = this.#random;
    const { nodes, links } = this.#mesh;
    const setNode = (change: (node: RouteNode) => RouteNode): void => {
      const { nodeId } = any(nodes, random);
      this.#mesh = { links, nodes: nodes.map((node) => (node.nodeId === nodeId ? change(node) : node)) };
    };
    if (kind === "link" && links.length > 0) {
      const chosen = any(links, random);
      const rttMs = random.float() < 0.1 ? {} : { rttMs: random.float() * 50 };
      const { fromNodeId, toNodeId } = chosen;
      const next = create(RouteLinkSchema, { fromNodeId, toNodeId, ...rttMs, recentFailures: random.float() });
      this.#mesh = { nodes, links: links.map((link) => (link === chosen ? next : link)) };
    }
    if (kind === "load") setNode((node) => ({ ...node, load: random.float() }));
    if (kind === "health") setNode((node) => ({ ...node, health: any(healths, random) }));
    if (kind === "region") setNode((node) => ({ ...node, region: any(["", "eu", "us"], random) }));
    if (kind === "role")
      setNode((node) => {
        const organizationId = any(["", "org-1", "org-2"], random);
        return node.nodeId === "e"
          ? node
          : { ...node, roles: node.roles.map((grant) => ({ ...grant, organizationId })) };
      });
    if (kind === "drop" && links.length > 0) {
      const chosen = any(links, random);
      this.#gone.push(chosen);
      this.#mesh = { nodes, links: links.filter((link) => link !== chosen) };
    }
    const back = kind === "back" ? this.#gone.pop() : undefined;
    if (back !== undefined) this.#mesh = { nodes, links: [...links, back] };
    if (kind === "own") this.#own = this.#measured();
    if (kind === "down")
      this.#down = new Set(random.float() < 0.5 ? [] : [linkKey("e", any(["r1", "r2", "r3"], random))]);
    if (kind === "leave") {
      const stays = nodes.filter((node) => node.nodeId === "e" || random.float() < 0.95);
      this.#mesh = { nodes: stays, links };
    }
    if (kind === "epoch") this.#epoch += 1n;
    this.show();
    this.cache.measure(this.#own);
    return kind;
  }

  #measured(): RouteLink[] {
    return ["r1", "r2", "r3"]
      .filter(() => this.#random.float() < 0.7)
      .map((toNodeId) =>
        create(RouteLinkSchema, { fromNodeId: "e", toNodeId, rttMs: this.#random.float() * 20, measuredAtMs: 1n }),
      );
  }
}

describe("LAW-S1 what is computed again after a change equals what is computed from nothing", () => {
  it("for decisions with their memory, every term of every candidate, over many seeds and changes", () => {
    const count = runs(5, 2_000);
    for (let seed = 0; seed < count; seed++) {
      const world = new World(seed);
      const states = new Map<number, RouteState>();
      for (let step = 0; step < 20; step++) {
        const what = step === 0 ? "start" : world.change();
        const graph = world.full();
        for (const [i, wanted] of world.needs().entries()) {
          const before = states.get(i) ?? {};
          const full = chooseRoute(graph, wanted, before);
          const kept = world.cache.choose(wanted, before);
          expect(isDeepStrictEqual(kept, full), `seed ${seed} step ${step} (${what}) need ${i}`).toBe(true);
          states.set(i, full.state);
          const awayFrom = full.primary?.nodeIds.slice(1, -1) ?? [];
          const apart = findPaths(graph, wanted, { awayFrom }).ranked;
          const same = isDeepStrictEqual(world.cache.paths(wanted, awayFrom), apart);
          expect(same, `seed ${seed} step ${step} (${what}) need ${i} apart`).toBe(true);
        }
      }
    }
  }, 60_000);

  it("a version that changes nothing a price reads leaves every answer as it is, the same objects", () => {
    const { nodes, links } = mesh({ relays: 4, egresses: 2 });
    const cache = new RouteCache();
    const publish = (version: bigint, at: bigint): void =>
      cache.publish({
        clusterId: "cl-a",
        epoch: 1n,
        version,
        nodes: nodes.map((node) => ({ ...node, name: `${node.name}-${version}` })),
        links: links.map((link) => ({ ...link, measuredAtMs: at })),
      });
    publish(1n, 1n);
    const first = cache.choose(need).ranked;
    const { revision } = cache;
    publish(2n, 2n);
    expect(cache.revision).toBe(revision);
    const second = cache.choose(need).ranked;
    expect(second).toBe(first);
  });

  it("a change far from a question leaves its candidates alone", () => {
    const given = mesh({ relays: 3, egresses: 2 });
    const cache = new RouteCache();
    const publish = (version: bigint, links: readonly RouteLink[]): void =>
      cache.publish({ clusterId: "cl-a", epoch: 1n, version, nodes: given.nodes, links });
    publish(1n, given.links);
    const to = (id: string) => cache.choose({ ...need, toNodeIds: [id] }).ranked;
    const before = { x1: to("x1"), x2: to("x2") };
    publish(
      2n,
      given.links.map((link) => (link.fromNodeId === "r1" && link.toNodeId === "x2" ? { ...link, rttMs: 99 } : link)),
    );
    expect(to("x1")).toBe(before.x1);
    expect(to("x2")).not.toBe(before.x2);
  });

  it("a new epoch keeps nothing", () => {
    const { nodes, links } = mesh({ relays: 2, egresses: 1 });
    const cache = new RouteCache();
    cache.publish({ clusterId: "cl-a", epoch: 1n, version: 9n, nodes, links });
    const before = cache.graph;
    cache.choose(need);
    cache.publish({ clusterId: "cl-a", epoch: 2n, version: 1n, nodes, links });
    expect(cache.graph).not.toBe(before);
    expect(cache.choose(need).primary).toBeDefined();
  });

  it("a role taken away from a relay takes its paths away", () => {
    const { nodes, links } = mesh({ relays: 2, egresses: 1 });
    const cache = new RouteCache();
    const publish = (version: bigint, roles: RouteNode["roles"]): void =>
      cache.publish({
        clusterId: "cl-a",
        epoch: 1n,
        version,
        nodes: nodes.map((node) => (node.nodeId === "r1" ? { ...node, roles } : node)),
        links,
      });
    const relay = nodes.find((node) => node.nodeId === "r1")?.roles ?? [];
    publish(1n, relay);
    expect(cache.choose(need).ranked.some((path) => path.nodeIds.includes("r1"))).toBe(true);
    publish(
      2n,
      relay.map((grant) => ({ ...grant, role: NodeRole.ENTRY })),
    );
    expect(cache.choose(need).ranked.some((path) => path.nodeIds.includes("r1"))).toBe(false);
  });
});
