import { create, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import type { AssignableRole } from "../../../../fabric/members.ts";
import type { ClusterView, ViewNode } from "../../../../fabric/snapshot/cluster-view.ts";
import { scopeSnapshot } from "../../../../fabric/snapshot/scope.ts";
import {
  ChannelClass,
  IntentAction,
  NodeHealth,
  NodeRole,
  OfflineMode,
  OriginAssurance,
  ResourceKind,
  ServiceClass,
} from "../../../../gen/weft/fabric/v1/role_pb.ts";
import { type Snapshot, SnapshotSchema, TrustBundleSchema } from "../../../../gen/weft/fabric/v1/snapshot_pb.ts";
import { WorkloadKind } from "../../../../gen/weft/fabric/v1/workload_pb.ts";

const dates = { issuedAtMs: 1_800_000_000_000, notAfterMs: 1_800_086_400_000 };
const roleNames = Object.entries(NodeRole).filter(([name]) => name !== "UNSPECIFIED") as [string, AssignableRole][];
const owners = ["all", "orgx", "orgy"] as const;
type Owner = (typeof owners)[number];

// Numbers that cannot occur by chance, found again by their encoding.
const doubles = {
  load: 0.123456789,
  rtt: 98.7654321,
  jitter: 4.5678912,
  loss: 0.0123987,
  reliability: 0.98765,
  bandwidth: 7.77e7,
  failures: 1.2345,
};
const qosRate = 123_456_789_123n;
const resourceRate = 321_987_654_321n;
const pathOfflineMs = 70_123_457;
const resourceOfflineMs = 3_210_987;

/** One node of every role for every owner; each text says what it is and whose. */
function nodeOf(role: string, value: AssignableRole, owner: Owner): ViewNode {
  const tag = `${role.toLowerCase().replaceAll("_", "-")}-${owner}`;
  return {
    nodeId: `nd-${tag}`,
    name: `nodename-${tag}`,
    roles: [{ role: value, organizationId: owner === "all" ? "" : owner }],
    region: `region-${tag}`,
    addresses: [{ host: `nodehost-${tag}`, port: 4_433 }],
    linkLabel: `linklabel-${tag}`,
    dialOutOnly: false,
    trustLevel: 77,
    load: doubles.load,
    health: NodeHealth.ONLINE,
  };
}

const organizations = ["orgx", "orgy"] as const;
const nodes = roleNames.flatMap(([name, value]) => owners.map((owner) => nodeOf(name, value, owner)));
const ids = (role: string): string[] => owners.map((owner) => `nd-${role}-${owner}`);

const view: ClusterView = {
  trustDomain: "weft-test.internal",
  clusterId: "cl-a",
  clusterSlug: "default",
  epoch: 3n,
  version: 14n,
  auditHead: { seq: 9n, hash: new Uint8Array(32).fill(0xab) },
  bundle: create(TrustBundleSchema, { trustDomain: "weft-test.internal", clusterId: "cl-a", version: 1n }),
  offline: ["", ...organizations].flatMap((organizationId) => {
    const whole = {
      organizationId,
      resourceId: "",
      terms: { mode: OfflineMode.EXISTING_ONLY, continueForMs: 0, graceMs: 0 },
    };
    if (organizationId === "") return [whole];
    // The grace means nothing in this mode: it marks the policy itself, apart from the bounds of paths it leads to.
    const terms = { mode: OfflineMode.CONTINUE_FOR, continueForMs: pathOfflineMs, graceMs: resourceOfflineMs };
    return [whole, { organizationId, resourceId: `resourceid-${organizationId}`, terms }];
  }),
  nodes,
  links: nodes.flatMap((from) =>
    nodes.map((to) => ({
      fromNodeId: from.nodeId,
      toNodeId: to.nodeId,
      rttMs: doubles.rtt,
      jitterMs: doubles.jitter,
      lossShare: doubles.loss,
      reliabilityShare: doubles.reliability,
      bandwidthBytesPerSecond: doubles.bandwidth,
      recentFailures: doubles.failures,
      measuredAtMs: 1_799_999_999_999,
    })),
  ),
  pools: organizations.map((org) => ({
    poolId: `poolid-${org}`,
    name: `poolname-${org}`,
    organizationId: org,
    egressNodeIds: ids("egress"),
    locators: ids("egress").map((egressNodeId) => ({
      egressNodeId,
      previous: Buffer.from(`locator-${org}-before`),
      current: Buffer.from(`locator-${org}-now`),
      next: Buffer.from(`locator-${org}-after`),
    })),
  })),
  resources: organizations.map((org) => ({
    resourceId: `resourceid-${org}`,
    name: `resourcename-${org}`,
    organizationId: org,
    poolId: `poolid-${org}`,
    kind: ResourceKind.TCP,
    defaultClass: ChannelClass.BULK,
    allowedClasses: [ChannelClass.INTERACTIVE],
    minimumAssurance: OriginAssurance.PROVED,
    serviceClass: ServiceClass.REMOTE_WORKSPACE,
    host: `targethost-${org}`,
    port: 5_432,
    unixPath: `unixpath-${org}`,
    requiresLease: true,
    exclusiveLeaseMs: 20_000,
    leastFence: { epoch: 1, counter: 7_654_321 },
  })),
  listeners: organizations.flatMap((org) =>
    ids("entry").map((entryNodeId) => ({
      listenerId: `listenerid-${org}-${entryNodeId}`,
      name: `listenername-${org}`,
      organizationId: org,
      entryNodeId,
      resourceId: `resourceid-${org}`,
      bindHost: `bindhost-${org}`,
      bindPort: 5_433,
      allowedSources: [`source-${org}`],
    })),
  ),
  clients: organizations.map((org) => ({ clientId: `clientid-${org}`, organizationId: org })),
  qos: ["", ...organizations].flatMap((organizationId) => {
    const row = { class: ChannelClass.BULK, priority: 3, burstBytes: 99_999n, organizationId };
    const own = { ...row, rateBytesPerSecond: resourceRate, resourceId: `resourceid-${organizationId}` };
    return [{ ...row, rateBytesPerSecond: qosRate, resourceId: "" }, ...(organizationId === "" ? [] : [own])];
  }),
  endedLeases: organizations.map((org) => ({ leaseId: `endedlease-${org}`, organizationId: org })),
  intents: ["", ...organizations].flatMap((organizationId) => {
    const row = {
      intentId: `intentid-${organizationId}`,
      name: `intentname-${organizationId}`,
      organizationId,
      poolId: organizationId === "" ? "" : `poolid-${organizationId}`,
      resourceId: "",
      serviceClass: ServiceClass.UNSPECIFIED,
      action: IntentAction.AVOID,
      expiresAtMs: 0,
    };
    const source = `nd-entry-${organizationId === "" ? "all" : organizationId}`;
    return [
      { ...row, sourceNodeId: "", nodeId: "", region: `wanted-${organizationId}` },
      // One for a single entry, and about a node that only some of the entries know.
      { ...row, sourceNodeId: source, nodeId: "", region: `owned-${source}` },
      { ...row, sourceNodeId: "", nodeId: "nd-relay-orgy", region: "" },
    ];
  }),
  workloads: nodes.map(({ nodeId }) => ({
    workloadId: `workloadid-${nodeId}`,
    nodeId,
    name: `workloadname-${nodeId}`,
    spec: { kind: WorkloadKind.NATIVE, command: `workloadcommand-${nodeId}` },
    ...{ running: true, privilegesApproved: false },
    fingerprint: `workloadprint-${nodeId}`,
  })),
};

function bytesOf(nodeId: string): Buffer {
  return Buffer.from(toBinary(SnapshotSchema, scopeSnapshot(view, nodeId, dates)));
}

function double(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return bytes;
}

function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>= 7n) {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    if (rest <= 0x7fn) return Buffer.from(bytes);
  }
}

