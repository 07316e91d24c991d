/**
 * The data plane of a node, put together: doors, links, legs, splices, the public port and the two directions of path
 * set-up. Roles get an opener and a callback; everything else stays in here.
 */

import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { ConnectRouter } from "@connectrpc/connect";
import { ProbeService } from "../gen/weft/probe/v1/probe_pb.ts";
import { RelayService } from "../gen/weft/relay/v1/relay_pb.ts";
import { Closers } from "../lib/closers.ts";
import { limits } from "../lib/limits.ts";
import { PathBudget } from "../relay/budget.ts";
import { LegTable } from "../relay/legs.ts";
import { Splices } from "../relay/splice.ts";
import type { Caller, Judge } from "../rpc/caller.ts";
import type { HealthState } from "../rpc/health.ts";
import { createSurface, type RawRoute, type Surface } from "../rpc/surface.ts";
import { Doors } from "./doors.ts";
import { Hops, type PathOffline } from "./hops.ts";
import { LegDesk } from "./leg-desk.ts";
import type { LinkState } from "./link.ts";
import { nodeLinkHttp2 } from "./link-http2.ts";
import { Links } from "./links.ts";
import { type Bind, type NodeListener, startListener } from "./listener.ts";
import type { LegAction } from "./next-leg.ts";
import { OfflineDesk } from "./offline-desk.ts";
import { relayService } from "./open-path.ts";
import type { OnPathEnd } from "./path-end.ts";
import { createPathOpener, type PathOpener } from "./paths.ts";
import { PeerJudge } from "./peer-judge.ts";
import type { DataPlanePorts } from "./plane-ports.ts";
import { probeService } from "./probe.ts";
import { linkPolicy } from "./rpc-policy.ts";
import { type Rollable, startTaintedRoll } from "./tainted-roll.ts";
import type { Admitted } from "./tls-door.ts";

export type { DataPlanePorts } from "./plane-ports.ts";

export interface DataPlaneOptions {
  readonly ports: DataPlanePorts;
  /** Absent on a node nothing dials: it keeps reverse links. */
  readonly bind?: Bind;
  /** What the offline policies allow; by default as the ports say. */
  readonly offline?: PathOffline;
  /** Share of capacity in use, 0..1, as answered to probes; the path table's share counts anyway. */
  readonly load?: () => number;
  /** More services for neighbours (ChannelService/Echo). */
  readonly linkRoutes?: (router: ConnectRouter) => void;
  readonly linkRaw?: readonly RawRoute[];
  readonly linkHealth?: HealthState;
  /** The egress role. A node without it is no far edge. */
  readonly onPathEnd?: OnPathEnd;
  /** The entry role: a judged client. */
  readonly onClient?: (tls: TLSSocket, raw: Socket, caller: Caller) => void;
}

export interface DataPlane {
  readonly listener: NodeListener | undefined;
  readonly links: Links;
  readonly paths: PathOpener;
  readonly doors: Doors;
  readonly judge: PeerJudge;
  /** Brings counters that are kept by sweeps up to now. */
  refreshCounters(): void;
  /** Key ids of the roots that live connections rely on, one for each leaf on each. */
  issuersInUse(): Iterable<string>;
  status(): { readonly links: LinkState[]; readonly pathsLive: number };
  close(): Promise<void>;
}

