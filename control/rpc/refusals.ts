/**
 * Refused calls in the audit log, where their policy row asks for it. Bounded: a caller that is refused a thousand times a
 * second is written down a few times a second, the rest are only counted in the log.
 */

import { messageOf } from "../../lib/errors.ts";
import { limits } from "../../lib/limits.ts";
import { TokenBuckets } from "../../lib/rate.ts";
import { sourcePrefix } from "../../lib/source-prefix.ts";
import type { RefusedCall } from "../../rpc/admission.ts";
import { auditRefusal } from "../store/audit.ts";
import type { StoreContext } from "../store/context.ts";

/** What a surface calls for every refusal. Never throws and never waits. */
export function refusalRecorder(ctx: StoreContext): (refused: RefusedCall) => void {
  const buckets = new TokenBuckets(ctx.clock, {
    perSecond: limits.refusalsRecordedPerSecond,
    burstCount: limits.refusalsRecordedPerSecond,
    keysMaxCount: limits.rpcRateKeysMaxCount,
  });
  return ({ rpc, caller, detail, requestId, audit }) => {
    ctx.log.info("call refused", { rpc, caller: caller.spiffe, detail, requestId });
    const key = caller.kind === "anonymous" ? sourcePrefix(caller.sourceAddress) : caller.spiffe;
    if (!audit || !buckets.take(key)) return;
    auditRefusal(ctx.sql, {
      actor: caller.spiffe,
      action: "rpc.refused",
      object: `rpc/${rpc}`,
      ...(caller.clusterId === undefined ? {} : { clusterId: caller.clusterId }),
      result: `refused:${detail}`,
    }).catch((error: unknown) => {
      ctx.log.warn("a refusal could not be recorded", { rpc, requestId, error: messageOf(error) });
    });
  };
}
