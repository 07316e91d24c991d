/**
 * Leg tokens: the right to bring one connection, once, soon (LAW-R1). A token is minted by the node that will accept the
 * connection, for one neighbour, and told to that neighbour only.
 *
 * LG1. Only the SHA-256 of a token is kept; the token itself leaves with the answer to the neighbour.
 * LG2. `take` finds a token at most once, and never after `lifeMs`.
 * LG3. At most `maxCount` tokens are live; what a live token holds is let go exactly once: taken, expired or dropped.
 */

import { createHash } from "node:crypto";
import { LEG_TOKEN_BYTES } from "../fabric/preamble.ts";
import type { Clock, Timer } from "../lib/clock.ts";
import { WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import type { Random } from "../lib/random.ts";

export interface LegGrant<T> {
  /** The neighbour the token is told to. */
  readonly predecessor: string;
  /** Who opens the path. */
  readonly initiator: string;
  readonly value: T;
  /** Called when the token ends without having been used. */
  readonly onUnused: (why: "expired" | "dropped") => void;
}

export interface MintedLeg {
  readonly token: Uint8Array;
  /** First 8 hex digits of the token's hash: how logs name the leg. */
  readonly tag: string;
  /** Withdraws the token; true when it was still live. Does not call `onUnused`. */
  withdraw(): boolean;
}

export interface LegTableOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly lifeMs?: number;
  readonly maxCount?: number;
}

interface LiveLeg<T> extends LegGrant<T> {
  readonly timer: Timer;
}

export class LegTable<T> {
  readonly #options: Required<LegTableOptions>;
  readonly #live = new Map<string, LiveLeg<T>>();

  constructor(options: LegTableOptions) {
    this.#options = { lifeMs: limits.legTokenLifeMs, maxCount: limits.legTokensMaxCount, ...options };
  }

  /** Live tokens. */
  get count(): number {
    return this.#live.size;
  }

  /** A fresh token for `grant`. Throws `resource_exhausted` (PATH_BUDGET) when too many are live. */
  mint(grant: LegGrant<T>): MintedLeg {
    const { clock, random, lifeMs, maxCount } = this.#options;
    if (this.#live.size >= maxCount) {
      throw new WeftError("resource_exhausted", "too many paths are being set up", { detail: "PATH_BUDGET" });
    }
    const token = random.bytes(LEG_TOKEN_BYTES);
    const hash = legHash(token);
    const timer = clock.after(lifeMs, () => {
      if (this.#live.delete(hash)) grant.onUnused("expired");
    });
    this.#live.set(hash, { ...grant, timer });
    return { token, tag: hash.slice(0, 8), withdraw: () => this.#remove(hash) !== undefined };
  }

  /**
   * What the token stands for, once (LG2); undefined for every token that is not live. When the presenter is known, a
   * token told to somebody else is not found, and not burnt.
   */
  take(token: Uint8Array, presenter?: string): T | undefined {
    const hash = legHash(token);
    if (presenter !== undefined && this.#live.get(hash)?.predecessor !== presenter) return undefined;
    return this.#remove(hash)?.value;
  }

  /** Drops every live token `where` holds for; returns how many. */
  dropWhere(where: (leg: { readonly predecessor: string; readonly initiator: string }) => boolean): number {
    const dropped = [...this.#live].filter(([, leg]) => where(leg));
    for (const [hash] of dropped) this.#remove(hash)?.onUnused("dropped");
    return dropped.length;
  }

  #remove(hash: string): LiveLeg<T> | undefined {
    const leg = this.#live.get(hash);
    if (leg === undefined) return undefined;
    this.#live.delete(hash);
    leg.timer.cancel();
    return leg;
  }
}

/** SHA-256 of a leg token, hex. Looking a hash up leaks no timing about any token. */
export function legHash(token: Uint8Array): string {
  return createHash("sha256").update(token).digest("hex");
}
