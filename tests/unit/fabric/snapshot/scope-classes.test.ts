import { describe, expect, it } from "vitest";
import type { ClusterView } from "../../../../fabric/snapshot/cluster-view.ts";
import { scopeSnapshot } from "../../../../fabric/snapshot/scope.ts";
import { NodeRole, OfflineMode } from "../../../../gen/weft/fabric/v1/role_pb.ts";
import type { Snapshot } from "../../../../gen/weft/fabric/v1/snapshot_pb.ts";
import { dates, ids, nodeOf, nodes, pathOfflineMs, view } from "./scope-stage.ts";

const snapshot = (nodeId: string, change: Partial<ClusterView> = {}): Snapshot =>
  scopeSnapshot({ ...view, ...change }, nodeId, dates);

describe("A12 what the classes contain", () => {
  it("members are the entries that may start paths through a node, with their entry grants alone", () => {
    expect(snapshot("nd-relay-orgx").members.map((member) => member.nodeId)).toEqual(["nd-entry-all", "nd-entry-orgx"]);
    expect(snapshot("nd-egress-all").members.map((member) => member.nodeId)).toEqual(ids("entry"));
    expect(snapshot("nd-entry-all").members).toEqual([]);
    const both = nodes.map((node) =>
      node.nodeId === "nd-entry-all"
        ? { ...node, roles: [...node.roles, { role: NodeRole.STORAGE, organizationId: "" }] }
        : node,
    );
    const member = snapshot("nd-relay-all", { nodes: both }).members.find((other) => other.nodeId === "nd-entry-all");
    expect(member?.roles.map((grant) => grant.role)).toEqual([NodeRole.ENTRY]);
  });

  it("a node that relays for X and enters for Y does not learn who enters for Y through others", () => {
    const mixed = { ...nodeOf("MIXED", NodeRole.RELAY, "orgx") };
    const node = { ...mixed, roles: [...mixed.roles, { role: NodeRole.ENTRY, organizationId: "orgy" }] };
    const got = snapshot(node.nodeId, { nodes: [...nodes, node] });
    expect(got.members.map((member) => member.nodeId)).toEqual(["nd-entry-all", "nd-entry-orgx"]);
    expect(got.resourceRoutes.map((route) => route.organizationId)).toEqual(["orgy"]);
  });

  it("a dial-out-only neighbour has no address and is waited for", () => {
    const inside = nodes.map((node) => (node.nodeId === "nd-egress-all" ? { ...node, dialOutOnly: true } : node));
    const neighbour = snapshot("nd-relay-all", { nodes: inside }).neighbours.find(
      (other) => other.nodeId === "nd-egress-all",
    );
    expect(neighbour).toMatchObject({ addresses: [], dial: false, dialOutOnly: true });
    expect(snapshot("nd-egress-all", { nodes: inside }).neighbours.every((other) => other.dial)).toBe(true);
  });

  it("an egress gets targets of its own pools only, and does not learn who else is in them", () => {
    const alone = view.pools.map((pool) =>
      pool.organizationId === "orgx" ? { ...pool, egressNodeIds: ["nd-egress-orgx"] } : pool,
    );
    const got = snapshot("nd-egress-all", { pools: alone });
    expect(got.resourceTargets.map((target) => target.host)).toEqual(["targethost-orgy"]);
    expect(got.listenerGrants.map((grant) => grant.organizationId)).toEqual(["orgy", "orgy"]);
    expect(got.pools.map((pool) => pool.egressNodeIds)).toEqual([["nd-egress-all"]]);
  });

  it("an entry gets its own listeners, and a pool's egresses that have the role for it", () => {
    const got = snapshot("nd-entry-all");
    expect(got.listeners.map((listener) => listener.listenerId)).toEqual([
      "listenerid-orgx-nd-entry-all",
      "listenerid-orgy-nd-entry-all",
    ]);
    expect(got.pools.find((pool) => pool.organizationId === "orgx")?.egressNodeIds).toEqual([
      "nd-egress-all",
      "nd-egress-orgx",
    ]);
    // The locators of those, and not of a member that lost its role.
    expect(got.pools.map((pool) => pool.locators.map(({ egressNodeId }) => egressNodeId))).toEqual([
      ["nd-egress-all", "nd-egress-orgx"],
      ["nd-egress-all", "nd-egress-orgy"],
    ]);
  });

  it("a new relay is in the graph before anybody measured it, its numbers absent", () => {
    const link = snapshot("nd-entry-all", { links: [] }).graph?.links.find((one) => one.toNodeId === "nd-relay-all");
    expect(link).toBeDefined();
    expect(link?.rttMs).toBeUndefined();
    expect(link?.lossShare).toBeUndefined();
  });

  it("entries and egresses link to relays only", () => {
    const links = snapshot("nd-entry-all").graph?.links ?? [];
    const direct = links.filter((link) => !link.fromNodeId.includes("relay") && !link.toNodeId.includes("relay"));
    expect(links.length).toBeGreaterThan(10);
    expect(direct).toEqual([]);
  });

  it("there is no snapshot of a stranger", () => {
    expect(() => snapshot("nd-nobody")).toThrow(expect.objectContaining({ detail: "NODE_UNKNOWN" }));
  });

  it("offline policies are said only where they differ from the cluster's, so that older nodes read what they know", () => {
    const got = (offline: ClusterView["offline"]) => snapshot("nd-egress-all", { offline });
    const whole = view.offline.slice(0, 1);
    const same = [...whole, ...whole.map((rule) => ({ ...rule, organizationId: "orgx" }))];
    expect(got(same)).toMatchObject({
      pathOffline: [],
      resourceOffline: [],
      offline: { mode: OfflineMode.EXISTING_ONLY },
    });
    expect(got([])).toMatchObject({ offline: { mode: OfflineMode.CONTINUE_FOR, continueForMs: 0n, graceMs: 0n } });
    const one = got(view.offline.filter(({ organizationId }) => organizationId !== "orgy"));
    expect(one.pathOffline).toMatchObject([{ organizationId: "orgx", newForMs: BigInt(pathOfflineMs) }]);
    expect(one.resourceOffline.map(({ resourceId }) => resourceId)).toEqual(["resourceid-orgx"]);
    expect(snapshot("nd-relay-all", { offline: view.offline }).resourceOffline).toEqual([]);
  });

  it("M-A22 where test telemetry is off is said to whom it concerns, and of its own organizations", () => {
    const telemetryOff = ["orgx", "orgy"].map((organizationId) => ({ organizationId, nodeId: "" }));
    const offFor = (nodeId: string) => snapshot(nodeId, { telemetryOff }).testTelemetryOffOrganizationIds;
    expect(offFor("nd-entry-all")).toEqual(["orgx", "orgy"]);
    expect(offFor("nd-entry-orgx")).toEqual(["orgx"]);
    expect([...offFor("nd-egress-all"), ...offFor("nd-relay-all")]).toEqual([]);
    const isOff = (nodeId: string, off: string) =>
      snapshot(nodeId, { telemetryOff: [{ organizationId: "", nodeId: off }] }).testTelemetryOff;
    expect(isOff("nd-egress-all", "nd-egress-all")).toBe(true);
    expect(isOff("nd-entry-all", "nd-egress-all")).toBe(false);
    expect([isOff("nd-relay-all", ""), isOff("nd-entry-orgx", "")]).toEqual([true, true]);
    expect(snapshot("nd-entry-all", { telemetryOff }).testTelemetryOff).toBe(false);
  });
});
