/**
 * A seeded world: an entry, relays and an egress on a simulated network, with the production entry role (routes, choice of
 * ways, trunk pool), trunk acceptor, survival and trunks at its ends. Time, chance and the network are simulated; every
 * decision is the product's.
 */

import { create } from "@bufbuild/protobuf";
import type { AcceptedPath } from "../../edge/edge-path.ts";
import { TrunkAcceptor } from "../../edge/trunk-acceptor.ts";
import { CreditPool } from "../../fabric/trunk/credit.ts";
import type { DeadPath, Verdict } from "../../fabric/trunk/detector.ts";
import type { TrunkMove } from "../../fabric/trunk/move.ts";
import type { Trunk } from "../../fabric/trunk/trunk.ts";
import type { TrunkEnd } from "../../fabric/trunk/trunk-core.ts";
import { ChannelClass, NodeHealth, NodeRole, OriginAssurance } from "../../gen/weft/fabric/v1/role_pb.ts";
import {
  type RouteLink,
  RouteLinkSchema,
  type Snapshot,
  SnapshotSchema,
} from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { limits } from "../../lib/limits.ts";
import { silentLog } from "../../lib/log.ts";
import { type Random, randomInt, seededRandom } from "../../lib/random.ts";
import { createDrainState, createNodeCounters, createNodeEvents } from "../../node/events.ts";
import type { PathOpener } from "../../node/paths.ts";
import type { DataPlanePorts } from "../../node/plane-ports.ts";
import type { NodeIdentity } from "../../node/ports.ts";
import { ContractDesk } from "../../node/roles/contract-desk.ts";
import { EntryRole } from "../../node/roles/entry.ts";
import { Routes } from "../../node/roles/routes.ts";
import { offlineJudge } from "../harness/offline-judge.ts";
import { Application } from "./applications.ts";
import type { ConnectionEnd } from "./connection.ts";
import { SimLoop, SimProcess } from "./loop.ts";
import { Net } from "./net.ts";
import { SimOpener } from "./opening.ts";
import { watch } from "./probes.ts";

/** What a world is made of. */
export interface Shape {
  /** Relays that both edges have links to. */
  readonly middles: number;
  /** Relays that only the entry links to, each linked to every middle one. */
  readonly outers: number;
  readonly linkDelayMs: number;
  /** Paths are replaced half way through this; undefined: never. */
  readonly leafLifeMs: number | undefined;
  readonly channels: number;
  readonly lanes: "interactive" | "bulk" | "both";
  readonly writeEveryMs: number;
  readonly writeMaxBytes: number;
}

export interface SeenMove extends TrunkMove {
  readonly atMs: number;
  readonly initiator: boolean;
  readonly hops: readonly string[];
  readonly generationBefore: number;
}

export interface Accusation extends DeadPath {
  readonly atMs: number;
}

export class World {
  readonly shape: Shape;
  readonly random: Random;
  readonly loop = new SimLoop();
  readonly net: Net;
  readonly near: SimProcess;
  readonly far: SimProcess;
  readonly opener: SimOpener;
  readonly entry: EntryRole;
  readonly routes: Routes;
  readonly acceptor: TrunkAcceptor<string>;
  readonly snapshot: Snapshot;
  readonly trunks: { near: Trunk | undefined; far: Trunk | undefined } = { near: undefined, far: undefined };
  readonly trunkCounts = { near: 0, far: 0 };
  readonly ends: { readonly initiator: boolean; readonly end: TrunkEnd; readonly atMs: number }[] = [];
  readonly moves: SeenMove[] = [];
  readonly accusations: Accusation[] = [];
  readonly applications: Application[] = [];
  /** Hops of connections that an edge gave up while it sent a lane on them. */
  readonly givenUp: string[] = [];
  openFailures = 0;
  loading = true;

