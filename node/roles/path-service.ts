/**
 * PathService/OpenClientPath: a leg for a client that is an edge itself. The client names a resource; this entry chooses
 * pool member and path, and hands out a handle that leads back to the same egress through any entry of the cluster
 * (fabric/path/handle.ts). Nothing about handles is kept here: the snapshot says what they mean.
 *
 * PS1. A handle that leads nowhere is refused: another egress would not know the client's trunk.
 * PS2. A standby avoids the relays of the trunk's other paths where there are others. The client does not know them and this
 *      entry may not either: the egress refuses what it shares, and says which hops of this very offer are meant.
 * PS3. A resource that needs a lease has paths only for the client and over the entry that its contract names, each path
 *      judged anew: what runs out, or ends, has no path after that.
 * PS4. A way that hangs costs a client that waits little: the next one is tried beside it, and what is ready first is taken. A
 *      standby can wait, and has to learn from each refusal before the next way.
 */

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Client, HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { poolById } from "../../fabric/members.ts";
import { askHash, type SignedAsk, verifyAsk } from "../../fabric/path/ask.ts";
import { type EgressLocators, HANDLE_SALT_BYTES, makeHandle, readHandle } from "../../fabric/path/handle.ts";
import {
  type ClientAsk,
  type OpenClientPathRequest,
  type OpenClientPathResponse,
  OpenClientPathResponseSchema,
  type PathService,
} from "../../gen/weft/access/v1/access_pb.ts";
import { ChannelStage } from "../../gen/weft/channel/v1/channel_pb.ts";
import type { EnrollmentService } from "../../gen/weft/enrollment/v1/enrollment_pb.ts";
import { ChannelClass } from "../../gen/weft/fabric/v1/role_pb.ts";
import type { ResourceRoute } from "../../gen/weft/fabric/v1/snapshot_pb.ts";
import { PathPurpose } from "../../gen/weft/relay/v1/relay_pb.ts";
import { sleep } from "../../lib/clock.ts";
import { WeftError } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { type Caller, clientOf, kCaller } from "../../rpc/caller.ts";
import { tracedSetUp } from "../../rpc/trace-calls.ts";
import { sharedHops } from "../ask-hop.ts";
import type { OfflineJudge } from "../offline-desk.ts";
import type { ClientLeg, PathEvent, PathOpener } from "../paths.ts";
import type { DataPlanePorts } from "../plane-ports.ts";
import { ClientBudget } from "./client-budget.ts";
import type { ContractDesk } from "./contract-desk.ts";
import { entryQuestion } from "./entry.ts";
import type { Routes } from "./routes.ts";
import { firstWay } from "./way.ts";

export interface PathServiceDeps {
  readonly ports: DataPlanePorts;
  readonly routes: Routes;
  readonly paths: () => PathOpener;
  readonly offline: Pick<OfflineJudge, "channel" | "hold">;
  readonly contracts: ContractDesk;
  /** The pinned installation key, SPKI DER. */
  readonly installationSpki: Uint8Array;
  /** Control, which renews clients' certificates. */
  readonly enrollment: Pick<Client<typeof EnrollmentService>, "renewClient">;
}

/** How many ways to one egress are tried before the next egress of the pool. */
const pathAttemptsMaxCount = 3;

/** A request whose ask was verified, and what this entry makes of it. */
interface Wish {
  readonly clientId: string;
  readonly organizationId: string;
  readonly signed: SignedAsk;
  readonly ask: ClientAsk;
  readonly resource: ResourceRoute;
  readonly purpose: PathPurpose;
  /** Best first; one alone when the client comes back to it. */
  readonly farEdges: readonly string[];
  readonly signal: AbortSignal;
}

interface Opened {
  readonly leg: ClientLeg;
  readonly farEdge: string;
}

type Event = MessageInitShape<typeof OpenClientPathResponseSchema>["event"];

/** Clients learn what happened, never where (LAW-C3); the entry they asked is the one node they know. */
function eventOf(event: PathEvent, selfId: string): Event {
  if (event.kind === "closing") return { case: "closing", value: { reason: event.reason } };
  return { case: event.kind, value: { reason: event.nodeId === selfId ? "entry" : event.kind } };
}

