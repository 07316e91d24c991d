/**
 * The egress role: the far end of trunks, next to the targets. Every channel is judged from this node's own snapshot and
 * ceiling, then connected. Trunks whose peer loses its right are cut as soon as the feed or the snapshot says so (LAW-I4).
 */

import type { SpiffeId } from "../../certs/spiffe.ts";
import type { EdgeChannel } from "../../edge/channel.ts";
import { pipeToTarget } from "../../edge/pipe-target.ts";
import { TrunkAcceptor, type TrunkInfo } from "../../edge/trunk-acceptor.ts";
import type { TrunkRunner } from "../../edge/trunk-runner.ts";
import { type ContractRefusal, isContractRefusal, judgeContract } from "../../fabric/contract.ts";
import { hasClient, hasRole, memberById } from "../../fabric/members.ts";
import type { CreditPool } from "../../fabric/trunk/credit.ts";
import type { ChannelOpen } from "../../fabric/trunk/messages.ts";
import { ChannelEnd, ChannelStage } from "../../gen/weft/channel/v1/channel_pb.ts";
import { type LeaseContract, LeaseKind } from "../../gen/weft/fabric/v1/contract_pb.ts";
import { NodeRole, ResourceKind } from "../../gen/weft/fabric/v1/role_pb.ts";
import { PathPurpose } from "../../gen/weft/relay/v1/relay_pb.ts";
import { messageOf } from "../../lib/errors.ts";
import { PacedLog } from "../../lib/paced-log.ts";
import { resetSocket } from "../../lib/reset-socket.ts";
import type { CeilingJudge } from "../ceiling.ts";
import type { OfflineJudge } from "../offline-desk.ts";
import type { OwnPorts } from "../own-ports.ts";
import type { PathEnd } from "../path-end.ts";
import type { DataPlanePorts } from "../plane-ports.ts";
import {
  admitChannel,
  type ChannelQuestion,
  contractQuestion,
  type FarPeer,
  type FenceJudge,
  type MayPass,
} from "./admit-channel.ts";
import { tracedConnect, tracedDial } from "./channel-trace.ts";
import type { ContractDesk } from "./contract-desk.ts";
import { dialTarget } from "./dial-target.ts";
import { trunkEvents } from "./trunk-events.ts";
import { followQos } from "./trunk-qos.ts";
import { TrunkWays } from "./trunk-ways.ts";
import { AskVoucher } from "./vouch-ask.ts";
import { VouchedClients } from "./vouched-clients.ts";

export interface EgressDeps {
  readonly ports: DataPlanePorts;
  readonly ceiling: CeilingJudge;
  readonly own?: Pick<OwnPorts, "isOwn">;
  readonly processPool: CreditPool;
  readonly offline: Pick<OfflineJudge, "channel" | "hold">;
  readonly contracts: ContractDesk;
  /** Judges the fences of exclusive contracts. Absent: this egress keeps none, and takes no channel that shows one. */
  readonly fences?: FenceJudge;
}

export interface EgressRole {
  onPathEnd(end: PathEnd): void;
  trunks(): readonly TrunkRunner[];
  find(trunkIdHex: string): TrunkRunner | undefined;
  drain(): void;
  close(): Promise<void>;
}

function farPeerOf(id: SpiffeId | undefined): FarPeer | undefined {
  if (id?.kind === "node") return { kind: "entry", nodeId: id.id };
  if (id?.kind === "client") return { kind: "client", clientId: id.id };
  return undefined;
}

/**
 * Whether a path may end in this role at all. A probe measures: it says nothing of an organization, so no channel could ever
 * be opened on a trunk there, and none is made.
 */
const carriesTrunks = ({ organizationId, purpose }: PathEnd["offer"]): boolean =>
  organizationId !== "" && purpose !== PathPurpose.PROBE;

/** Whether a trunk's peer may (still) hold a trunk here for this organization. */
function mayHold(ports: DataPlanePorts, end: PathEnd, organizationId: string): boolean {
  const snapshot = ports.snapshot.current();
  const peer = farPeerOf(end.caller.id);
  if (snapshot === undefined || peer === undefined) return false;
  const { serialHex = "", keyHashHex = "", issuerKeyIdHex = "", spiffe } = end.caller;
  if (ports.feed.isRevoked({ serialHex, keyHashHex, issuerKeyIdHex, spiffe })) return false;
  if (!hasRole(snapshot.self?.roles ?? [], NodeRole.EGRESS, organizationId)) return false;
  if (peer.kind === "client") return hasClient(snapshot, peer.clientId, organizationId);
  return hasRole(memberById(snapshot, peer.nodeId)?.roles ?? [], NodeRole.ENTRY, organizationId);
}

