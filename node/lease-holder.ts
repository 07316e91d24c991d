/**
 * One lease as its holder keeps it: acquired when it is needed, renewed at a third, given up by this process's own monotonic
 * clock a margin before it ends, released when nobody needs it any more.
 *
 * LH1. Time counts from before the question was sent (fabric/lease.ts): an answer that took long, or a process that was
 *      paused, makes the hold shorter, never longer. No wall clock is read.
 * LH2. `current` looks at the clock each time it is asked: a process that wakes up late holds nothing, whether its timers
 *      have fired or not.
 * LH3. Only one question is under way; everybody who asks meanwhile gets its answer, and a refusal rests a moment.
 * LH4. A lease that is not in use is not renewed.
 * LH5. A fence that was once given back is never used again: the release may still be on its way.
 */

import { compareFences, type FenceValue, holderStopMonoMs, renewAtMonoMs } from "../fabric/lease.ts";
import type { Lease } from "../gen/weft/lease/v1/lease_pb.ts";
import type { Clock, Timer } from "../lib/clock.ts";
import { messageOf, WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import type { Log } from "../lib/log.ts";

/** What holding gives. */
export interface Hold extends FenceValue {
  /** The signed contract, encoded, as channels carry it. */
  readonly contract: Uint8Array;
  /** When to stop acting, on the clock's monotonic time. */
  readonly stopMonoMs: number;
}

/** What control answers to acquiring and renewing. */
export interface LeaseAnswer {
  readonly lease: Pick<Lease, "fence" | "ttlMs">;
  readonly contract: Uint8Array;
}

/** The calls a holder makes; each throws WeftError. */
export interface LeaseCalls {
  acquire(): Promise<LeaseAnswer>;
  renew(fence: FenceValue): Promise<LeaseAnswer>;
  release(fence: FenceValue): Promise<void>;
}

export interface LeaseHolderDeps {
  readonly name: string;
  readonly calls: LeaseCalls;
  readonly clock: Clock;
  readonly log: Log;
  /** Whether anything runs under the lease (LH4). */
  readonly inUse: () => boolean;
  /** Whether nothing can still be on its way that was done under the lease: otherwise it is left to expire. */
  readonly mayRelease: () => boolean;
  /** What runs under the lease has to end: it was lost, or its time is over. */
  readonly onLost: () => void;
}

export class LeaseHolder {
  readonly #deps: LeaseHolderDeps;
  #hold: Hold | undefined;
  #asking: Promise<Hold> | undefined;
  #releasing: Promise<void> | undefined;
  #givenBack: FenceValue | undefined;
  #renewal: Timer | undefined;
  #end: Timer | undefined;
  #refused: { readonly error: unknown; readonly untilMonoMs: number } | undefined;
  #closed = false;

  constructor(deps: LeaseHolderDeps) {
    this.#deps = deps;
  }

  /** What is held right now, by this process's own clock (LH2). */
  current(): Hold | undefined {
    const hold = this.#hold;
    if (hold === undefined || this.#deps.clock.monoMs() < hold.stopMonoMs) return hold;
    this.#lose("its time is over");
    return undefined;
  }

  /**
   * The lease, acquired if need be.
   * @throws WeftError as control says: failed_precondition (LEASE_HELD), unavailable, ...
   */
  async hold(): Promise<Hold> {
    const held = this.current();
    if (held !== undefined) return held;
    if (this.#closed) throw new WeftError("unavailable", "the node is closing", { detail: "LEASE_CLOSED" });
    const { clock } = this.#deps;
    if (this.#refused !== undefined && clock.monoMs() < this.#refused.untilMonoMs) throw this.#refused.error;
    this.#asking ??= this.#acquire().finally(() => {
      this.#asking = undefined;
    });
    return await this.#asking;
  }

  /** Gives the lease back, if it may be, and ends what runs under it. Never rejects: a lease nobody gives back expires. */
  async release(): Promise<void> {
    await this.#asking?.catch(() => {});
    const hold = this.current();
    if (hold === undefined) return await this.#releasing;
    const mayRelease = this.#deps.mayRelease();
    // Stop first: from the answer on, somebody else may hold.
    this.#lose("released");
    if (mayRelease) await this.#giveBack(hold);
  }

  async #giveBack(fence: FenceValue): Promise<void> {
    this.#givenBack = fence;
    const releasing = this.#deps.calls
      .release(fence)
      .catch((thrown: unknown) => {
        this.#deps.log.info("a lease was not released and will expire", { error: messageOf(thrown) });
      })
      .finally(() => {
        if (this.#releasing === releasing) this.#releasing = undefined;
      });
    this.#releasing = releasing;
    await releasing;
  }

  /** Releases for good. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.release();
  }

  async #acquire(): Promise<Hold> {
    const { clock, calls } = this.#deps;
    await this.#releasing;
    const sentMonoMs = clock.monoMs();
    try {
      const answer = await calls.acquire();
      const { fence } = answer.lease;
      if (fence !== undefined && this.#givenBack !== undefined && compareFences(fence, this.#givenBack) <= 0) {
        await this.#giveBack(fence);
        throw new WeftError("unavailable", "the lease is being given back", { detail: "LEASE_LATE" });
      }
      const hold = this.#take(answer, sentMonoMs);
      if (hold !== undefined) return hold;
      throw new WeftError("unavailable", "the answer about the lease came too late", { detail: "LEASE_LATE" });
    } catch (error) {
      this.#refused = { error, untilMonoMs: clock.monoMs() + limits.leaseHeldRestMs };
      throw error;
    }
  }

  #take({ lease, contract }: LeaseAnswer, sentMonoMs: number): Hold | undefined {
    const { clock } = this.#deps;
    const ttlMs = Number(lease.ttlMs);
    const stopMonoMs = holderStopMonoMs(sentMonoMs, ttlMs);
    const nowMs = clock.monoMs();
    if (lease.fence === undefined || nowMs >= stopMonoMs) return undefined;
    const { epoch, counter } = lease.fence;
    const before = this.#hold;
    const hold = { epoch, counter, contract, stopMonoMs };
    this.#hold = hold;
    this.#renewal?.cancel();
    this.#end?.cancel();
    this.#watchEnd(stopMonoMs);
    this.#renewal = clock.after(renewAtMonoMs(sentMonoMs, ttlMs) - nowMs, () => void this.#renew(hold));
    // Under another fence, whatever ran under the old one is not ours to go on with.
    if (before !== undefined && (before.epoch !== epoch || before.counter !== counter)) this.#deps.onLost();
    return hold;
  }

  /** Notices the end when nobody asks. A timer may be early by a part of a millisecond. */
  #watchEnd(stopMonoMs: number): void {
    const leftMs = Math.max(1, Math.ceil(stopMonoMs - this.#deps.clock.monoMs()));
    this.#end = this.#deps.clock.after(leftMs, () => {
      if (this.current() !== undefined) this.#watchEnd(stopMonoMs);
    });
  }

  async #renew(hold: Hold): Promise<void> {
    const { clock, calls, log, inUse, mayRelease } = this.#deps;
    if (this.#hold !== hold || this.current() === undefined) return;
    if (!inUse()) {
      if (mayRelease()) return await this.release();
      // Left to expire, unless somebody needs it before.
      this.#renewal = clock.after(limits.leaseHeldRestMs, () => void this.#renew(hold));
      return;
    }
    const sentMonoMs = clock.monoMs();
    try {
      const answer = await calls.renew(hold);
      if (this.#hold === hold) this.#take(answer, sentMonoMs);
    } catch (thrown) {
      if (this.#hold !== hold) return;
      const detail = thrown instanceof WeftError ? thrown.detail : "";
      if (detail === "LEASE_LOST" || detail === "LEASE_NOT_FOUND") return this.#lose(detail);
      log.info("a lease was not renewed", { error: messageOf(thrown) });
      // Until its time is over.
      this.#renewal = clock.after(limits.leaseHeldRestMs, () => void this.#renew(hold));
    }
  }

  #lose(reason: string): void {
    if (this.#hold === undefined) return;
    this.#hold = undefined;
    this.#renewal?.cancel();
    this.#end?.cancel();
    this.#deps.log.info("a lease is not held any more", { detail: this.#deps.name, reason });
    this.#deps.onLost();
  }
}
