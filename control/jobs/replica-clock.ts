/**
 * The clock of this replica against the store's, by which ages, leases and other replicas go. A replica dates what it signs and
 * issues by its own clock: further off than `limits.replicaClockStopMs`, what it issues is not valid yet, or no more, for
 * everybody else, and it says that it does not serve.
 *
 * RC1. An offset counts beyond what the question's round trip could explain.
 * RC2. Each replica writes its own row; whoever looks opens and closes the alerts of all, so that one that died leaves none open.
 */

import { messageOf } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { syncAlerts } from "../store/alerts.ts";
import { storeNowMs } from "../store/beats.ts";
import type { StoreContext } from "../store/context.ts";
import { noteReplicaClock, replicaClocks } from "../store/replica-clocks.ts";

export interface ReplicaClock {
  /** Whether what this replica dates may be believed, as far as it knows. */
  isClose(): boolean;
  stop(): Promise<void>;
}

/** Looks now and every `limits.replicaClockEveryMs`. */
export function watchReplicaClock(ctx: StoreContext, replicaId: string): ReplicaClock {
  const log = ctx.log.child({ sub: "clock" });
  let offByMs = 0;
  let isOff = false;
  let failed = "";
  let looking: Promise<void> | undefined;
  const look = async (): Promise<void> => {
    const { offsetMs, uncertainMs } = await measureClock(ctx);
    offByMs = Math.max(0, Math.abs(offsetMs) - uncertainMs);
    const off = offByMs > limits.clockSkewAlertMs;
    if (off !== isOff)
      log.warn(off ? "the clock of this host is far from the store's" : "the clock of this host agrees again", {
        detail: off ? "CLOCK_SKEW" : "CLOCK_FINE",
        error: `the store's clock minus this one: ${offsetMs.toFixed(0)} ms`,
      });
    isOff = off;
    await noteReplicaClock(ctx.sql, { replicaId, offsetMs, uncertainMs });
    const wanted = (await replicaClocks(ctx.sql)).filter(
      (row) => Math.abs(row.offsetMs) - row.uncertainMs > limits.clockSkewAlertMs,
    );
    await syncAlerts(
      ctx.sql,
      "",
      ["control-clock-skew"],
      wanted.map((row) => ({
        kind: "control-clock-skew",
        object: `replica/${row.replicaId}`,
        detail: detailOf(row.offsetMs),
      })),
    );
  };
  const run = (): void => {
    looking ??= look()
      .then(() => {
        failed = "";
      })
      .catch((thrown: unknown) => {
        const error = messageOf(thrown);
        if (error !== failed) log.warn("the clock could not be compared with the store's", { error });
        failed = error;
      })
      .finally(() => {
        looking = undefined;
      });
  };
  const timer = ctx.clock.every(limits.replicaClockEveryMs, run);
  run();
  return {
    isClose: () => offByMs <= limits.replicaClockStopMs,
    async stop() {
      timer.cancel();
      await looking;
    },
  };
}

/** The store's clock minus this one, and how wrong that may be, ms. Rejects as the store does. */
export async function measureClock(ctx: Pick<StoreContext, "sql" | "clock">): Promise<{
  readonly offsetMs: number;
  readonly uncertainMs: number;
}> {
  const { clock, sql } = ctx;
  const [wallMs, monoMs] = [clock.nowMs(), clock.monoMs()];
  const storeMs = await storeNowMs(sql);
  const halfMs = (clock.monoMs() - monoMs) / 2;
  // The store tells whole milliseconds.
  return { offsetMs: storeMs - (wallMs + halfMs), uncertainMs: halfMs + 1 };
}

/** To one digit: a value that trembles does not write a row with every look. */
function detailOf(offsetMs: number): string {
  const seconds = Number((Math.abs(offsetMs) / 1_000).toPrecision(1));
  const stops = Math.abs(offsetMs) > limits.replicaClockStopMs ? "; it does not serve" : "";
  return `its clock is ${seconds} s ${offsetMs > 0 ? "behind" : "ahead of"} the store's${stops}: look at the time service of its host`;
}
