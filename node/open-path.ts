/**
 * RelayService: one hop's part of setting a path up. Everything an offer says is checked here again, from the own
 * snapshot; the answer is a token of this hop's own making, or a refusal that names nobody.
 *
 * OP1. An offer is agreed to once (nonce), by its caller being its predecessor, within budgets of initiator and caller.
 * OP2. The successor's address comes from the own snapshot only.
 * OP3. The answering stream lives as long as the path and carries its events; losing the stream ends nothing but itself.
 *      A path whose token was never used ends with the stream, or with the token.
 */

import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { authorizeOffer, type OfferDecision, type OfferFacts } from "../fabric/path/authorize.ts";
import { verifyOffer } from "../fabric/path/offer.ts";
import { ReplayWindow } from "../fabric/path/replay.ts";
import {
  DialBackResponseSchema,
  FarEdge,
  type OpenPathRequest,
  type OpenPathResponse,
  OpenPathResponseSchema,
  type PathOffer,
  PathPurpose,
  type RelayService,
} from "../gen/weft/relay/v1/relay_pb.ts";
import { WeftError } from "../lib/errors.ts";
import type { Admission, PathBudget } from "../relay/budget.ts";
import { type LegTable, legHash } from "../relay/legs.ts";
import { kCaller, nodeOf } from "../rpc/caller.ts";
import { tracedSetUp } from "../rpc/trace-calls.ts";
import { askHop, pathError, sharesError } from "./ask-hop.ts";
import { dialBack } from "./dial-back.ts";
import { answerFeed, exchangeFeed } from "./feed-exchange.ts";
import type { HopPath } from "./hop-path.ts";
import type { Hops } from "./hops.ts";
import type { LegDesk } from "./leg-desk.ts";
import { type Links, neighbourOf } from "./links.ts";
import { dropNextLeg, type LegAction, prepareNextLeg } from "./next-leg.ts";
import { pathEvents } from "./path-events.ts";
import type { PeerJudge } from "./peer-judge.ts";
import type { DataPlanePorts } from "./plane-ports.ts";

export interface RelayDeps {
  readonly ports: DataPlanePorts;
  readonly judge: PeerJudge;
  readonly links: Links;
  readonly legs: LegTable<LegAction>;
  readonly desk: LegDesk;
  readonly hops: Hops;
  readonly budget: PathBudget;
  /** Wall time of this process's start: older offers may have been agreed to before it. */
  readonly startedAtMs: number;
  /** Whether this node can be a far edge at all. */
  readonly endsPaths: boolean;
}

interface Agreed {
  readonly path: HopPath;
  readonly token: Uint8Array;
}

export function relayService(deps: RelayDeps): ServiceImpl<typeof RelayService> {
  const setUp = new PathSetUp(deps);
  return {
    async *openPath(request, context) {
      const { nodeId } = nodeOf(context.values.get(kCaller));
      const agree = (): Promise<Agreed> => setUp.agree(request, nodeId, context.signal);
      const { path, token } = await tracedSetUp(deps.ports.tracer, { context, joinsOnly: true }, agree);
      yield ready(token);
      yield* pathEvents(path, context.signal);
    },
    async dialBack(request, context) {
      const { nodeId } = nodeOf(context.values.get(kCaller));
      await dialBack(deps, { callerId: nodeId, legToken: request.legToken, pathToken: request.pathToken });
      return create(DialBackResponseSchema);
    },
    exchangeFeed: (request) => answerFeed(request, deps.ports.feed),
  };
}

class PathSetUp {
  readonly #deps: RelayDeps;
  readonly #replay = new ReplayWindow();

  constructor(deps: RelayDeps) {
    this.#deps = deps;
  }

  /** Agrees to an offer, asking the rest of the path first. Rejects with OFFER_* or PATH_*; `hop` is who failed. */
  async agree(request: OpenPathRequest, callerId: string, signal: AbortSignal): Promise<Agreed> {
    const { ports } = this.#deps;
    try {
      const { offer } = verifyOffer(request);
      const at = offer.hops.indexOf(ports.identity.current().nodeId);
      if (ports.drain.draining()) throw pathError("unavailable", "PATH_DRAINING", at);
      const { decision, admission } = await this.#authorize(request, offer, callerId);
      try {
        return await this.#take(request, offer, { decision, admission, callerId, at, signal });
      } catch (error) {
        admission.release();
        throw error;
      }
    } catch (error) {
      ports.counters.offersRefused += 1;
      const detail = error instanceof WeftError ? error.detail : "INTERNAL";
      ports.log.info("offer refused", { peer: callerId, detail });
      throw error;
    }
  }

