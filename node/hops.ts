/**
 * The paths this node takes part in, and the rules all of them live under.
 *
 * HO1. A path whose initiator, neighbour or any hop is revoked or removed is cut, at every change and on a timer.
 * HO2. When its organization's offline policies say that a path may not stay, it does not (node/offline-desk.ts).
 * HO3. A node that drains tells every predecessor, once.
 */

import { hasRole, memberById, neighbourById } from "../fabric/members.ts";
import type { OfflineVerdict } from "../fabric/offline.ts";
import { NodeRole } from "../gen/weft/fabric/v1/role_pb.ts";
import type { Snapshot } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import { FarEdge, type PathOffer } from "../gen/weft/relay/v1/relay_pb.ts";
import { limits } from "../lib/limits.ts";
import type { Admission } from "../relay/budget.ts";
import { type ClosingReason, HopPath } from "./hop-path.ts";
import type { OfflineJudge } from "./offline-desk.ts";
import type { PeerJudge } from "./peer-judge.ts";
import type { DataPlanePorts } from "./plane-ports.ts";
import type { Unsubscribe } from "./ports.ts";
import type { Rollable } from "./tainted-roll.ts";

export interface NewPath {
  readonly offer: PathOffer;
  readonly predecessor: string;
  readonly tag: string;
  /** The certificate the offer was signed with. */
  readonly initiatorDer: Uint8Array;
  readonly admission?: Admission;
}

/** What of the offline desk paths need. */
export type PathOffline = Pick<OfflineJudge, "path" | "cutsPaths">;

export class Hops {
  readonly #ports: DataPlanePorts;
  readonly #judge: PeerJudge;
  readonly #offline: PathOffline;
  readonly #paths = new Map<HopPath, Uint8Array>();
  readonly #stops: Unsubscribe[];

  constructor(ports: DataPlanePorts, judge: PeerJudge, offline: PathOffline) {
    this.#ports = ports;
    this.#judge = judge;
    this.#offline = offline;
    const timer = ports.clock.every(limits.rejudgeEveryMs, () => this.#tick());
    this.#stops = [
      () => timer.cancel(),
      ports.feed.onChange(() => this.rejudge()),
      ports.snapshot.onChange(() => this.rejudge()),
      ports.identity.onChange(() => this.rejudge()),
      ports.drain.onChange((draining) => {
        if (draining) this.#announceDrain();
      }),
    ];
  }

  /** Paths not over yet. */
  get count(): number {
    return this.#paths.size;
  }

