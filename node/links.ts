/**
 * The standing links of a node: what the snapshot asks for, reconciled with what runs.
 *
 * LK1. One forward link per active neighbour this node dials (`link-peers.ts` says which); a dial-out-only node adds a
 *      reverse link to each.
 * LK2. A neighbour that left the snapshot or was revoked is cut, whichever side dialled: on every change, and on a timer.
 * LK3. Every link that comes up, and every change of the feed, exchanges feeds: a newer one is everywhere in one round.
 */

import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { create } from "@bufbuild/protobuf";
import type { Client, Transport } from "@connectrpc/connect";
import { withinLife } from "../certs/leaf-life.ts";
import { neighbourById } from "../fabric/members.ts";
import { toRouteLink } from "../fabric/routing/observe.ts";
import { type Neighbour, type RouteLink, RouteLinkSchema, type Snapshot } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import { type LinkStatus, LinkStatusSchema } from "../gen/weft/node/v1/node_pb.ts";
import { RelayService } from "../gen/weft/relay/v1/relay_pb.ts";
import { type LinkProof, LinkProofSchema } from "../gen/weft/routing/v1/routing_pb.ts";
import { assert, messageOf } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import { resetSocket } from "../lib/reset-socket.ts";
import type { Caller } from "../rpc/caller.ts";
import { isRefusal } from "../rpc/caller.ts";
import { rpcClient } from "../rpc/client.ts";
import { tracedTransport } from "../rpc/trace-calls.ts";
import { exchangeFeed } from "./feed-exchange.ts";
import { Link, type LinkOptions, type LinkState, type LinkUse } from "./link.ts";
import { type LinkCalls, openLinkCalls } from "./link-calls.ts";
import { failureClass, LinkMeter } from "./link-meter.ts";
import { dialsElsewhere, LinkPeers } from "./link-peers.ts";
import { type PeerJudge, sourceOf } from "./peer-judge.ts";
import type { DataPlanePorts } from "./plane-ports.ts";
import type { Unsubscribe } from "./ports.ts";
import type { Rollable } from "./tainted-roll.ts";
import type { Admitted } from "./tls-door.ts";

export interface LinksDeps {
  readonly ports: DataPlanePorts;
  readonly judge: PeerJudge;
  /** Serves RPCs to a neighbour on a connection this node dialled. */
  readonly serve: (tls: TLSSocket, caller: Caller) => LinkUse;
  /** A link is cut because its peer is no longer accepted. */
  readonly onRefused?: (nodeId: string, why: string) => void;
}

/** Everything about one neighbour: its links, the calls that can be made on them, what probes said. */
interface Slot {
  readonly meter: LinkMeter;
  neighbour: Neighbour;
  forward?: Link;
  reverse?: Link;
  /** On the forward link. */
  calls?: LinkCalls;
  /** On a connection the neighbour dialled to be called on. */
  adopted?: { readonly calls: LinkCalls; readonly admitted: Admitted; readonly sinceWallMs: number };
}

export class Links {
  readonly #deps: LinksDeps;
  readonly #slots = new Map<string, Slot>();
  readonly #peers: LinkPeers;
  readonly #stops: Unsubscribe[] = [];
  #active: ReadonlySet<string> = new Set();
  #closed = false;

