/**
 * Whom this node believes, for every door and every dial: one place that turns identity, snapshot and revocation feed into
 * expectations of the judge. Everything is read at each judgement, so rotation, removal and revocation act at once.
 */

import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { hasRoots, rootsOf } from "../certs/bundle.ts";
import { type Expectation, judgeCertificate, judgePeer, type Peer, type Verdict } from "../certs/judge.ts";
import type { RootsOf } from "../certs/material.ts";
import { formatSpiffe, type SpiffeId, type SpiffeKind } from "../certs/spiffe.ts";
import { memberById, neighbourById } from "../fabric/members.ts";
import type { TrustBundle } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import type { ArrivedBy, Caller, Refusal } from "../rpc/caller.ts";
import type { DataPlanePorts } from "./plane-ports.ts";

type JudgePorts = Pick<DataPlanePorts, "identity" | "snapshot" | "feed" | "clock">;

/** Who may come through a door: any neighbour, any known client, any operator, or exactly one node. */
export type Guest =
  | { readonly kind: "node"; readonly id?: string }
  | { readonly kind: "client" }
  | { readonly kind: "operator" };

/** Roots by bundle: the judge's signature cache hangs on the objects, so they are made once. */
const rootsByBundle = new WeakMap<TrustBundle, Map<SpiffeKind, RootsOf<SpiffeKind>>>();

/** The roots of one kind in a bundle, always the same object. Throws when the bundle has none. */
export function cachedRoots<K extends SpiffeKind>(bundle: TrustBundle, kind: K): RootsOf<K> {
  const known = rootsByBundle.get(bundle) ?? new Map<SpiffeKind, RootsOf<SpiffeKind>>();
  rootsByBundle.set(bundle, known);
  const roots = known.get(kind) ?? rootsOf(bundle, kind);
  known.set(kind, roots);
  return roots as RootsOf<K>;
}

export class PeerJudge {
  readonly #ports: JudgePorts;

  constructor(ports: JudgePorts) {
    this.#ports = ports;
  }