/** The leg's events until it closes or the caller leaves; leaving ends nothing but the signalling. */
async function* follow(
  leg: ClientLeg,
  first: Event,
  selfId: string,
  signal: AbortSignal,
): AsyncGenerator<OpenClientPathResponse> {
  yield create(OpenClientPathResponseSchema, { event: first ?? { case: undefined } });
  const queue: Event[] = [];
  let wake: () => void = () => {};
  const unsubscribe = leg.onEvent((event) => {
    // A reader that falls behind hears the newest: the last one says what matters.
    if (queue.length >= limits.clientEventsMaxCount) queue.shift();
    queue.push(eventOf(event, selfId));
    wake();
  });
  const onAbort = (): void => wake();
  signal.addEventListener("abort", onAbort);
  try {
    while (!signal.aborted) {
      const event = queue.shift();
      if (event === undefined) {
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (signal.aborted || queue.length > 0) resolve();
        });
        continue;
      }
      yield create(OpenClientPathResponseSchema, { event });
      if (event.case === "closing") return;
    }
  } finally {
    unsubscribe();
    signal.removeEventListener("abort", onAbort);
  }
}

/** Ways over none of the avoided relays first, then by how many of them they share; otherwise in the order of routing. */
function avoiding(ways: readonly (readonly string[])[], avoid: ReadonlySet<string>): (readonly string[])[] {
  const shared = (hops: readonly string[]): number => hops.slice(1, -1).filter((hop) => avoid.has(hop)).length;
  return ways.toSorted((a, b) => shared(a) - shared(b));
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

class ClientPaths {
  readonly #deps: PathServiceDeps;
  readonly #budget: ClientBudget;

  constructor(deps: PathServiceDeps) {
    this.#deps = deps;
    this.#budget = new ClientBudget(deps.ports.clock);
  }

  get selfId(): string {
    return this.#deps.ports.identity.current().nodeId;
  }

  /** What a request means here. Throws WeftError; nothing was opened then. */
  judge(request: OpenClientPathRequest, caller: Caller, signal: AbortSignal): Wish {
    const { ports, routes } = this.#deps;
    if (ports.drain.draining()) throw new WeftError("unavailable", "the node is draining", { detail: "DRAINING" });
    const returns = request.resumeHandle.length > 0;
    const { clientId, clusterId } = clientOf(caller);
    const clientSpki = caller.spkiDer;
    if (clientSpki === undefined)
      throw new WeftError("unauthenticated", "the client's key is not known", { detail: "CLIENT_KEY" });
    const signed = { ask: request.ask, signature: request.askSignature };
    const ask = verifyAsk(signed, { clientSpki, clusterId, clientId, nowMs: ports.clock.nowMs() });
    const organizationId = caller.organizationId ?? "";
    const resource = routes.resource(ask.resource, organizationId);
    if (resource === undefined)
      throw new WeftError("not_found", "there is no such resource", { detail: "UNKNOWN_RESOURCE" });
    const verdict = this.#deps.offline.channel(resource.resourceId);
    if (!(returns ? verdict.existing : verdict.newChannels))
      throw new WeftError("unavailable", "the offline policy stops new channels", { detail: "OFFLINE" });
    this.#requireCover(request, resource, clientId, hexOf(ask.trunkId));
    const about = { clientId, organizationId, signed, ask, resource, signal };
    if (!returns) {
      if (request.standby) throw new WeftError("invalid_argument", "a standby needs a handle", { detail: "NO_HANDLE" });
      const farEdges = routes.egresses(resource.poolId, organizationId, resource.defaultClass);
      return { ...about, purpose: PathPurpose.NEW, farEdges };
    }
    const farEdge = readHandle(request.resumeHandle, { clientId, poolId: resource.poolId }, this.#locators(resource));
    if (farEdge === undefined)
      throw new WeftError("failed_precondition", "the handle leads nowhere", { detail: "HANDLE_UNKNOWN" });
    return { ...about, purpose: request.standby ? PathPurpose.STANDBY : PathPurpose.RESUME, farEdges: [farEdge] };
  }

  /** PS3: what the channels will show at the far end has to be right for this entry first. */
  #requireCover(request: OpenClientPathRequest, resource: ResourceRoute, clientId: string, requestId: string): void {
    const { ports, contracts } = this.#deps;
    const question = entryQuestion(resource, {
      channelClass: ChannelClass.UNSPECIFIED,
      clientId,
      entryNodeId: this.selfId,
      endedLeaseIds: ports.snapshot.current()?.endedLeaseIds ?? [],
    });
    const told = { stage: "path", resource: resource.name, requestId } as const;
    if (contracts.judge(request.contract, question, told)?.ok !== false) return;
    throw new WeftError("permission_denied", "this client may not use the resource", { detail: "NOT_ALLOWED" });
  }

  /** Opens the best way that stands. Throws `unavailable` (NO_PATH), whatever hop failed (LAW-C3). */
  async open(wish: Wish): Promise<Opened> {
    const opened = wish.purpose === PathPurpose.STANDBY ? await this.#standby(wish) : await this.#first(wish);
    if (opened instanceof Error) {
      // Which hop failed, and how, is for operators: the cause stays here.
      const facts = { detail: "NO_PATH", cause: opened };
      throw new WeftError("unavailable", "no path to the resource could be opened", facts);
    }
    return opened;
  }

  /** A handle back to the egress; empty when this node's snapshot knows no locator of it yet. */
  handle({ clientId, resource }: Wish, farEdge: string): Uint8Array {
    const locators = this.#locators(resource).find(({ egressNodeId }) => egressNodeId === farEdge);
    if (locators === undefined) return new Uint8Array();
    const salt = this.#deps.ports.random.bytes(HANDLE_SALT_BYTES);
    return makeHandle(locators, { clientId, poolId: resource.poolId }, salt);
  }

  #locators(resource: ResourceRoute): readonly EgressLocators[] {
    const snapshot = this.#deps.ports.snapshot.current();
    return (snapshot === undefined ? undefined : poolById(snapshot, resource.poolId))?.locators ?? [];
  }

  #ways(wish: Wish, farEdge: string): (readonly string[])[] {
    const { organizationId, resource } = wish;
    return this.#deps.routes.paths(farEdge, organizationId, resource.defaultClass).map(({ hops }) => hops);
  }

  /** PS4. */
  async #first(wish: Wish): Promise<Opened | Error> {
    const ways = wish.farEdges.flatMap((farEdge) =>
      this.#ways(wish, farEdge)
        .slice(0, pathAttemptsMaxCount)
        .map((hops) => ({ farEdge, hops })),
    );
    if (ways.length === 0) return new Error("no way is known");
    const failed = new Set<unknown>();
    let refused: unknown;
    try {
      return await firstWay({
        clock: this.#deps.ports.clock,
        ways,
        staggerMs: limits.clientWayDelayMs,
        signal: wish.signal,
        open: async ({ farEdge, hops }, signal) => {
          // Who may have no more is not refused once more for each way.
          if (refused !== undefined) throw refused;
          const leg = await this.#beside(wish, hops, signal).catch((thrown: unknown) => {
            refused = thrown;
            throw thrown;
          });
          if (!(leg instanceof Error)) return { leg, farEdge };
          failed.add(leg);
          throw leg;
        },
        discard: ({ leg }) => leg.close(),
        onFailed: () => {},
      });
    } catch (thrown) {
      if (failed.has(thrown)) return thrown as Error;
      throw thrown;
    }
  }

  /** One way beside others: given up when another is quicker (`over`), and tried after all others for a while then. */
  async #beside(wish: Wish, hops: readonly string[], over: AbortSignal): Promise<ClientLeg | Error> {
    const giveUp = new AbortController();
    const { clock } = this.#deps.ports;
    const startedMs = clock.monoMs();
    const onOver = (): void => {
      // One that had no time yet to show what it can is not to blame that another one was quicker.
      const isSlow = clock.monoMs() - startedMs >= limits.clientWayDelayMs;
      if (isSlow && !wish.signal.aborted) this.#deps.routes.failed(hops);
      giveUp.abort();
    };
    over.addEventListener("abort", onOver, { once: true });
    try {
      const signal = AbortSignal.any([wish.signal, giveUp.signal]);
      return await this.#leg({ ...wish, signal }, hops, wish.purpose);
    } finally {
      // A leg that is open is its client's: that the others are over is no news for it.
      over.removeEventListener("abort", onOver);
    }
  }

  /** PS2: learns from refusals which relays to avoid; shares some only when every way does. */
  async #standby(wish: Wish): Promise<Opened | Error> {
    const farEdge = wish.farEdges[0] ?? "";
    const avoid = new Set<string>();
    const tried = new Set<string>();
    let last = new Error("no way is known");
    while (tried.size < limits.clientPathAttemptsMaxCount) {
      // A way that shares what it must not comes last, and then as what it is: any second path is better than none.
      const next = avoiding(this.#ways(wish, farEdge), avoid)
        .map((hops) => ({
          hops,
          purpose: hops.some((hop) => avoid.has(hop)) ? PathPurpose.RESUME : PathPurpose.STANDBY,
        }))
        .find(({ hops, purpose }) => !tried.has(`${purpose} ${hops.join()}`));
      if (next === undefined) break;
      tried.add(`${next.purpose} ${next.hops.join()}`);
      const leg = await this.#leg(wish, next.hops, next.purpose);
      if (!(leg instanceof Error)) return { leg, farEdge };
      last = leg;
      for (const hop of sharedHops(leg, next.hops)) avoid.add(hop);
    }
    return last;
  }

  /** One attempt over one way; the failure of the way, remembered. Throws when the caller left or may not have another. */
  async #leg(wish: Wish, hops: readonly string[], purpose: PathPurpose): Promise<ClientLeg | Error> {
    const { resource, organizationId, signed, ask, clientId } = wish;
    const { clock } = this.#deps.ports;
    this.#budget.offer(wish);
    const release = this.#budget.path(wish);
    // A hop that hangs must not cost the client the time for the next way. Once open, the leg outlives this.
    const tooSlow = new AbortController();
    const timer = clock.after(limits.clientWayMs, () => tooSlow.abort());
    const signal = AbortSignal.any([wish.signal, tooSlow.signal]);
    try {
      const leg = await this.#deps.paths().openForClient({
        hops,
        purpose,
        trunkId: ask.trunkId,
        class: resource.defaultClass,
        organizationId,
        poolId: resource.poolId,
        askHash: askHash(signed),
        clientId,
        signal,
      });
      const over = this.#keepWithin(wish, leg);
      leg.onEvent(({ kind }) => {
        if (kind !== "closing") return;
        release();
        over();
      });
      return leg;
    } catch (thrown) {
      release();
      if (wish.signal.aborted || !(thrown instanceof Error)) throw thrown;
      if (sharedHops(thrown, hops).length === 0) this.#deps.routes.failed(hops);
      return thrown;
    } finally {
      timer.cancel();
    }
  }

  /** A client's path stays no longer than its resource's channels may. What it returns is to be called when it is over. */
  #keepWithin({ resource }: Wish, leg: ClientLeg): () => void {
    let onClose: (() => void) | undefined;
    const held = {
      destroyed: false,
      once: (_event: "close", listener: () => void): void => {
        onClose = listener;
      },
      abort: () => leg.close(),
    };
    this.#deps.offline.hold(held, { resourceId: resource.resourceId, stage: ChannelStage.ENTRY, isPath: true });
    return () => onClose?.();
  }
}

