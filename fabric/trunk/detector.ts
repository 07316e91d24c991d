/**
 * The one detector of dead paths. It looks at every path of a trunk from its receiving end, and never accuses a path because
 * it is slow, nor because this process or the far one is.
 *
 * DT1. Life is any byte on any connection of a path.
 * DT2. A path is dead when something was owed on it, or a ping went unanswered, while not a byte came for 300 ms, *and*
 *      another path to the same peer answered a ping that was sent after the silence began, long enough ago that this one
 *      would have answered too: a peer that stalled and goes on is heard on the quicker path first. If all are silent, the
 *      peer stalls or is out of reach: nothing is accused, a third path is asked for.
 * DT3. A path on which bytes come but nothing is acknowledged for a second is wedged, and judged like a silent one. Each such
 *      path makes the next wait longer, up to half a minute: a far edge that acks only now and then costs few paths, not one
 *      after the other. After a minute without it is a second again.
 * DT4. Nobody looks while nothing is owed.
 */

import { limits } from "../../lib/limits.ts";
import type { Attachment } from "./attachments.ts";
import { ping } from "./calls.ts";
import type { Lane } from "./lane.ts";
import { moveTarget } from "./targets.ts";
import type { Trunk } from "./trunk.ts";

interface Watched {
  readonly pathKey: string;
  readBytes: number;
  lifeMs: number;
}

export interface DeadPath {
  readonly pathKey: string;
  /** When it fell silent; whoever answered a ping sent after that is alive. */
  readonly silentSinceMs: number;
  /** Bytes come on it, acks do not: answers to pings there are no sign of health. */
  readonly wedged: boolean;
}

export interface Verdict {
  readonly dead: readonly DeadPath[];
  /** Since when something is owed and no path at all answers, the longest of all lanes; undefined when that is not so. */
  readonly silentSinceMs: number | undefined;
  /** When to look again: milliseconds, undefined while nothing is owed. */
  readonly againMs: number | undefined;
}

export class Detector {
  readonly #trunk: Trunk;
  readonly #watched = new Map<number, Watched>();
  /** By attachment and what it owes: since when another one is known to answer while this one is silent. */
  readonly #witnessedSinceMs = new Map<string, number>();
  #dead = new Map<string, DeadPath>();
  #silentSinceMs: number | undefined;
  /** How long nothing may be acknowledged on a path where bytes come. */
  #wedgedAfterMs: number = limits.stuckDeadMs;
  #wedged: { readonly attachmentId: number; readonly atMs: number } | undefined;

  constructor(trunk: Trunk) {
    this.#trunk = trunk;
  }

  /** Watches a connection. `pathKey`: the same for connections over the same nodes. */
  add(connectionId: number, pathKey: string, nowMs: number): void {
    this.#watched.set(connectionId, { pathKey, readBytes: 0, lifeMs: nowMs });
  }

  remove(connectionId: number): void {
    this.#watched.delete(connectionId);
  }

  /** Whether there is a reason to look at all. */
  owes(nowMs: number): boolean {
    const { interactive, bulk } = this.#trunk.lanes;
    if (interactive.owedSinceMs(nowMs) !== undefined || bulk.owedSinceMs(nowMs) !== undefined) return true;
    for (const attachment of this.#trunk.attachments()) if (attachment.pingSentAtMs !== undefined) return true;
    return false;
  }

  /**
   * One look, after everything that had arrived was taken. `readBytesOf`: what a connection's socket has received in all.
   * Asks for pings where they are due.
   */
  look(nowMs: number, readBytesOf: (connectionId: number) => number): Verdict {
    this.#observe(nowMs, readBytesOf);
    this.#dead = new Map();
    this.#silentSinceMs = undefined;
    if (this.#trunk.end === undefined) {
      this.#lookAtLane(this.#trunk.lanes.interactive, nowMs);
      this.#lookAtLane(this.#trunk.lanes.bulk, nowMs);
      this.#lookAtPings(nowMs);
    }
    const againMs = this.owes(nowMs) ? limits.silenceLookMs : undefined;
    if (againMs === undefined) this.#witnessedSinceMs.clear();
    return {
      dead: [...this.#dead.values()],
      silentSinceMs: this.#silentSinceMs,
      againMs,
    };
  }

  #observe(nowMs: number, readBytesOf: (connectionId: number) => number): void {
    for (const [connectionId, watched] of this.#watched) {
      const readBytes = readBytesOf(connectionId);
      if (readBytes === watched.readBytes) continue;
      watched.readBytes = readBytes;
      watched.lifeMs = nowMs;
    }
  }

  #pathKey(attachment: Attachment): string {
    return this.#watched.get(attachment.connectionId)?.pathKey ?? "";
  }

