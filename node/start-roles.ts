/** The roles of a node over its data plane: entry, egress, listeners and the surface for clients, wired by hand. */

import type { TLSSocket } from "node:tls";
import { serveEcho } from "../edge/echo.ts";
import { hasRole } from "../fabric/members.ts";
import type { CreditPool } from "../fabric/trunk/credit.ts";
import { AccessService, PathService } from "../gen/weft/access/v1/access_pb.ts";
import { ChannelService } from "../gen/weft/channel/v1/channel_pb.ts";
import { NodeRole } from "../gen/weft/fabric/v1/role_pb.ts";
import type { Snapshot } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import type { Closers } from "../lib/closers.ts";
import { WeftError } from "../lib/errors.ts";
import type { Judge } from "../rpc/caller.ts";
import { HealthState } from "../rpc/health.ts";
import { rpcHttp2 } from "../rpc/http2-profile.ts";
import { createSurface, type Surface } from "../rpc/surface.ts";
import type { CeilingJudge } from "./ceiling.ts";
import type { NodeConfig } from "./config.ts";
import type { ControlSession } from "./control-session.ts";
import { type DataPlane, startDataPlane } from "./data-plane.ts";
import type { OfflineDesk } from "./offline-desk.ts";
import type { OwnPorts } from "./own-ports.ts";
import { PeerJudge } from "./peer-judge.ts";
import type { DataPlanePorts } from "./plane-ports.ts";
import { serveAccess } from "./roles/access-service.ts";
import { ContractDesk } from "./roles/contract-desk.ts";
import { createEgressRole, type EgressDeps, type EgressRole } from "./roles/egress.ts";
import { EntryRole } from "./roles/entry.ts";
import { ExclusiveEntry } from "./roles/exclusive-entry.ts";
import { openFenceJudge } from "./roles/fence-judge.ts";
import { EntryListeners } from "./roles/listeners.ts";
import { type PathServiceDeps, pathService } from "./roles/path-service.ts";
import { createProbeEnds } from "./roles/probe-end.ts";
import type { RouteProbeDeps } from "./roles/route-probe.ts";
import { Routes } from "./roles/routes.ts";
import { clientEntryPolicy } from "./rpc-policy.ts";

/** What roles are made of. */
export interface RoleParts {
  readonly config: NodeConfig;
  readonly ports: DataPlanePorts;
  readonly ceiling: CeilingJudge;
  readonly own: OwnPorts;
  readonly processPool: CreditPool;
  /** The pinned installation key, SPKI DER. */
  readonly installationSpki: Uint8Array;
  readonly offline: OfflineDesk;
}

/** What the roles are given of the running process beside their parts. */
export interface RoleHost {
  readonly load: () => number;
  readonly session: Pick<ControlSession, "serviceLeases" | "leases" | "enrollment">;
  /** Of this start of the process. */
  readonly bootId: string;
}

export interface Roles {
  readonly plane: DataPlane;
  readonly entry: EntryRole;
  readonly egress: EgressRole;
  readonly listeners: EntryListeners;
  readonly exclusive: ExclusiveEntry;
  /** What probing routes takes. */
  readonly probing: RouteProbeDeps;
  /** Key ids of the roots that live connections rely on. */
  readonly issuersInUse: () => Iterable<string>;
}

/** The surface entries show to clients. */
function clientSurface(
  parts: RoleParts,
  entry: EntryRole,
  deps: Pick<PathServiceDeps, "paths" | "routes" | "contracts" | "enrollment">,
): Surface {
  const { ports, offline, installationSpki } = parts;
  const judge = new PeerJudge(ports);
  const rejudge: Judge = (socket, caller) =>
    judge.admit(socket, { kind: "client" }, { arrivedBy: "client-name", source: caller.sourceAddress });
  return createSurface({
    arrivedBy: "client-name",
    routes: (router) => void router.service(PathService, pathService({ ports, offline, installationSpki, ...deps })),
    raw: [{ method: AccessService.method.connect, handle: serveAccess(ports, entry) }],
    policy: clientEntryPolicy,
    judge: rejudge,
    log: ports.log,
    clock: ports.clock,
    random: ports.random,
    http2: rpcHttp2,
    health: new HealthState(),
    reflection: true,
    onCall: ports.onCall,
  });
}

/** The desk both directions share; control is asked about leases that are about to run out. */
function contractDesk({ ports, installationSpki }: RoleParts, { session }: RoleHost, undo: Closers): ContractDesk {
  const contracts = new ContractDesk({
    ports,
    installationSpki,
    ask: async (leaseId, options) => {
      const { lease, active } = await session.serviceLeases.introspectLease({ leaseId }, options);
      return { active, contract: lease?.signedContract ?? new Uint8Array() };
    },
  });
  undo.add("contracts", () => contracts.close());
  return contracts;
}