  /** Whether this node has a root to judge that kind of peer by. */
  knows(kind: SpiffeKind): boolean {
    return hasRoots(this.#ports.identity.current().bundle, kind);
  }

  /** A peer of `kind` of this cluster, not revoked; `over` says which and whether it must be a member. */
  expect<K extends SpiffeKind>(kind: K, over: Pick<Expectation<K>, "ids" | "member"> = {}): Expectation<K> {
    const { identity, snapshot, clock } = this.#ports;
    return {
      kind,
      get trustDomain() {
        return identity.current().trustDomain;
      },
      get clusterId() {
        return identity.current().clusterId;
      },
      get roots() {
        return cachedRoots(identity.current().bundle, kind);
      },
      nowMs: () => clock.nowMs(),
      newestSignedMs: () => snapshot.newestSignedMs(),
      revoked: (peer) => this.#revoked(peer),
      ...over,
    };
  }

  /** A node at the other end of a link: a neighbour in the own snapshot, and exactly `id` where it is known. */
  neighbour(id?: string): Expectation<"node"> {
    const member = (peer: SpiffeId): boolean => {
      const snapshot = this.#ports.snapshot.current();
      return snapshot !== undefined && neighbourById(snapshot, peer.id) !== undefined;
    };
    return this.expect("node", id === undefined ? { member } : { member, ids: [id] });
  }

  /** The verdict on a finished TLS connection as a caller, or why not. Never throws. */
  admit(
    socket: TLSSocket,
    guest: Guest,
    at: { readonly arrivedBy: ArrivedBy; readonly source: string },
  ): Caller | Refusal {
    const verdict = judgePeer(socket, this.#guestExpectation(guest, at.arrivedBy));
    return verdict.ok ? this.#callerOf(verdict, at) : { refused: verdict.why };
  }

  /** The verdict on a caller that was admitted before. Never throws. */
  again(socket: TLSSocket, caller: Caller): Caller | Refusal {
    const { id, kind, arrivedBy, sourceAddress: source } = caller;
    if (id === undefined || kind === "anonymous") return { refused: "PEER_WRONG_KIND" };
    return this.admit(socket, kind === "node" ? { kind, id: id.id } : { kind }, { arrivedBy, source });
  }

  /** The verdict on the far edge of a path this node opened: exactly that node. Never throws. */
  farEdge(socket: TLSSocket, nodeId: string, source: string): Caller | Refusal {
    const verdict = judgePeer(socket, this.expect("node", { ids: [nodeId] }));
    return verdict.ok ? this.#callerOf(verdict, { arrivedBy: "path", source }) : { refused: verdict.why };
  }

  /** Judges the certificate an offer came with. Never throws. */
  initiator(der: Uint8Array): Verdict {
    return judgeCertificate(der, this.expect("node"));
  }

  /** Whether a node is revoked as a whole, by its identity. */
  nodeRevoked(nodeId: string): boolean {
    const { trustDomain, clusterId } = this.#ports.identity.current();
    const spiffe = formatSpiffe({ trustDomain, clusterId, kind: "node", id: nodeId });
    return this.#ports.feed.isRevoked({ issuerKeyIdHex: "", serialHex: "", keyHashHex: "", spiffe });
  }

  #guestExpectation(guest: Guest, arrivedBy: ArrivedBy): Expectation {
    switch (guest.kind) {
      case "operator":
        return this.expect("operator");
      case "client":
        return this.expect("client", { member: (id) => this.#clientGrant(id.id) !== undefined });
      case "node": {
        // The initiator of a path is a member, a neighbour only of its first hop.
        if (arrivedBy === "link") return this.neighbour(guest.id);
        return this.expect("node", {
          member: (id) => this.#isMember(id.id),
          ...(guest.id === undefined ? {} : { ids: [guest.id] }),
        });
      }
    }
  }

  #isMember(nodeId: string): boolean {
    const snapshot = this.#ports.snapshot.current();
    return snapshot !== undefined && memberById(snapshot, nodeId) !== undefined;
  }

  #clientGrant(clientId: string): { readonly organizationId: string } | undefined {
    return this.#ports.snapshot.current()?.clients.find((grant) => grant.clientId === clientId);
  }

  #revoked(peer: Peer): boolean {
    return this.#ports.feed.isRevoked({
      issuerKeyIdHex: peer.issuerKeyId,
      serialHex: peer.serialHex,
      keyHashHex: peer.keyHash,
      spiffe: formatSpiffe(peer.id),
    });
  }

  #callerOf(peer: Peer, at: { readonly arrivedBy: ArrivedBy; readonly source: string }): Caller {
    const { id } = peer;
    const caller = {
      id,
      spiffe: formatSpiffe(id),
      serialHex: peer.serialHex,
      keyHashHex: peer.keyHash,
      spkiDer: peer.spkiDer,
      issuerKeyIdHex: peer.issuerKeyId,
      sourceAddress: at.source,
      arrivedBy: at.arrivedBy,
    };
    if (id.kind === "operator") return { ...caller, kind: "operator" };
    if (id.kind === "client") {
      const organizationId = this.#clientGrant(id.id)?.organizationId;
      const scoped = { ...caller, kind: "client", clusterId: id.clusterId } as const;
      return organizationId === undefined ? scoped : { ...scoped, organizationId };
    }
    return { ...caller, kind: "node", clusterId: id.clusterId, roles: this.#rolesOf(id.id) };
  }

  #rolesOf(nodeId: string): NonNullable<Caller["roles"]> {
    const snapshot = this.#ports.snapshot.current();
    if (snapshot === undefined) return [];
    const grants = neighbourById(snapshot, nodeId)?.roles ?? memberById(snapshot, nodeId)?.roles ?? [];
    return [...new Set(grants.map((grant) => grant.role))];
  }
}

/** The address a socket came from, or "" when it is already gone. */
export function sourceOf(socket: Socket): string {
  return socket.remoteAddress ?? "";
}
