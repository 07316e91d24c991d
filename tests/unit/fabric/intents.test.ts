/** Route intents: which ones count for a route, and what they do to it. */

import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { type IntentQuestion, matchIntents, needWithIntents } from "../../../fabric/intents.ts";
import type { RouteNeed } from "../../../fabric/routing/graph.ts";
import { chooseRoute } from "../../../fabric/routing/pick.ts";
import { RouteCache } from "../../../fabric/routing/route-cache.ts";
import { ChannelClass, IntentAction, ServiceClass } from "../../../gen/weft/fabric/v1/role_pb.ts";
import {
  type RouteIntent,
  RouteIntentSchema,
  RouteLinkSchema,
  SnapshotSchema,
} from "../../../gen/weft/fabric/v1/snapshot_pb.ts";
import { graphOfMesh, mesh } from "./routing/stage.ts";

type Change = Partial<Omit<RouteIntent, "$typeName" | "$unknown">>;

function intentOf(change: Change): RouteIntent {
  return create(RouteIntentSchema, {
    intentId: "ri-1",
    name: "wish",
    action: IntentAction.AVOID,
    nodeId: "r1",
    ...change,
  });
}

const snapshot = (...intents: RouteIntent[]) => {
  const made = create(SnapshotSchema, {
    pools: [
      { poolId: "p1", organizationId: "orgx", egressNodeIds: ["x1"] },
      { poolId: "p2", organizationId: "orgx", egressNodeIds: ["x2"] },
    ],
    resourceRoutes: [
      {
        ...{ resourceId: "desk", name: "desk", organizationId: "orgx", poolId: "p1" },
        ...{ defaultClass: ChannelClass.INTERACTIVE, serviceClass: ServiceClass.REMOTE_WORKSPACE },
      },
      {
        ...{ resourceId: "files", name: "files", organizationId: "orgx", poolId: "p1" },
        ...{ defaultClass: ChannelClass.BULK, serviceClass: ServiceClass.FILE_TRANSFER },
      },
    ],
  });
  made.routeIntents.push(...intents);
  return made;
};

const question: IntentQuestion = {
  ...{ fromNodeId: "e", organizationId: "orgx", toNodeIds: ["x1"], class: ChannelClass.INTERACTIVE, nowMs: 1_000 },
};
const counts = (change: Change, asked: Partial<IntentQuestion> = {}): boolean =>
  matchIntents(snapshot(intentOf(change)), { ...question, ...asked }).length === 1;

describe("IN1 an intent counts", () => {
  it("for its organization, its source and its time", () => {
    expect(counts({})).toBe(true);
    expect(counts({ organizationId: "orgy" })).toBe(false);
    expect(counts({ sourceNodeId: "e" })).toBe(true);
    expect(counts({ sourceNodeId: "e2" })).toBe(false);
    expect(counts({ expiresAtMs: 1_001n })).toBe(true);
    expect(counts({ expiresAtMs: 1_000n })).toBe(false);
  });

  it("for routes to its pool, its resource or its class of service, on their lane", () => {
    expect(counts({ poolId: "p1" })).toBe(true);
    expect(counts({ poolId: "p2" })).toBe(false);
    expect(counts({ resourceId: "desk" })).toBe(true);
    expect(counts({ resourceId: "desk" }, { class: ChannelClass.BULK })).toBe(false);
    expect(counts({ resourceId: "files" })).toBe(false);
    expect(counts({ serviceClass: ServiceClass.REMOTE_WORKSPACE })).toBe(true);
    expect(counts({ serviceClass: ServiceClass.REMOTE_WORKSPACE }, { toNodeIds: ["x2"] })).toBe(false);
    expect(counts({ serviceClass: ServiceClass.DATABASE })).toBe(false);
  });
});

