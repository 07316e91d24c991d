/** The loops of a node: beats, snapshots, renewal. Each runs until stopped and never ends the process by failing. */

import { create } from "@bufbuild/protobuf";
import { AuditHeadSchema } from "../gen/weft/fabric/v1/snapshot_pb.ts";
import { BundleAcknowledgementSchema, ListenerReportSchema } from "../gen/weft/heartbeat/v1/heartbeat_pb.ts";
import type { ListenerStatus } from "../gen/weft/node/v1/node_pb.ts";
import type { Clock } from "../lib/clock.ts";
import { messageOf } from "../lib/errors.ts";
import type { AuditWitness } from "./audit-witness.ts";
import { BeatPace } from "./beat-pace.ts";
import { type BundleKeeper, isLeafTrusted, taintedAmong } from "./bundle-keeper.ts";
import { defaultCapabilities } from "./capabilities.ts";
import { ClockWatch } from "./clock-watch.ts";
import type { NodeConfig } from "./config.ts";
import type { ControlSession } from "./control-session.ts";
import { FeedReceipts } from "./feed-receipts.ts";
import type { OwnFeedStore } from "./feed-store.ts";
import { runForkReporter } from "./fork-reporter.ts";
import { type BeatFacts, runHeartbeat } from "./heartbeat.ts";
import type { ReplaceableIdentityHolder } from "./identity-store.ts";
import type { Links } from "./links.ts";
import type { DataPlanePorts } from "./plane-ports.ts";
import { runRenewal } from "./renewal.ts";
import type { RenewalTrigger } from "./renewal-trigger.ts";
import type { OwnSnapshotHolder } from "./snapshot-holder.ts";
import { runSnapshotWatch } from "./snapshot-watch.ts";
import { runTrustHeal } from "./trust-heal.ts";
import { runWorkloadReporter } from "./workload-reporter.ts";
import { workloadReports } from "./workloads/reports.ts";
import type { Supervisor } from "./workloads/supervisor.ts";

export interface TaskDeps {
  readonly config: NodeConfig;
  readonly ports: DataPlanePorts;
  readonly identity: ReplaceableIdentityHolder;
  readonly snapshot: OwnSnapshotHolder;
  readonly feed: OwnFeedStore;
  readonly audit: AuditWitness;
  readonly bundle: BundleKeeper;
  /** Key ids of the roots that live connections rely on. */
  readonly issuersInUse: () => Iterable<string>;
  readonly session: ControlSession;
  readonly renewal: RenewalTrigger;
  readonly bootId: string;
  readonly version: string;
  readonly operatorAddress: string;
  readonly load: () => number;
  /** Called whenever control was heard. */
  readonly heard: () => void;
  /** How long ago that was, ms; since the start when it never was. */
  readonly silentMs: () => number;
  readonly links: Pick<Links, "measurements" | "proofs">;
  readonly listeners: () => readonly ListenerStatus[];
  readonly workloads: Pick<Supervisor, "status">;
}

function beatFacts(deps: TaskDeps, receipts: FeedReceipts): BeatFacts {
  const snapshot = deps.snapshot.current();
  const feedReceipt = receipts.next();
  const position = deps.feed.position();
  return {
    bootId: deps.bootId,
    load: deps.load(),
    draining: deps.ports.drain.draining(),
    snapshotEpoch: snapshot?.epoch ?? 0n,
    snapshotVersion: snapshot?.version ?? 0n,
    feedEpoch: position.epoch,
    feedSeq: position.seq,
    capabilities: defaultCapabilities(deps.config.dialOutOnly),
    version: deps.version,
    operatorAddress: deps.operatorAddress,
    ...auditHead(deps.audit),
    ...(feedReceipt === undefined ? {} : { feedReceipt }),
    ...bundleAck(deps),
    listeners: deps
      .listeners()
      .map(({ listenerId, boundAddress, error }) => create(ListenerReportSchema, { listenerId, boundAddress, error })),
  };
}

/** The head of the audit chain this node has witnessed, as its beats repeat it. */
function auditHead(audit: AuditWitness): Pick<BeatFacts, "auditHead"> {
  const head = audit.reported();
  if (head === undefined) return {};
  return { auditHead: create(AuditHeadSchema, { seq: BigInt(head.seq), hash: Uint8Array.from(head.hash) }) };
}

/** This node's word about the trust bundle it believes by, while control has not heard it. */
function bundleAck({ bundle, identity, issuersInUse }: TaskDeps): Pick<BeatFacts, "bundleAck"> {
  const ack = bundle.ack(taintedAmong(identity.current().bundle, issuersInUse()));
  return ack === undefined ? {} : { bundleAck: create(BundleAcknowledgementSchema, ack) };
}

/** The audit head this node has witnessed. */
function headOf(deps: TaskDeps): Pick<BeatFacts, "auditHead"> {
  const auditHead = deps.snapshot.current()?.auditHead;
  return auditHead === undefined ? {} : { auditHead };
}