const ofMember = ["workloadid", "workloadname", "workloadcommand", "workloadprint"];
/** What to search for, per kind of secret. */
const markers: Readonly<Record<string, Buffer>> = {
  ...Object.fromEntries(
    [
      "nodename",
      "nodehost",
      "linklabel",
      "region",
      "poolid",
      "poolname",
      "resourceid",
      "resourcename",
      "targethost",
      "unixpath",
      "listenerid",
      "listenername",
      "bindhost",
      "source",
      "clientid",
      "locator",
      "intentid",
      "intentname",
      "wanted",
      "owned",
      "endedlease",
      ...ofMember,
    ].map((name) => [name, Buffer.from(`${name}-`)]),
  ),
  ...Object.fromEntries(Object.entries(doubles).map(([name, value]) => [name, double(value)])),
  qos: varint(qosRate),
  resourceqos: varint(resourceRate),
  pathoffline: varint(BigInt(pathOfflineMs)),
  resourceoffline: varint(BigInt(resourceOfflineMs)),
};

const linkNumbers = ["rtt", "jitter", "loss", "reliability", "bandwidth", "failures"];
const everyone = ["nodename", "nodehost", "linklabel", "region", ...ofMember];
const entryMarkers = [
  "poolid",
  "poolname",
  "resourceid",
  "resourcename",
  "listenerid",
  "listenername",
  "bindhost",
  "source",
  "clientid",
  "locator",
  "load",
  "qos",
  "resourceqos",
  "intentid",
  "intentname",
  "wanted",
  "owned",
  "endedlease",
  "pathoffline",
  "resourceoffline",
  ...linkNumbers,
];
const egressMarkers = [
  "poolid",
  "poolname",
  "resourceid",
  "resourcename",
  "targethost",
  "unixpath",
  "listenerid",
  "clientid",
  "qos",
  "resourceqos",
  "endedlease",
  "pathoffline",
  "resourceoffline",
];
/** Written out again, independently of the code's table. */
const expected: Readonly<Record<AssignableRole, readonly string[]>> = {
  [NodeRole.ENTRY]: [...everyone, ...entryMarkers],
  [NodeRole.RELAY]: [...everyone, "qos", "pathoffline"],
  [NodeRole.EGRESS]: [...everyone, ...egressMarkers],
  [NodeRole.RDP_WORKER]: everyone,
  [NodeRole.VNC_WORKER]: everyone,
  [NodeRole.VPN_EXIT]: everyone,
  [NodeRole.VPN_CONNECTOR]: everyone,
  [NodeRole.FILE_STORAGE_CACHE]: everyone,
  [NodeRole.UPDATE_CACHE]: everyone,
  [NodeRole.VIDEO_RELAY]: everyone,
  [NodeRole.STORAGE]: everyone,
  [NodeRole.ADMIN_INGRESS]: everyone,
};

