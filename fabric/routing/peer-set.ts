/**
 * Which of its neighbours a node keeps standing links to: a few active ones, some warm ones to fall back to, and the rest
 * cold, to start over from. Never everybody, except where everybody is few.
 *
 * PS1. Where a node has no more neighbours than its role may keep links to, it links to all of them.
 * PS2. An active peer is left only when it cannot be used or is gone: what is better elsewhere is no reason, and one that
 *      comes back takes nobody's place.
 * PS3. A place is taken by a warm peer, a warm place by a cold one. Cold order is a hash of both ids, near ones first: the
 *      same inputs give the same sets, and nodes spread over peers without talking.
 * PS4. A node keeps a link to whoever keeps one to it, as long as it has room; who finds none looks elsewhere.
 */

import { tieHash } from "./walks.ts";

export type PeerRole = "core" | "edge" | "client";

export interface PeerBounds {
  /** Peers a node of this role looks for. */
  readonly wanted: number;
  /** Links it keeps at most. */
  readonly max: number;
}

/** Relays are core; entries and egresses are edges; an embedded edge that serves nobody else is a client. */
export const peerBounds: Readonly<Record<PeerRole, PeerBounds>> = {
  core: { wanted: 8, max: 20 },
  edge: { wanted: 4, max: 5 },
  client: { wanted: 2, max: 3 },
};

/** Links of a core node that other core nodes may take up: the rest is for edges. */
const coreLinksMax = 12;
/** Links every edge is to find room for. */
const edgeLinksMin = 3;

export interface PeerSelf {
  readonly nodeId: string;
  readonly role: PeerRole;
  readonly region: string;
}

export interface Peer {
  readonly nodeId: string;
  readonly role: PeerRole;
  readonly region: string;
  /** False: it was tried and did not answer, or had no room. */
  readonly usable: boolean;
  /** It said that it has no room: not even where everybody is linked. */
  readonly full?: boolean;
}

export interface PeerSets {
  readonly active: readonly string[];
  readonly warm: readonly string[];
  readonly cold: readonly string[];
}

/**
 * How many links a node keeps at most. Twenty are enough for a core node unless there are too few of them: every edge has
 * to find its links somewhere.
 */
export function linkBudget(self: PeerSelf, peers: readonly Peer[]): number {
  const { max } = peerBounds[self.role];
  if (self.role !== "core") return max;
  const cores = 1 + peers.filter((peer) => peer.role === "core").length;
  const edges = peers.length + 1 - cores;
  const needed =
    Math.ceil((edges * Math.min(edgeLinksMin, cores)) / cores) + Math.min(peerBounds.core.wanted, cores - 1);
  return Math.max(max, needed);
}

/**
 * The sets after a look at all peers. `guests`: peers that keep a link to this node, in the order they came. Those of them
 * that are not active afterwards have found no room (PS4). `order` may be given by who keeps it while peers stay the same.
 */
export function choosePeers(
  self: PeerSelf,
  peers: readonly Peer[],
  guests: readonly string[] = [],
  before: PeerSets = { active: [], warm: [], cold: [] },
  order: readonly string[] = coldOrder(self, peers),
): PeerSets {
  const byId = new Map(peers.map((peer) => [peer.nodeId, peer]));
  if (peers.length <= peerBounds[self.role].max) {
    const full = new Set(peers.filter((peer) => peer.full === true).map((peer) => peer.nodeId));
    return { active: order.filter((id) => !full.has(id)), warm: [], cold: order.filter((id) => full.has(id)) };
  }
  const { wanted } = peerBounds[self.role];
  const budget = linkBudget(self, peers);
  const isCore = (id: string): boolean => byId.get(id)?.role === "core";
  const isUsable = (id: string): boolean => byId.get(id)?.usable === true;
  const active = new Set<string>();
  let coreCount = 0;
  const take = (id: string): void => {
    if (active.size >= budget || active.has(id)) return;
    active.add(id);
    if (isCore(id)) coreCount += 1;
  };
  // An edge that is another edge's neighbour is so because an intent says that they link directly.
  if (self.role !== "core") for (const id of order) if (!isCore(id)) active.add(id);
  for (const id of before.active) if (isUsable(id) && (isCore(id) || guests.includes(id))) take(id);
  for (const id of guests) {
    if (!byId.has(id) || active.has(id)) continue;
    if (!isCore(id) || coreCount < Math.min(coreLinksMax, budget)) take(id);
  }
  const warm = new Set<string>();
  for (const id of [...before.warm, ...order]) {
    if (warm.size >= wanted) break;
    if (active.has(id) || !isCore(id) || !isUsable(id)) continue;
    if (coreCount < wanted && active.size < budget) take(id);
    else warm.add(id);
  }
  const cold = order.filter((id) => !active.has(id) && !warm.has(id));
  return { active: [...active], warm: [...warm], cold };
}

/** The order peers are tried in: near ones first, but every third from elsewhere, as a region may fail as a whole. */
export function coldOrder(self: PeerSelf, peers: readonly Peer[]): string[] {
  const sorted = peers
    .map(({ nodeId, region }) => ({ nodeId, region, hash: tieHash(self.nodeId, nodeId) }))
    .sort((a, b) => a.hash - b.hash || (a.nodeId < b.nodeId ? -1 : 1));
  const isNear = (region: string): boolean => self.region === "" || region === self.region;
  const near = sorted.filter((peer) => isNear(peer.region)).map((peer) => peer.nodeId);
  const far = sorted.filter((peer) => !isNear(peer.region)).map((peer) => peer.nodeId);
  const order: string[] = [];
  while (near.length > 0 || far.length > 0) order.push(...near.splice(0, 2), ...far.splice(0, 1));
  return order;
}
