/**
 * What the parts of a node ask of each other. The data plane (listener, links, paths, roles) sees these ports only;
 * `main.ts` puts the real holders behind them. Reads are synchronous: the data plane never waits for control.
 */

import type { SignedBundle } from "../certs/bundle.ts";
import type { LeafOf } from "../certs/material.ts";
import type { SignedFeed } from "../gen/weft/fabric/v1/feed_pb.ts";
import type { Snapshot, TrustBundle } from "../gen/weft/fabric/v1/snapshot_pb.ts";

/** Who this node is in its cluster right now. Replaced as a whole when the leaf is renewed. */
export interface NodeIdentity {
  readonly trustDomain: string;
  readonly clusterId: string;
  readonly clusterSlug: string;
  readonly nodeId: string;
  readonly name: string;
  readonly leaf: LeafOf<"node">;
  /** Pool certificates of an egress, by pool id. */
  readonly poolLeaves: ReadonlyMap<string, LeafOf<"pool">>;
  readonly bundle: TrustBundle;
  /** The bundle as the installation key signed it; absent until the first snapshot brought one. */
  readonly signedBundle?: SignedBundle;
  readonly controlName: string;
}

export type Unsubscribe = () => void;

export interface IdentityHolder {
  current(): NodeIdentity;
  onChange(listener: (identity: NodeIdentity) => void): Unsubscribe;
}

export interface SnapshotHolder {
  /** Undefined until the first verified snapshot. */
  current(): Snapshot | undefined;
  onChange(listener: (snapshot: Snapshot) => void): Unsubscribe;
  /** Newest signed time seen in any verified statement, ms; a floor under the wall clock. */
  newestSignedMs(): number;
}

/** What a certificate looks like to the revocation feed. */
export interface RevocationSubject {
  readonly issuerKeyIdHex: string;
  readonly serialHex: string;
  readonly keyHashHex: string;
  readonly spiffe: string;
}

export interface FeedStore {
  current(): SignedFeed | undefined;
  /** Other statements that revoke somebody whom the current one does not: to be handed on with it. */
  others?(): readonly SignedFeed[];
  position(): { readonly epoch: bigint; readonly seq: bigint };
  /** `issued_at_ms` of the newest verified feed whose date counts; 0 before the first. */
  newestIssuedMs(): number;
  /**
   * Verifies and keeps a feed that is newer than the own one. `forked`: the own position with other content; what it
   * revokes counts, the own statement stays.
   */
  offer(feed: SignedFeed): "applied" | "known" | "forked" | "refused";
  isRevoked(subject: RevocationSubject): boolean;
  onChange(listener: () => void): Unsubscribe;
}

export type NodeEventKind =
  | "path_opened"
  | "path_closed"
  | "trunk_opened"
  | "trunk_moved"
  | "trunk_ended"
  | "link_up"
  | "link_down"
  | "snapshot_applied"
  | "snapshot_refused"
  | "feed_applied"
  | "feed_refused"
  | "feed_forked"
  | "audit_contradicted"
  | "clock_skew"
  | "listener_up"
  | "listener_failed"
  | "certificate_renewed"
  | "draining"
  | "undrained"
  | "ceiling_refused"
  | "contract_refused"
  | "contract_ended"
  | "trust_changed"
  | "workload_state"
  | "offline"
  | "online";

export interface NodeEvent {
  /** One more for every event of this process, from 1. */
  readonly seq: number;
  readonly atMs: number;
  readonly kind: NodeEventKind;
  readonly facts: Readonly<Record<string, string>>;
}

export interface NodeEvents {
  emit(kind: NodeEventKind, facts?: Readonly<Record<string, string>>): void;
  subscribe(listener: (event: NodeEvent) => void): Unsubscribe;
}

/** Plain counters, incremented where things happen and read by status and heartbeat. */
export interface NodeCounters {
  bytesSpliced: number;
  pathsOpened: number;
  pathsLive: number;
  offersRefused: number;
  peeksRefused: number;
  tokensRefused: number;
  attachesRefused: number;
  channelsOpened: number;
  channelsLive: number;
  trunksLive: number;
  handshakesRefused: number;
  connectionsRefused: number;
  /** Calls to control that were started, by "service/method". */
  readonly controlCalls: Map<string, number>;
}

/** Whether this node takes new paths and channels. */
export interface DrainState {
  draining(): boolean;
  set(draining: boolean): void;
  onChange(listener: (draining: boolean) => void): Unsubscribe;
}