const tagOf = (role: string): string => role.toLowerCase().replaceAll("_", "-");
const cases = roleNames.flatMap(([name, role]) => owners.map((owner) => [tagOf(name), role, owner] as const));

describe("LAW-C3 A12 a node's bytes hold what its roles may hold and nothing else", () => {
  it.each(cases)("%s (%i) for %s: exactly the kinds of data of the table", (tag, role, owner) => {
    const bytes = bytesOf(`nd-${tag}-${owner}`);
    const found = Object.entries(markers).filter(([, marker]) => bytes.includes(marker));
    expect(found.map(([name]) => name).sort()).toEqual([...expected[role]].sort());
  });

  it("every kind of marker is found somewhere: the search can see", () => {
    const all = Buffer.concat(cases.map(([tag, , owner]) => bytesOf(`nd-${tag}-${owner}`)));
    expect(Object.entries(markers).filter(([, marker]) => !all.includes(marker))).toEqual([]);
  });

  it("every text of the view is a marker, an id of the cluster or an organization", () => {
    const texts: string[] = [];
    const walk = (value: unknown): void => {
      if (typeof value === "string") texts.push(value);
      else if (value instanceof Uint8Array) return;
      else if (typeof value === "object" && value !== null) Object.values(value).forEach(walk);
    };
    walk({ ...view, bundle: undefined });
    const known =
      /^(?:weft-test\.internal|cl-a|default|nd-.*|org[xy]||(?:nodename|nodehost|linklabel|region|poolid|poolname|resourceid|resourcename|targethost|unixpath|listenerid|listenername|bindhost|source|clientid|intentid|intentname|wanted|owned|endedlease|workloadid|workloadname|workloadcommand|workloadprint)-.*)$/;
    expect(texts.filter((text) => !known.test(text))).toEqual([]);
  });

  it.each(cases.filter(([, , owner]) => owner === "orgx"))(
    "%s (%i) for %s sees nothing of another organization",
    (tag) => {
      const bytes = bytesOf(`nd-${tag}-orgx`);
      expect(bytes.includes("orgy")).toBe(false);
    },
  );

  it.each(cases)("%s (%i) for %s knows its own workloads and nobody else's", (tag, _role, owner) => {
    const found = bytesOf(`nd-${tag}-${owner}`).toString("latin1");
    const own = found.matchAll(/workloadname-(nd-[a-z-]+-(?:all|org[xy]))/g);
    expect([...own].map((match) => match[1])).toEqual([`nd-${tag}-${owner}`]);
  });

  it.each([
    ["entry", ["relay"]],
    ["egress", ["relay"]],
    ["relay", ["entry", "relay", "egress"]],
    ["storage", []],
    ["rdp-worker", []],
  ])("%s knows hosts and link labels of its link neighbours only", (tag, kinds) => {
    const bytes = bytesOf(`nd-${tag}-all`).toString("latin1");
    for (const what of ["nodehost", "linklabel"]) {
      const seen = new Set(
        [...bytes.matchAll(new RegExp(`${what}-([a-z-]+)-(?:all|org)`, "g"))].map((match) => match[1]),
      );
      seen.delete(tag);
      expect([...seen].sort()).toEqual(kinds.filter((kind) => kind !== tag).sort());
    }
  });
});

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
});
