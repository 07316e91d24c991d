/** Everything of one cluster that snapshots are made of: what control loads in one transaction. Plain records. */

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { SignedBundle } from "../../certs/bundle.ts";
import type {
  ChannelClass,
  IntentAction,
  NodeHealth,
  OriginAssurance,
  ResourceKind,
  ServiceClass,
} from "../../gen/weft/fabric/v1/role_pb.ts";
import type { TrustBundle } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import type { WorkloadSpecSchema } from "../../gen/weft/fabric/v1/workload_pb.ts";
import type { Grant } from "../members.ts";
import type { OfflineRule } from "../offline.ts";
import type { EgressLocators } from "../path/handle.ts";

export interface ViewAddress {
  readonly host: string;
  readonly port: number;
}

/** What an operator gave a node and it keeps until it is changed: all that matters to most snapshots. */
export interface LastingNode {
  readonly nodeId: string;
  readonly name: string;
  readonly roles: readonly Grant[];
  readonly region: string;
  readonly addresses: readonly ViewAddress[];
  readonly linkLabel: string;
  readonly dialOutOnly: boolean;
  /** 0..100; 0: not set. */
  readonly trustLevel: number;
}

/** A node with its state, which changes all the time. */
export interface ViewNode extends LastingNode {
  /** Share of capacity in use, 0..1; absent until reported. */
  readonly load?: number;
  readonly health: NodeHealth;
}

/** A link as measured by `fromNodeId`. Absent values were not measured. */
export interface ViewLink {
  readonly fromNodeId: string;
  readonly toNodeId: string;
  readonly rttMs?: number;
  readonly jitterMs?: number;
  readonly lossShare?: number;
  readonly reliabilityShare?: number;
  readonly bandwidthBytesPerSecond?: number;
  readonly recentFailures?: number;
  readonly measuredAtMs: number;
}

export interface ViewPool {
  readonly poolId: string;
  readonly name: string;
  readonly organizationId: string;
  readonly egressNodeIds: readonly string[];
  /** One per egress: how resume handles of clients lead back to it (fabric/path/handle.ts). */
  readonly locators: readonly EgressLocators[];
}

export interface ViewResource {
  readonly resourceId: string;
  readonly name: string;
  readonly organizationId: string;
  readonly poolId: string;
  readonly kind: ResourceKind;
  readonly defaultClass: ChannelClass;
  readonly allowedClasses: readonly ChannelClass[];
  readonly minimumAssurance: OriginAssurance;
  readonly serviceClass: ServiceClass;
  readonly host: string;
  readonly port: number;
  readonly unixPath: string;
  /** Channels need the contract of a service-channel lease. */
  readonly requiresLease: boolean;
  /** 0: not exclusive. */
  readonly exclusiveLeaseMs: number;
  /** Of an exclusive resource whose lease an operator fenced: nothing below it counts. */
  readonly leastFence?: { readonly epoch: number; readonly counter: number };
}

export interface ViewListener {
  readonly listenerId: string;
  readonly name: string;
  readonly organizationId: string;
  readonly entryNodeId: string;
  readonly resourceId: string;
  readonly bindHost: string;
  readonly bindPort: number;
  readonly allowedSources: readonly string[];
}

export interface ViewClient {
  readonly clientId: string;
  readonly organizationId: string;
}

/** A service-channel lease that ended before its contract runs out. */
export interface ViewEndedLease {
  readonly leaseId: string;
  readonly organizationId: string;
}

export interface ViewQos {
  readonly class: ChannelClass;
  readonly priority: number;
  readonly rateBytesPerSecond: bigint;
  readonly burstBytes: bigint;
  /** Empty: the cluster's own. */
  readonly organizationId: string;
  /** Empty: the organization's (or cluster's) own. */
  readonly resourceId: string;
}

/** What an operator wants of routes. Empty fields leave open. */
export interface ViewIntent {
  readonly intentId: string;
  readonly name: string;
  readonly organizationId: string;
  readonly sourceNodeId: string;
  readonly poolId: string;
  readonly resourceId: string;
  readonly serviceClass: ServiceClass;
  readonly action: IntentAction;
  readonly nodeId: string;
  readonly region: string;
  /** 0: until it is removed. */
  readonly expiresAtMs: number;
}

/** What a node is asked to run beside its roles. */
export interface ViewWorkload {
  readonly workloadId: string;
  readonly nodeId: string;
  readonly name: string;
  readonly spec: MessageInitShape<typeof WorkloadSpecSchema>;
  readonly running: boolean;
  readonly privilegesApproved: boolean;
  readonly fingerprint: string;
}

/** One cluster. Only active members, existing organizations and unrevoked clients are listed. */
export interface ClusterView {
  readonly trustDomain: string;
  readonly clusterId: string;
  readonly clusterSlug: string;
  readonly epoch: bigint;
  readonly version: bigint;
  readonly auditHead: { readonly seq: bigint; readonly hash: Uint8Array };
  readonly bundle: TrustBundle;
  /** The same as the installation key signed it. */
  readonly signedBundle?: SignedBundle;
  /** Offline policies as set; where there is none, the default counts. */
  readonly offline: readonly OfflineRule[];
  readonly nodes: readonly ViewNode[];
  /** The same nodes in the same order without their state: the same objects while only that changes. Default: `nodes`. */
  readonly lasting?: readonly LastingNode[];
  readonly links: readonly ViewLink[];
  readonly pools: readonly ViewPool[];
  readonly resources: readonly ViewResource[];
  readonly listeners: readonly ViewListener[];
  readonly clients: readonly ViewClient[];
  readonly qos: readonly ViewQos[];
  readonly intents: readonly ViewIntent[];
  readonly endedLeases: readonly ViewEndedLease[];
  /** Of active members only. */
  readonly workloads: readonly ViewWorkload[];
  /** Where test telemetry is switched off. Default: nowhere. */
  readonly telemetryOff?: readonly ViewTelemetryOff[];
}

/** One place; with neither id the whole cluster. */
export interface ViewTelemetryOff {
  readonly organizationId: string;
  readonly nodeId: string;
}

/** A view that says what of its nodes lasts. */
export type FullView = ClusterView & Required<Pick<ClusterView, "lasting">>;