/** Listeners as the newest snapshot wants them, where this node may enter. */
function startListeners({ ports, ceiling }: RoleParts, entry: EntryRole, undo: Closers): EntryListeners {
  const listeners = new EntryListeners(ports, ceiling, entry);
  undo.add("listeners", () => listeners.close());
  const reconcile = (snapshot: Snapshot | undefined): void => {
    const roles = snapshot?.self?.roles ?? [];
    listeners.reconcile(
      (snapshot?.listeners ?? []).filter((listener) => hasRole(roles, NodeRole.ENTRY, listener.organizationId)),
    );
  };
  undo.add("listener subscription", ports.snapshot.onChange(reconcile));
  reconcile(ports.snapshot.current());
  return listeners;
}

/** The egress, with the fences of exclusive resources it keeps. */
function openEgress(
  { ports, ceiling, own, processPool, offline, config }: RoleParts,
  { leases, contracts }: Pick<EgressDeps, "contracts"> & { readonly leases: () => ControlSession["leases"] },
  undo: Closers,
): EgressRole {
  const fences = openFenceJudge({ ports, stateDir: config.stateDir, leases });
  undo.add("fences", () => fences.close());
  return createEgressRole({ ports, ceiling, own, processPool, offline, contracts, fences: fences.judge });
}

/** Clients are revoked by the feed, leave with the snapshot, and are judged anew under new roots. */
function rejudgeOnChange({ feed, snapshot, identity }: DataPlanePorts, clients: Surface, undo: Closers): void {
  const rejudge = (): void => void clients.rejudge();
  undo.add("client cut", feed.onChange(rejudge));
  undo.add("client removal", snapshot.onChange(rejudge));
  undo.add("client roots", identity.onChange(rejudge));
}

/** Starts the data plane with this node's roles; everything is added to `undo`. Rejects when the public port is taken. */
export async function startRoles(parts: RoleParts, host: RoleHost, undo: Closers): Promise<Roles> {
  const { ports, config } = parts;
  const contracts = contractDesk(parts, host, undo);
  let plane: DataPlane | undefined;
  const routes = new Routes({
    identity: ports.identity,
    snapshot: ports.snapshot,
    clock: ports.clock,
    measurements: () => plane?.links.measurements() ?? [],
    downNeighbours: () => plane?.links.unreachable() ?? [],
  });
  const leases = () => host.session.leases;
  const egress = openEgress(parts, { leases, contracts }, undo);
  const exclusive = new ExclusiveEntry({ leases, bootId: host.bootId, clock: ports.clock, log: ports.log });
  // Given back when the entry's channels are over.
  undo.add("exclusive leases", () => exclusive.close());
  // Roles and data plane need each other: the entry opens paths only after everything stands.
  const pathsLater = (): DataPlane["paths"] => {
    if (plane === undefined) throw new WeftError("unavailable", "the node is still starting", { detail: "STARTING" });
    return plane.paths;
  };
  const entry = new EntryRole({
    ports,
    routes,
    processPool: parts.processPool,
    offline: parts.offline,
    contracts,
    exclusive,
    paths: {
      open: (request) => pathsLater().open(request),
      openForClient: (request) => pathsLater().openForClient(request),
    },
  });
  const clients = clientSurface(parts, entry, {
    paths: pathsLater,
    routes,
    contracts,
    enrollment: host.session.enrollment,
  });
  const probeEnds = createProbeEnds({ ports, load: host.load });
  undo.add("ends of probes", () => probeEnds.close());
  plane = await startDataPlane({
    ports,
    ...(config.dialOutOnly ? {} : { bind: { host: config.publicHost, port: config.publicPort } }),
    load: host.load,
    offline: parts.offline,
    linkRaw: [{ method: ChannelService.method.echo, handle: (stream, headers) => serveEcho(stream, headers) }],
    onPathEnd: (end) => void (probeEnds.onPathEnd(end) || egress.onPathEnd(end)),
    onClient: (socket: TLSSocket, _raw, caller) => {
      const isEntry = hasRole(ports.snapshot.current()?.self?.roles ?? [], NodeRole.ENTRY, undefined);
      if (isEntry) clients.accept(socket, caller);
      else socket.destroy();
    },
  });
  const running = plane;
  if (running.listener !== undefined) parts.own.add(running.listener.address.port);
  undo.add("data plane", () => running.close());
  undo.add("client surface", () => clients.drain(0));
  undo.add("egress role", () => egress.close());
  undo.add("entry role", () => entry.close());
  const listeners = startListeners(parts, entry, undo);
  rejudgeOnChange(ports, clients, undo);
  function* issuersInUse(): Generator<string> {
    yield* running.issuersInUse();
    for (const { caller } of clients.sessions()) yield caller.issuerKeyIdHex ?? "";
  }
  const probing = { ports, routes, paths: pathsLater };
  return { plane, entry, egress, listeners, exclusive, probing, issuersInUse };
}
