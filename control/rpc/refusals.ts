/**
 * Refused calls in the audit log, where their policy row asks for it: those that never reach a handler, and those a handler
 * refuses without a better record of its own. Bounded (control/domain/refusals.ts).
 */

import { messageOf } from "../../lib/errors.ts";
import type { RefusedCall } from "../../rpc/admission.ts";
import { callerKey, refusalLedger } from "../domain/refusals.ts";
import type { StoreContext } from "../store/context.ts";

/** What a surface calls for every refusal. Never throws and never waits. */
export function refusalRecorder(ctx: StoreContext): (refused: RefusedCall) => void {
  const ledger = refusalLedger(ctx);
  return ({ rpc, caller, detail, requestId, audit, error }) => {
    ctx.log.info("call refused", { rpc, caller: caller.spiffe, detail, requestId });
    if (!audit) return;
    const refusal = {
      actor: caller.spiffe,
      action: "rpc.refused",
      object: `rpc/${rpc}`,
      ...(caller.clusterId === undefined ? {} : { clusterId: caller.clusterId }),
      result: `refused:${detail}`,
    } as const;
    ledger.record(refusal, callerKey(caller), error).catch((thrown: unknown) => {
      ctx.log.warn("a refusal could not be recorded", { rpc, requestId, error: messageOf(thrown) });
    });
  };
}
