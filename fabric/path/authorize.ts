/**
 * One hop's decision about one path offer, from its own snapshot alone.
 *
 * A1. Pure and total: the same facts give the same answer, nothing throws.
 * A2. Nothing in an offer is believed that this hop can check: caller, successor, roles, pools, dates, cluster.
 * A3. An organization's path uses only roles granted for everybody or for that organization.
 */

import type { Verdict } from "../../certs/judge.ts";
import { sameBytes } from "../../certs/keys.ts";
import { NodeRole, type RoleGrant } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { Snapshot } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { FarEdge, type PathOffer, PathPurpose } from "../../gen/weft/relay/v1/relay_pb.ts";
import { limits } from "../../lib/limits.ts";
import type { FeedPosition } from "../feed.ts";
import { hasRole, memberById, neighbourById, poolsOf, selfHasRole } from "../members.ts";
import type { OfflineVerdict } from "../offline.ts";
import { normalSerialHex, serialHexOf } from "../signed-bytes.ts";

/** Everything one hop knows when an offer arrives. */
export interface OfferFacts {
  /** As returned by `verifyOffer`. */
  readonly offer: PathOffer;
  readonly selfId: string;
  /** The node at the other end of the link the call arrived on. */
  readonly callerId: string;
  readonly snapshot: Snapshot;
  readonly nowMs: number;
  /** When this process started, wall time: what it forgot before cannot be replayed into it. */
  readonly startedAtMs: number;
  /** This hop's own feed. */
  readonly feed: FeedPosition;
  /** `judgeCertificate` of the certificate that came with the offer: kind node, this cluster, not revoked. */
  readonly initiator: Verdict;
  /** Whether this hop has agreed to an offer with that key (`replayKey`) before. */
  readonly replay: { has(key: string): boolean };
  /** Of `offlineVerdict`, now. */
  readonly offline: Pick<OfflineVerdict, "newChannels" | "existing">;
  /** Charges initiator and caller; a string is the detail of the refusal. Called last. */
  readonly charge?: (initiatorId: string, callerId: string) => string | undefined;
}

export type OfferDetail =
  | "OFFER_WRONG_CLUSTER"
  | "OFFER_OUT_OF_DATE"
  | "OFFER_BEFORE_START"
  | "OFFER_NOT_ON_PATH"
  | "OFFER_WRONG_CALLER"
  | "OFFER_INITIATOR_REFUSED"
  | "OFFER_INITIATOR_ROLE"
  | "OFFER_OWN_ROLE"
  | "OFFER_HOP_ROLE"
  | "OFFER_FAR_EDGE_ROLE"
  | "OFFER_POOL_REFUSED"
  | "OFFER_NO_RELAY"
  | "OFFER_NEXT_UNKNOWN"
  | "OFFER_REPLAYED"
  | "OFFER_OFFLINE"
  | "FEED_BEHIND"
  | "OFFER_BUDGET";

/**
 * `FEED_BEHIND`: the initiator knows a newer revocation feed than this hop. The hop exchanges feeds with the caller and
 * decides again, once; only then is the refusal final.
 */
export type OfferDecision =
  | { readonly ok: true; readonly position: "relay"; readonly nextHopId: string }
  | { readonly ok: true; readonly position: "far-edge" }
  | { readonly ok: false; readonly detail: OfferDetail; readonly budget?: string };

/** The key under which a hop remembers that it agreed to an offer, until `expires_at_ms` + `limits.offerSkewMaxMs`. */
export function replayKey(offer: PathOffer): string {
  return `${offer.initiatorId}/${Buffer.from(offer.nonce).toString("hex")}`;
}

/** Decides one offer at one hop (A1, A2). */
export function authorizeOffer(facts: OfferFacts): OfferDecision {
  const { offer, selfId } = facts;
  const at = offer.hops.indexOf(selfId);
  const detail =
    scopeFault(facts) ??
    dateFault(facts) ??
    placeFault(facts, at) ??
    initiatorFault(facts) ??
    rolesFault(facts, at) ??
    stateFault(facts);
  if (detail !== undefined) return { ok: false, detail };
  const nextHopId = offer.hops[at + 1];
  if (nextHopId !== undefined && neighbourById(facts.snapshot, nextHopId) === undefined) {
    return { ok: false, detail: "OFFER_NEXT_UNKNOWN" };
  }
  const budget = facts.charge?.(offer.initiatorId, facts.callerId);
  if (budget !== undefined) return { ok: false, detail: "OFFER_BUDGET", budget };
  return nextHopId === undefined ? { ok: true, position: "far-edge" } : { ok: true, position: "relay", nextHopId };
}

function scopeFault({ offer, snapshot, selfId }: OfferFacts): OfferDetail | undefined {
  const same =
    offer.trustDomain === snapshot.trustDomain && offer.clusterId === snapshot.clusterId && snapshot.nodeId === selfId;
  return same ? undefined : "OFFER_WRONG_CLUSTER";
}

