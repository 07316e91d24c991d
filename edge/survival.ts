/**
 * Keeps a trunk alive: watches its paths, leaves them, opens others. Decisions are those of `fabric/trunk/detector.ts` and
 * `fabric/trunk/keeper.ts`; here are the timers, the sockets and the attempts.
 */

import { wantPath } from "../fabric/trunk/calls.ts";
import { Detector } from "../fabric/trunk/detector.ts";
import type { PathWanted } from "../fabric/trunk/keeper.ts";
import { PathKeeper, pathKeyOf } from "../fabric/trunk/keeper.ts";
import type { LaneName } from "../fabric/trunk/lane-name.ts";
import type { Trunk } from "../fabric/trunk/trunk.ts";
import { Backoff, type BackoffShape } from "../lib/backoff.ts";
import type { Clock, Timer } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";
import type { Random } from "../lib/random.ts";
import type { EdgePathEvent } from "./edge-path.ts";
import type { PathConnection } from "./path-connection.ts";

/** Opens a connection for a trunk. Rejects when there is none to be had. */
export type OpenConnection = (wanted: PathWanted, signal: AbortSignal) => Promise<PathConnection>;

export interface SurvivalOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly trunk: Trunk;
  /** Initiator: how paths are opened. */
  readonly open?: OpenConnection;
  readonly ownConnections: boolean;
  /** How long the far end may be silent on every path, milliseconds. */
  readonly holdMs: number;
  /** Attaches a lane to a connection; settles what follows by itself. */
  readonly attach: (connection: PathConnection, lane: LaneName) => void;
}

const urgentBackoff: BackoffShape = { firstMs: 50, maxMs: 1_000, factor: 2, jitter: 0.3, resetAfterUpMs: 1_000 };
const calmBackoff: BackoffShape = { firstMs: 500, maxMs: 5_000, factor: 2, jitter: 0.3, resetAfterUpMs: 10_000 };

/** One kind of attempt: what bytes wait for, or what is prepared for later. One of each is under way at a time. */
interface Attempt {
  readonly backoff: Backoff;
  state: "idle" | "waiting" | "due" | "opening";
  notBeforeMs: number;
}

/** A connection that lasted less than this did not work: the next attempt waits. */
const LASTED_MS = 250;

