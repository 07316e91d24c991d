/** An end-to-end TLS connection between two edges, as `edge/` takes it over: handshake done, peer judged. */

import type net from "node:net";
import type { TLSSocket } from "node:tls";
import type { SignedAsk } from "../fabric/path/ask.ts";

export interface EdgePathEvent {
  readonly kind: "draining" | "revoked" | "closing";
  /** Who drains or was revoked; absent where the edge may not know. */
  readonly nodeId?: string;
}

export interface EdgePath {
  readonly tls: TLSSocket;
  /** The socket under the TLS: a path is given up by resetting this one. */
  readonly raw: net.Socket;
  /** Node ids, edge to edge. */
  readonly hops: readonly string[];
  /** Wall time at which the first of the two leaves on it expires: it is replaced half way to that. */
  readonly expiresAtMs?: number;
  /** Client edges: what is shown to the far edge in every Attach on this path; its hash is in the offer the path came by. */
  readonly ask?: SignedAsk;
  /** Called once, when nothing here uses the path any more. */
  close?(): void;
  /** Calls `listener` with what the hops say of the path from now on, and with the newest news so far. */
  onEvent?(listener: (event: EdgePathEvent) => void): () => void;
}

export interface AcceptedPath<C> extends EdgePath {
  /** Who is at the other end, organization included: every path of one trunk has the same. */
  readonly peerKey: string;
  readonly organizationId: string;
  /** The trunk the path was offered for; an Attach that names another one is refused. */
  readonly trunkId?: Uint8Array;
  /** Whatever the owner wants back in `accept` and `onChannel`. */
  readonly context: C;
}