/** Two relays to one egress; `r2` is slower by `slowerMs` each way. */
function world(slowerMs: number) {
  const { nodes, links } = mesh({ relays: 2, egresses: 1 });
  const regions: Record<string, string> = { e: "eu", r1: "us", r2: "eu", x1: "eu" };
  const slow = links.map((link) => {
    const touches = link.fromNodeId === "r2" || link.toNodeId === "r2";
    const { fromNodeId, toNodeId } = link;
    return create(RouteLinkSchema, { fromNodeId, toNodeId, rttMs: touches ? 10 + slowerMs : 10 });
  });
  const placed = nodes.map((node) => ({ ...node, region: regions[node.nodeId] ?? "" }));
  return { nodes: placed, links: slow };
}

const need: RouteNeed = { fromNodeId: "e", toNodeIds: ["x1"], organizationId: "orgx", class: ChannelClass.INTERACTIVE };

function routeWith(slowerMs: number, ...changes: Change[]) {
  const made = world(slowerMs);
  const intents = changes.map((change, i) => intentOf({ intentId: `ri-${i}`, nodeId: "", ...change }));
  const matched = matchIntents(snapshot(...intents), question);
  const wanted = needWithIntents(need, made.nodes, matched);
  const choice = chooseRoute(graphOfMesh(made), wanted);
  // The cache decides the same.
  const cache = new RouteCache();
  cache.publish({ clusterId: "cl-a", epoch: 1n, version: 1n, ...made });
  cache.choose(need);
  expect(cache.choose(wanted).primary).toEqual(choice.primary);
  return choice.primary;
}

describe("what intents do to a route", () => {
  it("nothing, when none counts: the same need again", () => {
    expect(needWithIntents(need, [], [])).toBe(need);
    expect(routeWith(20)?.nodeIds).toEqual(["e", "r1", "x1"]);
  });

  it("IN2 AVOID takes a node or region away, even when nothing else is left", () => {
    expect(routeWith(20, { nodeId: "r1" })?.nodeIds).toEqual(["e", "r2", "x1"]);
    expect(routeWith(20, { region: "us" })?.nodeIds).toEqual(["e", "r2", "x1"]);
    expect(routeWith(20, { nodeId: "r1" }, { nodeId: "r2" })).toBeUndefined();
  });

  it("IN2 REQUIRE_REGION keeps every node after the entry in the region", () => {
    expect(routeWith(20, { action: IntentAction.REQUIRE_REGION, region: "eu" })?.nodeIds).toEqual(["e", "r2", "x1"]);
    expect(routeWith(20, { action: IntentAction.REQUIRE_REGION, region: "us" })).toBeUndefined();
  });

  it("IN2 PREFER wins against a little, loses against much, and is a term of the score", () => {
    const near = routeWith(10, { action: IntentAction.PREFER, region: "eu" });
    expect(near?.nodeIds).toEqual(["e", "r2", "x1"]);
    expect(near?.parts.find((part) => part.input === "intent")).toMatchObject({ value: 0, cost: 0 });
    const far = routeWith(200, { action: IntentAction.PREFER, region: "eu" });
    expect(far?.nodeIds).toEqual(["e", "r1", "x1"]);
    expect(far?.parts.find((part) => part.input === "intent")).toMatchObject({ value: 1 });
    expect(far?.total).toBeCloseTo(far?.parts.reduce((sum, part) => sum + part.cost, 0) ?? 0);
    expect(routeWith(10, { action: IntentAction.PREFER, region: "nowhere" })?.nodeIds).toEqual(["e", "r1", "x1"]);
  });

  it("IN3 DIRECT uses a link between the edges where there is one, and nothing else does", () => {
    const made = world(0);
    made.links.push(create(RouteLinkSchema, { fromNodeId: "e", toNodeId: "x1", rttMs: 5 }));
    const direct = matchIntents(snapshot(intentOf({ action: IntentAction.DIRECT, nodeId: "" })), question);
    expect(chooseRoute(graphOfMesh(made), need).primary?.nodeIds).toHaveLength(3);
    const wanted = needWithIntents(need, made.nodes, direct);
    expect(chooseRoute(graphOfMesh(made), wanted).primary?.nodeIds).toEqual(["e", "x1"]);
    expect(routeWith(0, { action: IntentAction.DIRECT })?.nodeIds).toHaveLength(3);
  });
});
