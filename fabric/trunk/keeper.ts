/**
 * What a trunk wants of its paths. It knows them by their connections and decides which to leave, which to open, what to
 * attach where and what to give up; the shell does it.
 *
 * KP1. Leaving is make before break: a connection is given up only when nothing is sent on it and what replaced it has
 *      carried an ack or answered a ping. Silence alone destroys nothing: who answers again before that is back.
 * KP2. The initiator keeps one ready spare beside what it uses, over other relays where there are any, attached to every
 *      lane in use. When nothing is left it asks for a path at once. Of two spares the silent one goes, whatever else speaks
 *      for it: what is found while everything is silent would be given up for what it was to replace.
 * KP3. Only the initiator opens paths; the acceptor moves between those it has.
 */

import { limits } from "../../lib/limits.ts";
import { sharedRelays } from "../routing/paths.ts";
import type { Attachment } from "./attachments.ts";
import type { DeadPath } from "./detector.ts";
import type { Lane } from "./lane.ts";
import type { LaneName } from "./lane-name.ts";
import { moveTarget } from "./targets.ts";
import type { Trunk } from "./trunk.ts";

export type LeaveCause = "silent" | "draining" | "revoked" | "rotation";

interface KeptPath {
  readonly connectionId: number;
  readonly hops: readonly string[];
  /** Lanes that were attached here once: a refused one is not tried again. */
  readonly tried: Set<LaneName>;
  leaving?: {
    readonly cause: LeaveCause;
    readonly sinceMs: number;
    /** An answer to a ping sent since then takes it back. */
    readonly mayReturn: boolean;
    emptyAtMs: number | undefined;
  };
}

export interface PathWanted {
  /** `lane`: a connection of its own for a lane; `standby`: a spare; `resume`: the trunk has nothing left, or nobody answers. */
  readonly purpose: "lane" | "standby" | "resume";
  readonly lane: LaneName;
  /** Hop lists whose relays the new path should not share. */
  readonly beside: readonly (readonly string[])[];
  /** Nodes it must not use. */
  readonly shun: readonly string[];
  /** Only worth having when it shares fewer relays with the paths in use than this. */
  readonly sharedMax?: number;
  /** Bytes wait for it. */
  readonly urgent: boolean;
}

export interface Plan {
  readonly attach: readonly { readonly connectionId: number; readonly lane: LaneName }[];
  readonly destroy: readonly number[];
  readonly wanted: PathWanted | undefined;
  /** When the next plan may differ without an event, milliseconds from now. */
  readonly againMs: number | undefined;
}

export interface KeeperOptions {
  readonly trunk: Trunk;
  /** The initiator opens paths. */
  readonly opens: boolean;
  /** Whether a second lane gets a connection of its own. */
  readonly ownConnections: boolean;
}

const laneNames = ["interactive", "bulk"] as const;

