/**
 * The initiating side of paths: signs the offer, asks the first hop, brings the first leg, and shakes hands with the far
 * edge through all of them.
 *
 * PA1. What `open` returns is a finished TLS connection to exactly the far edge asked for; what it rejects with has left
 *      nothing behind: no socket, no token, no call.
 * PA2. At most `openingPathsMaxCount` handshakes are begun at a time, whoever asks: a herd would starve what lives.
 * PA3. Errors name no node; `metadata.hop` is the position on the path that failed.
 */

import { createPrivateKey, type KeyObject } from "node:crypto";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { create, fromBinary } from "@bufbuild/protobuf";
import type { LeafOf } from "../certs/material.ts";
import { tlsOptions } from "../certs/tls-options.ts";
import { startTls } from "../edge/dial.ts";
import { signOffer } from "../fabric/path/offer.ts";
import type { ChannelClass } from "../gen/weft/fabric/v1/role_pb.ts";
import {
  FarEdge,
  type OpenPathRequest,
  OpenPathRequestSchema,
  PathOfferSchema,
  type PathPurpose,
} from "../gen/weft/relay/v1/relay_pb.ts";
import { WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import { resetSocket } from "../lib/reset-socket.ts";
import { traced } from "../lib/tracer.ts";
import { type LegTable, legHash } from "../relay/legs.ts";
import { type Caller, isRefusal } from "../rpc/caller.ts";
import { askHop, pathError } from "./ask-hop.ts";
import type { HopPath, PathEvent } from "./hop-path.ts";
import type { Hops } from "./hops.ts";
import { type Links, neighbourOf } from "./links.ts";
import { dropNextLeg, type LegAction, type NextLeg, openNextLeg, prepareNextLeg } from "./next-leg.ts";
import { pathRate } from "./path-rate.ts";
import { type PeerJudge, sourceOf } from "./peer-judge.ts";
import type { DataPlanePorts } from "./plane-ports.ts";
import type { Unsubscribe } from "./ports.ts";
import { Turnstile } from "./turnstile.ts";

export type { PathEvent } from "./hop-path.ts";

export interface PathRequest {
  /** Node ids in order: own first, far edge last. */
  readonly hops: readonly string[];
  readonly purpose: PathPurpose;
  /** 16 bytes. */
  readonly trunkId: Uint8Array;
  readonly class: ChannelClass;
  readonly organizationId: string;
  /** 0n or absent: unlimited. */
  readonly rateBytesPerSecond?: bigint;
  readonly signal?: AbortSignal;
}

export interface ClientPathRequest extends PathRequest {
  /** The pool whose identity the far edge shows the client. */
  readonly poolId: string;
  /** SHA-256 of the client's signed ask. */
  readonly askHash: Uint8Array;
  readonly clientId: string;
}

export interface OpenedPath {
  /** Client role in TLS; handshake done, far edge judged. */
  readonly tls: TLSSocket;
  /** To give the path up: `resetSocket(raw, tls)`. */
  readonly raw: Socket;
  readonly hops: readonly string[];
  readonly pathTag: string;
  /** The judged far edge. */
  readonly peer: Caller;
  /** When the first of the two leaves expires: wall time. */
  readonly expiresAtMs: number;
  /** How long set-up took, milliseconds. */
  readonly openMs: number;
  /** Hears every event from now on, and the newest one so far. */
  onEvent(listener: (event: PathEvent) => void): Unsubscribe;
  /** Resets the connection and ends the signalling. Idempotent. */
  close(): void;
}

/** A leg for a client that is an edge itself. */
export interface ClientLeg {
  /** For the client to present on this node's public port, once, within 5 s. */
  readonly legToken: Uint8Array;
  readonly pathTag: string;
  onEvent(listener: (event: PathEvent) => void): Unsubscribe;
  close(): void;
}

export interface PathOpener {
  /** A path to the far edge node. Rejects with a WeftError whose detail is PATH_*, OFFER_* or FEED_BEHIND. */
  open(request: PathRequest): Promise<OpenedPath>;
  /** The first leg of a client's own path to a pool. Rejects like `open`. */
  openForClient(request: ClientPathRequest): Promise<ClientLeg>;
}

export interface PathOpenerDeps {
  readonly ports: DataPlanePorts;
  readonly judge: PeerJudge;
  readonly links: Links;
  readonly legs: LegTable<LegAction>;
  readonly hops: Hops;
}

interface Connected {
  readonly tls: TLSSocket;
  readonly raw: Socket;
  readonly peer: Caller;
}

interface Asked {
  readonly path: HopPath;
  readonly next: NextLeg;
}

export function createPathOpener(deps: PathOpenerDeps): PathOpener {
  const initiator = new Initiator(deps);
  return {
    open: (request) => initiator.open(request),
    openForClient: (request) => initiator.openForClient(request),
  };
}

class Initiator {
  readonly #deps: PathOpenerDeps;
  readonly #turnstile: Turnstile;
  #key: { readonly leaf: LeafOf<"node">; readonly key: KeyObject } | undefined;

  constructor(deps: PathOpenerDeps) {
    this.#deps = deps;
    this.#turnstile = new Turnstile(deps.ports.clock, {
      insideMaxCount: limits.openingPathsMaxCount,
      waitingMaxCount: limits.openingPathsQueueMaxCount,
      lendMs: limits.openingPathsLendMs,
    });
  }

  async open(request: PathRequest): Promise<OpenedPath> {
    const { clock } = this.#deps.ports;
    const signal = request.signal ?? new AbortController().signal;
    const startedMs = clock.monoMs();
    const { path, next } = await this.#ask(request, signal, { farEdge: FarEdge.NODE });
    const { tls, raw, peer } = await this.#connect(path, next, signal);
    raw.once("close", () => path.end("peer_closed"));
    const far = request.hops.at(-1) ?? "";
    path.guard(() => (isRefusal(this.#deps.judge.farEdge(tls, far, peer.sourceAddress)) ? far : undefined));
    path.shown(peer.issuerKeyIdHex);
    path.live();
    return {
      tls,
      raw,
      hops: request.hops,
      pathTag: path.tag,
      peer,
      openMs: clock.monoMs() - startedMs,
      expiresAtMs: this.#expiresAtMs(tls),
      onEvent: (listener) => path.onEvent(listener),
      close: () => path.end("peer_closed"),
    };
  }

  async openForClient(request: ClientPathRequest): Promise<ClientLeg> {
    const signal = request.signal ?? new AbortController().signal;
    const { poolId, askHash } = request;
    const { path, next } = await this.#ask(request, signal, { farEdge: FarEdge.POOL, poolId, askHash });
    try {
      const leg = this.#deps.legs.mint({
        predecessor: path.predecessor,
        initiator: path.offer.initiatorId,
        value: { kind: "splice", path, next },
        onUnused: () => path.end("token_expired"),
      });
      path.onEnd(() => leg.withdraw());
      const onEvent = path.onEvent.bind(path);
      return { legToken: leg.token, pathTag: path.tag, onEvent, close: () => path.end("peer_closed") };
    } catch (error) {
      path.end("limit");
      throw error;
    }
  }

  #expiresAtMs(tls: TLSSocket): number {
    const farMs = tls.getPeerX509Certificate()?.validToDate.getTime() ?? 0;
    return Math.min(farMs, this.#deps.ports.identity.current().leaf.notAfterMs);
  }

  /** Everything before the first leg: the offer, the answer of the first hop, the way to it. */
  async #ask(request: PathRequest, signal: AbortSignal, far: FarFields): Promise<Asked> {
    const { ports, links, legs, hops } = this.#deps;
    if (signal.aborted) throw pathError("canceled", "PATH_CANCELED", 0);
    const next = request.hops[1] ?? "";
    const neighbour = neighbourOf(ports, next);
    if (neighbour === undefined) throw pathError("failed_precondition", "PATH_NOT_A_NEIGHBOUR", 1);
    const client = links.relayTo(next);
    if (client === undefined) throw pathError("unavailable", "PATH_NEXT_HOP_UNREACHABLE", 1);
    const wire = this.#sign(request, far);
    const clientId = "clientId" in request ? String(request.clientId) : "";
    const path = hops.add({
      offer: fromBinary(PathOfferSchema, wire.offer),
      predecessor: clientId === "" ? ports.identity.current().nodeId : `client/${clientId}`,
      tag: legHash(wire.offer).slice(0, 8),
      initiatorDer: wire.initiatorCertificate,
    });
    const onAbort = (): void => {
      if (path.state === "pending") path.end("token_expired");
    };
    signal.addEventListener("abort", onAbort, { once: true });
    path.onEnd(() => signal.removeEventListener("abort", onAbort));
    try {
      const { clock, tracer } = ports;
      const onEvent = path.emit.bind(path);
      const token = await askHop(client, wire, { clock, signal: path.signal, hop: 1, onEvent, tracer });
      const leg = { neighbour, token, initiatorId: path.offer.initiatorId, hop: 1, signal: path.signal };
      const prepared = await prepareNextLeg({ legs, links, clock }, leg);
      path.onEnd(() => dropNextLeg(prepared));
      return { path, next: prepared };
    } catch (error) {
      path.end("token_expired");
      ports.log.info("path not opened", { pathTag: path.tag, peer: next, detail: detailOf(error) });
      throw error;
    }
  }

  /** The first leg and the handshake through all of them (PA1). */
  async #connect(path: HopPath, next: NextLeg, signal: AbortSignal): Promise<Connected> {
    const { log, tracer } = this.#deps.ports;
    const shake = (): Promise<Connected> => this.#turnstile.pass(() => this.#shake(path, next), signal);
    try {
      if (tracer === undefined) return await shake();
      const attributes = { "weft.path": path.tag, "weft.hops": path.offer.hops.length };
      return await traced(tracer, tracer.inside("weft.path.connect", { attributes }), shake);
    } catch (error) {
      path.end("peer_error");
      log.info("path not connected", { pathTag: path.tag, detail: detailOf(error) });
      if (signal.aborted) throw pathError("canceled", "PATH_CANCELED", 0, error);
      throw connectError(error, path.offer.hops.length - 1);
    }
  }

  async #shake(path: HopPath, next: NextLeg): Promise<Connected> {
    const { ports, judge } = this.#deps;
    const far = path.offer.hops.at(-1) ?? "";
    const raw = await openNextLeg(next, ports.clock, path.signal);
    path.onEnd(() => resetSocket(raw));
    const identity = ports.identity.current().leaf;
    const options = tlsOptions("dial-path-end-node", { identity, expect: judge.expect("node", { ids: [far] }) });
    const dial = { clock: ports.clock, deadlineMs: limits.handshakeDeadlineMs, signal: path.signal };
    const tls = await startTls(raw, options, dial);
    const peer = judge.farEdge(tls, far, sourceOf(raw));
    if (isRefusal(peer)) throw pathError("permission_denied", "PATH_PEER_REFUSED", path.offer.hops.length - 1);
    return { tls, raw, peer };
  }

  #sign(request: PathRequest, far: FarFields): OpenPathRequest {
    const { ports } = this.#deps;
    const { trustDomain, clusterId, nodeId, leaf } = ports.identity.current();
    const snapshot = ports.snapshot.current();
    const { epoch, seq } = ports.feed.position();
    const nowMs = ports.clock.nowMs();
    const signed = signOffer(this.#keyOf(leaf), {
      trustDomain,
      clusterId,
      initiatorId: nodeId,
      initiatorLeafSerial: Buffer.from(leaf.serialHex, "hex"),
      hops: [...request.hops],
      purpose: request.purpose,
      trunkId: request.trunkId,
      class: request.class,
      organizationId: request.organizationId,
      snapshotEpoch: snapshot?.epoch ?? 0n,
      snapshotVersion: snapshot?.version ?? 0n,
      feedEpoch: epoch,
      feedSeq: seq,
      issuedAtMs: BigInt(nowMs),
      expiresAtMs: BigInt(nowMs + limits.offerLifeMs),
      nonce: ports.random.bytes(16),
      ...this.#rate(request),
      ...far,
    });
    return create(OpenPathRequestSchema, { ...signed, initiatorCertificate: leaf.certificateDer });
  }

  /** What this node's own policy says: every hop holds the path to it, or to less. */
  #rate({ class: channelClass, organizationId, rateBytesPerSecond = 0n }: PathRequest) {
    const asked = { class: channelClass, organizationId, rateBytesPerSecond, burstBytes: 0n };
    const rate = pathRate(asked, this.#deps.ports.snapshot.current());
    return {
      rateBytesPerSecond: BigInt(Math.floor(rate?.rateBytesPerSecond ?? 0)),
      burstBytes: BigInt(Math.floor(rate?.burstBytes ?? 0)),
    };
  }

  #keyOf(leaf: LeafOf<"node">): KeyObject {
    if (this.#key?.leaf !== leaf) this.#key = { leaf, key: createPrivateKey(leaf.keyPem) };
    return this.#key.key;
  }
}

type FarFields =
  | { readonly farEdge: typeof FarEdge.NODE }
  | { readonly farEdge: typeof FarEdge.POOL; readonly poolId: string; readonly askHash: Uint8Array };

/** Failures after the path was agreed: the first leg could not be brought, or the far edge is not who it should be. */
function connectError(error: unknown, farHop: number): WeftError {
  if (!(error instanceof WeftError)) return pathError("unavailable", "PATH_TLS_FAILED", farHop, error);
  if (error.detail.startsWith("PATH_")) return error;
  if (error.detail === "DIAL_FAILED") return pathError("unavailable", "PATH_DIAL_FAILED", 1, error);
  if (error.reason === "unauthenticated") return pathError("permission_denied", "PATH_PEER_REFUSED", farHop, error);
  return pathError("unavailable", "PATH_TLS_FAILED", farHop, error);
}

function detailOf(error: unknown): string {
  return error instanceof WeftError ? error.detail : "INTERNAL";
}