function dateFault({ offer, nowMs, startedAtMs }: OfferFacts): OfferDetail | undefined {
  const issuedMs = Number(offer.issuedAtMs);
  const expiresMs = Number(offer.expiresAtMs);
  const inTime = issuedMs - limits.offerSkewMaxMs <= nowMs && nowMs < expiresMs + limits.offerSkewMaxMs;
  if (!inTime || expiresMs - issuedMs > limits.offerLifeMs) return "OFFER_OUT_OF_DATE";
  return issuedMs >= startedAtMs ? undefined : "OFFER_BEFORE_START";
}

/** This hop is on the path exactly once, not as its start, and its predecessor is who calls. */
function placeFault({ offer, selfId, callerId, snapshot }: OfferFacts, at: number): OfferDetail | undefined {
  if (at < 1 || offer.hops.lastIndexOf(selfId) !== at) return "OFFER_NOT_ON_PATH";
  if (offer.hops[at - 1] !== callerId) return "OFFER_WRONG_CALLER";
  // Edges meet without a relay only to measure, or where a route intent lets this organization's paths do so.
  if (offer.hops.length !== 2 || scopeOf(offer) === undefined) return undefined;
  const direct = neighbourById(snapshot, callerId)?.directOrganizationIds ?? [];
  return direct.includes(offer.organizationId) ? undefined : "OFFER_NO_RELAY";
}

function initiatorFault({ offer, initiator, snapshot }: OfferFacts): OfferDetail | undefined {
  if (!initiator.ok || initiator.id.kind !== "node" || initiator.id.id !== offer.initiatorId) {
    return "OFFER_INITIATOR_REFUSED";
  }
  const named = Buffer.from(serialHexOf(offer.initiatorLeafSerial));
  if (!sameBytes(named, Buffer.from(normalSerialHex(initiator.serialHex)))) return "OFFER_INITIATOR_REFUSED";
  if (offer.hops[0] !== offer.initiatorId) return "OFFER_INITIATOR_REFUSED";
  const roles = memberById(snapshot, offer.initiatorId)?.roles ?? [];
  return hasRole(roles, NodeRole.ENTRY, scopeOf(offer)) ? undefined : "OFFER_INITIATOR_ROLE";
}

/** The roles of this hop, and of every other hop it knows (A3). */
function rolesFault(facts: OfferFacts, at: number): OfferDetail | undefined {
  const { offer, snapshot } = facts;
  const last = offer.hops.length - 1;
  const organizationId = scopeOf(offer);
  const own = at === last ? NodeRole.EGRESS : NodeRole.RELAY;
  if (!selfHasRole(snapshot, own, organizationId)) return "OFFER_OWN_ROLE";
  for (let i = 1; i <= last; i++) {
    if (i === at) continue;
    const roles = knownRoles(snapshot, offer.hops[i] ?? "");
    if (roles === undefined) continue;
    const needed = i === last ? NodeRole.EGRESS : NodeRole.RELAY;
    if (!hasRole(roles, needed, organizationId)) return i === last ? "OFFER_FAR_EDGE_ROLE" : "OFFER_HOP_ROLE";
  }
  return at === last ? poolFault(facts) : undefined;
}

function knownRoles(snapshot: Snapshot, nodeId: string): readonly RoleGrant[] | undefined {
  return neighbourById(snapshot, nodeId)?.roles;
}

/** The far edge is in a pool of that organization, and in the named one when the path is a client's. */
function poolFault({ offer, snapshot, selfId }: OfferFacts): OfferDetail | undefined {
  const organizationId = scopeOf(offer);
  if (organizationId === undefined) return undefined;
  const pools = poolsOf(snapshot, selfId, organizationId);
  const serves = offer.farEdge === FarEdge.POOL ? pools.some((pool) => pool.poolId === offer.poolId) : pools.length > 0;
  return serves ? undefined : "OFFER_POOL_REFUSED";
}

function stateFault({ offer, offline, replay, feed }: OfferFacts): OfferDetail | undefined {
  const allowed = offer.purpose === PathPurpose.NEW ? offline.newChannels : offline.existing;
  if (!allowed) return "OFFER_OFFLINE";
  if (replay.has(replayKey(offer))) return "OFFER_REPLAYED";
  const behind = offer.feedEpoch > feed.epoch || (offer.feedEpoch === feed.epoch && offer.feedSeq > feed.seq);
  return behind ? "FEED_BEHIND" : undefined;
}

/** Only a probe may be for no organization. */
function scopeOf(offer: PathOffer): string | undefined {
  return offer.organizationId === "" && offer.purpose === PathPurpose.PROBE ? undefined : offer.organizationId;
}