export class Survival {
  readonly #options: SurvivalOptions;
  readonly #detector: Detector;
  readonly #keeper: PathKeeper;
  readonly #connections = new Map<number, PathConnection>();
  readonly #urgent: Attempt;
  readonly #calm: Attempt;
  readonly #over = new AbortController();
  #alone = false;
  #silentSinceMs: number | undefined;
  #looking: Timer | undefined;
  #again: Timer | undefined;
  #settling = false;
  #hadSpare = false;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #heardAskedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: SurvivalOptions) {
    const { trunk, open, ownConnections, random } = options;
    this.#options = options;
    this.#detector = new Detector(trunk);
    this.#keeper = new PathKeeper({ trunk, opens: open !== undefined, ownConnections });
    this.#urgent = { backoff: new Backoff(urgentBackoff, random), state: "idle", notBeforeMs: 0 };
    this.#calm = { backoff: new Backoff(calmBackoff, random), state: "idle", notBeforeMs: 0 };
  }

  /** A connection of this trunk. Idempotent. */
  add(connection: PathConnection): void {
    if (this.#connections.has(connection.id)) return;
    const { clock } = this.#options;
    const { id, path } = connection;
    this.#connections.set(id, connection);
    this.#detector.add(id, pathKeyOf(path.hops), clock.monoMs());
    this.#keeper.add(id, path.hops);
    const age = path.expiresAtMs === undefined ? undefined : (path.expiresAtMs - clock.nowMs()) / 2;
    const rotation =
      age === undefined
        ? undefined
        : clock.after(Math.min(Math.max(0, age), limits.pathAgeMaxMs), () => this.#leave(id, "rotation"));
    const unsubscribe = path.onEvent?.((event) => this.#told(id, event));
    connection.onClosed(() => {
      rotation?.cancel();
      unsubscribe?.();
      this.#connections.delete(id);
      this.#detector.remove(id);
      this.#keeper.remove(id);
      this.changed();
    });
  }

  /** The shell attached a lane by itself. */
  attached(connection: PathConnection, lane: LaneName): void {
    this.add(connection);
    this.#keeper.attached(connection.id, lane);
  }

  /** A lane must be carried from now on. */
  need(lane: LaneName): void {
    this.#keeper.need(lane);
    this.changed();
  }

  /** Something was written or asked for: silence counts from now on. */
  woke(): void {
    if (this.#looking !== undefined || this.#over.signal.aborted) return;
    // After reading: a stall of this process accuses nobody.
    this.#looking = this.#options.clock.afterReading(limits.silenceLookMs, this.#look);
  }

  /** Attachments or connections came or went: plans once, at the end of this turn of the loop. */
  changed(): void {
    if (this.#settling || this.#over.signal.aborted) return;
    this.#settling = true;
    process.nextTick(() => {
      this.#settling = false;
      this.#settle();
    });
  }

  /** The far end wants another path to choose from. It may ask as often as this end would, no more counts. */
  wanted(): void {
    const nowMs = this.#options.clock.monoMs();
    if (nowMs - this.#heardAskedAtMs < limits.thirdPathEveryMs) return;
    this.#heardAskedAtMs = nowMs;
    this.#alone = true;
    this.changed();
  }

  /** For how long something has been owed while no path at all answers, milliseconds; 0: that is not so. */
  silentMs(): number {
    return this.#silentSinceMs === undefined ? 0 : this.#options.clock.monoMs() - this.#silentSinceMs;
  }

  /** The trunk is over. */
  close(): void {
    this.#over.abort();
    this.#looking?.cancel();
    this.#again?.cancel();
  }

  #told(connectionId: number, event: EdgePathEvent): void {
    if (event.kind === "closing" || this.#over.signal.aborted) return;
    // Of its own path a hop may tell what it likes; about other nodes it has no say.
    if (event.nodeId !== undefined && this.#connections.get(connectionId)?.path.hops.includes(event.nodeId)) {
      this.#keeper.shun(event.nodeId, this.#options.clock.monoMs());
    }
    this.#leave(connectionId, event.kind);
  }

  #leave(connectionId: number, cause: "draining" | "revoked" | "rotation"): void {
    this.#keeper.leave(connectionId, cause, this.#options.clock.monoMs());
    this.changed();
  }

  readonly #look = (): void => {
    this.#looking = undefined;
    if (this.#over.signal.aborted) return;
    const { clock, trunk, holdMs } = this.#options;
    const nowMs = clock.monoMs();
    const verdict = this.#detector.look(nowMs, (id) => this.#connections.get(id)?.path.raw.bytesRead ?? 0);
    for (const dead of verdict.dead) this.#keeper.leavePath(dead);
    for (const { id, path } of this.#connections.values()) {
      const bytes = Math.max(path.raw.bytesRead, path.raw.bytesWritten);
      if (bytes >= limits.pathMaxBytes && !this.#keeper.isLeaving(id)) this.#leave(id, "rotation");
    }
    if (verdict.silentSinceMs !== undefined && nowMs - verdict.silentSinceMs >= holdMs) {
      trunk.finish({ cause: "lost", detail: "the far edge is silent on every path" });
      return;
    }
    this.#silentSinceMs = verdict.silentSinceMs;
    this.#alone = verdict.silentSinceMs !== undefined;
    if (this.#alone) this.#askForPath(nowMs);
    if (verdict.dead.length > 0 || this.#alone) this.changed();
    if (verdict.againMs !== undefined) this.woke();
  };

  /** Acceptor: only the far end can open another path. */
  #askForPath(nowMs: number): void {
    if (this.#options.open !== undefined || nowMs - this.#askedAtMs < limits.thirdPathEveryMs) return;
    this.#askedAtMs = nowMs;
    wantPath(this.#options.trunk);
  }

  #settle(): void {
    const { clock, trunk, attach } = this.#options;
    if (trunk.end !== undefined || this.#over.signal.aborted) return;
    const nowMs = clock.monoMs();
    const plan = this.#keeper.plan(nowMs, this.#alone);
    for (const { connectionId, lane } of plan.attach) {
      const connection = this.#connections.get(connectionId);
      if (connection !== undefined && !connection.closed) attach(connection, lane);
    }
    for (const connectionId of plan.destroy) this.#connections.get(connectionId)?.destroy();
    if (plan.wanted !== undefined) this.#want(plan.wanted, nowMs);
    this.#settleAgain(plan.againMs ?? limits.standbyImproveEveryMs);
  }

  #settleAgain(afterMs: number): void {
    this.#again?.cancel();
    this.#again = this.#options.clock.after(Math.max(1, afterMs), () => this.changed());
  }

  #want(wanted: PathWanted, nowMs: number): void {
    const { open, clock, random } = this.#options;
    const attempt = wanted.urgent ? this.#urgent : this.#calm;
    if (open === undefined || attempt.state === "waiting" || attempt.state === "opening") return;
    // The herd after a failure: spares are made anew at random times, what bytes wait for goes first.
    const spread = wanted.urgent || wanted.sharedMax !== undefined ? 0 : random.float() * this.#spreadMs();
    const delayMs = attempt.state === "due" ? 0 : Math.max(spread, attempt.notBeforeMs - nowMs);
    if (delayMs <= 0) {
      attempt.state = "opening";
      void this.#open(open, wanted, attempt);
      return;
    }
    attempt.state = "waiting";
    // What is wanted may have changed by then: it is asked again.
    clock.after(delayMs, () => {
      attempt.state = "due";
      this.changed();
    });
  }

  #spreadMs(): number {
    return this.#hadSpare ? limits.standbyDelayMaxMs : limits.standbyFirstMs;
  }

  async #open(open: OpenConnection, wanted: PathWanted, attempt: Attempt): Promise<void> {
    const { clock, trunk, attach } = this.#options;
    try {
      const connection = await open(wanted, this.#over.signal);
      if (trunk.end !== undefined) {
        connection.destroy();
        return;
      }
      const sinceMs = clock.monoMs();
      connection.onClosed(() => this.#lasted(attempt, clock.monoMs() - sinceMs));
      if (wanted.purpose === "standby") this.#hadSpare = true;
      this.#alone = false;
      this.add(connection);
      if (wanted.purpose === "lane") attach(connection, wanted.lane);
    } catch {
      // Why is in the log of whoever opens paths; here it only means to try again, or to do without.
      if (wanted.purpose === "lane") this.#keeper.share(wanted.lane);
      this.#lasted(attempt, 0);
    } finally {
      attempt.state = "idle";
      this.changed();
    }
  }

  #lasted(attempt: Attempt, upMs: number): void {
    attempt.backoff.wasUpForMs(upMs);
    if (upMs < LASTED_MS) attempt.notBeforeMs = this.#options.clock.monoMs() + attempt.backoff.nextMs();
  }
}