interface ConnectDeps extends EgressDeps {
  /** A peer's refused channels, as often as it likes. */
  readonly paced: PacedLog;
  readonly asks: AskVoucher;
  readonly ways: TrunkWays;
  readonly vouched: VouchedClients;
}

/** A channel, the trunk it is on, and the trunk's first path. */
interface Offered {
  readonly channel: EdgeChannel;
  readonly open: ChannelOpen;
  readonly trunk: TrunkRunner;
  readonly end: PathEnd;
}

/** What is known of a channel when it is judged; undefined while this node knows nothing. */
function questionOf(deps: ConnectDeps, { open, trunk, end }: Offered): ChannelQuestion | undefined {
  const { ports } = deps;
  const snapshot = ports.snapshot.current();
  const peer = farPeerOf(end.caller.id);
  if (snapshot === undefined || peer === undefined) return undefined;
  return {
    open,
    snapshot,
    peer,
    selfNodeId: ports.identity.current().nodeId,
    organizationId: end.offer.organizationId,
    draining: ports.drain.draining(),
    mayOpen: (resourceId) => deps.offline.channel(resourceId).newChannels,
    entryNodeId: peer.kind === "entry" ? peer.nodeId : deps.ways.entryOf(trunk),
    trust: () => deps.contracts.trust(),
  };
}

/** Why a channel must not go on under its contract, as things are now. */
function lostCover(deps: ConnectDeps, offered: Offered, admitted: Admitted): ContractRefusal | undefined {
  const question = questionOf(deps, offered);
  const target = question?.snapshot.resourceTargets.find((row) => row.resourceId === admitted.target.resourceId);
  if (question === undefined || target === undefined) return "CONTRACT_RESOURCE";
  const { clientId = "" } = offered.open.origin ?? {};
  if (!hasClient(question.snapshot, clientId, question.organizationId)) return "CONTRACT_CLIENT";
  return judgeContract(admitted.contract, contractQuestion(question, target, admitted.class));
}

type Admitted = Pick<Extract<ReturnType<typeof admitChannel>, { ok: true }>, "target" | "class"> & {
  readonly contract: LeaseContract;
};

const always: MayPass = () => true;

/** Puts an admitted channel under its contract. Undefined: it was refused. */
async function keepContract(deps: ConnectDeps, offered: Offered, admitted: Admitted): Promise<MayPass | undefined> {
  const { channel, open } = offered;
  const { contract } = admitted;
  if (contract.kind === LeaseKind.EXCLUSIVE) return await deps.fences?.(contract, channel);
  const resource = open.resource;
  const covered = (): ContractRefusal | undefined => lostCover(deps, offered, admitted);
  deps.contracts.hold(contract, { channel, stage: ChannelStage.EGRESS, resource, covered });
  return channel.destroyed ? undefined : always;
}

function refuse(channel: EdgeChannel, end: ChannelEnd, stage: ChannelStage): ChannelEnd {
  channel.refuse(end, stage);
  return end;
}

