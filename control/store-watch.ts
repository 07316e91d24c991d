/**
 * Waiting for the store, and watching it: what a replica tells of itself is what its store said last.
 *
 * W1. A start waits for a store that is not there yet, in short attempts, and says what it waits for; what waiting cannot
 *     cure ends the start at once.
 * W2. A replica whose primary does not answer serves nothing, and its health says so until it answers again.
 */

import { Backoff, linkBackoff } from "../lib/backoff.ts";
import { type Clock, sleep } from "../lib/clock.ts";
import { messageOf, WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import type { Log } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import type { HealthState } from "../rpc/health.ts";
import type { Sql } from "./store/sql.ts";

/** What a replica waits for. For its own log and its own operator: the error may name hosts and ports. */
export interface Waiting {
  readonly waiting: "store";
  readonly detail: string;
  readonly error: string;
  readonly attempts: number;
}

export interface StoreWatchDeps {
  readonly sql: Sql;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/**
 * Runs `prepare` until the store lets it, at most `limits.storeStartWithinMs`; `onWaiting` hears of every new reason. Rejects
 * with the last error, or at once with one that waiting does not cure (W1).
 */
export async function whenStoreAnswers<T>(
  deps: Omit<StoreWatchDeps, "sql">,
  prepare: () => Promise<T>,
  onWaiting: (waiting: Waiting) => void,
): Promise<T> {
  const { clock, random, log } = deps;
  const backoff = new Backoff(
    { ...linkBackoff, firstMs: limits.storeStartRetryFirstMs, maxMs: limits.storeStartRetryMaxMs },
    random,
  );
  const deadlineMs = clock.monoMs() + limits.storeStartWithinMs;
  let told = "";
  for (let attempts = 1; ; attempts += 1) {
    try {
      return await prepare();
    } catch (thrown) {
      const curable = thrown instanceof WeftError && (thrown.reason === "unavailable" || thrown.reason === "aborted");
      const waitMs = backoff.nextMs();
      if (!curable || clock.monoMs() + waitMs > deadlineMs) throw thrown;
      const error = withCause(thrown);
      if (error !== told) {
        onWaiting({ waiting: "store", detail: thrown.detail, error, attempts });
        log.warn("waiting for the control store", { detail: thrown.detail, error });
      }
      told = error;
      await sleep(clock, waitMs);
    }
  }
}

/** An error and what was behind it, as one line. */
export function withCause(thrown: unknown): string {
  const cause = thrown instanceof Error ? thrown.cause : undefined;
  const behind =
    cause instanceof AggregateError ? messageOf(cause.errors[0]) : cause === undefined ? "" : messageOf(cause);
  const message = messageOf(thrown);
  return message.includes(behind) ? message : `${message}: ${behind}`;
}

export interface StoreWatch {
  stop(): Promise<void>;
}

/** Looks every `limits.storeLookEveryMs` and tells `health` (W2); `isFine` has a say in what is told. */
export function watchStore(deps: StoreWatchDeps, health: HealthState, isFine: () => boolean = () => true): StoreWatch {
  let looking: Promise<void> | undefined;
  let said = "";
  const look = async (): Promise<void> => {
    try {
      await deps.sql.look();
      if (said !== "") deps.log.info("the control store answers again");
      said = "";
      health.setAll(isFine());
    } catch (thrown) {
      const error = withCause(thrown);
      if (error !== said)
        deps.log.warn("the control store does not answer; nothing is changed until it does", { error });
      said = error;
      health.setAll(false);
    }
  };
  const timer = deps.clock.every(limits.storeLookEveryMs, () => {
    looking ??= look().finally(() => {
      looking = undefined;
    });
  });
  return {
    async stop() {
      timer.cancel();
      await looking;
    },
  };
}