/** The pools this node is a member of, according to its snapshot. */
function ownPools(deps: TaskDeps): string[] {
  const self = deps.identity.current().nodeId;
  return (deps.snapshot.current()?.pools ?? [])
    .filter((pool) => pool.egressNodeIds.includes(self))
    .map((pool) => pool.poolId);
}

/** What this node runs: its roles, and what it supervises. */
function reports(deps: TaskDeps): ReturnType<typeof workloadReports> {
  return workloadReports({
    snapshot: deps.snapshot.current(),
    version: deps.version,
    failedListeners: deps.listeners().filter(({ error }) => error !== "").length,
    supervised: deps.workloads.status(),
  });
}

/** Resolves at the next snapshot, or on abort. */
function nextSnapshot(deps: TaskDeps, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      unsubscribe();
      signal.removeEventListener("abort", done);
      resolve();
    };
    const unsubscribe = deps.snapshot.onChange(done);
    signal.addEventListener("abort", done, { once: true });
  });
}

/** Beats, sooner than in turn when there is something control waits for. Resolves after `signal` aborts. */
function startBeats(deps: TaskDeps, signal: AbortSignal): Promise<void> {
  const { clock, random, log, events } = deps.ports;
  const { session } = deps;
  const pace = new BeatPace(clock, random);
  const receipts = new FeedReceipts({ ...deps, standing: () => deps.feed.standing() });
  const stops = [
    deps.feed.onChange(() => {
      if (receipts.isNews()) pace.nudge();
    }),
    // Another bundle or another leaf: a rotation may wait for it.
    deps.identity.onChange(() => pace.nudge()),
  ];
  return runHeartbeat(
    {
      client: () => session.beats,
      routing: () => session.routing,
      clock,
      log,
      facts: () => beatFacts(deps, receipts),
      pace,
      clockWatch: new ClockWatch({ log, events }),
      links: () => deps.links.measurements(),
      proofs: () => deps.links.proofs(),
      control: () => session.control,
      workloads: () => reports(deps),
      onAnswer: (answer, { feedReceipt, bundleAck: ack }) => {
        deps.heard();
        deps.bundle.answered(ack, answer.acknowledgedBundleVersion);
        if (feedReceipt !== undefined) receipts.answered(feedReceipt);
      },
      held: () => ({
        feeds: [...deps.feed.kept()],
        snapshotEpoch: deps.snapshot.current()?.epoch ?? 0n,
        snapshotVersion: deps.snapshot.current()?.version ?? 0n,
        ...headOf(deps),
      }),
    },
    signal,
  ).finally(() => {
    for (const stop of stops) stop();
  });
}

/** Starts the loops. `stop` ends them and waits until they have ended. */
export function startTasks(deps: TaskDeps): { stop(): Promise<void> } {
  const { clock, random, log, events } = deps.ports;
  const ending = new AbortController();
  const { signal } = ending;
  const { session } = deps;
  const heartbeat = startBeats(deps, signal);
  const watch = runSnapshotWatch(
    {
      client: () => session.control,
      clock,
      random,
      log,
      held: () => ({ epoch: deps.snapshot.current()?.epoch ?? 0n, version: deps.snapshot.current()?.version ?? 0n }),
      onSnapshot: (envelope) => void deps.snapshot.offer(envelope),
      onDelta: (delta) => deps.snapshot.offerDelta(delta) !== "gap",
      onFeed: (feed) => void deps.feed.offer(feed),
      onHeard: deps.heard,
      onIdentity: (listener) => deps.identity.onChange(listener),
    },
    signal,
  );
  const renewal = runRenewal(
    {
      client: () => session.enrollment,
      recoveryClient: () => session.recovery(),
      identity: deps.identity,
      poolIds: () => ownPools(deps),
      poolsChanged: (waiting) => nextSnapshot(deps, waiting),
      trigger: deps.renewal,
      newestSignedMs: () => deps.snapshot.newestSignedMs(),
      clock,
      random,
      log,
      events,
    },
    signal,
  );
  const reporter = runWorkloadReporter(
    { events, clock, control: () => session.control, reports: () => reports(deps) },
    signal,
  );
  const forks = runForkReporter(
    { stateDir: deps.config.stateDir, events, clock, random, log, control: () => session.control },
    signal,
  );
  const heal = runTrustHeal(
    {
      ...{ clock, random, log, bundle: deps.bundle, silentMs: deps.silentMs },
      firstContact: () => session.firstContact(),
      clusterSlug: () => deps.identity.current().clusterSlug,
      isLeafTrusted: () => isLeafTrusted(deps.identity.current()),
    },
    signal,
  );
  const all = Promise.all([heal, heartbeat, watch, renewal, reporter, forks]).catch((thrown: unknown) =>
    log.error("a task failed", { error: messageOf(thrown) }),
  );
  return {
    async stop() {
      ending.abort();
      await all;
    },
  };
}

/** Resolves once `done` holds, or at `deadlineMs` of the monotonic clock. */
export function until(clock: Clock, done: () => boolean, deadlineMs: number): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (!done() && clock.monoMs() < deadlineMs) clock.after(20, look, { keepAlive: true });
      else resolve();
    };
    look();
  });
}