  /** Takes a path on. */
  add(path: NewPath): HopPath {
    const { events, counters } = this.#ports;
    const hop = new HopPath({
      offer: path.offer,
      predecessor: path.predecessor,
      tag: path.tag,
      ...(path.admission === undefined ? {} : { admission: path.admission }),
      onLive: () => {
        counters.pathsOpened += 1;
        counters.pathsLive += 1;
        events.emit("path_opened", this.#facts(path));
        hop.onEnd(() => {
          counters.pathsLive -= 1;
        });
      },
      onOver: (over, reason) => this.#over(over, path, reason),
    });
    this.#paths.set(hop, path.initiatorDer);
    return hop;
  }

  /** Positions on an offered path of relays that live client paths of the same trunk go over already. */
  sharedRelays(offer: PathOffer): number[] {
    const used = new Set<string>();
    for (const { offer: other, state } of this.#paths.keys()) {
      if (state !== "live" || other.farEdge !== FarEdge.POOL) continue;
      if (Buffer.compare(other.trunkId, offer.trunkId) !== 0) continue;
      for (const relay of other.hops.slice(1, -1)) used.add(relay);
    }
    return offer.hops.flatMap((hop, at) => (at > 0 && at < offer.hops.length - 1 && used.has(hop) ? [at] : []));
  }

  /** Every path that lives here with the roots of the leaves it lives under, and how to leave it where this node opened it. */
  *rollables(): Generator<Rollable> {
    const selfId = this.#ports.identity.current().nodeId;
    for (const [path, initiatorDer] of this.#paths) {
      if (path.state !== "live") continue;
      const initiator = this.#judge.initiator(initiatorDer);
      const issuers = [...(initiator.ok ? [initiator.issuerKeyId] : []), path.peerIssuer ?? ""];
      // Of nobody: the path is to be left, and no node on it to be shunned.
      const roll = (): void => path.emit({ kind: "draining", nodeId: "" });
      const isOwn = path.offer.initiatorId === selfId;
      yield { peerId: isOwn ? (path.offer.hops.at(-1) ?? "") : "", issuers, roll: isOwn ? roll : () => {} };
    }
  }

  /** What the signed policies allow paths of an organization now. */
  offline(organizationId: string): OfflineVerdict {
    return this.#offline.path(organizationId);
  }

  /** Cuts what may no longer be (HO1, HO2): after every change of what this node holds for true. */
  rejudge(): void {
    const snapshot = this.#ports.snapshot.current();
    if (snapshot === undefined) return void this.#tick();
    // One answer per node and pass: paths share their hops.
    const revoked = new Map<string, boolean>();
    const isRevoked = (nodeId: string): boolean => {
      const answer = revoked.get(nodeId) ?? this.#judge.nodeRevoked(nodeId);
      revoked.set(nodeId, answer);
      return answer;
    };
    for (const [path, initiatorDer] of [...this.#paths]) {
      const lost = this.#lostRight(path.offer, initiatorDer, snapshot, isRevoked);
      if (lost !== undefined) path.revoke(lost);
    }
    this.#tick();
  }

  /** Cuts the paths whose last or next hop is this neighbour: the leaf they were agreed on with was revoked (HO1). */
  cutNeighbour(nodeId: string): void {
    const selfId = this.#ports.identity.current().nodeId;
    for (const path of [...this.#paths.keys()]) {
      const { hops } = path.offer;
      const at = hops.indexOf(selfId);
      if (hops[at - 1] === nodeId || hops[at + 1] === nodeId) path.revoke(nodeId);
    }
  }

  /** What time alone can change: the offline mode, and the certificates of the connections that end here. */
  #tick(): void {
    // One answer per organization and pass.
    const cuts = new Map<string, boolean>();
    for (const path of [...this.#paths.keys()]) {
      const { organizationId } = path.offer;
      const cut = cuts.get(organizationId) ?? this.#offline.cutsPaths(organizationId);
      cuts.set(organizationId, cut);
      const lost = cut ? undefined : path.guarded();
      if (cut) path.end("limit");
      else if (lost !== undefined) path.revoke(lost);
    }
  }

  close(): void {
    for (const stop of this.#stops.splice(0)) stop();
    for (const path of [...this.#paths.keys()]) path.end("shutdown");
  }

  /** The node that makes this path one that would not be agreed to today, or undefined. */
  #lostRight(
    offer: PathOffer,
    initiatorDer: Uint8Array,
    snapshot: Snapshot,
    isRevoked: (nodeId: string) => boolean,
  ): string | undefined {
    const selfId = this.#ports.identity.current().nodeId;
    const at = offer.hops.indexOf(selfId);
    for (const nodeId of offer.hops) if (nodeId !== selfId && isRevoked(nodeId)) return nodeId;
    const next = offer.hops[at + 1];
    if (next !== undefined && neighbourById(snapshot, next) === undefined) return next;
    if (at === 0) return undefined;
    const before = offer.hops[at - 1];
    if (before !== undefined && neighbourById(snapshot, before) === undefined) return before;
    const organizationId = offer.organizationId === "" ? undefined : offer.organizationId;
    const roles = memberById(snapshot, offer.initiatorId)?.roles ?? [];
    if (!hasRole(roles, NodeRole.ENTRY, organizationId)) return offer.initiatorId;
    const verdict = this.#judge.initiator(initiatorDer);
    // An expired leaf was good when the path was made; edges replace paths before that. Anything else has been taken away.
    return verdict.ok || verdict.why === "CERT_EXPIRED" ? undefined : offer.initiatorId;
  }

  #announceDrain(): void {
    const nodeId = this.#ports.identity.current().nodeId;
    for (const path of this.#paths.keys()) path.emit({ kind: "draining", nodeId });
  }

  #over(hop: HopPath, path: NewPath, reason: ClosingReason): void {
    this.#paths.delete(hop);
    this.#ports.events.emit("path_closed", { ...this.#facts(path), reason });
    this.#ports.log.debug("path over", { pathTag: path.tag, reason });
  }

  #facts({ offer, tag }: NewPath): Record<string, string> {
    return { path: tag, trunk: Buffer.from(offer.trunkId).toString("hex"), hops: offer.hops.join(" ") };
  }
}