  constructor(shape: Shape, random: Random) {
    this.shape = shape;
    this.random = random;
    this.net = new Net(this.loop, seededRandom(randomInt(random, 2 ** 31)));
    this.near = new SimProcess("e", this.loop);
    this.far = new SimProcess("x", this.loop);
    this.snapshot = this.#mesh();
    this.opener = new SimOpener({
      net: this.net,
      processes: this,
      accept: (path) => this.acceptor.add(path as unknown as AcceptedPath<string>),
      leafLifeMs: () => shape.leafLifeMs,
      givesUp: (end) => this.#givesUp(end),
    });
    const ports = this.#ports();
    const downNeighbours = (): string[] => this.#downNeighbours();
    this.routes = new Routes({ ...ports, measurements: () => this.#measured(), downNeighbours });
    const { paths } = this.routes;
    this.routes.paths = (...args) => {
      // Whoever asks for ways is about to wait for one with a promise.
      this.loop.settles();
      return paths.apply(this.routes, args);
    };
    this.entry = new EntryRole({
      ports,
      paths: this.opener as unknown as PathOpener,
      routes: this.routes,
      processPool: new CreditPool(limits.processReceivePoolBytes),
      offline: offlineJudge(),
      contracts: new ContractDesk({ ports, installationSpki: new Uint8Array() }),
    });
    this.acceptor = new TrunkAcceptor<string>({
      clock: this.far.clock,
      random: seededRandom(randomInt(random, 2 ** 31)),
      log: silentLog,
      accept: () => true,
      onChannel: (channel) => {
        channel.accept();
        this.applications.push(new Application(channel, false));
      },
    });
    watch({
      trunk: (trunk) => this.#saw(trunk),
      moved: (trunk, move, generationBefore) => this.#moved(trunk, move, generationBefore),
      ended: (trunk, end) => {
        this.ends.push({ initiator: trunk.side === "initiator", end, atMs: this.loop.nowMs });
      },
      verdict: (verdict) => this.#verdict(verdict),
    });
  }

  // --- The mesh ---

  get relays(): string[] {
    return [...this.net.nodes.keys()].filter((id) => id.startsWith("r") || id.startsWith("o"));
  }

  #mesh(): Snapshot {
    const { middles, outers, linkDelayMs } = this.shape;
    const inner = Array.from({ length: middles }, (_, i) => `r${i + 1}`);
    const outer = Array.from({ length: outers }, (_, i) => `o${i + 1}`);
    const join = (a: string, b: string): void => this.net.join(a, b, linkDelayMs * (0.5 + this.random.float()));
    // With outer relays the entry has no link to the inner ones: paths have two.
    for (const id of outers > 0 ? outer : inner) join("e", id);
    for (const a of outer) for (const b of inner) join(a, b);
    for (const id of inner) join(id, "x");
    const node = (nodeId: string, role: NodeRole) => ({
      nodeId,
      name: nodeId,
      roles: [{ role, organizationId: "" }],
      health: NodeHealth.ONLINE,
    });
    return create(SnapshotSchema, {
      clusterId: "cl-a",
      nodeId: "e",
      epoch: 1n,
      version: 1n,
      graph: {
        nodes: [
          node("e", NodeRole.ENTRY),
          ...[...inner, ...outer].map((id) => node(id, NodeRole.RELAY)),
          node("x", NodeRole.EGRESS),
        ],
        links: [...this.net.links.values()].map(({ from, to, delayMs }) => ({
          fromNodeId: from.id,
          toNodeId: to.id,
          rttMs: 2 * delayMs,
          reliabilityShare: 1,
        })),
      },
      pools: [{ poolId: "pl-1", organizationId: "org-1", egressNodeIds: ["x"] }],
      resourceRoutes: (["bulk", "interactive"] as const).map((name) => ({
        name,
        organizationId: "org-1",
        poolId: "pl-1",
        resourceId: `rs-${name}`,
        defaultClass: name === "bulk" ? ChannelClass.BULK : ChannelClass.INTERACTIVE,
      })),
    });
  }

  /** The entry's own measurements, a little different each time. */
  #measured(): RouteLink[] {
    const out: RouteLink[] = [];
    for (const { from, to, delayMs } of this.net.links.values()) {
      if (from.id !== "e") continue;
      const rttMs = 2 * (delayMs + to.slowMs) * (0.95 + 0.1 * this.net.random.float());
      out.push(create(RouteLinkSchema, { fromNodeId: "e", toNodeId: to.id, rttMs, reliabilityShare: 1 }));
    }
    return out;
  }

