/**
 * The entry role: where channels begin. It names the far edge, opens paths over its own snapshot and carries channels on
 * one trunk per (egress, organization). Decisions never wait for control (LAW-T2).
 */

import type { EdgeChannel } from "../../edge/channel.ts";
import { channelError } from "../../edge/channel-error.ts";
import type { PathWish } from "../../edge/trunk-pool.ts";
import { TrunkPool } from "../../edge/trunk-pool.ts";
import { type ContractQuestion, type ContractRefusal, contractNeeds, judgeContract } from "../../fabric/contract.ts";
import { hasClient } from "../../fabric/members.ts";
import { sharedRelays } from "../../fabric/routing/paths.ts";
import type { CreditPool } from "../../fabric/trunk/credit.ts";
import type { ChannelOrigin } from "../../fabric/trunk/messages.ts";
import { ChannelEnd, ChannelStage } from "../../gen/weft/channel/v1/channel_pb.ts";
import { type LeaseContract, LeaseKind } from "../../gen/weft/fabric/v1/contract_pb.ts";
import { ChannelClass } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { ResourceRoute } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { PathPurpose } from "../../gen/weft/relay/v1/relay_pb.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { randomLabel } from "../../lib/random.ts";
import { TokenBuckets } from "../../lib/rate.ts";
import type { TraceContext } from "../../lib/trace-context.ts";
import type { OfflineJudge } from "../offline-desk.ts";
import type { OpenedPath, PathOpener } from "../paths.ts";
import type { DataPlanePorts } from "../plane-ports.ts";
import { carriedTrace, tracedChannel, tracedPath } from "./channel-trace.ts";
import type { ContractDesk } from "./contract-desk.ts";
import { type ExclusiveHolds, holdFailure } from "./exclusive-entry.ts";
import type { Routes } from "./routes.ts";
import { trunkEvents } from "./trunk-events.ts";
import { followQos } from "./trunk-qos.ts";
import { firstWay } from "./way.ts";

export interface EntryDeps {
  readonly ports: DataPlanePorts;
  readonly paths: PathOpener;
  readonly routes: Routes;
  readonly processPool: CreditPool;
  readonly offline: Pick<OfflineJudge, "channel" | "hold">;
  readonly contracts: ContractDesk;
  /** The leases of exclusive resources. Absent: this entry holds none, and opens no such channel. */
  readonly exclusive?: ExclusiveHolds;
}

export interface ChannelWish {
  readonly resource: string;
  readonly organizationId: string;
  /** UNSPECIFIED: the resource's default. */
  readonly class: ChannelClass;
  readonly origin: ChannelOrigin;
  /** As the client showed it: a SignedContract, encoded. */
  readonly contract?: Uint8Array;
  /** The trace its caller says to be part of: nothing follows from it but a link. */
  readonly link?: TraceContext | undefined;
  readonly signal?: AbortSignal;
}

/** What of a wish was judged: the channel's class, and the contract it goes under. */
interface Judged {
  readonly class: ChannelClass;
  readonly resource: ResourceRoute;
  readonly contract: LeaseContract | undefined;
  readonly carried: Uint8Array | undefined;
}

/** How many paths to one egress are tried before the next egress of the pool. */
const pathAttemptsMaxCount = 3;

const purposes: Record<PathWish["purpose"], PathPurpose> = {
  first: PathPurpose.NEW,
  lane: PathPurpose.NEW,
  standby: PathPurpose.STANDBY,
  resume: PathPurpose.RESUME,
};

function failure(end: ChannelEnd, stage: ChannelStage, correlationId: string, cause?: unknown): WeftError {
  return channelError({ end, stage, correlationId, writtenToTarget: 0, ...(cause === undefined ? {} : { cause }) });
}

function isExclusive(resource: ResourceRoute): boolean {
  return contractNeeds(resource) === LeaseKind.EXCLUSIVE;
}

/** What a contract is held against at an entry. The flow is the contract's own: the entry says it on. */
export function entryQuestion(
  resource: ResourceRoute,
  about: Pick<ContractQuestion, "channelClass" | "clientId" | "entryNodeId" | "endedLeaseIds">,
): ContractQuestion {
  const { resourceId, organizationId, poolId, serviceClass } = resource;
  const needs = contractNeeds(resource);
  return { needs, resourceId, organizationId, poolId, serviceClass, flowIsolationId: undefined, ...about };
}

