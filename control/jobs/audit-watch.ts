/**
 * What control does by the clock for its own record: asks whether nodes contradict the audit chain, reads every trust row
 * again, for a forged one may be waiting where nobody looks, and writes down how many refusals were only counted. Every
 * replica runs it; rows decide who tells.
 */

import { limits } from "../../lib/limits.ts";
import { refusalLedger } from "../domain/refusals.ts";
import type { TrustAlarm } from "../domain/trust-alarm.ts";
import { watchWitnesses } from "../domain/witness-watch.ts";
import type { StoreContext } from "../store/context.ts";
import { verifyTrustRows } from "../store/verify.ts";
import { Rounds } from "./rounds.ts";

export interface AuditWatch {
  /** Ends the timers and waits for what is under way. */
  stop(): Promise<void>;
}

/** Starts both looks. A failed one is logged and made again at its next time. */
export function startAuditWatch(ctx: StoreContext, alarm: TrustAlarm): AuditWatch {
  const { clock, log } = ctx;
  const rounds = new Rounds({ clock, log: log.child({ sub: "audit-watch" }) }, "a look at the record failed");
  const countRefusals = (): Promise<unknown> => refusalLedger(ctx).count();
  rounds.every(limits.auditWitnessCheckMs, "witnesses", () => watchWitnesses(ctx.sql));
  rounds.every(limits.trustSweepEveryMs, "trust", () => alarm.sweep(() => verifyTrustRows(ctx.sql, ctx.seal)));
  rounds.every(limits.refusalsCountedEveryMs, "refusals", countRefusals);
  return {
    async stop() {
      rounds.run("refusals at the end", countRefusals);
      await rounds.stop();
    },
  };
}
