/**
 * The simulated network: nodes, directed links, and ways, each one direction of something that runs over a list of nodes.
 * It behaves as TCP does: nothing is lost or reordered on a way that lives; a cut or a frozen node only holds bytes back, and
 * they come late, after a retransmission; a killed node loses what it held and resets both its neighbours; when only one
 * direction of a link is cut, the other goes on until too much is unconfirmed.
 */

import type { Random } from "../../lib/random.ts";
import type { SimLoop } from "./loop.ts";

export interface Chunk {
  readonly kind: "open" | "data" | "end" | "stop" | "goaway" | "fin" | "reset" | "signal";
  readonly sizeBytes: number;
  readonly streamId: number;
  readonly bytes?: Buffer;
}

export class NetNode {
  readonly id: string;
  frozen = false;
  dead = false;
  draining = false;
  revoked = false;
  /** Added to everything that passes, milliseconds. */
  slowMs = 0;
  /** Since when, and until when at least, something is wrong that may keep bytes from passing. */
  faultyFromMs = Number.POSITIVE_INFINITY;
  faultyUntilMs = Number.NEGATIVE_INFINITY;

  constructor(id: string) {
    this.id = id;
  }
}

/** One direction between two neighbours. */
export class NetLink {
  readonly from: NetNode;
  readonly to: NetNode;
  readonly delayMs: number;
  cut = false;
  /** The other direction is cut: so much passes until the sender waits for confirmations that do not come. */
  unconfirmedMaxBytes: number | undefined;
  faultyFromMs = Number.POSITIVE_INFINITY;
  faultyUntilMs = Number.NEGATIVE_INFINITY;

  constructor(from: NetNode, to: NetNode, delayMs: number) {
    this.from = from;
    this.to = to;
    this.delayMs = delayMs;
  }
}

/** What is between node `i` and the next one. */
interface Stage {
  readonly link: NetLink;
  /** Held by a node that is frozen. */
  readonly held: Chunk[];
  readonly flying: { readonly chunk: Chunk; readonly arrivesMs: number }[];
  lastArrivesMs: number;
  /** Bytes that passed while the other direction was cut. */
  unconfirmedBytes: number;
}

export class Way {
  readonly net: Net;
  readonly hops: readonly string[];
  readonly #stages: Stage[];
  readonly #deliver: (chunk: Chunk) => void;
  /** The node that died under it: nothing passes there any more, whoever runs there later. */
  #brokenAt = -1;
  /** Sent and not delivered. */
  pendingBytes = 0;
  /** When something last was held back here that came through later. */
  lastHeldMs = Number.NEGATIVE_INFINITY;

