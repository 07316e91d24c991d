/**
 * Which neighbours get a standing link: the routing engine's peer sets (`fabric/routing/peer-set.ts`), fed with what this
 * node's links show. Where neighbours are few, all of them.
 *
 * LP1. A peer that does not come up in time, or says that it has no room, rests: another takes its place for good.
 * LP2. A neighbour that keeps a connection to this node is a guest; without room for it, its probes are told so.
 */

import type { Socket } from "node:net";
import { hasRole, selfHasRole } from "../fabric/members.ts";
import { choosePeers, coldOrder, type Peer, type PeerSelf, type PeerSets } from "../fabric/routing/peer-set.ts";
import { NodeRole } from "../gen/weft/fabric/v1/role_pb.ts";
import type { Neighbour, Snapshot } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import type { Clock } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";

interface Rest {
  readonly untilMonoMs: number;
  readonly full: boolean;
}

export class LinkPeers {
  readonly #clock: Clock;
  readonly #rests = new Map<string, Rest>();
  /** Live connections each neighbour keeps to this node, in the order neighbours came. */
  readonly #guests = new Map<string, Set<Socket>>();
  /** Since when each active peer is wanted without a link to it. */
  readonly #missingSinceMs = new Map<string, number>();
  #sets: PeerSets | undefined;
  #order: { readonly snapshot: Snapshot; readonly ids: readonly string[] } | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A neighbour connected to this node, to call it or to be called. */
  guest(nodeId: string, raw: Socket): void {
    const sockets = this.#guests.get(nodeId) ?? new Set<Socket>();
    this.#guests.set(nodeId, sockets.add(raw));
    raw.once("close", () => {
      sockets.delete(raw);
      if (sockets.size === 0 && this.#guests.get(nodeId) === sockets) this.#guests.delete(nodeId);
    });
  }

  /** A peer said that it keeps as many links as it may (LP1). */
  full(nodeId: string): void {
    this.#rests.set(nodeId, { untilMonoMs: this.#clock.monoMs() + limits.peerRestMs, full: true });
  }

  /** Whether this node keeps as many links as it may, and none to this neighbour (LP2). */
  isFull(nodeId: string): boolean {
    return this.#sets !== undefined && !this.#sets.active.includes(nodeId);
  }

  /** The neighbours to keep links to now. `isUp`: whether calls to a neighbour are possible. */
  choose(snapshot: Snapshot, isUp: (nodeId: string) => boolean): ReadonlySet<string> {
    const nowMs = this.#clock.monoMs();
    this.#noteMissing(isUp, nowMs);
    for (const [id, rest] of this.#rests) if (rest.untilMonoMs <= nowMs) this.#rests.delete(id);
    const self = selfOf(snapshot);
    const peers = snapshot.neighbours.map(({ nodeId, region, roles }): Peer => {
      const rest = this.#rests.get(nodeId);
      const role = hasRole(roles, NodeRole.RELAY, undefined) ? "core" : "edge";
      return { nodeId, region, role, usable: rest === undefined, full: rest?.full === true };
    });
    if (this.#order?.snapshot !== snapshot) this.#order = { snapshot, ids: coldOrder(self, peers) };
    this.#sets = choosePeers(self, peers, [...this.#guests.keys()], this.#sets, this.#order.ids);
    return new Set(this.#sets.active);
  }

  #noteMissing(isUp: (nodeId: string) => boolean, nowMs: number): void {
    const active = this.#sets?.active ?? [];
    for (const id of this.#missingSinceMs.keys()) if (isUp(id) || !active.includes(id)) this.#missingSinceMs.delete(id);
    for (const id of active) {
      if (isUp(id)) continue;
      const sinceMs = this.#missingSinceMs.get(id) ?? nowMs;
      this.#missingSinceMs.set(id, sinceMs);
      if (nowMs - sinceMs < limits.peerMissingMs) continue;
      this.#missingSinceMs.delete(id);
      if (!this.#rests.has(id)) this.#rests.set(id, { untilMonoMs: nowMs + limits.peerRestMs, full: false });
    }
  }
}

function selfOf(snapshot: Snapshot): PeerSelf {
  const role = selfHasRole(snapshot, NodeRole.RELAY, undefined) ? "core" : "edge";
  return { nodeId: snapshot.nodeId, role, region: snapshot.self?.region ?? "" };
}

/** Whether a link made for `before` would go somewhere else, or not at all, for `after`. */
export function dialsElsewhere(before: Neighbour, after: Neighbour): boolean {
  const place = (neighbour: Neighbour): string =>
    JSON.stringify([
      neighbour.dial,
      neighbour.dialOutOnly,
      neighbour.linkLabel,
      neighbour.addresses.map(({ host, port }) => [host, port]),
    ]);
  return place(before) !== place(after);
}