export class EntryRole {
  readonly #deps: EntryDeps;
  readonly #pool: TrunkPool;
  readonly #stopQos: () => void;
  /** By far edge and organization: paths beside the first that a trunk may still ask for. */
  readonly #costs: TokenBuckets;

  constructor(deps: EntryDeps) {
    this.#deps = deps;
    const { ports } = deps;
    this.#costs = new TokenBuckets(ports.clock, {
      perSecond: limits.trunkPathsPerMinute / 60,
      burstCount: limits.trunkPathsBurstCount,
      keysMaxCount: limits.acceptedTrunksMaxCount,
    });
    this.#pool = new TrunkPool({
      clock: ports.clock,
      random: ports.random,
      log: ports.log,
      processPool: deps.processPool,
      openPath: (wish) => this.#openPath(wish),
      ...trunkEvents(ports),
    });
    this.#stopQos = followQos(ports.snapshot, () => this.#pool.trunks());
  }

  get trunkPool(): TrunkPool {
    return this.#pool;
  }

  /** The resource a name means for an organization, or undefined. */
  resource(name: string, organizationId: string): ResourceRoute | undefined {
    return this.#deps.routes.resource(name, organizationId);
  }

  /**
   * Opens a channel to a resource. The channel may be written to at once; `opened` tells about the target.
   * @throws WeftError with `detail` a ChannelEnd name and metadata {stage, end, correlationId}.
   */
  open(wish: ChannelWish): Promise<EdgeChannel> {
    const { tracer } = this.#deps.ports;
    return tracer === undefined ? this.#begin(wish) : tracedChannel(tracer, wish, () => this.#begin(wish));
  }

  async #begin(wish: ChannelWish): Promise<EdgeChannel> {
    const { ports, routes } = this.#deps;
    const correlationId = randomLabel(ports.random, 16);
    if (ports.drain.draining()) throw failure(ChannelEnd.DRAINING, ChannelStage.ENTRY, correlationId);
    const resource = routes.resource(wish.resource, wish.organizationId);
    if (resource === undefined) throw failure(ChannelEnd.UNKNOWN_RESOURCE, ChannelStage.ENTRY, correlationId);
    if (!this.#deps.offline.channel(resource.resourceId).newChannels)
      throw failure(ChannelEnd.OFFLINE, ChannelStage.ENTRY, correlationId);
    const channelClass = wish.class === ChannelClass.UNSPECIFIED ? resource.defaultClass : wish.class;
    if (channelClass !== resource.defaultClass && !resource.allowedClasses.includes(channelClass)) {
      throw failure(ChannelEnd.NOT_ALLOWED, ChannelStage.ENTRY, correlationId);
    }
    const about = { class: channelClass, resource, carried: wish.contract };
    const { exclusive } = this.#deps;
    if (!isExclusive(resource)) return await this.#open(wish, about, correlationId);
    if (exclusive === undefined) throw failure(ChannelEnd.NOT_ALLOWED, ChannelStage.ENTRY, correlationId);
    const hold = await exclusive.hold(resource).catch((cause: unknown) => {
      throw failure(holdFailure(cause), ChannelStage.ENTRY, correlationId, cause);
    });
    try {
      const channel = await this.#open(wish, { ...about, carried: hold.contract }, correlationId);
      exclusive.tie(resource, hold, channel);
      return channel;
    } finally {
      exclusive.settle(resource);
    }
  }

  /** Opens a channel under what is carried, at the first egress of the pool that can be reached. */
  async #open(wish: ChannelWish, about: Omit<Judged, "contract">, correlationId: string): Promise<EdgeChannel> {
    const { routes } = this.#deps;
    const { resource, class: channelClass, carried } = about;
    const judged = this.#judge(wish, about, correlationId);
    const flow = judged.contract?.flowIsolationId || undefined;
    const open = {
      ...{ resource: wish.resource, class: channelClass, origin: wish.origin, correlationId },
      ...(judged.contract === undefined || carried === undefined ? {} : { contract: carried }),
      ...(flow === undefined ? {} : { flowIsolationId: flow }),
      ...carriedTrace(this.#deps.ports.tracer, correlationId),
    };
    const whose = { organizationId: wish.organizationId, ...(flow === undefined ? {} : { flowIsolationId: flow }) };
    let last: unknown;
    for (const farEdge of routes.egresses(resource.poolId, wish.organizationId, channelClass)) {
      try {
        const channel = await this.#pool.open({ farEdge, ...whose }, open, wish.signal);
        this.#count(channel);
        this.#deps.offline.hold(channel, { resourceId: resource.resourceId, stage: ChannelStage.ENTRY });
        this.#keep(channel, wish, judged);
        return channel;
      } catch (thrown) {
        if (wish.signal?.aborted === true) throw thrown;
        last = thrown;
      }
    }
    throw failure(ChannelEnd.NO_PATH, ChannelStage.FABRIC, correlationId, last);
  }

  /** Verifies what is carried, and holds it against the channel as this entry knows it. */
  #judge(wish: ChannelWish, about: Omit<Judged, "contract">, correlationId: string): Judged {
    const told = { stage: "entry", resource: wish.resource, requestId: correlationId } as const;
    const verdict = this.#deps.contracts.judge(about.carried, this.#question(wish, about), told);
    if (verdict?.ok === false) throw failure(ChannelEnd.NOT_ALLOWED, ChannelStage.ENTRY, correlationId);
    return { ...about, contract: verdict?.contract };
  }

  #question(wish: ChannelWish, { resource, class: channelClass }: Pick<Judged, "resource" | "class">) {
    const { ports } = this.#deps;
    return entryQuestion(resource, {
      channelClass,
      clientId: wish.origin.clientId,
      entryNodeId: ports.identity.current().nodeId,
      endedLeaseIds: ports.snapshot.current()?.endedLeaseIds ?? [],
    });
  }

  /** A channel under a contract ends with it, here as at the egress. */
  #keep(channel: EdgeChannel, wish: ChannelWish, { class: channelClass, contract }: Judged): void {
    const { contracts, routes, ports } = this.#deps;
    if (contract === undefined) return;
    const covered = (newest: LeaseContract): ContractRefusal | undefined => {
      const resource = routes.resource(wish.resource, wish.organizationId);
      if (resource === undefined) return "CONTRACT_RESOURCE";
      const snapshot = ports.snapshot.current();
      const isClient = snapshot !== undefined && hasClient(snapshot, wish.origin.clientId, wish.organizationId);
      if (!isClient) return "CONTRACT_CLIENT";
      return judgeContract(newest, this.#question(wish, { resource, class: channelClass }));
    };
    contracts.hold(contract, { channel, stage: ChannelStage.ENTRY, resource: wish.resource, covered });
  }

  #count(channel: EdgeChannel): void {
    const { counters } = this.#deps.ports;
    counters.channelsOpened += 1;
    counters.channelsLive += 1;
    channel.once("close", () => {
      counters.channelsLive -= 1;
    });
  }

  #openPath(wish: PathWish): Promise<OpenedPath> {
    const { routes, paths, ports } = this.#deps;
    const channelClass = wish.lane === "bulk" ? ChannelClass.BULK : ChannelClass.INTERACTIVE;
    const { beside, shun, sharedMax = Number.POSITIVE_INFINITY } = wish;
    const worthwhile = (hops: readonly string[]): boolean =>
      beside.every((other) => sharedRelays(hops, other).length <= sharedMax);
    const ways = routes
      .paths(wish.farEdge, wish.organizationId, channelClass, { beside, shun })
      .filter(({ hops }) => worthwhile(hops))
      .slice(0, pathAttemptsMaxCount);
    // What a far edge, or whoever is between, does to the paths of a trunk is not to cost every other trunk of this entry.
    const mayCost =
      ways.length === 0 || wish.purpose === "first" || this.#costs.take(`${wish.farEdge} ${wish.organizationId}`);
    if (!mayCost) {
      const message = "too many paths for one trunk";
      return Promise.reject(new WeftError("resource_exhausted", message, { detail: "TRUNK_PATHS" }));
    }
    const open = (): Promise<OpenedPath> =>
      firstWay({
        clock: ports.clock,
        ways,
        signal: wish.signal,
        ...(wish.urgent ? { staggerMs: limits.pathAttemptDelayMs } : {}),
        open: ({ hops }, signal) =>
          paths.open({
            hops,
            purpose: purposes[wish.purpose],
            trunkId: wish.trunkId,
            class: channelClass,
            organizationId: wish.organizationId,
            signal,
          }),
        discard: (path) => path.close(),
        onFailed: ({ hops }, cause) => {
          routes.failed(hops);
          ports.log.info("path not opened", { reason: cause instanceof WeftError ? cause.detail : "INTERNAL" });
        },
      });
    const { tracer } = ports;
    return tracer === undefined ? open() : tracedPath(tracer, { ...wish, ways: ways.length }, open);
  }

  async close(): Promise<void> {
    this.#stopQos();
    await this.#pool.close();
  }
}
