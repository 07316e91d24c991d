/** The far end of a path: TLS as the server, exactly the expected peer, then the egress role has it. */

import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { FarEdge, type PathOffer } from "../gen/weft/relay/v1/relay_pb.ts";
import { resetSocket } from "../lib/reset-socket.ts";
import { type Caller, isRefusal } from "../rpc/caller.ts";
import type { Doors } from "./doors.ts";
import type { HopPath } from "./hop-path.ts";
import type { Guest, PeerJudge } from "./peer-judge.ts";

export interface PathEnd {
  /** Server role in TLS; the peer is judged: the offer's initiator, or a client for a pool path. */
  readonly tls: TLSSocket;
  /** To give the path up: `resetSocket(raw, tls)`. */
  readonly raw: Socket;
  /** Verified and authorized. */
  readonly offer: PathOffer;
  readonly caller: Caller;
  readonly hops: readonly string[];
  readonly pathTag: string;
}

export type OnPathEnd = (end: PathEnd) => void;

export interface PathEndDeps {
  readonly doors: Doors;
  readonly judge: PeerJudge;
  readonly onPathEnd: OnPathEnd;
}

/** Ends a path on this node: the connection is shaken by the one root the path's far edge demands. */
export function endPath(raw: Socket, path: HopPath, deps: PathEndDeps): void {
  const { doors, judge, onPathEnd } = deps;
  const { offer } = path;
  const door = offer.farEdge === FarEdge.POOL ? doors.pool(offer.poolId) : doors.pathEndNode;
  const guest: Guest = offer.farEdge === FarEdge.POOL ? { kind: "client" } : { kind: "node", id: offer.initiatorId };
  path.onEnd(() => resetSocket(raw));
  if (door === undefined) return void path.end("shutdown");
  door.enter(raw, {
    guest,
    invited: true,
    onFailed: () => path.end("peer_error"),
    onAdmitted: ({ tls, caller }) => {
      if (path.state === "over") return void resetSocket(raw, tls);
      raw.once("close", () => path.end("peer_closed"));
      // A client's revocation is nobody's business but this edge's: the path is revoked in this edge's name.
      path.guard(() => (isRefusal(judge.again(tls, caller)) ? (path.offer.hops.at(-1) ?? "") : undefined));
      path.shown(caller.issuerKeyIdHex);
      path.live();
      onPathEnd({ tls, raw, offer, caller, hops: offer.hops, pathTag: path.tag });
    },
  });
}
