/**
 * Receive credit. A channel's limit is absolute and grows with consumption; only the sender lowers it, by handing back what
 * it does not use. Every channel has a floor; what its window grows beyond it is taken out of the trunk's pool and the
 * process's pool and given back when the channel ends or its sender idles. An empty pool means floor only.
 */

import { assert } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";

/** Bytes that may be promised to senders in all. Pools nest: taking from one takes from its parent too. */
export class CreditPool {
  readonly capBytes: number;
  readonly #parent: CreditPool | undefined;
  usedBytes = 0;

  constructor(capBytes: number, parent?: CreditPool) {
    this.capBytes = capBytes;
    this.#parent = parent;
  }

  /** Takes all of it or nothing. */
  take(bytes: number): boolean {
    if (this.usedBytes + bytes > this.capBytes) return false;
    if (this.#parent !== undefined && !this.#parent.take(bytes)) return false;
    this.usedBytes += bytes;
    return true;
  }

  give(bytes: number): void {
    this.usedBytes -= bytes;
    assert(this.usedBytes >= 0, "a credit pool got back more than it gave");
    this.#parent?.give(bytes);
  }
}

/** A window that takes longer than this to be used up by half does not need to grow at any round trip worth having. */
const GROW_WITHIN_MS = 300;

/** One channel's receiving side. */
export class ReceiveCredit {
  readonly #pool: CreditPool;
  windowBytes: number = limits.channelCreditStartBytes;
  limitBytes: number = limits.channelCreditStartBytes;
  receivedBytes = 0;
  consumedBytes = 0;
  #raisedAtMs: number;
  #finished = false;
  #released = false;

  constructor(pool: CreditPool, nowMs: number) {
    this.#pool = pool;
    this.#raisedAtMs = nowMs;
  }

  /** Counts arrived bytes; false when the sender went beyond its limit. */
  received(bytes: number): boolean {
    this.receivedBytes += bytes;
    return this.receivedBytes <= this.limitBytes;
  }

  /** The reader has taken `totalBytes` in all. Returns true when a new limit should be told to the sender. */
  consumed(totalBytes: number, nowMs: number): boolean {
    this.consumedBytes = totalBytes;
    if (this.#finished) {
      if (totalBytes >= this.receivedBytes) this.release();
      return false;
    }
    if (totalBytes + this.windowBytes - this.limitBytes < this.windowBytes / 2) return false;
    if (nowMs - this.#raisedAtMs <= GROW_WITHIN_MS) this.#grow();
    this.#raisedAtMs = nowMs;
    this.limitBytes = totalBytes + this.windowBytes;
    return true;
  }

  /**
   * The sender handed credit back: it will not send beyond `limitBytes` until it is told a new limit. The pools get what is
   * neither promised nor here any more. False when it returns what it was never given or has used already.
   */
  returned(limitBytes: number): boolean {
    if (limitBytes > this.limitBytes || limitBytes < this.receivedBytes) return false;
    if (this.#finished) return true;
    this.limitBytes = limitBytes;
    const windowBytes = Math.max(limits.channelCreditStartBytes, limitBytes - this.consumedBytes);
    if (windowBytes < this.windowBytes) {
      this.#pool.give(this.windowBytes - windowBytes);
      this.windowBytes = windowBytes;
    }
    return true;
  }

  /** No more bytes will come: the pools get their share back as soon as the reader has taken what is here. */
  finish(): void {
    this.#finished = true;
    if (this.consumedBytes >= this.receivedBytes) this.release();
  }

  /** Gives everything beyond the floor back to the pools. Idempotent. */
  release(): void {
    this.#finished = true;
    if (this.#released) return;
    this.#released = true;
    this.#pool.give(this.windowBytes - limits.channelCreditStartBytes);
  }

  #grow(): void {
    const more = Math.min(this.windowBytes, limits.channelCreditMaxBytes - this.windowBytes);
    if (more > 0 && this.#pool.take(more)) this.windowBytes += more;
  }
}