  constructor(net: Net, hops: readonly string[], deliver: (chunk: Chunk) => void) {
    this.net = net;
    this.hops = hops;
    this.#deliver = deliver;
    this.#stages = hops.slice(1).map((to, i) => ({
      link: net.link(hops[i] as string, to),
      held: [],
      flying: [],
      lastArrivesMs: 0,
      unconfirmedBytes: 0,
    }));
    net.ways.add(this);
  }

  send(chunk: Chunk): void {
    this.pendingBytes += chunk.sizeBytes;
    this.#transmit(0, chunk);
  }

  /** Nothing comes out of it any more. */
  close(): void {
    this.net.ways.delete(this);
    for (const stage of this.#stages) {
      stage.held.length = 0;
      stage.flying.length = 0;
    }
    this.pendingBytes = 0;
  }

  /** A node on the way died: what it and the stages before it held is gone, and a reset goes on from there. */
  killed(at: number, afterMs: number): void {
    this.#brokenAt = Math.max(this.#brokenAt, at);
    for (const stage of this.#stages.slice(0, at + 1)) {
      for (const { sizeBytes } of [...stage.held, ...stage.flying.map(({ chunk }) => chunk)]) {
        this.pendingBytes -= sizeBytes;
      }
      stage.held.length = 0;
      stage.flying.length = 0;
    }
    this.net.loop.at(this.net.loop.nowMs + afterMs, () => {
      this.#transmit(at, { kind: "reset", sizeBytes: 0, streamId: 0 });
    });
  }

  /** Node `at` runs again. */
  thawed(at: number): void {
    for (const chunk of (this.#stages[at]?.held ?? []).splice(0)) this.#transmit(at, chunk);
  }

  /** What was held back on a link is sent again, `afterMs` from now. */
  healed(link: NetLink, afterMs: number): void {
    for (const [i, stage] of this.#stages.entries()) {
      if (stage.link !== link) continue;
      stage.unconfirmedBytes = 0;
      if (stage.flying.length > 0) this.net.loop.at(this.net.loop.nowMs + afterMs, () => this.#arrive(i));
    }
  }

  #transmit(at: number, chunk: Chunk): void {
    const { loop } = this.net;
    const stage = this.#stages[at];
    if (stage === undefined || !this.net.ways.has(this)) return;
    const { from } = stage.link;
    if (at > 0 && (from.dead || at <= this.#brokenAt) && chunk.kind !== "reset") {
      this.pendingBytes -= chunk.sizeBytes;
      return;
    }
    if (at > 0 && from.frozen && !from.dead) {
      stage.held.push(chunk);
      return;
    }
    stage.lastArrivesMs = Math.max(stage.lastArrivesMs, loop.nowMs + stage.link.delayMs + (at > 0 ? from.slowMs : 0));
    stage.flying.push({ chunk, arrivesMs: stage.lastArrivesMs });
    if (stage.flying.length === 1) loop.at(stage.lastArrivesMs, () => this.#arrive(at));
  }

  #blocked(stage: Stage): boolean {
    const { cut, unconfirmedMaxBytes } = stage.link;
    return cut || (unconfirmedMaxBytes !== undefined && stage.unconfirmedBytes >= unconfirmedMaxBytes);
  }

  #arrive(at: number): void {
    const stage = this.#stages[at] as Stage;
    const { loop } = this.net;
    for (let head = stage.flying[0]; head !== undefined; head = stage.flying[0]) {
      if (this.#blocked(stage)) {
        this.lastHeldMs = loop.nowMs;
        return;
      }
      if (head.arrivesMs > loop.nowMs) {
        loop.at(head.arrivesMs, () => this.#arrive(at));
        return;
      }
      stage.flying.shift();
      if (stage.link.unconfirmedMaxBytes !== undefined) stage.unconfirmedBytes += head.chunk.sizeBytes;
      if (at + 1 < this.#stages.length) this.#transmit(at + 1, head.chunk);
      else {
        this.pendingBytes -= head.chunk.sizeBytes;
        this.#deliver(head.chunk);
      }
    }
  }
}

export class Net {
  readonly loop: SimLoop;
  readonly random: Random;
  readonly nodes = new Map<string, NetNode>();
  readonly links = new Map<string, NetLink>();
  readonly ways = new Set<Way>();
  /** Told of every node that is killed. */
  readonly onKill = new Set<(id: string) => void>();

  constructor(loop: SimLoop, random: Random) {
    this.loop = loop;
    this.random = random;
  }

  node(id: string): NetNode {
    const node = this.nodes.get(id) ?? new NetNode(id);
    this.nodes.set(id, node);
    return node;
  }

  /** Both directions between two nodes. */
  join(a: string, b: string, delayMs: number): void {
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      this.links.set(`${from}>${to}`, new NetLink(this.node(from), this.node(to), delayMs));
    }
  }

  link(from: string, to: string): NetLink {
    const link = this.links.get(`${from}>${to}`);
    if (link === undefined) throw new Error(`no link ${from}>${to}`);
    return link;
  }

  freeze(id: string): void {
    const node = this.node(id);
    node.frozen = true;
    this.#blame(node);
  }

  thaw(id: string): void {
    const node = this.node(id);
    if (!node.frozen) return;
    node.frozen = false;
    node.faultyUntilMs = this.loop.nowMs;
    for (const way of [...this.ways]) {
      const at = way.hops.indexOf(id);
      if (at > 0) way.thawed(at);
    }
  }

  kill(id: string): void {
    const node = this.node(id);
    node.dead = true;
    node.frozen = false;
    this.#blame(node);
    for (const way of [...this.ways]) {
      const at = way.hops.indexOf(id);
      // The kernel frees the process before its sockets.
      if (at > 0 && at < way.hops.length - 1) way.killed(at, 1 + this.random.float() * 20);
    }
    for (const listener of [...this.onKill]) listener(id);
  }

  restart(id: string): void {
    const node = this.node(id);
    node.dead = false;
    node.faultyUntilMs = this.loop.nowMs;
  }

  /** Cuts one direction; what flows the other way loses its confirmations. */
  cut(from: string, to: string): void {
    const link = this.link(from, to);
    const back = this.link(to, from);
    link.cut = true;
    back.unconfirmedMaxBytes = 10_000 + this.random.float() * 60_000;
    this.#blame(link);
    this.#blame(back);
  }

  heal(from: string, to: string): void {
    const link = this.link(from, to);
    const back = this.link(to, from);
    if (!link.cut) return;
    link.cut = false;
    back.unconfirmedMaxBytes = undefined;
    const downMs = this.loop.nowMs - link.faultyFromMs;
    // Retransmission backs off while the link is down.
    const afterMs = 5 + this.random.float() * Math.min(2_000, downMs);
    for (const one of [link, back]) {
      one.faultyUntilMs = this.loop.nowMs + afterMs;
      for (const way of [...this.ways]) way.healed(one, afterMs);
    }
  }

  #blame(faulty: NetNode | NetLink): void {
    faulty.faultyFromMs = this.loop.nowMs;
    faulty.faultyUntilMs = Number.POSITIVE_INFINITY;
  }

  /** Sends word along these nodes; `then` is called when it is there. It is lost if one of them dies on the way. */
  travel(hops: readonly string[], then: () => void): void {
    if (hops.length < 2) {
      this.loop.at(this.loop.nowMs + 0.1, then);
      return;
    }
    const way = new Way(this, hops, (chunk) => {
      way.close();
      if (chunk.kind === "signal") then();
    });
    way.send({ kind: "signal", sizeBytes: 0, streamId: 0 });
  }

  /** Whether something on these hops kept bytes back at any time since `sinceMs`. */
  faultySince(hops: readonly string[], sinceMs: number): boolean {
    const nodes = hops.slice(1, -1).map((id) => this.node(id));
    const links = hops.slice(1).flatMap((to, i) => {
      const from = hops[i] as string;
      return [this.link(from, to), this.link(to, from)];
    });
    return [...nodes, ...links].some(({ faultyUntilMs }) => faultyUntilMs >= sinceMs);
  }
}
