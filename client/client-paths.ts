/**
 * Opens the paths of a client's trunks: asks an entry, dials it again with the leg it gave, and shakes hands with the pool at
 * the far end through everything in between.
 *
 * CP1. The far end is exactly the pool the trunk began with; another one is refused, whatever an entry says.
 * CP2. Every path is asked for with an ask of its own, which the far end holds against the offer the path came by.
 * CP3. A spare goes over another entry than the paths in use where one answers; an entry that failed rests for a while.
 * CP4. The paths of a trunk under a lease all go by the entry that the lease names, and each shows the newest contract.
 */

import { judgePeer } from "../certs/judge.ts";
import { tlsOptions } from "../certs/tls-options.ts";
import { dialTcp, startTls } from "../edge/dial.ts";
import type { EdgePath, EdgePathEvent } from "../edge/edge-path.ts";
import type { PathWish } from "../edge/trunk-pool.ts";
import { type SignedAsk, signAsk } from "../fabric/path/ask.ts";
import { encodeLegPreamble } from "../fabric/preamble.ts";
import type { ClientPathReady, OpenClientPathResponse } from "../gen/weft/access/v1/access_pb.ts";
import type { ChannelClass } from "../gen/weft/fabric/v1/role_pb.ts";
import type { Clock } from "../lib/clock.ts";
import { WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import type { Log } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import { resetSocket } from "../lib/reset-socket.ts";
import { isRefusal } from "./client-error.ts";
import type { EntryConnection } from "./entry-connection.ts";
import { type ClientIdentity, expectPool } from "./identity.ts";
import type { HeldLease } from "./lease.ts";

export interface ClientPathsOptions {
  /** In order of preference. */
  readonly entries: readonly EntryConnection[];
  readonly identity: () => ClientIdentity;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** The newest contract of a lease that callers have shown. */
  readonly lease: (leaseId: string) => HeldLease | undefined;
  /** An entry said what a resource's channels are carried as. */
  readonly onClass: (resource: string, channelClass: ChannelClass) => void;
  /** No entry takes this client any more: what runs need not wait for another path. */
  readonly onRefused: (trunkIdHex: string) => void;
}

/** What a trunk's first path has settled for all that follow. */
interface Settled {
  readonly poolId: string;
  handle: Uint8Array;
  /** How often in a row every entry refused this client. */
  refusals: number;
}

/** What an entry gave, for a path to be made of. */
interface Leg {
  readonly entry: EntryConnection;
  readonly entryId: string;
  readonly identity: ClientIdentity;
  readonly ready: ClientPathReady;
  /** Ends the call that gave it. */
  readonly over: AbortController;
  readonly ask: SignedAsk;
  readonly events: AsyncIterable<OpenClientPathResponse["event"]>;
  /** For the connection, and again for the handshake. */
  readonly withinMs: number;
}

/** An entry that is killed while it is being asked looks like one that refuses: once proves nothing. */
const refusalsMaxCount = 2;

/** The middle of a client path's hops: its entry, and a number that no other path of this process has. */
export function entryOf(hops: readonly string[]): string | undefined {
  return hops[1];
}

/** The resource of a trunk's far edge: what stands before its generation. */
export function resourceOf(farEdge: string): string {
  return farEdge.split("/")[0] ?? "";
}

/** How many trunks of its resource and lease were left behind before this one. */
export function generationOf(farEdge: string): number {
  return Number(farEdge.split("/")[1] ?? 0);
}

/** The lease that a trunk's channels are under; empty: none. */
export function leaseOf(farEdge: string): string {
  return farEdge.split("/")[2] ?? "";
}

/** Whether channels under a lease may come by an entry. */
function goesBy(lease: HeldLease | undefined, entryId: string): boolean {
  return lease === undefined || lease.entryNodeId === entryId;
}

function otherEntry(): WeftError {
  const message = "the lease is for another entry than those that answer: name that one (--entry)";
  return new WeftError("permission_denied", message, { detail: "LEASE_ENTRY" });
}

/** Refusals that say more than that this entry is away: told to the caller when no entry could do better. */
const telling = new Set([
  "not_found",
  "permission_denied",
  "unauthenticated",
  "invalid_argument",
  "failed_precondition",
]);

function mostTelling(failures: readonly WeftError[]): WeftError {
  return (
    failures.find(({ reason }) => telling.has(reason)) ??
    failures.at(-1) ??
    new WeftError("unavailable", "no other entry is known", { detail: "NO_ENTRY" })
  );
}

export class ClientPaths {
  readonly #options: ClientPathsOptions;
  readonly #settled = new Map<string, Settled>();
  readonly #restUntilMs = new Map<EntryConnection, number>();
  /** How to leave each live path for another, make before break. */
  readonly #leaves = new Set<() => void>();
  #paths = 0;

  constructor(options: ClientPathsOptions) {
    this.#options = options;
  }

  /** Every path is left for another one: the leaf they were made with is about to count no more. */
  replaceAll(): void {
    for (const leave of [...this.#leaves]) leave();
  }

  /** A trunk is over: what was settled for it is forgotten. */
  forget(trunkIdHex: string): void {
    this.#settled.delete(trunkIdHex);
  }

  /** Opens a path for the trunk pool. Rejects with the most telling refusal of the entries tried. */
  async open(wish: PathWish): Promise<EdgePath> {
    const used = new Set(wish.beside.map(entryOf).filter((id) => id !== undefined));
    const failures: WeftError[] = [];
    const tried = new Set<EntryConnection>();
    const lease = this.#options.lease(leaseOf(wish.farEdge));
    /** Entries that the lease is not for. */
    let foreign = 0;
    // Only worth having over another entry: what it improves on shares nothing else that a client could see.
    const passes = used.size === 0 ? [false] : wish.sharedMax === undefined ? [true, false] : [true];
    for (const apart of passes) {
      for (const entry of this.#order()) {
        if (tried.has(entry)) continue;
        wish.signal.throwIfAborted();
        try {
          const entryId = await entry.entryId();
          if (!goesBy(lease, entryId)) {
            tried.add(entry);
            foreign += 1;
            continue;
          }
          if (wish.shun.includes(entryId)) continue;
          if (apart && used.has(entryId)) continue;
          tried.add(entry);
          return await this.#openVia(entry, entryId, wish);
        } catch (thrown) {
          if (wish.signal.aborted || !(thrown instanceof WeftError)) throw thrown;
          tried.add(entry);
          failures.push(thrown);
          this.#failed(entry, thrown);
        }
      }
    }
    this.#judgeRefusals(hexOf(wish.trunkId), failures);
    throw foreign === this.#options.entries.length ? otherEntry() : mostTelling(failures);
  }

  /**
   * Asks whether this client may have a path to the resource; the one that an entry offers is given back unused.
   * Rejects with the most telling refusal when no entry would give one.
   */
  async check(resource: string, lease: HeldLease | undefined, signal: AbortSignal): Promise<void> {
    const { entries, random } = this.#options;
    const failures: WeftError[] = [];
    for (const entry of entries) {
      const over = new AbortController();
      try {
        const { ask, signature: askSignature } = this.#sign(this.#options.identity(), resource, random.bytes(16));
        if (lease !== undefined && !goesBy(lease, await entry.entryId())) continue;
        const contract = lease?.contract ?? new Uint8Array();
        const asked = { ask, askSignature, resumeHandle: new Uint8Array(), standby: false, contract };
        const { ready } = await entry.openPath(asked, AbortSignal.any([signal, over.signal]));
        this.#options.onClass(resource, ready.defaultClass);
        return;
      } catch (thrown) {
        signal.throwIfAborted();
        if (!(thrown instanceof WeftError)) throw thrown;
        failures.push(thrown);
      } finally {
        over.abort();
      }
    }
    if (lease !== undefined && failures.length === 0) throw otherEntry();
    throw mostTelling(failures);
  }

  /** One entry that is merely away could still take the client. */
  #judgeRefusals(trunkIdHex: string, failures: readonly WeftError[]): void {
    const settled = this.#settled.get(trunkIdHex);
    if (settled === undefined || failures.length === 0 || !failures.every(isRefusal)) return;
    settled.refusals += 1;
    if (settled.refusals >= refusalsMaxCount) this.#options.onRefused(trunkIdHex);
  }

  /** Those that rest come last: they are better than nothing. */
  #order(): EntryConnection[] {
    const nowMs = this.#options.clock.monoMs();
    const rests = (entry: EntryConnection): boolean => (this.#restUntilMs.get(entry) ?? 0) > nowMs;
    const { entries } = this.#options;
    return [...entries.filter((entry) => !rests(entry)), ...entries.filter(rests)];
  }

  #failed(entry: EntryConnection, cause: WeftError): void {
    const { clock, log } = this.#options;
    if (!telling.has(cause.reason)) this.#restUntilMs.set(entry, clock.monoMs() + limits.entryRestMs);
    log.info("entry gave no path", { address: entry.address.host, port: entry.address.port, detail: cause.detail });
  }

  async #openVia(entry: EntryConnection, entryId: string, wish: PathWish): Promise<EdgePath> {
    const identity = this.#options.identity();
    const trunkIdHex = hexOf(wish.trunkId);
    const settled = this.#settled.get(trunkIdHex);
    const ask = this.#sign(identity, resourceOf(wish.farEdge), wish.trunkId);
    // The call outlives this function: it carries the path's events until the path is closed.
    const over = new AbortController();
    const onAbort = (): void => over.abort();
    wish.signal.addEventListener("abort", onAbort, { once: true });
    try {
      const { ready, events } = await entry.openPath(
        {
          ask: ask.ask,
          askSignature: ask.signature,
          resumeHandle: settled?.handle ?? new Uint8Array(),
          standby: wish.purpose === "standby" && settled !== undefined,
          contract: this.#options.lease(leaseOf(wish.farEdge))?.contract ?? new Uint8Array(),
        },
        over.signal,
      );
      if (settled !== undefined && settled.poolId !== ready.poolId)
        throw new WeftError("permission_denied", "the entry leads to another pool", { detail: "POOL_CHANGED" });
      this.#options.onClass(resourceOf(wish.farEdge), ready.defaultClass);
      // What runs waits for nothing else, and the next attempt follows: a hop that froze since must not keep it for long.
      const withinMs = wish.purpose === "resume" ? limits.clientWayMs : limits.handshakeDeadlineMs;
      const path = await this.#connect({ entry, entryId, identity, ready, over, ask, events, withinMs });
      const handle = ready.resumeHandle.length > 0 ? ready.resumeHandle : (settled?.handle ?? ready.resumeHandle);
      this.#settled.set(trunkIdHex, { poolId: ready.poolId, handle, refusals: 0 });
      return path;
    } catch (thrown) {
      over.abort();
      throw thrown;
    } finally {
      wish.signal.removeEventListener("abort", onAbort);
    }
  }

  async #connect({ entry, entryId, identity, ready, over, ask, events, withinMs }: Leg): Promise<EdgePath> {
    const { clock } = this.#options;
    const dial = { clock, deadlineMs: withinMs, signal: over.signal };
    const raw = await dialTcp([entry.address], dial);
    raw.write(encodeLegPreamble(ready.legToken));
    const expect = expectPool(identity, ready.poolId, () => clock.nowMs());
    const tls = await startTls(raw, tlsOptions("dial-path-end-pool", { identity: identity.leaf, expect }), dial);
    const verdict = judgePeer(tls, expect);
    if (!verdict.ok) {
      resetSocket(raw, tls);
      throw new WeftError("unauthenticated", "the far end is not the pool", { detail: "POOL_REFUSED" });
    }
    const expiresAtMs = Math.min(identity.leaf.notAfterMs, verdict.notAfterMs);
    // It was replaced long before; what could not be replaced ends with its leaves (LAW-I4).
    const end = clock.after(Math.max(0, expiresAtMs - clock.nowMs()), () => resetSocket(raw, tls));
    raw.once("close", () => {
      end.cancel();
      over.abort();
    });
    this.#paths += 1;
    return {
      tls,
      raw,
      // Relays are not known: a number keeps paths over one entry apart for whoever compares them.
      hops: [identity.clientId, entryId, `path-${this.#paths}`, ready.poolId],
      ask,
      expiresAtMs,
      onEvent: follow(events, entryId, (leave) => {
        this.#leaves.add(leave);
        // Renewed while this one was on its way: it is not what it would be now.
        if (this.#options.identity().leaf.serialHex !== identity.leaf.serialHex) clock.after(0, leave);
        raw.once("close", () => this.#leaves.delete(leave));
      }),
      close: () => {
        over.abort();
        resetSocket(raw, tls);
      },
    };
  }

  #sign(identity: ClientIdentity, resource: string, trunkId: Uint8Array): SignedAsk {
    const { clock, random } = this.#options;
    const nowMs = Math.floor(clock.nowMs());
    return signAsk(identity.key, {
      clusterId: identity.clusterId,
      clientId: identity.clientId,
      resource,
      trunkId,
      nonce: random.bytes(16),
      issuedAtMs: BigInt(nowMs),
      expiresAtMs: BigInt(nowMs + limits.offerLifeMs),
    });
  }
}

function hexOf(trunkId: Uint8Array): string {
  return Buffer.from(trunkId).toString("hex");
}

/** Reads the events of a path from now on; whoever listens later hears the newest one first. */
function follow(
  events: AsyncIterable<OpenClientPathResponse["event"]>,
  entryId: string,
  onLeave: (leave: () => void) => void,
): NonNullable<EdgePath["onEvent"]> {
  const listeners = new Set<(event: EdgePathEvent) => void>();
  let last: EdgePathEvent | undefined;
  const tell = (event: EdgePathEvent): void => {
    last = event;
    for (const listener of [...listeners]) listener(event);
  };
  // Of nobody: the path is to be left, and no entry to be shunned.
  onLeave(() => tell({ kind: "draining" }));
  void (async () => {
    for await (const event of events) {
      if (event.case === undefined || event.case === "ready") continue;
      tell({ kind: event.case, ...(event.value.reason === "entry" ? { nodeId: entryId } : {}) });
    }
  })();
  return (listener) => {
    listeners.add(listener);
    if (last !== undefined) listener(last);
    return () => void listeners.delete(listener);
  };
}
