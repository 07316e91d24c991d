/**
 * The SDK: a program that is an edge itself. Its channels run on trunks that end at the egress; entries are only the first
 * hop, so losing one, like losing a relay, moves the trunk and ends nothing.
 *
 * CN1. A client knows entries, names of resources and pools of its organization. It learns neither relays nor egresses (LAW-C3).
 * CN2. One trunk per resource, shared by its channels: which resources share an egress is not the client's to know.
 * CN3. What is written to a channel may be reused by the caller once its callback ran: bytes are copied.
 * CN4. The origin of every channel is PROVED: the far end has seen this client's certificate and its ask.
 */

import type { EdgeChannel } from "../edge/channel.ts";
import type { DialAddress } from "../edge/dial.ts";
import { type MoveReport, MoveReports } from "../edge/move-reports.ts";
import { TrunkPool } from "../edge/trunk-pool.ts";
import type { TrunkRunner } from "../edge/trunk-runner.ts";
import type { TrunkRunnerStats } from "../edge/trunk-runner-stats.ts";
import { isId } from "../fabric/signed-bytes.ts";
import type { ChannelOpen } from "../fabric/trunk/messages.ts";
import { ChannelClass, OriginAssurance } from "../gen/weft/fabric/v1/role_pb.ts";
import { type Clock, systemClock } from "../lib/clock.ts";
import { WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import { type Log, silentLog } from "../lib/log.ts";
import { type Random, randomLabel, systemRandom } from "../lib/random.ts";
import { isRefusal, openError, unknownResource } from "./client-error.ts";
import { ClientPaths, entryOf, generationOf, leaseOf, resourceOf } from "./client-paths.ts";
import { EntryConnection } from "./entry-connection.ts";
import { type Forward, type ForwardOptions, startForward } from "./forward.ts";
import type { ClientIdentity, ClientPems } from "./identity.ts";
import { identitySource } from "./identity-source.ts";
import { type HeldLease, heldLease } from "./lease.ts";
import { classes, type OpenOptions } from "./open-options.ts";
import { type ClientRenewal, startRenewal } from "./renewal.ts";
import { ClientTrust } from "./trust.ts";

export interface ConnectOptions {
  /**
   * Entries as "host:port" of their public ports, in order of preference. Two or more: the loss of one is survived. May be left
   * out when `identity` is a folder that names some.
   */
  readonly entries?: readonly string[];
  /**
   * A client folder, PEM texts, or a function that returns them. Folder and function are read for every path, so that a renewed
   * identity (same client, another certificate) is used without a restart. The certificate in a folder that may be written is
   * renewed at a third of its life.
   */
  readonly identity: string | ClientPems | (() => ClientPems);
  /**
   * Texts only: their certificate is renewed too, and this keeps what came of it, durably, before it is used. A program that starts
   * with the older one again is refused further renewals.
   */
  readonly onRenewed?: (pems: ClientPems) => void | Promise<void>;
  /** Told what happens to trunks; must not throw. */
  readonly onEvent?: (event: ClientEvent) => void;
  readonly log?: Log;
  readonly clock?: Clock;
  readonly random?: Random;
}

/** What happens to the trunk of one resource. Entries are node ids; empty when there was no path. */
export type ClientEvent =
  | { readonly kind: "opened"; readonly trunk: string; readonly resource: string }
  | {
      readonly kind: "moved";
      readonly trunk: string;
      readonly resource: string;
      readonly lane: "interactive" | "bulk";
      readonly cause: string;
      readonly fromEntry: string;
      readonly toEntry: string;
      /** What a client knows of the path: its entry, a number of its own for what lies between, the pool. Empty: there was none. */
      readonly fromPath: readonly string[];
      readonly toPath: readonly string[];
      /**
       * How long the lane heard nothing, milliseconds: until news on the new path, from the last news on the old one, or from the
       * fault where there had been none for a second. Of a lane that carries little, most of it may be rest.
       */
      readonly gapMs: number;
      readonly replayedBytes: number;
      /** How many moves this stands for: of a trunk that moves again and again not each is told by itself. */
      readonly moves: number;
    }
  /** The trunk is over: `closed` in order, `lost` with errors for the channels it had. */
  | { readonly kind: "closed" | "lost"; readonly trunk: string; readonly resource: string; readonly cause: string };

export interface Client {
  readonly clientId: string;
  /**
   * Opens a channel to a resource, as a Node stream: half-closes are kept apart, back-pressure reaches the writer.
   * @throws WeftError whose metadata says end, stage, correlationId and writtenToTarget; the stream's own error says the same
   * when the channel ends later.
   */
  open(resource: string, options?: OpenOptions): Promise<EdgeChannel>;
  /**
   * Asks the entries whether this client may have the resource, without opening its target.
   * @throws WeftError not_found, permission_denied or unauthenticated when it may not; anything else says nothing about that.
   */
  check(resource: string, options?: Pick<OpenOptions, "lease" | "signal">): Promise<void>;
  /** Listens on a local TCP port; every connection becomes a channel to the resource. */
  forward(options: ForwardOptions): Promise<Forward>;
  trunks(): readonly TrunkRunnerStats[];
  /** Ends forwards, lets channels finish for a moment, then cuts. Every socket is gone when it resolves. */
  close(): Promise<void>;
}

/**
 * A client over the given entries; nothing is dialled before the first channel is opened.
 * @throws WeftError when the identity cannot be read, or there is no entry.
 */
export function connect(options: ConnectOptions): Client {
  return new SdkClient(options);
}

class SdkClient implements Client {
  readonly clientId: string;
  readonly #options: ConnectOptions;
  readonly #random: Random;
  readonly #clock: Clock;
  readonly #organizationId: string;
  readonly #entries: readonly EntryConnection[];
  readonly #paths: ClientPaths;
  readonly #pool: TrunkPool;
  /** What resources' channels are carried as, as far as entries have told. */
  readonly #classes = new Map<string, ChannelClass>();
  /** By id: what callers have shown. */
  readonly #leases = new Map<string, HeldLease>();
  /** By resource and lease: how often their trunk was left behind without a path. */
  readonly #generations = new Map<string, number>();
  readonly #forwards = new Set<Forward>();
  readonly #renewal: ClientRenewal | undefined;
  #isClosed = false;

  constructor(options: ConnectOptions) {
    const { clock = systemClock, random = systemRandom, log = silentLog } = options;
    const { identity: given, onRenewed } = options;
    const source = identitySource({ identity: given, clock, ...(onRenewed === undefined ? {} : { onRenewed }) });
    const first = source.read();
    this.#options = options;
    this.#random = random;
    this.#clock = clock;
    this.clientId = first.clientId;
    this.#organizationId = first.organizationId;
    const addresses = (options.entries ?? source.entries).map(addressOf);
    if (addresses.length === 0)
      throw new WeftError("invalid_argument", "no entry is known: name one or more", { detail: "NO_ENTRY" });
    const folder = typeof options.identity === "string" ? options.identity : undefined;
    const read = (): ClientIdentity => sameClient(source.read(), first);
    const onNews = (): void => {
      // Everybody hears of it at once.
      if (!trust.isTainted(source.read().leaf)) return;
      clock.after(random.float() * limits.taintedRenewSpreadMs, () => this.#renewal?.look());
    };
    const trust = new ClientTrust({ read, folder, onNews, clock, log });
    const identity = (): ClientIdentity => trust.identity();
    const onConnected = (...entry: Parameters<ClientTrust["follow"]>): void => void trust.follow(...entry);
    this.#entries = addresses.map((address) => new EntryConnection({ address, identity, clock, onConnected }));
    this.#renewal = startRenewal(source, this.#entries, {
      ...{ clock, random, log },
      read,
      isTainted: ({ leaf }) => trust.isTainted(leaf),
      onRenewed: (before) => {
        if (trust.isTainted(before.leaf)) this.#paths.replaceAll();
      },
    });
    const paths = new ClientPaths({
      entries: this.#entries,
      identity,
      clock,
      random,
      log,
      lease: (leaseId) => this.#leases.get(leaseId),
      onClass: (resource, channelClass) => this.#classes.set(resource, channelClass),
      onRefused: (trunkIdHex) => this.#pool.find(trunkIdHex)?.abort("no entry takes this client any more"),
    });
    this.#paths = paths;
    const moves = new MoveReports<TrunkRunner>(clock, (report, trunk) => this.#tell(movedEvent(report, trunk)));
    this.#pool = new TrunkPool({
      clock,
      random,
      log,
      openPath: (wish) => paths.open(wish),
      onTrunk: (trunk) => this.#tell({ kind: "opened", ...about(trunk) }),
      onMove: (moved, trunk) => moves.moved(moved, trunk),
      onTrunkEnd: (trunk, end) => {
        paths.forget(trunk.trunkIdHex);
        moves.ended(trunk);
        this.#tell({ kind: end.cause === "closed" ? "closed" : "lost", ...about(trunk), cause: end.cause });
      },
    });
  }

  async open(resource: string, options: OpenOptions = {}): Promise<EdgeChannel> {
    const { signal, awaitTarget = true } = options;
    const correlationId = randomLabel(this.#random, 16);
    if (!isId(resource)) throw unknownResource(correlationId);
    const wanted = options.class === undefined ? this.#classes.get(resource) : classes[options.class];
    const origin = {
      assurance: OriginAssurance.PROVED,
      clientId: this.clientId,
      organizationId: this.#organizationId,
      entryNodeId: "",
      listenerId: "",
      sourceAddress: "",
    };
    const lease = this.#hold(options.lease);
    const open = {
      ...{ resource, class: wanted ?? ChannelClass.UNSPECIFIED, origin, correlationId },
      ...(lease === undefined ? {} : { contract: lease.contract }),
      ...(lease === undefined || lease.flowIsolationId === "" ? {} : { flowIsolationId: lease.flowIsolationId }),
    };
    try {
      for (let attempt = 1; ; attempt += 1) {
        const { channel, farEdge } = await this.#open(open, lease?.leaseId ?? "", signal);
        if (!awaitTarget || (await this.#answered(channel, farEdge, signal, attempt))) return channel;
        this.#leave(farEdge);
      }
    } catch (thrown) {
      throw openError(thrown, correlationId);
    }
  }

  /**
   * A trunk that lost every path, or whose far end does not answer on any, keeps what it carries; what is new goes on another
   * one, to whichever egress answers. Where none does, what is silent is waited for: it may be back before anything else.
   */
  async #open(open: ChannelOpen, leaseId: string, signal: AbortSignal | undefined): Promise<Placed> {
    const place = async (farEdge: string): Promise<Placed> => {
      const channel = await this.#pool.open({ farEdge, organizationId: this.#organizationId }, open, signal);
      this.#drainOlder(farEdge);
      return { channel, farEdge };
    };
    const newest = (): string => this.#farEdge(open.resource, leaseId);
    if (this.#isLost(newest())) this.#leave(newest());
    const first = newest();
    try {
      return await place(first);
    } catch (thrown) {
      if (signal?.aborted === true || (thrown instanceof WeftError && isRefusal(thrown.cause))) throw thrown;
      if (this.#isLost(first)) {
        this.#leave(first);
        return await place(newest());
      }
      const silent = this.#older(first).find((trunk) => trunk.takesChannels && !trunk.held);
      if (silent === undefined) throw thrown;
      return await place(silent.farEdge);
    }
  }

  /** Trunks to the same resource under the same lease that were left behind for this one, the newest first. */
  #older(farEdge: string): TrunkRunner[] {
    const isOlder = (other: string): boolean =>
      resourceOf(other) === resourceOf(farEdge) &&
      leaseOf(other) === leaseOf(farEdge) &&
      generationOf(other) < generationOf(farEdge);
    const older = this.#pool.trunks().filter((trunk) => isOlder(trunk.farEdge));
    return older.toSorted((a, b) => generationOf(b.farEdge) - generationOf(a.farEdge));
  }

  /** What was left behind ends with the channels it has: this one carries what is new. */
  #drainOlder(farEdge: string): void {
    if (generationOf(farEdge) === 0) return;
    for (const trunk of this.#older(farEdge)) if (trunk.takesChannels) trunk.drain();
  }

  /** Channels under a lease have a trunk of their own: all its paths go by the entry that the lease names. */
  #farEdge(resource: string, leaseId: string): string {
    const generation = this.#generations.get(`${resource}/${leaseId}`) ?? 0;
    return leaseId === "" ? `${resource}/${generation}` : `${resource}/${generation}/${leaseId}`;
  }

  /** The lease a caller shows, kept for the paths of its trunk: the newest contract counts. */
  #hold(contract: Uint8Array | undefined): HeldLease | undefined {
    if (contract === undefined) return undefined;
    const shown = heldLease(contract);
    const held = this.#leases.get(shown.leaseId);
    if (held === undefined || held.notAfterMs <= shown.notAfterMs) this.#leases.set(shown.leaseId, shown);
    return shown;
  }

  /** New channels of the resource go on a new trunk. Whoever finds out first makes it. */
  #leave(farEdge: string): void {
    const key = `${resourceOf(farEdge)}/${leaseOf(farEdge)}`;
    if (this.#farEdge(resourceOf(farEdge), leaseOf(farEdge)) === farEdge)
      this.#generations.set(key, (this.#generations.get(key) ?? 0) + 1);
  }

  /** Whether a trunk has no path left, or none that answers. */
  #isLost(farEdge: string): boolean {
    return this.#pool.trunks().some((trunk) => trunk.farEdge === farEdge && (trunk.held || trunk.silent));
  }

  /**
   * Waits for the target. False when the trunk was lost before it answered: nothing was written yet, so another trunk may be
   * asked, once. Rejects with how the channel ended; a caller that leaves takes the channel with it.
   */
  async #answered(
    channel: EdgeChannel,
    farEdge: string,
    signal: AbortSignal | undefined,
    attempt: number,
  ): Promise<boolean> {
    const onAbort = (): void => void channel.destroy();
    signal?.addEventListener("abort", onAbort, { once: true });
    if (signal?.aborted === true) onAbort();
    let isLeft = false;
    let lostLooks = 0;
    const looking = this.#clock.every(limits.heldOpenWaitMs / 3, () => {
      lostLooks = this.#isLost(farEdge) ? lostLooks + 1 : 0;
      if (lostLooks < 3 || attempt > 1) return;
      isLeft = true;
      channel.destroy();
    });
    try {
      await channel.opened;
      return true;
    } catch (thrown) {
      if (isLeft && signal?.aborted !== true) return false;
      throw thrown;
    } finally {
      looking.cancel();
      signal?.removeEventListener("abort", onAbort);
    }
  }

  async check(resource: string, options: Pick<OpenOptions, "lease" | "signal"> = {}): Promise<void> {
    if (!isId(resource)) throw unknownResource(randomLabel(this.#random, 16));
    const { signal = new AbortController().signal } = options;
    await this.#paths.check(resource, this.#hold(options.lease), signal);
  }

  async forward(options: ForwardOptions): Promise<Forward> {
    if (this.#isClosed) throw new WeftError("unavailable", "the client is closed", { detail: "CLOSED" });
    const forward = await startForward((resource, how) => this.open(resource, how), options);
    this.#forwards.add(forward);
    return forward;
  }

  trunks(): readonly TrunkRunnerStats[] {
    return this.#pool.trunks().map((trunk) => trunk.stats());
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#renewal?.close();
    await Promise.all([...this.#forwards].map((forward) => forward.close()));
    await this.#pool.close();
    for (const entry of this.#entries) entry.close();
  }

  #tell(event: ClientEvent): void {
    this.#options.onEvent?.(event);
  }
}

function about(trunk: TrunkRunner): { readonly trunk: string; readonly resource: string } {
  return { trunk: trunk.trunkIdHex, resource: resourceOf(trunk.farEdge) };
}

function movedEvent(report: MoveReport, trunk: TrunkRunner): ClientEvent {
  const { lane, cause, from, to, gapMs, replayedBytes, moves } = report;
  const entries = { fromEntry: entryOf(from) ?? "", toEntry: entryOf(to) ?? "" };
  const paths = { fromPath: from.slice(1), toPath: to.slice(1) };
  return { kind: "moved", ...about(trunk), lane, cause, ...entries, ...paths, gapMs, replayedBytes, moves };
}

/** A channel, and the trunk it is on. */
interface Placed {
  readonly channel: EdgeChannel;
  readonly farEdge: string;
}

/** A renewed identity is the same client; a trunk cannot become somebody else's. */
function sameClient(now: ClientIdentity, first: ClientIdentity): ClientIdentity {
  if (now.clientId === first.clientId && now.clusterId === first.clusterId) return now;
  throw new WeftError("failed_precondition", "the identity is another client's now", { detail: "CLIENT_CHANGED" });
}

function addressOf(text: string): DialAddress {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:\s]+)):(\d{1,5})$/.exec(text.trim());
  const port = Number(match?.[3]);
  if (match === null || port < 1 || port > 65_535)
    throw new WeftError("invalid_argument", `an entry is written as host:port`, { detail: "ENTRY_ADDRESS" });
  return { host: match[1] ?? match[2] ?? "", port };
}
