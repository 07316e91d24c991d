/**
 * `weft route simulate` against the chooser of a running entry: 50 random topologies, one to three failures each. The
 * prediction is made from the snapshot alone, before; the entry then sees the failure as a running entry does: it is
 * published, the nodes are revoked, or a neighbour's link goes down.
 */

import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { type SimulatedTrunk, simulateEntry } from "../../../../fabric/routing/simulate.ts";
import { ChannelClass, NodeHealth, NodeRole } from "../../../../gen/weft/fabric/v1/role_pb.ts";
import { RouteLinkSchema, RouteNodeSchema, type Snapshot } from "../../../../gen/weft/fabric/v1/snapshot_pb.ts";
import { limits } from "../../../../lib/limits.ts";
import { type Random, randomInt, seededRandom } from "../../../../lib/random.ts";
import { Routes } from "../../../../node/roles/routes.ts";
import { selfId, snapshotWith, testPorts } from "../stage.ts";

const topologies = 50;

/** 2 to 8 relays, 1 to 4 egresses in one pool, links there or not, measured or not. */
function topology(random: Random): Snapshot {
  const relays = Array.from({ length: 2 + randomInt(random, 7) }, (_, i) => `r${i + 1}`);
  const egresses = Array.from({ length: 1 + randomInt(random, 4) }, (_, i) => `x${i + 1}`);
  const node = (nodeId: string, role: NodeRole) =>
    create(RouteNodeSchema, {
      nodeId,
      name: nodeId,
      roles: [{ role, organizationId: "" }],
      health: NodeHealth.ONLINE,
      load: random.float(),
      trustLevel: randomInt(random, 101),
    });
  const pairs = relays.flatMap((relay) => [
    [selfId, relay] as const,
    ...relays.filter((other) => other !== relay).map((other) => [relay, other] as const),
    ...egresses.map((egress) => [relay, egress] as const),
  ]);
  const links = pairs
    .filter(() => random.float() < 0.7)
    .map(([fromNodeId, toNodeId]) => {
      const rttMs = random.float() < 0.15 ? {} : { rttMs: random.float() < 0.3 ? 10 : 50 * random.float() };
      return create(RouteLinkSchema, { fromNodeId, toNodeId, ...rttMs });
    });
  return snapshotWith({
    graph: {
      nodes: [
        node(selfId, NodeRole.ENTRY),
        ...relays.map((id) => node(id, NodeRole.RELAY)),
        ...egresses.map((id) => node(id, NodeRole.EGRESS)),
      ],
      links,
    },
    pools: [{ poolId: "pl-1", name: "web", organizationId: "org-1", egressNodeIds: egresses }],
  });
}

type Fault = "published" | "revoked" | "unplugged";

/** The snapshot after the fault; a link that went down is nothing control knows of. */
function after(snapshot: Snapshot, failed: readonly string[], fault: Fault): Snapshot {
  const { graph } = snapshot;
  if (graph === undefined || fault === "unplugged") return snapshot;
  const version = snapshot.version + 1n;
  if (fault === "published") {
    const health = (id: string, was: NodeHealth): NodeHealth => (failed.includes(id) ? NodeHealth.OFFLINE : was);
    const nodes = graph.nodes.map((node) => ({ ...node, health: health(node.nodeId, node.health) }));
    return { ...snapshot, version, graph: { ...graph, nodes } };
  }
  const isLeft = (id: string): boolean => !failed.includes(id);
  return {
    ...snapshot,
    version,
    graph: {
      ...graph,
      nodes: graph.nodes.filter((node) => isLeft(node.nodeId)),
      links: graph.links.filter((link) => isLeft(link.fromNodeId) && isLeft(link.toNodeId)),
    },
    pools: snapshot.pools.map((pool) => ({ ...pool, egressNodeIds: pool.egressNodeIds.filter(isLeft) })),
  };
}

class Entry {
  readonly #ports;
  readonly #routes: Routes;
  #down: readonly string[] = [];

  constructor(snapshot: Snapshot) {
    this.#ports = testPorts(snapshot);
    this.#routes = new Routes({ ...this.#ports, measurements: () => [], downNeighbours: () => this.#down });
  }

