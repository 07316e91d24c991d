/**
 * What control does by the clock for its own record: asks whether nodes contradict the audit chain, reads every trust row
 * again, for a forged one may be waiting where nobody looks, and writes down how many refusals were only counted. Every
 * replica runs it; rows decide who tells.
 */

import { messageOf } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { refusalLedger } from "../domain/refusals.ts";
import type { TrustAlarm } from "../domain/trust-alarm.ts";
import { watchWitnesses } from "../domain/witness-watch.ts";
import type { StoreContext } from "../store/context.ts";
import { verifyTrustRows } from "../store/verify.ts";

export interface AuditWatch {
  /** Ends the timers and waits for what is under way. */
  stop(): Promise<void>;
}

/** Starts both looks. A failed one is logged and made again at its next time. */
export function startAuditWatch(ctx: StoreContext, alarm: TrustAlarm): AuditWatch {
  const log = ctx.log.child({ sub: "audit-watch" });
  const running = new Map<string, Promise<void>>();

  function run(name: string, look: () => Promise<unknown>): void {
    if (running.has(name)) return;
    const done = look()
      .then(() => undefined)
      .catch((error: unknown) => log.warn("a look at the record failed", { detail: name, error: messageOf(error) }))
      .finally(() => running.delete(name));
    running.set(name, done);
  }

  const readTrust = (): Promise<void> => alarm.sweep(() => verifyTrustRows(ctx.sql, ctx.seal));
  const timers = [
    ctx.clock.every(limits.auditWitnessCheckMs, () => run("witnesses", () => watchWitnesses(ctx.sql))),
    ctx.clock.every(limits.trustSweepEveryMs, () => run("trust", readTrust)),
    ctx.clock.every(limits.refusalsCountedEveryMs, () => run("refusals", () => refusalLedger(ctx).count())),
  ];
  return {
    async stop() {
      for (const timer of timers) timer.cancel();
      run("refusals at the end", () => refusalLedger(ctx).count());
      await Promise.all(running.values());
    },
  };
}
