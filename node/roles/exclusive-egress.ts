/**
 * Exclusive resources at an egress (LAW-F3): a channel is taken only under the newest fence, and lives only as long as that
 * is known to be the newest (docs/decisions/0013-exclusive-resources.md).
 *
 * XE1. The contract is verified and judged like any other; its fence is compared with the highest on disk, and a higher one
 *      is on disk before anything is done under it (node/fence-store.ts).
 * XE2. Before a fence is used here for the first time, control is asked: the answer says whose fence is the newest, and for
 *      how long nobody else can hold. That time runs on this process's own monotonic clock, a margin short, as the holder's.
 * XE3. While channels live, control is asked again at a third of the time; when it has run out, they end. So no other
 *      egress of the pool can be used under a higher fence while channels live here under an older one.
 *      The clock is looked at for every piece that passes: a process that was paused passes none.
 * XE4. A higher fence, wherever it is learnt from (a contract, control, a snapshot), ends what runs under older ones before
 *      it is acted under.
 */

import { compareFences, type FenceMark, type FenceValue, holderStopMonoMs } from "../../fabric/lease.ts";
import type { Clock, Timer } from "../../lib/clock.ts";
import { messageOf } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import type { Log } from "../../lib/log.ts";
import type { FenceStore } from "../fence-store.ts";

/** What control says about a lease now. */
export interface LeaseWord {
  readonly mark: FenceMark;
  /** Milliseconds left; 0 or less: nobody holds. */
  readonly leftMs: number;
}

export interface FenceGateDeps {
  readonly fences: FenceStore;
  readonly clock: Clock;
  readonly log: Log;
  /** Asks control about a resource's lease; undefined when nobody ever held it. Throws when control cannot be asked. */
  readonly ask: (resourceId: string) => Promise<LeaseWord | undefined>;
}

/** Why a channel may not live: its fence is not the newest, or nobody can say. */
export type FenceRefusal = "fenced" | "unknown";

/** One channel under a fence. */
export interface Fenced {
  readonly resourceId: string;
  readonly mark: FenceMark;
  /** Ends it at once. */
  readonly end: (why: FenceRefusal) => void;
}

interface Watched {
  readonly live: Set<Fenced>;
  confirmed: { readonly mark: FenceMark; readonly stopMonoMs: number; readonly askAtMonoMs: number } | undefined;
  /** The newest question that began; never rejects. */
  asking: Promise<FenceRefusal | undefined>;
  /** The one that begins when that has ended. */
  next: Promise<FenceRefusal | undefined> | undefined;
  timer: Timer | undefined;
  /** When control was last asked because the answer was about to run out. */
  askedMonoMs: number;
}

const sameMark = (a: FenceMark | undefined, b: FenceMark): boolean =>
  a !== undefined && compareFences(a, b) === 0 && a.holder === b.holder;

export class FenceGate {
  readonly #deps: FenceGateDeps;
  readonly #watched = new Map<string, Watched>();
  readonly #stopListening: () => void;
  #closed = false;

  constructor(deps: FenceGateDeps) {
    this.#deps = deps;
    this.#stopListening = deps.fences.onRaise(({ resourceId, mark }) => this.#cutBelow(resourceId, mark));
  }

