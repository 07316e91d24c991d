/** NodeService: the truth about this node, for operators on its operator port. Needs no control plane. */

import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  CountersSchema,
  type ExplainChannelRequest,
  type ExplainChannelResponse,
  type GetStatusResponse,
  GetStatusResponseSchema,
  type LinkStatus,
  type ListenerStatus,
  type NodeService,
  type TrunkStatus,
  type WatchEventsResponse,
} from "../gen/weft/node/v1/node_pb.ts";
import type { Clock } from "../lib/clock.ts";
import { WeftError } from "../lib/errors.ts";
import type { OfflineView } from "./offline-desk.ts";
import type {
  DrainState,
  FeedStore,
  IdentityHolder,
  NodeCounters,
  NodeEvent,
  NodeEvents,
  SnapshotHolder,
} from "./ports.ts";
import { type WorkloadView, workloadMethods } from "./workload-service.ts";

/** Events kept for a reader that is slower than they happen; the oldest go first. */
const watchBacklogMaxCount = 256;

export interface NodeServiceDeps {
  readonly identity: IdentityHolder;
  readonly snapshot: SnapshotHolder;
  readonly feed: FeedStore;
  readonly events: NodeEvents;
  readonly counters: NodeCounters;
  /** Called before counters are read. */
  readonly refreshCounters?: () => void;
  readonly drain: DrainState;
  readonly clock: Clock;
  readonly bootId: string;
  readonly pid: number;
  readonly version: string;
  readonly startedAtMs: number;
  readonly addresses: () => { readonly public: string; readonly operator: string };
  readonly controlHeardMsAgo: () => number | undefined;
  readonly offline: { view(): OfflineView };
  readonly links: () => readonly LinkStatus[];
  readonly listeners: () => readonly ListenerStatus[];
  readonly trunks: () => readonly TrunkStatus[];
  readonly explainChannel: (request: ExplainChannelRequest) => ExplainChannelResponse | undefined;
  readonly rssPeakBytes: () => number;
  readonly workloads: WorkloadView;
}

type WireEvent = Pick<WatchEventsResponse, "atMs" | "kind" | "facts" | "seq" | "bootId">;

function toWire(event: NodeEvent, bootId: string): WireEvent {
  const { atMs, kind, facts, seq } = event;
  return { atMs: BigInt(atMs), kind, facts: { ...facts }, seq: BigInt(seq), bootId };
}

/**
 * Events from now on, until the caller goes away. A slow reader loses the oldest, never the node its memory; the gap in
 * their numbers says how many.
 */
async function* watch(events: NodeEvents, bootId: string, signal: AbortSignal): AsyncGenerator<WireEvent> {
  const backlog: NodeEvent[] = [];
  let wake: () => void = () => {};
  const unsubscribe = events.subscribe((event) => {
    if (backlog.length >= watchBacklogMaxCount) backlog.shift();
    backlog.push(event);
    wake();
  });
  const onAbort = (): void => wake();
  signal.addEventListener("abort", onAbort);
  try {
    while (!signal.aborted) {
      const next = backlog.shift();
      if (next !== undefined) yield toWire(next, bootId);
      else {
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (signal.aborted || backlog.length > 0) resolve();
        });
      }
    }
  } finally {
    unsubscribe();
    signal.removeEventListener("abort", onAbort);
  }
}

function offlineStatus({ newestFeedMs, staleMs, offline, states }: OfflineView) {
  return {
    newestFeedMs: BigInt(Math.floor(newestFeedMs)),
    staleMs: BigInt(Math.floor(staleMs)),
    offline,
    states: states.map(({ organizationId, resourceId, mode, verdict }) => ({
      organizationId,
      resourceId,
      mode,
      newChannels: verdict.newChannels,
      existing: verdict.existing,
      newUntilMs: BigInt(Math.floor(verdict.newUntilMs)),
      existingUntilMs: BigInt(Math.floor(verdict.existingUntilMs)),
    })),
  };
}

/** How the node is, now. */
export function nodeStatus(deps: NodeServiceDeps): GetStatusResponse {
  const identity = deps.identity.current();
  const snapshot = deps.snapshot.current();
  const heard = deps.controlHeardMsAgo();
  deps.refreshCounters?.();
  const counters = deps.counters;
  return create(GetStatusResponseSchema, {
    nodeId: identity.nodeId,
    name: identity.name,
    clusterId: identity.clusterId,
    bootId: deps.bootId,
    pid: deps.pid,
    startedAtMs: BigInt(deps.startedAtMs),
    roles: snapshot?.self?.roles ?? [],
    draining: deps.drain.draining(),
    publicAddress: deps.addresses().public,
    operatorAddress: deps.addresses().operator,
    snapshotEpoch: snapshot?.epoch ?? 0n,
    snapshotVersion: snapshot?.version ?? 0n,
    snapshotNotAfterMs: snapshot?.notAfterMs ?? 0n,
    feedEpoch: deps.feed.position().epoch,
    feedSeq: deps.feed.position().seq,
    leafNotAfterMs: BigInt(Math.floor(identity.leaf.notAfterMs)),
    ...(heard === undefined ? {} : { controlHeardMsAgo: BigInt(Math.round(heard)) }),
    links: [...deps.links()],
    listeners: [...deps.listeners()],
    version: deps.version,
    rssPeakBytes: BigInt(deps.rssPeakBytes()),
    offline: offlineStatus(deps.offline.view()),
    counters: create(CountersSchema, {
      bytesSpliced: BigInt(counters.bytesSpliced),
      pathsOpened: BigInt(counters.pathsOpened),
      pathsLive: BigInt(counters.pathsLive),
      offersRefused: BigInt(counters.offersRefused),
      peeksRefused: BigInt(counters.peeksRefused),
      tokensRefused: BigInt(counters.tokensRefused),
      attachesRefused: BigInt(counters.attachesRefused),
      channelsOpened: BigInt(counters.channelsOpened),
      channelsLive: BigInt(counters.channelsLive),
      trunksLive: BigInt(counters.trunksLive),
      handshakesRefused: BigInt(counters.handshakesRefused),
      connectionsRefused: BigInt(counters.connectionsRefused),
      controlCalls: Object.fromEntries([...counters.controlCalls].map(([call, count]) => [call, BigInt(count)])),
    }),
  });
}

export function nodeService(deps: NodeServiceDeps): ServiceImpl<typeof NodeService> {
  return {
    getStatus: () => nodeStatus(deps),
    watchEvents: (_request, context) => watch(deps.events, deps.bootId, context.signal),
    listTrunks: () => ({ trunks: [...deps.trunks()] }),
    explainChannel(request) {
      const found = deps.explainChannel(request);
      if (found === undefined)
        throw new WeftError("not_found", "no such channel on this node", { detail: "CHANNEL_UNKNOWN" });
      return found;
    },
    drain() {
      deps.drain.set(true);
      return { pathsLive: BigInt(deps.counters.pathsLive) };
    },
    undrain() {
      deps.drain.set(false);
      return {};
    },
    ...workloadMethods(deps.workloads),
  };
}