/** Starts the data plane. Rejects when the public port cannot be bound; nothing stays open then. */
export async function startDataPlane(options: DataPlaneOptions): Promise<DataPlane> {
  await using undo = new Closers();
  const { ports, onPathEnd } = options;
  const { clock, random, counters } = ports;
  const judge = new PeerJudge(ports);
  const budget = new PathBudget(clock);
  const legs = new LegTable<LegAction>({ clock, random });
  const onBytes = (bytes: number): void => {
    counters.bytesSpliced += bytes;
  };
  const splices = new Splices({ clock, onBytes });
  const doors = new Doors({ ports, judge });
  undo.add("doors", () => doors.close());
  const offline = options.offline ?? new OfflineDesk(ports);
  const hops = new Hops(ports, judge, offline);
  undo.add("paths", () => {
    legs.dropWhere(() => true);
    hops.close();
    splices.close();
  });
  const desk = new LegDesk({ ports, splices, doors, judge, ...(onPathEnd === undefined ? {} : { onPathEnd }) });
  const served: Served = {};
  const { links, serve } = openLinks({ ports, judge, hops, served });
  undo.add("links", () => links.close());
  const load = (): number => Math.max(budget.load, options.load?.() ?? 0);
  const relay = {
    ports,
    judge,
    links,
    legs,
    desk,
    hops,
    budget,
    startedAtMs: clock.nowMs(),
    endsPaths: onPathEnd !== undefined,
  };
  const probe = { drain: ports.drain, clock, load, linksFull: (id: string) => links.isFull(id) };
  const surface = linkSurface(options, judge, (router) => {
    router.service(RelayService, relayService(relay));
    router.service(ProbeService, probeService(probe));
  });
  served.surface = surface;
  undo.add("link surface", () => surface.drain(limits.linkCloseGraceMs));
  rejudgeOnChange(ports, surface, undo);
  undo.add("tainted", rollTainted(ports, links, hops));
  const paths = createPathOpener({ ports, judge, links, legs, hops });
  const listener = await openListener(options, {
    doors,
    legs,
    desk,
    onLink: (admitted) => serve(links.guest(admitted)),
    onReverseLink: (link) => links.adopt(link),
  });
  if (listener !== undefined) undo.add("listener", () => listener.close());
  const opened = undo.move();
  return {
    listener,
    links,
    paths,
    doors,
    judge,
    refreshCounters: () => splices.tellBytes(),
    *issuersInUse() {
      for (const { issuers } of [...links.rollables(), ...hops.rollables()]) yield* issuers;
      for (const { caller } of surface.sessions()) yield caller.issuerKeyIdHex ?? "";
    },
    status: () => ({ links: links.status(), pathsLive: counters.pathsLive }),
    close: () => opened.close(),
  };
}

/** Links and the surface need each other: a reverse link is served, and the service calls over links. */
interface Served {
  surface?: Surface;
}

interface LinkParts {
  readonly ports: DataPlanePorts;
  readonly judge: PeerJudge;
  readonly hops: Hops;
  readonly served: Served;
}

function openLinks({ ports, judge, hops, served }: LinkParts) {
  const serve = ({ tls, caller }: Pick<Admitted, "tls" | "caller">): { close(): void } => {
    const session = served.surface?.accept(tls, caller);
    return { close: () => session?.close() };
  };
  // Paths agreed on over a link end with the leaf that stood for it, not with the link.
  const onRefused = (nodeId: string, why: string): void => {
    if (why === "PEER_REVOKED") hops.cutNeighbour(nodeId);
  };
  const links = new Links({ ports, judge, onRefused, serve: (tls, caller) => serve({ tls, caller }) });
  return { links, serve };
}

function linkSurface(options: DataPlaneOptions, judge: PeerJudge, routes: (router: ConnectRouter) => void): Surface {
  const { log, clock, random, onCall, tracer } = options.ports;
  const again: Judge = (socket, caller) => judge.again(socket, caller);
  return createSurface({
    arrivedBy: "link",
    policy: linkPolicy,
    http2: nodeLinkHttp2,
    judge: again,
    log,
    clock,
    random,
    onCall,
    ...(tracer === undefined ? {} : { tracing: { tracer, joinsOnly: true } }),
    routes: (router) => {
      routes(router);
      options.linkRoutes?.(router);
    },
    ...(options.linkRaw === undefined ? {} : { raw: options.linkRaw }),
    ...(options.linkHealth === undefined ? {} : { health: options.linkHealth }),
  });
}

/** Links and paths under leaves of a root that is about to go are replaced. */
function rollTainted(ports: DataPlanePorts, links: Pick<Links, "rollables">, hops: Hops): () => void {
  const rollables = (): Rollable[] => [...links.rollables(), ...hops.rollables()];
  return startTaintedRoll({ ...ports, rollables });
}

/** Whoever lost its right is cut now, not at the next tick. */
function rejudgeOnChange(ports: DataPlanePorts, surface: Surface, undo: Closers): void {
  const rejudge = (): void => void surface.rejudge();
  const stops = [ports.feed.onChange(rejudge), ports.snapshot.onChange(rejudge), ports.identity.onChange(rejudge)];
  undo.add("judgements", () => {
    for (const stop of stops) stop();
  });
}

type ListenerParts = Omit<Parameters<typeof startListener>[0], "ports" | "bind" | "onClient">;

async function openListener(options: DataPlaneOptions, parts: ListenerParts): Promise<NodeListener | undefined> {
  const { ports, bind, onClient } = options;
  if (bind === undefined) return undefined;
  if (onClient === undefined) return await startListener({ ports, bind, ...parts });
  return await startListener({ ports, bind, ...parts, onClient: ({ tls, raw, caller }) => onClient(tls, raw, caller) });
}
