/**
 * What control does by the clock for joining: pending requests run out, used proofs are forgotten. Every replica runs it;
 * each step is one statement that finds nothing left to do when another replica was first. Reads never depend on it: a
 * request that has run out is expired for everybody at once.
 */

import { limits } from "../../lib/limits.ts";
import { appendAudit } from "../store/audit.ts";
import type { StoreContext } from "../store/context.ts";
import { expireRequests, forgetProofs } from "../store/requests.ts";
import { Rounds } from "./rounds.ts";

export interface ControlJobs {
  /** Ends the timer and waits for a round under way. */
  stop(): Promise<void>;
}

/** Runs `runJobs` every `limits.jobEveryMs`. */
export function startControlJobs(ctx: StoreContext): ControlJobs {
  const rounds = new Rounds(ctx, "a control job failed; it runs again later");
  rounds.every(limits.jobEveryMs, "requests", () => runJobs(ctx));
  return { stop: () => rounds.stop() };
}

/** One round. */
export async function runJobs(ctx: StoreContext): Promise<void> {
  await ctx.sql.tx(async (tx) => {
    for (const { id, clusterId } of await expireRequests(tx)) {
      await appendAudit(tx, { actor: "system", action: "request.expired", object: `request/${id}`, clusterId });
    }
  });
  await forgetProofs(ctx.sql);
}
