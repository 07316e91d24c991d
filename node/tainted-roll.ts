/**
 * While a root is tainted: replaces what still lives under its leaves, make before break, so that nothing is left to cut
 * when the root goes. Links this node dialled are dialled again, paths it opened are left for others.
 *
 * TR1. Nothing is replaced under an own leaf that is tainted itself: that one is renewed first.
 * TR2. A neighbour or far end that goes on showing a tainted leaf is tried again after twice the time, each time. For leaves
 *      of another root that is counted anew: one rotation after the other, or beside it, waits for none of them.
 */

import { taintedIssuers } from "../certs/bundle.ts";
import type { Clock, Timer } from "../lib/clock.ts";
import { limits } from "../lib/limits.ts";
import type { Random } from "../lib/random.ts";
import { hasTaintedLeaf } from "./bundle-keeper.ts";
import type { IdentityHolder, Unsubscribe } from "./ports.ts";

/** Something that can be replaced by another of its kind. */
export interface Rollable {
  /** Who is at the other end. */
  readonly peerId: string;
  /** Key ids of the roots that the leaves on it are from. */
  readonly issuers: readonly string[];
  roll(): void;
}

export interface TaintedRollDeps {
  readonly identity: IdentityHolder;
  readonly clock: Clock;
  readonly random: Random;
  readonly rollables: () => Iterable<Rollable>;
}

const tryEveryMaxMs = 60_000;

/** Looks while the bundle calls a root tainted. Returns how to stop. */
export function startTaintedRoll(deps: TaintedRollDeps): Unsubscribe {
  const { identity, clock, random } = deps;
  /** By peer and root: when to try next, and how long to wait after that. */
  const tries = new Map<string, { readonly atMs: number; readonly waitMs: number }>();
  let timer: Timer | undefined;

  const look = (): void => {
    const current = identity.current();
    const tainted = taintedIssuers(current.bundle);
    if (tainted.size === 0) {
      timer?.cancel();
      timer = undefined;
      tries.clear();
      return;
    }
    if (hasTaintedLeaf(current)) return; // TR1
    for (const key of tries.keys()) if (!tainted.has(rootOf(key))) tries.delete(key);
    const nowMs = clock.monoMs();
    const due = new Set<string>();
    for (const each of deps.rollables()) {
      const keys = each.issuers.filter((issuer) => tainted.has(issuer)).map((issuer) => `${each.peerId} ${issuer}`);
      const ready = keys.filter((key) => nowMs >= (tries.get(key)?.atMs ?? nowMs));
      if (ready.length === 0) continue;
      for (const key of ready) due.add(key);
      clock.after(random.float() * limits.taintedLinkSpreadMs, () => each.roll());
    }
    for (const key of due) {
      const waitMs = Math.min(tryEveryMaxMs, 2 * (tries.get(key)?.waitMs ?? limits.taintedPathEveryMs / 2));
      tries.set(key, { atMs: nowMs + waitMs, waitMs });
    }
  };
  const start = (): void => {
    if (taintedIssuers(identity.current().bundle).size === 0) return;
    timer ??= clock.every(limits.rejudgeEveryMs, look);
  };
  const stop = identity.onChange(start);
  start();
  return () => {
    stop();
    timer?.cancel();
  };
}

const rootOf = (key: string): string => key.slice(key.lastIndexOf(" ") + 1);
