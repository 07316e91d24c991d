/** A cluster with one node of every role for every owner, in which every text and many numbers say what they are and whose. */

import { create } from "@bufbuild/protobuf";
import type { AssignableRole } from "../../../../fabric/members.ts";
import type { ClusterView, ViewNode } from "../../../../fabric/snapshot/cluster-view.ts";
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
import { TrustBundleSchema } from "../../../../gen/weft/fabric/v1/snapshot_pb.ts";
import { WorkloadKind } from "../../../../gen/weft/fabric/v1/workload_pb.ts";

export const dates = { issuedAtMs: 1_800_000_000_000, notAfterMs: 1_800_086_400_000 };
export const roleNames = Object.entries(NodeRole).filter(([name]) => name !== "UNSPECIFIED") as [
  string,
  AssignableRole,
][];
export const owners = ["all", "orgx", "orgy"] as const;
export type Owner = (typeof owners)[number];

// Numbers that cannot occur by chance, found again by their encoding.
export const doubles = {
  load: 0.123456789,
  rtt: 98.7654321,
  jitter: 4.5678912,
  loss: 0.0123987,
  reliability: 0.98765,
  bandwidth: 7.77e7,
  failures: 1.2345,
};
export const qosRate = 123_456_789_123n;
export const resourceRate = 321_987_654_321n;
export const pathOfflineMs = 70_123_457;
export const resourceOfflineMs = 3_210_987;

/** One node of every role for every owner; each text says what it is and whose. */
export function nodeOf(role: string, value: AssignableRole, owner: Owner): ViewNode {
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

export const organizations = ["orgx", "orgy"] as const;
export const nodes = roleNames.flatMap(([name, value]) => owners.map((owner) => nodeOf(name, value, owner)));
export const ids = (role: string): string[] => owners.map((owner) => `nd-${role}-${owner}`);

export const view: ClusterView = {
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