export class PathKeeper {
  readonly #options: KeeperOptions;
  readonly #trunk: Trunk;
  readonly #paths = new Map<number, KeptPath>();
  readonly #needed = new Set<LaneName>();
  readonly #shunnedUntilMs = new Map<string, number>();
  #improveAtMs = Number.NEGATIVE_INFINITY;
  /** The lane's own connection could not be had: it shares. */
  readonly #shares = new Set<LaneName>();

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#trunk = options.trunk;
  }

  // --- What the shell tells ---

  add(connectionId: number, hops: readonly string[]): void {
    this.#paths.set(connectionId, { connectionId, hops, tried: new Set() });
  }

  remove(connectionId: number): void {
    this.#paths.delete(connectionId);
  }

  /** The shell attached a lane by itself. */
  attached(connectionId: number, lane: LaneName): void {
    this.#paths.get(connectionId)?.tried.add(lane);
    this.#needed.add(lane);
  }

  /** A lane must be carried from now on. */
  need(lane: LaneName): void {
    this.#needed.add(lane);
  }

  /** A connection of its own could not be opened for this lane. */
  share(lane: LaneName): void {
    this.#shares.add(lane);
  }

  /** This node is not to be used for a while. */
  shun(nodeId: string, nowMs: number): void {
    this.#shunnedUntilMs.set(nodeId, nowMs + limits.shunnedNodeMs);
  }

  /** The path of this connection is to be left. Saying it again changes nothing. */
  leave(connectionId: number, cause: Exclude<LeaveCause, "silent">, nowMs: number): void {
    const path = this.#paths.get(connectionId);
    // What is revoked or silent stays so, whatever else is said of it later.
    const before = path?.leaving?.cause;
    if (path === undefined || before === cause || before === "revoked" || before === "silent") return;
    this.#leave(path, { cause, sinceMs: nowMs, mayReturn: false, emptyAtMs: undefined });
  }

  /** Every connection over these nodes is to be left: they were found dead. */
  leavePath({ pathKey, silentSinceMs, wedged }: DeadPath): void {
    for (const path of this.#paths.values()) {
      if (pathKeyOf(path.hops) !== pathKey || path.leaving?.cause === "silent") continue;
      const mayReturn = !wedged && path.leaving === undefined;
      this.#leave(path, { cause: "silent", sinceMs: silentSinceMs, mayReturn, emptyAtMs: undefined });
    }
  }

  #leave(path: KeptPath, leaving: NonNullable<KeptPath["leaving"]>): void {
    path.leaving = leaving;
    for (const attachment of this.#trunk.attachments()) {
      if (attachment.connectionId === path.connectionId) attachment.retired = true;
    }
  }

  isLeaving(connectionId: number): boolean {
    return this.#paths.get(connectionId)?.leaving !== undefined;
  }

  // --- The plan ---

  /** What to do now. `alone`: something is owed and no path answers. Moves lanes off paths that are being left. */
  plan(nowMs: number, alone: boolean): Plan {
    const destroy: number[] = [];
    let againMs: number | undefined;
    for (const path of this.#paths.values()) this.#takeBack(path);
    for (const path of this.#paths.values()) {
      if (path.leaving === undefined) continue;
      this.#moveOff(path, nowMs);
      const left = this.#leftMs(path, nowMs);
      if (left === undefined) continue;
      if (left <= 0) destroy.push(path.connectionId);
      else againMs = Math.min(againMs ?? left, left);
    }
    if (!this.#options.opens) return { attach: [], destroy, wanted: undefined, againMs };
    const inUse = this.#live().filter((path) => this.#carriesActive(path));
    const spares = this.#live().filter((path) => !this.#carriesActive(path));
    destroy.push(...this.#surplus(spares, inUse, nowMs));
    const attach = this.#attachments(inUse, spares);
    const wanted = this.#wanted(inUse, spares, nowMs, alone);
    return { attach, destroy, wanted, againMs };
  }

  #live(): KeptPath[] {
    return [...this.#paths.values()].filter((path) => path.leaving === undefined);
  }

  #on(path: KeptPath, lane: LaneName): Attachment | undefined {
    for (const attachment of this.#trunk.attachments()) {
      if (attachment.connectionId === path.connectionId && attachment.lane === lane) return attachment;
    }
    return undefined;
  }

  #carriesActive(path: KeptPath): boolean {
    return laneNames.some((name) => this.#trunk.lanes[name].active?.connectionId === path.connectionId);
  }

  /** A path left for its silence that has answered since is as good as any: the next one to fall silent may need it. */
  #takeBack(path: KeptPath): void {
    const { leaving } = path;
    if (leaving?.mayReturn !== true) return;
    const here = [...this.#trunk.attachments()].filter(({ connectionId }) => connectionId === path.connectionId);
    if (!here.some(({ answeredPingSentMs = Number.NEGATIVE_INFINITY }) => answeredPingSentMs >= leaving.sinceMs))
      return;
    delete path.leaving;
    for (const attachment of here) attachment.retired = false;
  }

  #moveOff(path: KeptPath, nowMs: number): void {
    const { leaving } = path;
    if (leaving === undefined) return;
    for (const name of laneNames) {
      const lane = this.#trunk.lanes[name];
      if (lane.active?.connectionId !== path.connectionId) continue;
      const target = moveTarget(this.#trunk.attachments(), {
        lane: name,
        without: (other) => other.retired,
        ...(leaving.cause === "silent" ? { answeredSinceMs: leaving.sinceMs } : {}),
      });
      if (target !== undefined) this.#trunk.move(target.id, nowMs, leaving.cause);
    }
  }

  /** How long until a path that is being left may be given up; undefined while something still depends on it. */
  #leftMs(path: KeptPath, nowMs: number): number | undefined {
    const { leaving } = path;
    if (leaving === undefined || this.#carriesActive(path)) return undefined;
    for (const name of laneNames) {
      const lane = this.#trunk.lanes[name];
      const attachment = this.#on(path, name);
      if (attachment?.phase === "ready" && !proved(lane)) return undefined;
    }
    leaving.emptyAtMs ??= nowMs;
    if (leaving.cause === "silent" || leaving.cause === "revoked") return 0;
    return leaving.emptyAtMs + limits.leftPathLingerMs - nowMs;
  }

  /**
   * More than one spare: those that are silent go, then those that share the most with what is in use. So do those the far end
   * does not take.
   */
  #surplus(spares: readonly KeptPath[], inUse: readonly KeptPath[], nowMs: number): number[] {
    const ready = spares.filter((path) => this.#isReady(path));
    const rank = (path: KeptPath): number => (this.#isSilent(path, nowMs) ? 1_000 : 0) + this.#shared(path, inUse);
    const sorted = [...ready].sort((a, b) => rank(a) - rank(b));
    const refused = spares.filter((path) => this.#isRefused(path));
    return [...sorted.slice(1), ...refused].map((path) => path.connectionId);
  }

  /** A lane in use was attached here and is not any more: this never becomes a spare. */
  #isRefused(path: KeptPath): boolean {
    return laneNames.some((name) => {
      const carried = this.#trunk.lanes[name].active !== undefined;
      return carried && path.tried.has(name) && this.#on(path, name) === undefined;
    });
  }

  /** An answer has been owed here for longer than a path that works takes to bring one. */
  #isSilent(path: KeptPath, nowMs: number): boolean {
    return [...this.#trunk.attachments()].some(({ connectionId, phase, pingSentAtMs, lastHeardMs }) => {
      if (connectionId !== path.connectionId) return false;
      if (phase === "attaching") return nowMs - lastHeardMs >= limits.stuckDeadMs;
      return pingSentAtMs !== undefined && lastHeardMs <= pingSentAtMs && nowMs - pingSentAtMs >= limits.silencePingMs;
    });
  }

  #isReady(path: KeptPath): boolean {
    return laneNames.every((name) => {
      const carried = this.#trunk.lanes[name].active !== undefined;
      return !carried || this.#on(path, name)?.phase === "ready";
    });
  }

  #shared(path: KeptPath, inUse: readonly KeptPath[]): number {
    return Math.max(0, ...inUse.map((other) => sharedRelays(path.hops, other.hops).length));
  }

  #attachments(inUse: readonly KeptPath[], spares: readonly KeptPath[]): { connectionId: number; lane: LaneName }[] {
    const attach: { connectionId: number; lane: LaneName }[] = [];
    const want = (path: KeptPath | undefined, lane: LaneName): void => {
      if (path === undefined || path.tried.has(lane)) return;
      path.tried.add(lane);
      attach.push({ connectionId: path.connectionId, lane });
    };
    for (const name of this.#needed) {
      const { active } = this.#trunk.lanes[name];
      if (active !== undefined) for (const spare of spares) want(spare, name);
      else if (inUse.length === 0) for (const spare of spares) want(spare, name);
      else if (!this.#ownConnection(name)) want(inUse[0], name);
    }
    return attach;
  }

  /** Whether a lane is to have a connection that is only its own. */
  #ownConnection(lane: LaneName): boolean {
    return this.#options.ownConnections && !this.#shares.has(lane);
  }

  #wanted(
    inUse: readonly KeptPath[],
    spares: readonly KeptPath[],
    nowMs: number,
    alone: boolean,
  ): PathWanted | undefined {
    if (this.#needed.size === 0) return undefined;
    const [lane] = [...this.#needed].filter((name) => this.#trunk.lanes[name].active === undefined);
    const beside = this.#live().map((path) => path.hops);
    const shun = this.#shunned(nowMs);
    const first = lane ?? [...this.#needed][0] ?? "bulk";
    const leavingActive = [...this.#paths.values()].some((path) => path.leaving && this.#carriesActive(path));
    const isLost = alone && (spares.length < 2 || spares.every((path) => this.#isSilent(path, nowMs)));
    if (isLost) return { purpose: "resume", lane: first, beside, shun, urgent: true };
    if (inUse.length === 0 && spares.length === 0) {
      // What is being left may still be all there is.
      return { purpose: leavingActive ? "standby" : "resume", lane: first, beside, shun, urgent: true };
    }
    if (lane !== undefined && inUse.length > 0 && this.#ownConnection(lane) && !this.#pending(lane)) {
      return { purpose: "lane", lane, beside: [], shun, urgent: true };
    }
    const used = inUse.map((path) => path.hops);
    const [spare] = spares;
    if (spare === undefined) return { purpose: "standby", lane: first, beside: used, shun, urgent: leavingActive };
    const shared = this.#shared(spare, inUse);
    if (shared === 0 || nowMs < this.#improveAtMs) return undefined;
    this.#improveAtMs = nowMs + limits.standbyImproveEveryMs;
    return { purpose: "standby", lane: first, beside: used, shun, sharedMax: shared - 1, urgent: false };
  }

  #pending(lane: LaneName): boolean {
    for (const attachment of this.#trunk.attachments()) if (attachment.lane === lane) return true;
    return false;
  }

  #shunned(nowMs: number): string[] {
    for (const [nodeId, untilMs] of this.#shunnedUntilMs) if (untilMs <= nowMs) this.#shunnedUntilMs.delete(nodeId);
    return [...this.#shunnedUntilMs.keys()];
  }
}

/** The same for connections over the same nodes. */
export function pathKeyOf(hops: readonly string[]): string {
  return hops.join(" ");
}

/** Whether the attachment a lane uses has shown since the move that it works both ways. */
function proved(lane: Lane): boolean {
  const { active } = lane;
  if (active === undefined) return false;
  return active.carriedAck || (active.answeredPingSentMs ?? Number.NEGATIVE_INFINITY) >= lane.movedAtMs;
}