  /** Links that the entry knows to be down: at once when the peer is gone, after some probes when nothing comes. */
  #downNeighbours(): string[] {
    const { nowMs } = this.loop;
    const down: string[] = [];
    for (const { from, to, cut, faultyFromMs } of this.net.links.values()) {
      if (from.id !== "e") continue;
      const silent = (cut && nowMs - faultyFromMs > 3_000) || (to.frozen && nowMs - to.faultyFromMs > 3_000);
      if (to.dead || silent) down.push(to.id);
    }
    return down;
  }

  #ports(): DataPlanePorts {
    const { clock } = this.near;
    const fail = (thrown: unknown): never => {
      throw thrown;
    };
    const events = createNodeEvents(clock, fail);
    const ports: Omit<DataPlanePorts, "feed"> = {
      identity: { current: () => ({ nodeId: "e" }) as NodeIdentity, onChange: () => () => {} },
      snapshot: { current: () => this.snapshot, onChange: () => () => {}, newestSignedMs: () => 0 },
      events,
      counters: createNodeCounters(),
      drain: createDrainState(events, fail),
      clock,
      random: seededRandom(randomInt(this.random, 2 ** 31)),
      log: silentLog,
    };
    return ports as DataPlanePorts;
  }

  // --- What happens ---

  #saw(trunk: Trunk): void {
    const side = trunk.side === "initiator" ? "near" : "far";
    this.trunks[side] = trunk;
    this.trunkCounts[side] += 1;
  }

  #givesUp(end: ConnectionEnd): void {
    for (const trunk of [this.trunks.near, this.trunks.far]) {
      if (trunk === undefined || trunk.end !== undefined) continue;
      const { interactive, bulk } = trunk.lanes;
      const carries = [interactive, bulk].some(({ active }) => active?.connectionId === end.id);
      if (carries) this.givenUp.push(end.path.hops.join("-"));
    }
  }

  hopsOf(connectionId: number): readonly string[] {
    const found = this.opener.connections.find(({ near, far }) => near.id === connectionId || far.id === connectionId);
    return found?.hops ?? [];
  }

  #moved(trunk: Trunk, move: TrunkMove, generationBefore: number): void {
    const connectionId = trunk.attachment(move.attachmentId)?.connectionId ?? 0;
    const initiator = trunk.side === "initiator";
    const hops = this.hopsOf(connectionId);
    this.moves.push({ ...move, atMs: this.loop.nowMs, initiator, hops, generationBefore });
  }

  #verdict({ dead }: Verdict): void {
    for (const path of dead) this.accusations.push({ ...path, atMs: this.loop.nowMs });
  }

  /** Opens a channel as the entry's callers do. */
  open(lane: "interactive" | "bulk"): void {
    this.loop.settles();
    const origin = {
      assurance: OriginAssurance.ANONYMOUS,
      clientId: "",
      organizationId: "org-1",
      entryNodeId: "e",
      listenerId: "ls-1",
      sourceAddress: "",
    };
    const wish = { resource: lane, organizationId: "org-1", class: ChannelClass.UNSPECIFIED, origin };
    this.entry.open(wish).then(
      (channel) => void this.applications.push(new Application(channel, true)),
      () => {
        this.openFailures += 1;
      },
    );
  }

  /** The applications go on writing until `loading` is false. */
  load(): void {
    const { writeEveryMs, writeMaxBytes } = this.shape;
    this.loop.at(this.loop.nowMs + writeEveryMs * (0.5 + this.random.float()), () => {
      if (!this.loading) return;
      for (const application of this.applications) {
        const process = application.initiator ? this.near : this.far;
        if (process.stalled) continue;
        const burst = this.random.float() < 0.05 ? 6 : 1;
        for (let n = 0; n < burst; n += 1) application.write(1 + randomInt(this.random, writeMaxBytes));
        const { stream } = application;
        if (stream.isPaused()) {
          if (this.random.float() < 0.2) stream.resume();
        } else if (this.random.float() < 0.01) stream.pause();
      }
      this.load();
    });
  }
}