/** Resolves when the bundle is newer, at the latest after `limits.clientTrustWaitMs`, or on abort. */
async function newerBundle(
  { identity, clock }: Pick<DataPlanePorts, "identity" | "clock">,
  isNewer: () => boolean,
  signal: AbortSignal,
): Promise<void> {
  const newer = new AbortController();
  const stop = identity.onChange(() => isNewer() && newer.abort());
  await sleep(clock, limits.clientTrustWaitMs, AbortSignal.any([signal, newer.signal]));
  stop();
}

export function pathService(deps: PathServiceDeps): ServiceImpl<typeof PathService> {
  const clientPaths = new ClientPaths(deps);
  return {
    async *openClientPath(request: OpenClientPathRequest, context: HandlerContext) {
      const setUp = async (): Promise<Opened & { readonly wish: Wish }> => {
        const wish = clientPaths.judge(request, context.values.get(kCaller), context.signal);
        return { wish, ...(await clientPaths.open(wish)) };
      };
      const { wish, leg, farEdge } = await tracedSetUp(deps.ports.tracer, { context, joinsOnly: false }, setUp);
      const { poolId, defaultClass } = wish.resource;
      const value = { legToken: leg.legToken, resumeHandle: clientPaths.handle(wish, farEdge), poolId, defaultClass };
      yield* follow(leg, { case: "ready", value }, clientPaths.selfId, context.signal);
    },
    async getClientTrust({ heldVersion, wait }, context) {
      const isNewer = (): boolean => deps.ports.identity.current().bundle.version > heldVersion;
      if (wait && !isNewer()) await newerBundle(deps.ports, isNewer, context.signal);
      const { signedBundle } = deps.ports.identity.current();
      if (signedBundle === undefined || !isNewer()) return {};
      const { bytes, signature } = signedBundle;
      return { bundle: bytes, signature, installationPublicKey: Uint8Array.from(deps.installationSpki) };
    },
    async renewIdentity({ certificateDer, csr, issuedAtMs, signature }, { values, signal }) {
      const caller = values.get(kCaller);
      clientOf(caller);
      const { sourceAddress } = caller;
      const request = { certificateDer, csr, issuedAtMs, signature, sourceAddress };
      const answer = await deps.enrollment.renewClient(request, { signal, timeoutMs: limits.clientRenewMs });
      return { certificateDer: answer.certificateDer, notAfterMs: answer.notAfterMs };
    },
  };
}