  #lifeMs(pathKey: string): number {
    let lifeMs = Number.NEGATIVE_INFINITY;
    for (const watched of this.#watched.values()) {
      if (watched.pathKey === pathKey) lifeMs = Math.max(lifeMs, watched.lifeMs);
    }
    return lifeMs;
  }

  #lookAtLane(lane: Lane, nowMs: number): void {
    const owedSinceMs = lane.owedSinceMs(nowMs);
    const { active } = lane;
    if (owedSinceMs === undefined || active === undefined) return;
    const pathKey = this.#pathKey(active);
    const silentSinceMs = Math.max(owedSinceMs, this.#lifeMs(pathKey));
    const wedgedSinceMs = lane.replay.count > 0 ? Math.max(lane.progressAtMs, owedSinceMs) : nowMs;
    const wedged = nowMs - wedgedSinceMs >= this.#wedgedDeadMs(active, nowMs);
    if (nowMs - silentSinceMs < limits.silencePingMs && !wedged) return;
    const silent = nowMs - silentSinceMs >= limits.silenceDeadMs;
    const sinceMs = wedged && !silent ? wedgedSinceMs : silentSinceMs;
    this.#pingAll(sinceMs, nowMs);
    const without = (other: Attachment): boolean => this.#pathKey(other) === pathKey;
    const witness = moveTarget(this.#trunk.attachments(), { lane: lane.name, answeredSinceMs: sinceMs, without });
    const witnessed = this.#isWitnessed(lane.name, active, witness !== undefined, sinceMs, nowMs);
    if (!silent && !wedged) return;
    if (witnessed) this.#dead.set(pathKey, { pathKey, silentSinceMs: sinceMs, wedged: !silent });
    if (witnessed && !silent) this.#wasWedged(active, nowMs);
    // A wedged path with bytes on it is nothing to look for a third path for: those may be slow acks.
    else if (silent && witness === undefined) {
      this.#silentSinceMs = Math.min(this.#silentSinceMs ?? sinceMs, sinceMs);
    }
  }

  /** What one is accused of counts for the next one: an accused path may take a while to be left. */
  #wedgedDeadMs({ id }: Attachment, nowMs: number): number {
    if (this.#wedged === undefined || nowMs - this.#wedged.atMs >= limits.stuckForgottenMs) {
      this.#wedgedAfterMs = limits.stuckDeadMs;
    }
    return this.#wedged?.attachmentId === id ? limits.stuckDeadMs : this.#wedgedAfterMs;
  }

  #wasWedged({ id }: Attachment, nowMs: number): void {
    if (this.#wedged?.attachmentId !== id) {
      this.#wedgedAfterMs = Math.min(2 * this.#wedgedAfterMs, limits.stuckDeadMaxMs);
    }
    this.#wedged = { attachmentId: id, atMs: nowMs };
  }

  /** Whether somebody else has answered for so long now that this path, too, would have. */
  #isWitnessed(by: string, accused: Attachment, hasWitness: boolean, sinceMs: number, nowMs: number): boolean {
    const key = `${by} ${accused.id}`;
    const before = this.#witnessedSinceMs.get(key);
    if (!hasWitness) this.#witnessedSinceMs.delete(key);
    else if (before === undefined || before < sinceMs) this.#witnessedSinceMs.set(key, nowMs);
    else return nowMs - before >= Math.max(limits.silencePingMs, accused.rttMs ?? 0);
    return false;
  }

  /** Paths that carry nothing now: dead when a ping stays unanswered there while another path answers. */
  #lookAtPings(nowMs: number): void {
    for (const attachment of this.#trunk.attachments()) {
      const sentAtMs = attachment.pingSentAtMs;
      if (attachment.phase !== "ready" || sentAtMs === undefined) continue;
      const pathKey = this.#pathKey(attachment);
      if (nowMs - sentAtMs < limits.stuckDeadMs || this.#lifeMs(pathKey) >= sentAtMs) continue;
      this.#pingAll(sentAtMs, nowMs);
      let answers = false;
      for (const other of this.#trunk.attachments()) {
        const answeredMs = other.answeredPingSentMs ?? Number.NEGATIVE_INFINITY;
        if (this.#pathKey(other) !== pathKey && answeredMs >= sentAtMs) answers = true;
      }
      if (this.#isWitnessed("ping", attachment, answers, sentAtMs, nowMs)) {
        this.#dead.set(pathKey, { pathKey, silentSinceMs: sentAtMs, wedged: false });
      }
    }
  }

  /** A ping on every ready attachment that has not answered one since `sinceMs`. */
  #pingAll(sinceMs: number, nowMs: number): void {
    for (const attachment of this.#trunk.attachments()) {
      const answeredMs = attachment.answeredPingSentMs ?? Number.NEGATIVE_INFINITY;
      const due = answeredMs < sinceMs || nowMs - answeredMs >= limits.silencePingMs;
      if (attachment.phase === "ready" && due) ping(this.#trunk, attachment);
    }
  }
}
