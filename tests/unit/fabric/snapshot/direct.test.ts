/** Which edges may meet without a relay, and for whom (V3). */

import { describe, expect, it } from "vitest";
import type { ClusterView, ViewIntent, ViewNode } from "../../../../fabric/snapshot/cluster-view.ts";
import { directOrganizations, keepLink } from "../../../../fabric/snapshot/direct.ts";
import { IntentAction, NodeHealth, NodeRole, ServiceClass } from "../../../../gen/weft/fabric/v1/role_pb.ts";

function nodeOf(nodeId: string, role: NodeRole, organizationId: string): ViewNode {
  return {
    ...{ nodeId, name: nodeId, region: "", addresses: [], linkLabel: nodeId, dialOutOnly: false, trustLevel: 0 },
    roles: [{ role, organizationId }],
    health: NodeHealth.ONLINE,
  };
}

const entryX = nodeOf("entry-x", NodeRole.ENTRY, "orgx");
const entryY = nodeOf("entry-y", NodeRole.ENTRY, "orgy");
const entryAll = nodeOf("entry-all", NodeRole.ENTRY, "");
const egress = nodeOf("egress", NodeRole.EGRESS, "");
const relay = nodeOf("relay", NodeRole.RELAY, "");

const pools = ["orgx", "orgy"].map((organizationId) => ({
  ...{ poolId: `pool-${organizationId}`, name: "pool", organizationId, egressNodeIds: ["egress"], locators: [] },
}));
const resources = [
  { resourceId: "desk", organizationId: "orgx", poolId: "pool-orgx", serviceClass: ServiceClass.REMOTE_WORKSPACE },
] as unknown as ClusterView["resources"];

const view = (...changes: Partial<ViewIntent>[]) => ({
  pools,
  resources,
  intents: changes.map((change) => ({
    ...{ intentId: "ri", name: "straight", organizationId: "", sourceNodeId: "", poolId: "", resourceId: "" },
    ...{ serviceClass: ServiceClass.UNSPECIFIED, action: IntentAction.DIRECT, nodeId: "", region: "", expiresAtMs: 0 },
    ...change,
  })),
});

describe("V3 a direct intent", () => {
  it("makes neighbours of an entry and an egress for the organizations both serve, seen the same from both ends", () => {
    expect(directOrganizations(view({}), entryX, egress)).toEqual(["orgx"]);
    expect(directOrganizations(view({}), egress, entryX)).toEqual(["orgx"]);
    expect(directOrganizations(view({}), entryAll, egress)).toEqual(["orgx", "orgy"]);
    expect(keepLink(view({}), entryX, egress)).toBe(true);
    expect(keepLink(view(), entryX, egress)).toBe(false);
    expect(keepLink(view({ action: IntentAction.PREFER }), entryX, egress)).toBe(false);
    expect(keepLink(view(), entryX, relay)).toBe(true);
  });

  it("reaches no further than its organization, source, pool, resource and class of service", () => {
    expect(directOrganizations(view({ organizationId: "orgy" }), entryX, egress)).toEqual([]);
    expect(directOrganizations(view({ organizationId: "orgy" }), entryY, egress)).toEqual(["orgy"]);
    expect(directOrganizations(view({ sourceNodeId: "entry-x" }), entryAll, egress)).toEqual([]);
    expect(directOrganizations(view({ poolId: "pool-orgy" }), entryX, egress)).toEqual([]);
    expect(directOrganizations(view({ resourceId: "desk" }), entryAll, egress)).toEqual(["orgx"]);
    expect(directOrganizations(view({ serviceClass: ServiceClass.DATABASE }), entryX, egress)).toEqual([]);
    expect(directOrganizations(view({ serviceClass: ServiceClass.REMOTE_WORKSPACE }), entryX, egress)).toEqual([
      "orgx",
    ]);
    expect(directOrganizations(view({}), entryX, entryY)).toEqual([]);
  });
});