  /**
   * Whether a channel may be used under a fence; once it may, it is watched until `leave`. Undefined: it may.
   */
  async admit(channel: Fenced): Promise<FenceRefusal | undefined> {
    const { fences, clock } = this.#deps;
    const { resourceId, mark } = channel;
    const highest = fences.highest(resourceId);
    if (highest !== undefined && compareFences(mark, highest) < 0) return "fenced";
    const watched = this.#of(resourceId);
    const { confirmed } = watched;
    const isKnown = sameMark(confirmed?.mark, mark) && clock.monoMs() < (confirmed?.stopMonoMs ?? 0);
    if (!isKnown) {
      const refusal = await this.#confirm(resourceId, watched, mark);
      if (refusal !== undefined) return refusal;
    }
    // XE1: on disk, and everything older ended, before this one is used.
    if (this.#closed || fences.offer(resourceId, mark) === "refused") return "fenced";
    watched.live.add(channel);
    this.#schedule(resourceId, watched);
    return undefined;
  }

  /**
   * Whether an admitted channel may pass another piece now, by this process's own clock: after a pause, sockets may be read
   * before timers fire. Ends it when it may not.
   */
  holds(channel: Fenced): boolean {
    const watched = this.#watched.get(channel.resourceId);
    if (watched?.live.has(channel) !== true) return false;
    if (this.#deps.clock.monoMs() < (watched.confirmed?.stopMonoMs ?? 0)) return true;
    this.#endAll(watched, "unknown");
    return false;
  }

  /** The channel is over. */
  leave(channel: Fenced): void {
    const watched = this.#watched.get(channel.resourceId);
    watched?.live.delete(channel);
    if (watched !== undefined && watched.live.size === 0) watched.timer?.cancel();
  }

  /** Learns that nothing below a fence counts any more, from a snapshot (XE4). */
  learn(resourceId: string, fence: FenceValue): void {
    this.#deps.fences.offer(resourceId, { epoch: fence.epoch, counter: fence.counter, holder: "" });
  }

  close(): void {
    this.#closed = true;
    this.#stopListening();
    for (const { timer } of this.#watched.values()) timer?.cancel();
  }

  #of(resourceId: string): Watched {
    const known = this.#watched.get(resourceId);
    if (known !== undefined) return known;
    const fresh: Watched = {
      live: new Set(),
      confirmed: undefined,
      asking: Promise.resolve(undefined),
      next: undefined,
      timer: undefined,
      askedMonoMs: Number.NEGATIVE_INFINITY,
    };
    this.#watched.set(resourceId, fresh);
    return fresh;
  }

  /** Asks control whether a mark is the newest, by a question that begins after this one: all who wait for it share it. */
  async #confirm(resourceId: string, watched: Watched, mark: FenceMark): Promise<FenceRefusal | undefined> {
    watched.next ??= watched.asking.then(() => {
      watched.next = undefined;
      const asking = this.#ask(resourceId, watched);
      watched.asking = asking;
      return asking;
    });
    const refusal = await watched.next;
    if (refusal !== undefined) return refusal;
    return sameMark(watched.confirmed?.mark, mark) ? undefined : "fenced";
  }

  /** Takes control's word in: undefined when it names a holder. */
  async #ask(resourceId: string, watched: Watched): Promise<FenceRefusal | undefined> {
    const { clock, fences, log, ask } = this.#deps;
    const sentMonoMs = clock.monoMs();
    let word: LeaseWord | undefined;
    try {
      word = await ask(resourceId);
    } catch (thrown) {
      log.info("control cannot be asked who holds an exclusive resource", { error: messageOf(thrown) });
      return "unknown";
    }
    if (word === undefined || word.mark.holder === "" || word.leftMs <= 0) {
      // Nobody holds: what runs here runs under a fence that has ended.
      watched.confirmed = undefined;
      if (word !== undefined && word.mark.holder === "") this.learn(resourceId, word.mark);
      this.#endAll(watched, "fenced");
      return "fenced";
    }
    if (fences.offer(resourceId, word.mark) === "refused") return "fenced";
    const stopMonoMs = holderStopMonoMs(sentMonoMs, word.leftMs);
    if (clock.monoMs() >= stopMonoMs) return "unknown";
    watched.confirmed = { mark: word.mark, stopMonoMs, askAtMonoMs: sentMonoMs + (stopMonoMs - sentMonoMs) / 3 };
    return undefined;
  }

  /** Asks again at a third, ends the channels when the time has run out (XE3). */
  #schedule(resourceId: string, watched: Watched): void {
    watched.timer?.cancel();
    const { clock } = this.#deps;
    if (this.#closed || watched.live.size === 0) return;
    const { confirmed } = watched;
    const nowMs = clock.monoMs();
    if (confirmed === undefined || nowMs >= confirmed.stopMonoMs) {
      this.#endAll(watched, "unknown");
      return;
    }
    const isDue = nowMs >= confirmed.askAtMonoMs && nowMs >= watched.askedMonoMs + limits.leaseHeldRestMs / 2;
    if (isDue && watched.next === undefined) {
      watched.askedMonoMs = nowMs;
      void this.#confirm(resourceId, watched, confirmed.mark).finally(() => this.#schedule(resourceId, watched));
    }
    const askMs = Math.max(confirmed.askAtMonoMs, watched.askedMonoMs + limits.leaseHeldRestMs / 2);
    // A timer may be early by a part of a millisecond: then this is done once more. The end is kept whatever is answered.
    const dueMs = Math.min(confirmed.stopMonoMs, askMs) - nowMs;
    watched.timer = clock.after(Math.max(1, Math.ceil(dueMs)), () => this.#schedule(resourceId, watched));
  }

  #cutBelow(resourceId: string, mark: FenceMark): void {
    const watched = this.#watched.get(resourceId);
    if (watched === undefined) return;
    if (!sameMark(watched.confirmed?.mark, mark)) watched.confirmed = undefined;
    for (const channel of [...watched.live]) {
      if (sameMark(channel.mark, mark)) continue;
      watched.live.delete(channel);
      channel.end("fenced");
    }
  }

  #endAll(watched: Watched, why: FenceRefusal): void {
    watched.timer?.cancel();
    const ended = [...watched.live];
    watched.live.clear();
    for (const channel of ended) channel.end(why);
  }
}
