/** ProbeService: answers at once, with what the caller needs to score this node. */

import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { ProbeResponseSchema, type ProbeService } from "../gen/weft/probe/v1/probe_pb.ts";
import { WeftError } from "../lib/errors.ts";
import { limits } from "../lib/limits.ts";
import { kCaller } from "../rpc/caller.ts";
import type { DataPlanePorts } from "./plane-ports.ts";

export interface ProbeDeps extends Pick<DataPlanePorts, "drain" | "clock"> {
  /** Share of capacity in use, 0..1. */
  readonly load: () => number;
  /** Whether this node has no room for a link to this neighbour; absent where nobody keeps links. */
  readonly linksFull?: (nodeId: string) => boolean;
}

export function probeService(deps: ProbeDeps): ServiceImpl<typeof ProbeService> {
  return {
    probe({ seq, payload }, context) {
      if (payload.length > limits.probePayloadMaxBytes) {
        throw new WeftError("invalid_argument", "the probe's payload is too large", { detail: "PROBE_SIZE" });
      }
      const caller = context.values.get(kCaller);
      const load = Math.min(1, Math.max(0, deps.load()));
      return create(ProbeResponseSchema, {
        seq,
        payload,
        load,
        draining: deps.drain.draining(),
        nowMs: BigInt(deps.clock.nowMs()),
        linksFull: caller?.kind === "node" && deps.linksFull?.(caller.id?.id ?? "") === true,
      });
    },
  };
}