  /** The decision, with the budgets charged. A feed that is behind is brought up to date first, once. */
  async #authorize(
    request: OpenPathRequest,
    offer: PathOffer,
    callerId: string,
  ): Promise<{ decision: OfferDecision & { ok: true }; admission: Admission }> {
    let admission: Admission | undefined;
    const charge = (initiator: string, caller: string): string | undefined => {
      const admitted = this.#deps.budget.admit({ initiator, caller });
      if (typeof admitted === "string") return admitted;
      admission = admitted;
      return undefined;
    };
    let decision = this.#decide(request, offer, callerId, charge);
    if (!decision.ok && decision.detail === "FEED_BEHIND") {
      const client = this.#deps.links.relayTo(callerId);
      if (client !== undefined) await exchangeFeed(client, this.#deps.ports.feed);
      decision = this.#decide(request, offer, callerId, charge);
    }
    const at = offer.hops.indexOf(this.#deps.ports.identity.current().nodeId);
    if (!decision.ok) throw refusal(decision, at);
    if (admission === undefined) throw pathError("resource_exhausted", "PATH_BUDGET", at);
    // Only what is agreed to is remembered (OP1).
    if (this.#replay.remember(offer, this.#deps.ports.clock.nowMs())) return { decision, admission };
    admission.release();
    throw pathError("resource_exhausted", "OFFER_REPLAYED", at);
  }

  #decide(
    request: OpenPathRequest,
    offer: PathOffer,
    callerId: string,
    charge: NonNullable<OfferFacts["charge"]>,
  ): OfferDecision {
    const { ports, judge, hops, startedAtMs } = this.#deps;
    const snapshot = ports.snapshot.current();
    if (snapshot === undefined) return { ok: false, detail: "OFFER_OFFLINE" };
    return authorizeOffer({
      offer,
      selfId: ports.identity.current().nodeId,
      callerId,
      snapshot,
      nowMs: ports.clock.nowMs(),
      startedAtMs,
      feed: ports.feed.position(),
      initiator: judge.initiator(request.initiatorCertificate),
      replay: this.#replay,
      offline: hops.offline(offer.organizationId),
      charge,
    });
  }

  async #take(request: OpenPathRequest, offer: PathOffer, agreed: TakeFacts): Promise<Agreed> {
    const { callerId, decision, at } = agreed;
    const { ports } = this.#deps;
    if (decision.position === "far-edge" && !this.#deps.endsPaths) {
      throw pathError("failed_precondition", "PATH_NOT_AN_EDGE", at);
    }
    if (decision.position === "far-edge") this.#requireApart(offer, at);
    const path = this.#deps.hops.add({
      offer,
      predecessor: callerId,
      tag: legHash(request.offer).slice(0, 8),
      initiatorDer: request.initiatorCertificate,
      admission: agreed.admission,
    });
    ports.tracer?.current()?.set({ "weft.path": path.tag, "weft.hop": at });
    // Until the token is used, the caller's giving up ends it (OP3).
    const onAbort = (): void => {
      if (path.state === "pending") path.end("token_expired");
    };
    agreed.signal.addEventListener("abort", onAbort, { once: true });
    if (agreed.signal.aborted) onAbort();
    try {
      const action: LegAction =
        decision.position === "far-edge"
          ? { kind: "end", path }
          : { kind: "splice", path, next: await this.#askNext(request, path, decision.nextHopId, at + 1) };
      return { path, token: this.#mint(path, action) };
    } catch (error) {
      path.end("token_expired");
      throw error;
    }
  }

  /** A client's standby shares no relay with the trunk's other paths: nobody but this end knows both. */
  #requireApart(offer: PathOffer, at: number): void {
    if (offer.farEdge !== FarEdge.POOL || offer.purpose !== PathPurpose.STANDBY) return;
    const shared = this.#deps.hops.sharedRelays(offer);
    if (shared.length > 0) throw sharesError(at, shared);
  }

  async #askNext(request: OpenPathRequest, path: HopPath, nextHopId: string, hop: number): Promise<LegNext> {
    const { links, legs, ports } = this.#deps;
    const neighbour = neighbourOf(ports, nextHopId);
    const client = links.relayTo(nextHopId);
    if (neighbour === undefined || client === undefined)
      throw pathError("unavailable", "PATH_NEXT_HOP_UNREACHABLE", hop);
    const { clock, tracer } = ports;
    const onEvent = path.emit.bind(path);
    const token = await askHop(client, request, { clock, signal: path.signal, hop, onEvent, tracer });
    const leg = { neighbour, token, initiatorId: path.offer.initiatorId, hop, signal: path.signal };
    const next = await prepareNextLeg({ legs, links, clock }, leg);
    if (path.state === "pending") return next;
    dropNextLeg(next);
    throw pathError("canceled", "PATH_CANCELED", hop);
  }

  /** The token for the predecessor; what it holds is let go when it is not used. */
  #mint(path: HopPath, action: LegAction): Uint8Array {
    const leg = this.#deps.legs.mint({
      predecessor: path.predecessor,
      initiator: path.offer.initiatorId,
      value: action,
      onUnused: () => path.end("token_expired"),
    });
    path.onEnd(() => {
      leg.withdraw();
      if (action.kind === "splice") dropNextLeg(action.next);
    });
    return leg.token;
  }
}

type LegNext = Parameters<typeof dropNextLeg>[0];

interface TakeFacts {
  readonly decision: OfferDecision & { ok: true };
  readonly admission: Admission;
  readonly callerId: string;
  readonly at: number;
  readonly signal: AbortSignal;
}

function refusal(decision: OfferDecision & { ok: false }, hop: number): WeftError {
  switch (decision.detail) {
    case "OFFER_BUDGET":
      return pathError("resource_exhausted", "PATH_BUDGET", hop);
    case "FEED_BEHIND":
    case "OFFER_OFFLINE":
      return pathError("unavailable", decision.detail, hop);
    default:
      return pathError("permission_denied", decision.detail, hop);
  }
}

function ready(legToken: Uint8Array): OpenPathResponse {
  return create(OpenPathResponseSchema, { event: { case: "ready", value: { legToken } } });
}