  paths(trunk: SimulatedTrunk, beside: readonly (readonly string[])[] = []): (readonly string[])[] {
    const found = this.#routes.paths(trunk.farNodeId, trunk.organizationId, trunk.class, { beside });
    return found.map(({ hops }) => hops);
  }

  egress(): string {
    return this.#routes.egresses("pl-1", "org-1", ChannelClass.INTERACTIVE)[0] ?? "";
  }

  fail(snapshot: Snapshot, failed: readonly string[], fault: Fault): void {
    this.#ports.clock.advance(limits.routeSampleEveryMs);
    if (fault === "unplugged") this.#down = failed;
    this.#ports.show(after(snapshot, failed, fault));
  }
}

function anyOf<T>(list: readonly T[], count: number, random: Random): T[] {
  const left = [...list];
  return Array.from({ length: Math.min(count, left.length) }, () =>
    left.splice(randomInt(random, left.length), 1),
  ).flat();
}

/** Nodes to fail: for a link that goes down, neighbours nothing but this entry's links lead over. */
function victims(snapshot: Snapshot, active: readonly string[], fault: Fault, random: Random): string[] {
  const count = 1 + randomInt(random, 3);
  const all = (snapshot.graph?.nodes ?? []).map((node) => node.nodeId).filter((id) => id !== selfId);
  const onPath = active.slice(1, fault === "unplugged" ? 2 : undefined);
  const others = fault === "unplugged" ? [] : anyOf(all, count - 1, random);
  return [...new Set([...anyOf(onPath, 1, random), ...others])];
}

describe("A11 route simulate is right", () => {
  it(`about every trunk and pool, on ${topologies} random topologies`, () => {
    const seen = { stays: 0, moves: 0, lost: 0, none: 0, standby: 0, pools: 0 };
    for (let seed = 1; seed <= topologies; seed++) {
      const random = seededRandom(seed);
      const snapshot = topology(random);
      const fault = (["published", "revoked", "unplugged"] as const)[seed % 3] ?? "published";
      const entry = new Entry(snapshot);
      const now = simulateEntry(snapshot, []);
      const used = now.trunks.find((trunk) => trunk.from.length > 0);
      const failed = victims(snapshot, used?.from ?? [], fault, random);
      const predicted = simulateEntry(snapshot, failed);
      const standbys = new Map<SimulatedTrunk, readonly string[]>();
      for (const trunk of predicted.trunks) {
        const [active = []] = entry.paths(trunk);
        expect(active, `seed ${seed} before`).toEqual(trunk.from);
        standbys.set(trunk, entry.paths(trunk, [active])[0] ?? []);
      }
      expect(entry.egress(), `seed ${seed} pool before`).toBe(predicted.pools[0]?.from);
      entry.fail(snapshot, failed, fault);
      for (const trunk of predicted.trunks) {
        const what = `seed ${seed}, ${failed.join()} ${fault}, to ${trunk.farNodeId}, class ${trunk.class}`;
        // A link that is down takes the neighbour off the first hop alone: other ways over it are not tried by the entry's
        // standby unless nothing else is left, which the prediction of a failed node does not claim.
        const [really = []] = entry.paths(trunk);
        if (fault !== "unplugged" || !really.slice(2).some((id) => failed.includes(id))) {
          expect(really, what).toEqual(trunk.to);
        }
        if (trunk.toStandby) {
          expect(trunk.to, `${what}: the standby that was open`).toEqual(standbys.get(trunk));
          seen.standby += 1;
        }
        seen[trunk.outcome] += 1;
      }
      const [pool] = predicted.pools;
      if (fault !== "unplugged") expect(entry.egress(), `seed ${seed} pool after`).toBe(pool?.to);
      if (pool?.from !== pool?.to) seen.pools += 1;
    }
    console.info(`topologies: ${topologies}, seeds 1 to ${topologies}; trunks ${JSON.stringify(seen)}`);
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(0);
    expect(seen.moves).toBeGreaterThan(30);
  });
});