/** Judges a channel and connects it; with what it was refused, if it was. */
async function connectChannel(deps: ConnectDeps, offered: Offered): Promise<ChannelEnd | undefined> {
  const { ports } = deps;
  const { channel, open, trunk, end } = offered;
  const question = questionOf(deps, offered);
  if (question === undefined) return refuse(channel, ChannelEnd.NOT_ALLOWED, ChannelStage.EGRESS);
  const { peer } = question;
  const decision = admitChannel(question);
  const about = { sub: "egress", resource: open.resource, requestId: open.correlationId };
  const told = { stage: "egress", resource: open.resource, requestId: open.correlationId } as const;
  if (!decision.ok) {
    if (isContractRefusal(decision.why)) deps.contracts.refused({ ...told, reason: decision.why });
    else deps.paced.info("channel refused", { ...about, reason: decision.why });
    return refuse(channel, decision.end, ChannelStage.EGRESS);
  }
  if (!deps.ways.takesFlow(trunk, open.flowIsolationId ?? "")) {
    deps.contracts.refused({ ...told, reason: "CONTRACT_FLOW" });
    return refuse(channel, ChannelEnd.NOT_ALLOWED, ChannelStage.EGRESS);
  }
  if (peer.kind === "client" && deps.asks.resourceOf(end) !== open.resource) {
    deps.paced.info("channel refused", { ...about, reason: "not what the client asked for" });
    return refuse(channel, ChannelEnd.NOT_ALLOWED, ChannelStage.EGRESS);
  }
  const { contract } = decision;
  const mayPass = contract === undefined ? always : await keepContract(deps, offered, { ...decision, contract });
  if (mayPass === undefined) {
    return refuse(channel, ChannelEnd.NOT_ALLOWED, ChannelStage.EGRESS);
  }
  deps.vouched.hold(channel, open);
  deps.offline.hold(channel, { resourceId: decision.target.resourceId, stage: ChannelStage.EGRESS });
  const gone = new AbortController();
  const onGone = (): void => gone.abort();
  channel.once("close", onGone);
  const dialling = { ceiling: deps.ceiling, clock: ports.clock, ...(deps.own === undefined ? {} : { own: deps.own }) };
  const outcome = await tracedDial(ports.tracer, () => dialTarget(dialling, decision.target, gone.signal));
  channel.off("close", onGone);
  if (!outcome.ok) {
    if (outcome.ceiling) ports.events.emit("ceiling_refused", { resource: open.resource, reason: outcome.why });
    deps.paced.info("target not connected", { ...about, reason: outcome.why });
    return refuse(channel, outcome.end, outcome.ceiling ? ChannelStage.EGRESS : ChannelStage.TARGET);
  }
  if (!mayPass() || channel.destroyed) {
    outcome.socket.destroy();
    return ChannelEnd.CANCELED;
  }
  ports.counters.channelsOpened += 1;
  ports.counters.channelsLive += 1;
  channel.once("close", () => {
    ports.counters.channelsLive -= 1;
  });
  channel.accept();
  const isMessages = decision.target.kind === ResourceKind.MESSAGE;
  pipeToTarget(channel, outcome.socket, isMessages, mayPass === always ? undefined : mayPass);
  return undefined;
}

function countRefused({ counters }: DataPlanePorts): void {
  counters.attachesRefused += 1;
}

export function createEgressRole(deps: EgressDeps): EgressRole {
  const { ports } = deps;
  const paced = new PacedLog(ports.clock, ports.log);
  const asks = new AskVoucher(ports);
  const ways = new TrunkWays();
  const vouched = new VouchedClients(ports);

  const acceptor = new TrunkAcceptor<PathEnd>({
    clock: ports.clock,
    random: ports.random,
    log: ports.log,
    processPool: deps.processPool,
    accept: (info: TrunkInfo<PathEnd>) => !ports.drain.draining() && mayHold(ports, info.context, info.organizationId),
    vouches: (info) => asks.vouches(info.context, info),
    onPath: (trunk, end) => {
      if (ways.came(trunk, end.offer.initiatorId)) deps.contracts.rejudge();
    },
    onChannel: (channel, open, trunk, end) => {
      const connect = () => connectChannel({ ...deps, paced, asks, ways, vouched }, { channel, open, trunk, end });
      const about = { open, peer: farPeerOf(end.caller.id) };
      tracedConnect(ports.tracer, about, connect).catch((thrown: unknown) => {
        ports.log.error("channel failed", { error: messageOf(thrown) });
        channel.destroy();
      });
    },
    onRefused: () => countRefused(ports),
    ...trunkEvents(ports),
  });

  const paths = new Set<PathEnd>();

  /** Cuts what lost its right: by the socket, so that nothing queued leaves any more. */
  function rejudge(): void {
    const lost = (end: PathEnd): boolean => !mayHold(ports, end, end.offer.organizationId);
    acceptor.cut(lost);
    for (const end of paths) if (lost(end)) resetSocket(end.raw, end.tls);
  }
  const stopQos = followQos(ports.snapshot, () => acceptor.trunks());
  const unsubscribe = [ports.feed.onChange(rejudge), ports.snapshot.onChange(rejudge), stopQos];

  return {
    onPathEnd(end) {
      const organizationId = end.offer.organizationId;
      const isEnd = carriesTrunks(end.offer) && mayHold(ports, end, organizationId);
      if (ports.drain.draining() || !isEnd) {
        resetSocket(end.raw, end.tls);
        return;
      }
      paths.add(end);
      end.raw.once("close", () => paths.delete(end));
      acceptor.add({
        tls: end.tls,
        raw: end.raw,
        hops: end.hops,
        peerKey: `${end.caller.spiffe}|${organizationId}`,
        organizationId,
        trunkId: end.offer.trunkId,
        context: end,
      });
    },
    trunks: () => acceptor.trunks(),
    find: (trunkIdHex) => acceptor.find(trunkIdHex),
    drain: () => acceptor.drain(),
    async close() {
      for (const stop of unsubscribe) stop();
      vouched.close();
      await acceptor.close();
    },
  };
}
