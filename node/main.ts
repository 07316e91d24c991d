/** Composition of a node process: holders, control session, data plane, roles, surfaces. Nothing here decides anything. */

import { randomUUID } from "node:crypto";
import { serveEcho } from "../edge/echo.ts";
import type { TrunkRunner } from "../edge/trunk-runner.ts";
import { CreditPool } from "../fabric/trunk/credit.ts";
import { ChannelService } from "../gen/weft/channel/v1/channel_pb.ts";
import type { NodeRole } from "../gen/weft/fabric/v1/role_pb.ts";
import type { Snapshot } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import { NodeService } from "../gen/weft/node/v1/node_pb.ts";
import { ProbeService, RouteProbeService } from "../gen/weft/probe/v1/probe_pb.ts";
import { type Clock, systemClock } from "../lib/clock.ts";
import { Closers } from "../lib/closers.ts";
import { messageOf, WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import { createLoadMeter } from "../lib/load.ts";
import type { Log } from "../lib/log.ts";
import { type Random, systemRandom } from "../lib/random.ts";
import type { Tracer } from "../lib/tracer.ts";
import { HealthState } from "../rpc/health.ts";
import { rpcHttp2 } from "../rpc/http2-profile.ts";
import { createSurface } from "../rpc/surface.ts";
import { type AuditWitness, openAuditWitness } from "./audit-witness.ts";
import { BundleKeeper } from "./bundle-keeper.ts";
import { type CeilingJudge, createCeilingJudge } from "./ceiling.ts";
import type { NodeConfig } from "./config.ts";
import { hostPort, openControlSession } from "./control-session.ts";
import type { DataPlane } from "./data-plane.ts";
import { createDrainState, createNodeCounters, createNodeEvents } from "./events.ts";
import { type OwnFeedStore, openFeedStore } from "./feed-store.ts";
import {
  createIdentityHolder,
  loadIdentity,
  type ReplaceableIdentityHolder,
  type StoredIdentity,
} from "./identity-store.ts";
import { startOperatorListener } from "./listener.ts";
import type { NodeMetrics } from "./metrics.ts";
import { type NodeServiceDeps, nodeService, nodeStatus } from "./node-service.ts";
import { OfflineDesk } from "./offline-desk.ts";
import { createOwnPorts } from "./own-ports.ts";
import { PeerJudge } from "./peer-judge.ts";
import type { DataPlanePorts } from "./plane-ports.ts";
import { probeService } from "./probe.ts";
import { RenewalTrigger } from "./renewal-trigger.ts";
import { routeProbeService } from "./roles/route-probe.ts";
import { explainChannel, trunkStatus } from "./roles/trunk-status.ts";
import { operatorPolicy } from "./rpc-policy.ts";
import { type OwnSnapshotHolder, openSnapshotHolder } from "./snapshot-holder.ts";
import { type RoleParts, type Roles, startRoles } from "./start-roles.ts";
import { startTasks, until } from "./tasks.ts";
import { openTraces } from "./traces.ts";
import { openWorkloadHost } from "./workloads/host.ts";
import { type Supervisor, startSupervisor } from "./workloads/supervisor.ts";
import { currentWishes } from "./workloads/wishes.ts";

export interface NodeOverrides {
  readonly clock?: Clock;
  readonly random?: Random;
  readonly version: string;
  readonly pid: number;
  readonly rssPeakBytes: () => number;
  readonly log: Log;
}

export interface NodeHandle extends AsyncDisposable {
  readonly nodeId: string;
  readonly name: string;
  /** host:port, or empty for a node without a public port. */
  readonly publicAddress: string;
  readonly operatorAddress: string;
  /** host:port, or empty for a node that shows no metrics. */
  readonly metricsAddress: string;
  /** Refuses new work and waits for what runs, at most `graceMs`. */
  drain(graceMs: number): Promise<void>;
}

/** What the parts of a running node share. */
interface Parts extends RoleParts {
  readonly identity: ReplaceableIdentityHolder;
  readonly snapshot: OwnSnapshotHolder;
  readonly feed: OwnFeedStore;
  readonly audit: AuditWitness;
  readonly renewal: RenewalTrigger;
  readonly bundle: BundleKeeper;
}

/** The grants a node may act on: what control assigned, within the ceiling. */
function underCeiling(snapshot: Snapshot, ceiling: CeilingJudge, refused: (role: NodeRole) => void): Snapshot {
  if (snapshot.self === undefined) return snapshot;
  const split = ceiling.splitRoles(snapshot.self.roles);
  for (const grant of split.refused) refused(grant.role);
  return { ...snapshot, self: { ...snapshot.self, roles: split.allowed } };
}

function requireIdentity({ stateDir }: NodeConfig): StoredIdentity {
  const stored = loadIdentity(stateDir);
  if (stored !== undefined) return stored;
  const message = `${stateDir} holds no identity; make one with "weft join"`;
  throw new WeftError("failed_precondition", message, { detail: "IDENTITY_MISSING" });
}

/** Who is told of what happens here. */
interface Seen {
  readonly metrics: NodeMetrics | undefined;
  readonly tracer: Tracer | undefined;
}

function openParts(
  config: NodeConfig,
  overrides: NodeOverrides,
  stored: StoredIdentity,
  { metrics, tracer }: Seen,
): Parts {
  const { log } = overrides;
  const clock = overrides.clock ?? systemClock;
  const onThrow = (thrown: unknown): void => log.error("a listener failed", { error: messageOf(thrown) });
  const events = createNodeEvents(clock, onThrow);
  const ceiling = createCeilingJudge(config.ceiling);
  const identity = createIdentityHolder(config.stateDir, stored, onThrow);
  const { installationKeySpki } = stored;
  const limit = (snapshot: Snapshot): Snapshot =>
    underCeiling(snapshot, ceiling, (role) => events.emit("ceiling_refused", { role: String(role) }));
  const held = { stateDir: config.stateDir, identity, installationKeySpki, clock, log, events };
  const snapshot = openSnapshotHolder({ ...held, limit });
  const renewal = new RenewalTrigger(clock, overrides.random ?? systemRandom);
  // The first to hear of a snapshot: who it names is judged by the roots it brings.
  const bundle = new BundleKeeper({ ...held, snapshot, renewal });
  const feed = openFeedStore({ ...held, snapshot });
  const audit = openAuditWitness({ ...held, snapshot });
  const ports: DataPlanePorts = {
    identity,
    snapshot,
    feed,
    events,
    clock,
    log,
    random: overrides.random ?? systemRandom,
    counters: createNodeCounters(),
    drain: createDrainState(events, onThrow),
    onCall: metrics?.onCall,
    tracer,
  };
  if (metrics !== undefined) events.subscribe(metrics.onEvent);
  return {
    config,
    ports,
    identity,
    snapshot,
    feed,
    audit,
    ceiling,
    renewal,
    bundle,
    installationSpki: installationKeySpki,
    offline: new OfflineDesk(ports, config.stateDir),
    own: createOwnPorts(),
    processPool: new CreditPool(limits.processReceivePoolBytes),
  };
}

/** The operator port: the truth about this node. */
async function startOperatorPort(parts: Parts, roles: Roles, facts: NodeFacts, undo: Closers): Promise<string> {
  const { ports, config } = parts;
  const judge = new PeerJudge(ports);
  let operatorAddress = "";
  const surface = createSurface({
    arrivedBy: "operator-port",
    routes: (router) => {
      router.service(
        NodeService,
        nodeService({
          ...facts,
          addresses: () => ({ public: publicAddressOf(roles.plane), operator: operatorAddress }),
        }),
      );
      router.service(ProbeService, probeService({ drain: ports.drain, clock: ports.clock, load: createLoadMeter() }));
      router.service(RouteProbeService, routeProbeService(roles.probing));
    },
    raw: [{ method: ChannelService.method.echo, handle: (stream, headers) => serveEcho(stream, headers) }],
    policy: operatorPolicy,
    judge: (socket, caller) =>
      judge.admit(socket, { kind: "operator" }, { arrivedBy: "operator-port", source: caller.sourceAddress }),
    log: ports.log,
    clock: ports.clock,
    random: ports.random,
    http2: rpcHttp2,
    health: new HealthState(),
    reflection: true,
    onCall: ports.onCall,
  });
  const listener = await startOperatorListener({
    ports,
    bind: { host: config.operatorHost, port: config.operatorPort },
    accept: (socket, _raw, caller) => void surface.accept(socket, caller),
  });
  operatorAddress = hostPort(listener.address);
  parts.own.add(listener.address.port);
  undo.add(
    "operator cut",
    ports.feed.onChange(() => void surface.rejudge()),
  );
  undo.add("operator port", async () => {
    await surface.drain(0);
    await listener.close();
  });
  return operatorAddress;
}

/** What runs beside the roles, as the snapshot in force says, from now on. */
function startWorkloads(parts: Parts, pid: number, undo: Closers): Supervisor {
  const { ports, config } = parts;
  const { stateDir } = config;
  const supervisor = startSupervisor({
    ...ports,
    ...{ stateDir, pid, ceiling: config.ceiling.workloads, host: openWorkloadHost() },
  });
  const reconcile = (): void => supervisor.reconcile(currentWishes(ports));
  undo.add("workloads", () => supervisor.close());
  undo.add("workload wishes", ports.snapshot.onChange(reconcile));
  undo.add("workload revocation", ports.feed.onChange(reconcile));
  reconcile();
  return supervisor;
}

function trunksOf({ entry, egress }: Roles): readonly TrunkRunner[] {
  return [...entry.trunkPool.trunks(), ...egress.trunks()];
}

function publicAddressOf(plane: DataPlane): string {
  return plane.listener === undefined ? "" : hostPort(plane.listener.address);
}

/** When control was heard last. */
function createHearing(clock: Clock): {
  readonly heard: () => void;
  readonly msAgo: () => number | undefined;
  readonly silentMs: () => number;
} {
  const startedMonoMs = clock.monoMs();
  let heardMonoMs: number | undefined;
  return {
    heard: () => {
      heardMonoMs = clock.monoMs();
    },
    silentMs: () => clock.monoMs() - (heardMonoMs ?? startedMonoMs),
    msAgo: () => (heardMonoMs === undefined ? undefined : clock.monoMs() - heardMonoMs),
  };
}

type NodeFacts = Omit<NodeServiceDeps, "addresses">;

/** What operators and scrapers are told, read where it is. */
function nodeFacts(
  { ports, offline }: Parts,
  roles: Roles,
  of: Pick<
    NodeFacts,
    "bootId" | "startedAtMs" | "pid" | "version" | "rssPeakBytes" | "controlHeardMsAgo" | "workloads"
  >,
): NodeFacts {
  return {
    ...of,
    ...ports,
    offline,
    links: () => roles.plane.links.wireStatus(),
    refreshCounters: () => roles.plane.refreshCounters(),
    listeners: () => roles.listeners.status(),
    trunks: () => trunkStatus(roles.entry.trunkPool.trunks(), roles.egress.trunks()),
    explainChannel: (request) => explainChannel(trunksOf(roles), request),
  };
}

/**
 * Starts a node from its state folder. Resolves once its ports are bound; control may be away.
 * @throws WeftError failed_precondition when the folder holds no identity.
 */
export async function startNode(config: NodeConfig, overrides: NodeOverrides): Promise<NodeHandle> {
  await using undo = new Closers();
  // Loaded where it is asked for: a process without metrics does not pay for them.
  const metrics = config.metricsPort === undefined ? undefined : (await import("./metrics.ts")).nodeMetrics(config);
  const stored = requireIdentity(config);
  const tracing = await openTraces(config, overrides, stored.identity);
  undo.add("traces", () => tracing?.close());
  const parts = openParts(config, overrides, stored, { metrics, tracer: tracing?.tracer });
  const { ports, identity } = parts;
  const startedAtMs = ports.clock.nowMs();
  const bootId = randomUUID();
  const load = createLoadMeter();
  const hearing = createHearing(ports.clock);
  const session = openControlSession({ ...ports, addresses: config.control });
  undo.add("control session", () => session.close());
  undo.add("trust bundle", () => parts.bundle.close());
  undo.add("offline desk", () => parts.offline.close());
  const roles = await startRoles(parts, { load, session, bootId }, undo);
  const workloads = startWorkloads(parts, overrides.pid, undo);
  const facts = nodeFacts(parts, roles, {
    ...overrides,
    bootId,
    startedAtMs,
    controlHeardMsAgo: hearing.msAgo,
    workloads,
  });
  const operatorAddress = await startOperatorPort(parts, roles, facts, undo);
  const tasks = startTasks({
    ...parts,
    session,
    bootId,
    load,
    heard: hearing.heard,
    silentMs: hearing.silentMs,
    operatorAddress,
    version: overrides.version,
    links: roles.plane.links,
    issuersInUse: roles.issuersInUse,
    listeners: () => roles.listeners.status(),
    workloads,
  });
  undo.add("tasks", () => tasks.stop());
  const shown = await metrics?.open(ports, {
    // Addresses are no metric.
    status: () => nodeStatus({ ...facts, addresses: () => ({ public: "", operator: "" }) }),
    trunks: facts.trunks,
    leases: () => roles.exclusive.held(),
    traces: tracing?.counts,
  });
  undo.add("metrics port", async () => await shown?.close());
  const closers = undo.move();
  return {
    nodeId: identity.current().nodeId,
    name: identity.current().name,
    publicAddress: publicAddressOf(roles.plane),
    operatorAddress,
    metricsAddress: shown?.address ?? "",
    async drain(graceMs) {
      ports.drain.set(true);
      const deadlineMs = ports.clock.monoMs() + graceMs;
      await until(ports.clock, () => ports.counters.channelsLive === 0, deadlineMs);
      // What nobody uses is free for another entry now, not when it expires.
      await roles.exclusive.releaseIdle();
      // An idle trunk keeps its paths: giving it up lets relays see that nobody needs them.
      await roles.entry.close();
      await until(ports.clock, () => ports.counters.pathsLive === 0, deadlineMs);
    },
    [Symbol.asyncDispose]: () => closers.close(),
  };
}