  constructor(deps: LinksDeps) {
    this.#deps = deps;
    this.#peers = new LinkPeers(deps.ports.clock);
    const { snapshot, feed, identity, clock } = deps.ports;
    this.#stops.push(
      snapshot.onChange((current) => this.#reconcile(current)),
      feed.onChange(() => {
        this.rejudge();
        for (const slot of this.#slots.values()) this.#exchange(slot);
      }),
      identity.onChange(() => {
        this.#renewSoon();
        this.rejudge();
      }),
    );
    const timers = [
      clock.every(limits.rejudgeEveryMs, () => this.rejudge()),
      clock.every(limits.linkProbeMs, () => {
        this.#noteDown();
        this.#choose();
      }),
    ];
    this.#stops.push(() => {
      for (const timer of timers) timer.cancel();
    });
    const current = snapshot.current();
    if (current !== undefined) this.#reconcile(current);
  }

  /** Calls to a neighbour; undefined while no link to it is up. */
  transportTo(nodeId: string): Transport | undefined {
    return this.#callsTo(nodeId)?.transport;
  }

  /** RelayService of a neighbour; undefined while no link to it is up. */
  relayTo(nodeId: string): Client<typeof RelayService> | undefined {
    const transport = this.transportTo(nodeId);
    if (transport === undefined) return undefined;
    return rpcClient(RelayService, tracedTransport(transport, this.#deps.ports.tracer));
  }

  /** A neighbour connected to call this node: it keeps a link, and gets one back if there is room. */
  guest(admitted: Admitted): Admitted {
    const nodeId = admitted.caller.id?.id ?? "";
    if (!this.#slots.has(nodeId) || this.#closed) return admitted;
    this.#peers.guest(nodeId, admitted.raw);
    this.#choose();
    return admitted;
  }

  /** Whether this node keeps as many links as it may, and none to this neighbour. */
  isFull(nodeId: string): boolean {
    return this.#peers.isFull(nodeId);
  }

  /** Neighbours that cannot be called now, or that drain. */
  unreachable(): string[] {
    const isLost = (id: string): boolean => this.#callsTo(id)?.peerDraining() ?? true;
    return [...this.#slots.keys()].filter(isLost);
  }

  /** Takes over a connection a neighbour dialled to be called on. A newer one replaces an older one. */
  adopt(admitted: Admitted): void {
    const nodeId = admitted.caller.id?.id ?? "";
    const slot = this.#slots.get(nodeId);
    if (slot === undefined || this.#closed) return void resetSocket(admitted.raw, admitted.tls);
    const before = slot.adopted;
    const calls = this.#openCalls(admitted.tls, admitted.raw, slot);
    const adopted = { calls, admitted, sinceWallMs: this.#deps.ports.clock.nowMs() };
    slot.adopted = adopted;
    this.#peers.guest(nodeId, admitted.raw);
    before?.calls.close();
    admitted.raw.once("close", () => {
      calls.stop();
      if (slot.adopted !== adopted) return;
      delete slot.adopted;
      this.#lost(slot, "adopted");
    });
    this.#came(slot, "adopted");
  }

  status(): LinkState[] {
    return [...this.#slots.values()].flatMap((slot) => {
      const states: LinkState[] = [];
      if (slot.forward !== undefined) states.push(this.#stateOf(slot, slot.forward, false));
      if (slot.reverse !== undefined) states.push(this.#stateOf(slot, slot.reverse, true));
      if (slot.adopted !== undefined) {
        states.push({ ...this.#labels(slot), state: "up", reverse: false, upSinceMs: slot.adopted.sinceWallMs });
      }
      return states;
    });
  }

  /** The same as operators read it. */
  wireStatus(): LinkStatus[] {
    return this.status().map(({ upSinceMs, ...state }) =>
      create(LinkStatusSchema, {
        ...state,
        upSinceMs: BigInt(Math.floor(upSinceMs)),
        ...this.#slots.get(state.peerNodeId)?.meter.wireProof(),
      }),
    );
  }

  /** Each link with what it last proved, for the inventory: one per neighbour. */
  proofs(): LinkProof[] {
    const fromNodeId = this.#deps.ports.identity.current().nodeId;
    const byPeer = new Map(this.status().map((state) => [state.peerNodeId, state]));
    // Of a neighbour with several connections, the one it is called on counts.
    for (const state of this.status()) if (!state.reverse) byPeer.set(state.peerNodeId, state);
    return [...byPeer].map(([toNodeId, { state }]) => {
      const slot = this.#slots.get(toNodeId);
      const reverse = slot?.calls === undefined && slot?.adopted !== undefined;
      return create(LinkProofSchema, { fromNodeId, toNodeId, state, reverse, ...slot?.meter.wireProof() });
    });
  }

  /** This node's own measurements, for reports and for its own routing; links never measured are left out. */
  measurements(): RouteLink[] {
    const { clock, identity } = this.#deps.ports;
    const fromNodeId = identity.current().nodeId;
    return [...this.#slots.values()].flatMap(({ meter, neighbour }) =>
      meter.observation === undefined
        ? []
        : [create(RouteLinkSchema, toRouteLink(fromNodeId, neighbour.nodeId, meter.observation, clock.nowMs()))],
    );
  }

  /** Links this node dialled, with the roots that they rely on. */
  rollables(): Rollable[] {
    const links = [...this.#slots.values()].flatMap(({ forward, reverse }) => [forward, reverse]);
    return links.flatMap((link) => link?.rollable() ?? []);
  }

  /** Judges every peer again and cuts whoever is no longer accepted (LK2). */
  rejudge(): void {
    for (const slot of this.#slots.values()) {
      slot.forward?.rejudge();
      slot.reverse?.rejudge();
      const { adopted } = slot;
      if (adopted === undefined) continue;
      const { tls, raw } = adopted.admitted;
      const guest = { kind: "node", id: slot.neighbour.nodeId } as const;
      const verdict = this.#deps.judge.admit(tls, guest, { arrivedBy: "link", source: sourceOf(raw) });
      if (!isRefusal(verdict)) continue;
      this.#deps.onRefused?.(slot.neighbour.nodeId, verdict.refused);
      resetSocket(raw, tls);
    }
  }

  close(): void {
    this.#closed = true;
    for (const stop of this.#stops.splice(0)) stop();
    for (const slot of [...this.#slots.values()]) this.#remove(slot);
  }

  #reconcile(snapshot: Snapshot): void {
    if (this.#closed) return;
    const wanted = new Map(snapshot.neighbours.map((neighbour) => [neighbour.nodeId, neighbour]));
    for (const slot of [...this.#slots.values()]) {
      const neighbour = wanted.get(slot.neighbour.nodeId);
      if (neighbour === undefined || dialsElsewhere(slot.neighbour, neighbour)) this.#remove(slot);
      else slot.neighbour = neighbour;
    }
    const nowMs = this.#deps.ports.clock.nowMs();
    for (const [nodeId, neighbour] of wanted)
      if (!this.#slots.has(nodeId)) this.#slots.set(nodeId, { neighbour, meter: new LinkMeter(nowMs) });
    this.#choose();
    this.rejudge();
  }

  /** Dials who became active and lets go whom nothing stands for any more. */
  #choose(): void {
    const snapshot = this.#deps.ports.snapshot.current();
    if (snapshot === undefined || this.#closed) return;
    for (const [nodeId, slot] of this.#slots) if (slot.calls?.peerFull() === true) this.#peers.full(nodeId);
    this.#active = this.#peers.choose(snapshot, (nodeId) => this.#callsTo(nodeId) !== undefined);
    for (const slot of this.#slots.values()) {
      if (this.#active.has(slot.neighbour.nodeId)) this.#dial(slot, snapshot);
      else this.#letGo(slot);
    }
  }

  #letGo(slot: Slot): void {
    const { forward, reverse } = slot;
    delete slot.forward;
    delete slot.reverse;
    forward?.close();
    reverse?.close();
  }

  #dial(slot: Slot, snapshot: Snapshot): void {
    const { neighbour } = slot;
    if (slot.forward !== undefined || !neighbour.dial || neighbour.dialOutOnly || neighbour.addresses.length === 0)
      return;
    slot.forward = new Link({
      ...this.#linkOptions(slot),
      direction: "forward",
      onUp: (tls, raw) => this.#forwardUp(slot, tls, raw),
      onDown: () => this.#lost(slot, "forward"),
    });
    if (snapshot.self?.dialOutOnly !== true) return;
    slot.reverse = new Link({
      ...this.#linkOptions(slot),
      direction: "reverse",
      onUp: (tls, raw) => this.#reverseUp(slot, tls, raw),
      onDown: () => this.#lost(slot, "reverse"),
    });
  }

  #linkOptions(slot: Slot): Pick<LinkOptions, "ports" | "judge" | "neighbour" | "onFailed" | "onRefused"> {
    const { ports, judge } = this.#deps;
    const onFailed = (error: unknown): void => slot.meter.noted(failureClass(error), ports.clock.nowMs());
    const onRefused = (why: string): void => this.#deps.onRefused?.(slot.neighbour.nodeId, why);
    return { ports, judge, neighbour: () => slot.neighbour, onFailed, onRefused };
  }

  #remove(slot: Slot): void {
    this.#slots.delete(slot.neighbour.nodeId);
    slot.forward?.close();
    slot.reverse?.close();
    if (slot.adopted !== undefined) resetSocket(slot.adopted.admitted.raw, slot.adopted.admitted.tls);
  }

  #forwardUp(slot: Slot, tls: TLSSocket, raw: Socket): LinkUse {
    const calls = this.#openCalls(tls, raw, slot);
    slot.calls = calls;
    raw.once("close", () => {
      calls.stop();
      if (slot.calls === calls) delete slot.calls;
    });
    this.#came(slot, "forward");
    return calls;
  }

  #reverseUp(slot: Slot, tls: TLSSocket, raw: Socket): LinkUse {
    const guest = { kind: "node", id: slot.neighbour.nodeId } as const;
    const caller = this.#deps.judge.admit(tls, guest, { arrivedBy: "link", source: sourceOf(raw) });
    // Judged inside the handshake a moment ago; if that changed since, the connection goes.
    if (isRefusal(caller)) {
      resetSocket(raw, tls);
      return { close: () => {} };
    }
    this.#report("link_up", slot, "reverse");
    return this.#deps.serve(tls, caller);
  }

  #openCalls(tls: TLSSocket, raw: Socket, slot: Slot): LinkCalls {
    const { clock, log } = this.#deps.ports;
    return openLinkCalls({ tls, raw, meter: slot.meter, clock, log });
  }

  #came(slot: Slot, how: string): void {
    this.#report("link_up", slot, how);
    this.#exchange(slot);
  }

  #lost(slot: Slot, how: string): void {
    if (this.#active.has(slot.neighbour.nodeId)) slot.meter.failed(this.#deps.ports.clock.nowMs(), "closed");
    this.#report("link_down", slot, how);
  }

  #report(kind: "link_up" | "link_down", slot: Slot, how: string): void {
    const { nodeId, name } = slot.neighbour;
    this.#deps.ports.events.emit(kind, { peer: nodeId, peer_name: name, link: how });
  }

  #exchange(slot: Slot): void {
    const transport = this.transportTo(slot.neighbour.nodeId);
    if (transport === undefined) return;
    exchangeFeed(rpcClient(RelayService, transport), this.#deps.ports.feed, transport).catch((error: unknown) => {
      this.#deps.ports.log.info("feed not exchanged", { peer: slot.neighbour.nodeId, error: messageOf(error) });
    });
  }

  /** Not all at once: every renewal is a handshake, and neighbours renew too. */
  #renewSoon(): void {
    const { clock, random, identity } = this.#deps.ports;
    const spreadMs = withinLife(identity.current().leaf, limits.linkRenewSpreadMs, 1 / 12);
    for (const slot of this.#slots.values()) {
      for (const link of [slot.forward, slot.reverse]) {
        if (link !== undefined) clock.after(random.float() * spreadMs, () => link.renew());
      }
    }
  }

  #callsTo(nodeId: string): LinkCalls | undefined {
    const slot = this.#slots.get(nodeId);
    return slot?.calls ?? slot?.adopted?.calls;
  }

  #noteDown(): void {
    const nowMs = this.#deps.ports.clock.nowMs();
    for (const [nodeId, slot] of this.#slots)
      if (this.#active.has(nodeId) && this.#callsTo(nodeId) === undefined) slot.meter.failed(nowMs);
  }

  #labels(slot: Slot): Omit<LinkState, "state" | "reverse" | "upSinceMs"> {
    const { rttMs, jitterMs, lossShare } = slot.meter.observation ?? {};
    return {
      peerNodeId: slot.neighbour.nodeId,
      peerName: slot.neighbour.name,
      ...(rttMs === undefined ? {} : { rttMs }),
      ...(jitterMs === undefined ? {} : { jitterMs }),
      ...(lossShare === undefined ? {} : { lossShare }),
    };
  }

  #stateOf(slot: Slot, link: Link, reverse: boolean): LinkState {
    const { phase } = link;
    assert(phase.at !== "gone", "a removed link is not listed");
    const draining = phase.at === "up" && !reverse && slot.calls?.peerDraining() === true;
    return {
      ...this.#labels(slot),
      state: draining ? "draining" : phase.at,
      reverse,
      upSinceMs: phase.at === "up" ? phase.connection.sinceWallMs : 0,
    };
  }
}

/** The neighbour under that id in the newest snapshot, if this node may talk to it. */
export function neighbourOf(ports: Pick<DataPlanePorts, "snapshot">, nodeId: string): Neighbour | undefined {
  const snapshot = ports.snapshot.current();
  return snapshot === undefined ? undefined : neighbourById(snapshot, nodeId);
}
