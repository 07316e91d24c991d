/**
 * One path as one node sees it: from the moment it agrees until the bytes have stopped. The initiator, every relay and the
 * far edge each hold one.
 *
 * HP1. It ends once, whatever ends it first; ending releases its budget, withdraws what waits and tells the predecessor.
 * HP2. Events of later hops pass on unchanged; losing the signalling stream changes nothing here.
 */

import type { PathOffer } from "../gen/weft/relay/v1/relay_pb.ts";
import type { Admission } from "../relay/budget.ts";
import type { Unsubscribe } from "./ports.ts";

export type PathEvent =
  | { readonly kind: "draining"; readonly nodeId: string }
  | { readonly kind: "revoked"; readonly nodeId: string }
  | { readonly kind: "closing"; readonly reason: ClosingReason };

/** The short constants of `PathClosing.reason`. */
export const closingReasons = [
  "peer_closed",
  "peer_error",
  "silent",
  "shutdown",
  "token_expired",
  "limit",
  "revoked",
] as const;
export type ClosingReason = (typeof closingReasons)[number];

export interface HopPathOptions {
  readonly offer: PathOffer;
  /** Node id, or `client/<id>` for a client's own leg. */
  readonly predecessor: string;
  readonly admission?: Admission;
  /** First hex digits by which logs name the path. */
  readonly tag: string;
  readonly onLive: (path: HopPath) => void;
  readonly onOver: (path: HopPath, reason: ClosingReason) => void;
}

export class HopPath {
  readonly offer: PathOffer;
  readonly predecessor: string;
  readonly tag: string;
  readonly #options: HopPathOptions;
  readonly #listeners = new Set<(event: PathEvent) => void>();
  readonly #undo: (() => void)[] = [];
  readonly #signalling = new AbortController();
  #state: "pending" | "live" | "over" = "pending";
  #last: PathEvent | undefined;
  #guard: () => string | undefined = () => undefined;
  #peerIssuer: string | undefined;

  constructor(options: HopPathOptions) {
    this.#options = options;
    this.offer = options.offer;
    this.predecessor = options.predecessor;
    this.tag = options.tag;
  }

  get state(): "pending" | "live" | "over" {
    return this.#state;
  }

  /** Aborts when the path is over: ends the call to the next hop. */
  get signal(): AbortSignal {
    return this.#signalling.signal;
  }

  /** What to release when the path ends; at once when it is over already. */
  onEnd(release: () => void): void {
    if (this.#state === "over") release();
    else this.#undo.push(release);
  }

  /** Edges: who of this path is no longer accepted, asked again and again while it lives. */
  guard(check: () => string | undefined): void {
    this.#guard = check;
  }

  /** Edges: key id of the root that the other end's leaf is from. */
  get peerIssuer(): string | undefined {
    return this.#peerIssuer;
  }

  /** Edges: what the other end showed. */
  shown(issuerKeyId: string | undefined): void {
    this.#peerIssuer = issuerKeyId;
  }

  /** The node that lost its right by the edge's own judgement, or undefined. */
  guarded(): string | undefined {
    return this.#guard();
  }

  /** Bytes flow from now on. */
  live(): void {
    if (this.#state !== "pending") return;
    this.#state = "live";
    this.#options.admission?.established();
    this.#options.onLive(this);
  }

  /** Hears every event from now on, and the newest one so far. */
  onEvent(listener: (event: PathEvent) => void): Unsubscribe {
    this.#listeners.add(listener);
    if (this.#last !== undefined) listener(this.#last);
    return () => void this.#listeners.delete(listener);
  }

  /** Passes an event on to whoever is upstream. */
  emit(event: PathEvent): void {
    this.#last = event;
    for (const listener of [...this.#listeners]) listener(event);
  }

  /** A hop or an edge lost its right: tells which, and ends the path (HP1). */
  revoke(nodeId: string): void {
    if (this.#state === "over") return;
    this.emit({ kind: "revoked", nodeId });
    this.end("revoked");
  }

  end(reason: ClosingReason): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.#options.admission?.release();
    for (const release of this.#undo.splice(0)) release();
    this.emit({ kind: "closing", reason });
    this.#signalling.abort();
    this.#options.onOver(this, reason);
  }
}

/** The reason as one of ours, whatever a peer sent. */
export function closingReason(text: string): ClosingReason {
  return closingReasons.find((known) => known === text) ?? "peer_closed";
}
